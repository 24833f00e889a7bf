"""Environments that are empty, and proven before a trial asks for one.

Rules of this module:

* Nothing starts in a warm environment but the proof's own pods; it has an expiry like
  any other, and whatever removes what is expired removes it too.
* After its claim attempts are made again unless every way out, every target and the
  isolation class are the same; rights and admission are asked again in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from sandbox.environment.attempts import judge
from sandbox.environment.isolation import REQUIRED, own_users
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import (
    CONTROL_NAMESPACE,
    PARAMS,
    TRIAL,
    WARM,
    trial_namespace,
    trial_selector,
)
from sandbox.environment.place import namespace_ref, warm_namespaces
from sandbox.environment.probe import allowed_pod
from sandbox.environment.proof import (
    prove_isolation,
    refusal_of,
    refuses_foreign_images,
    wait_for_quotas,
)
from sandbox.environment.removal import delete_pods
from sandbox.environment.render import environment_objects
from sandbox.environment.targets import NEIGHBOUR
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.application import Limits, SystemNeeds, Telemetry
from sandbox.model.trial import (
    EnvironmentSpec,
    IsolationProof,
    ProofTarget,
    RecorderEndpoint,
)
from sandbox.ports import Clock, Cluster, KubernetesObject

Pause = Callable[[float], None]

_NOTHING_DECIDED = "sha256:" + "0" * 64
"""Stands for the rule, the plan and the decision that a warm environment has not."""
NO_CREDENTIAL = "unclaimed"
"""What stands in for the credential of a system; no recorder knows it."""
_LIMITS = Limits(cpu="1", memory="256Mi", pods=1)
_WAIT_S = 10.0
_STARTING = (
    ("v1", "Pod"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("v1", "ConfigMap"),
)
"""What could run in an environment, or configure what runs. Quotas allow no other
workloads, and a worker cannot list Secrets."""
_OWN_CONFIG = frozenset({PARAMS, "kube-root-ca.crt"})
_THREADS = 4


class WarmEnvironment(NamedTuple):
    """A warm environment: what it was made from, and the proof it is kept with."""

    spec: EnvironmentSpec
    proof: IsolationProof

    def prove(
        self,
        cluster: Cluster,
        spec: EnvironmentSpec,
        *,
        targets: Sequence[ProofTarget],
        clock: Clock,
        pause: Pause = time.sleep,
    ) -> IsolationProof:
        """Prove what its claim by a trial has changed; see `prove_isolation`.

        Raises:
            IsolationError: The attempts could not be made, or admission does not know
                what the decision allows.
            ClusterError: Kubernetes refused or did not answer.
        """
        if not self.attempts_stand(spec, targets):
            return prove_isolation(
                cluster, spec, targets=targets, clock=clock, pause=pause
            )
        wait_for_quotas(cluster, spec, pause)
        _wait_for_decision(cluster, spec, pause)
        proof = judge(
            spec,
            self.proof.attempts,
            rights=cluster.rights(spec.namespace, "workload"),
            admits_foreign=not refuses_foreign_images(cluster, spec, pause),
        )
        return proof.model_copy(update={"warm": spec.warm})

    def attempts_stand(
        self, spec: EnvironmentSpec, targets: Sequence[ProofTarget]
    ) -> bool:
        """Return whether its attempts say what they would say after the claim."""
        tried = [item.target for item in self.proof.attempts if item.origin == "trial"]
        return (
            self.proof.holds
            and spec.isolation_class == self.spec.isolation_class
            and [_without_neighbour(item) for item in tried]
            == [_without_neighbour(item) for item in targets]
            and _ways_out(spec) == _ways_out(self.spec)
        )


def warm_spec(
    warm_id: str,
    *,
    until: datetime,
    probe_image: str,
    recorder: RecorderEndpoint,
    load_source: str,
) -> EnvironmentSpec:
    """Return the specification of a warm environment, of isolation class N1.

    Args:
        warm_id: Its id, which begins with `warm-`.
        until: Its expiry as long as nobody claims it.
        probe_image: The image of the proof; no other may start.
        recorder: Where the systems of all trials send their telemetry.
        load_source: CIDR the load of all trials comes from.
    """
    return EnvironmentSpec(
        trial_id=warm_id,
        warm=warm_id,
        isolation_class="N1",
        expires_at=until,
        temporary_rule_digest=_NOTHING_DECIDED,
        rulebook_digest=_NOTHING_DECIDED,
        plan_digest=_NOTHING_DECIDED,
        needs=SystemNeeds(limits=_LIMITS),
        images={},
        probe_image=probe_image,
        telemetry=Telemetry(protocol="otlp-http", services=()),
        recorder=recorder,
        load_source=load_source,
    )


def unclaimed(cluster: Cluster) -> list[str]:
    """Return the ids of the warm environments that no trial has claimed, sorted.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    return [warm_id_of(item) for item in warm_namespaces(cluster) if is_free(item)]


def discard(cluster: Cluster, warm_id: str) -> bool:
    """Remove a warm environment; return False where a trial has claimed it.

    Nothing runs in it. It is deleted in the state it was seen in, so that it cannot be
    claimed in between.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    found = cluster.get(namespace_ref(trial_namespace(warm_id)))
    if found is None or not is_free(found):
        return False
    uid, version = (found["metadata"][key] for key in ("uid", "resourceVersion"))
    try:
        is_removed = cluster.delete(ref_of(found), uid=uid, version=version)
    except ClusterError as error:
        if error.status != 409:
            raise
        return False
    delete_pods(cluster, CONTROL_NAMESPACE, trial_selector(warm_id))
    return is_removed


def contents(cluster: Cluster, namespace: str) -> list[str]:
    """Return what is in a warm environment that must not be there; nothing if empty.

    What limits it is compared elsewhere (`find_drift`); this is what could run in it.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        lists = threads.map(
            lambda kind: cluster.find(*kind, namespace=namespace), _STARTING
        )
        found = [item for one in lists for item in one]
    return [title(ref_of(item)) for item in found if not _is_own(item)]


def _is_own(item: KubernetesObject) -> bool:
    is_config = item["kind"] == "ConfigMap"
    return is_config and item["metadata"]["name"] in _OWN_CONFIG


def _wait_for_decision(cluster: Cluster, spec: EnvironmentSpec, pause: Pause) -> None:
    """Wait until admission knows what the trial's decision allows.

    Raises:
        IsolationError: It does not after some seconds.
    """
    pod = allowed_pod(spec, own_users=own_users(cluster, spec) == REQUIRED)
    left = wait_until(
        lambda: [said] if (said := refusal_of(cluster, pod)) else [],
        wait_s=_WAIT_S,
        pause=pause,
    )
    if left:
        raise IsolationError(
            f"Admission refuses the images that the decision on trial {spec.trial_id}"
            f" allows, {_WAIT_S:g} s after its claim of {spec.namespace}: {left[0]}"
        )


def _ways_out(spec: EnvironmentSpec) -> list[KubernetesObject]:
    """Return what decides where packets of the environment may go."""
    objects = environment_objects(spec, recorder_token="")
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    return [item for item in policies if "Egress" in item["policyTypes"]]


def _without_neighbour(target: ProofTarget) -> ProofTarget:
    # Its address was filled in by the proof; a listener may have moved since.
    is_neighbour = target.name == NEIGHBOUR
    return target.model_copy(update={"host": ""}) if is_neighbour else target


def is_free(namespace: KubernetesObject) -> bool:
    """Return whether a warm namespace is there and no trial's."""
    metadata = namespace["metadata"]
    labels = metadata.get("labels") or {}
    is_claimed = labels.get(TRIAL) != labels.get(WARM)
    return not is_claimed and WARM in labels and "deletionTimestamp" not in metadata


def warm_id_of(namespace: KubernetesObject) -> str:
    """Return the id a warm namespace was made with."""
    return str(namespace["metadata"]["labels"][WARM])
