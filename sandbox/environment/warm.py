"""Environments that are proven before a trial asks for one, and how a trial claims one.

Rules of this module:

* A warm environment is empty and lets nothing start but the proof's own pods; it has an
  expiry like any other, and whatever removes what is expired removes it too.
* A claim is one conditional write of the namespace: two trials never get the same one.
* What the trial's rule changes is applied on top. Attempts are made again unless every
  way out, every target and the isolation class are the same; rights and admission are
  asked again in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from sandbox.environment.attempts import judge
from sandbox.environment.isolation import REQUIRED, own_users
from sandbox.environment.kinds import ref_of
from sandbox.environment.labels import (
    FIELD_MANAGER,
    PARAMS,
    TRIAL,
    WARM,
    trial_namespace,
)
from sandbox.environment.lifecycle import require_time_left
from sandbox.environment.place import namespace_ref, namespaces_of, warm_namespaces
from sandbox.environment.platform import ensure_platform
from sandbox.environment.probe import allowed_pod
from sandbox.environment.proof import (
    prove_isolation,
    refusal_of,
    refuses_foreign_images,
    wait_for_quotas,
)
from sandbox.environment.render import MOST_WAYS_IN, environment_objects
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
from sandbox.ports import Applied, Clock, Cluster, KubernetesObject

Pause = Callable[[float], None]

_NOTHING_DECIDED = "sha256:" + "0" * 64
"""Stands for the rule, the plan and the decision that a warm environment has not."""
NO_CREDENTIAL = "unclaimed"
"""What stands in for the credential of a system; no recorder knows it."""
_LIMITS = Limits(cpu="1", memory="256Mi", pods=1)
_ATTEMPTS = 5
_WAIT_S = 10.0
_THREADS = 4


class Idle(NamedTuple):
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
    return [_warm_id(item) for item in warm_namespaces(cluster) if _is_free(item)]


def claim(
    cluster: Cluster,
    spec: EnvironmentSpec,
    candidates: Sequence[str],
    *,
    own_image: str = "",
) -> EnvironmentSpec | None:
    """Make one of several warm environments that of a trial.

    Args:
        cluster: Where they are.
        spec: What the decision and the temporary rule ask for.
        candidates: Ids of warm environments whose proof is known and recent.
        own_image: As for `ensure_platform`.

    Returns:
        The specification with the warm environment the trial now has; None where none
        was left, or where the trial has an environment already.

    Raises:
        InputError: The rule has expired.
        IsolationError: The platform is not installed.
        ClusterError: Kubernetes refused or did not answer.
    """
    require_time_left(cluster, spec)
    if len(spec.needs.ingress) > MOST_WAYS_IN:
        return None
    ensure_platform(cluster, own_image=own_image)
    for _ in range(_ATTEMPTS):
        if namespaces_of(cluster, spec.trial_id):
            return None
        free = {
            _warm_id(item): item for item in warm_namespaces(cluster) if _is_free(item)
        }
        wanted = next((name for name in candidates if name in free), None)
        if wanted is None:
            return None
        claimed = spec.model_copy(update={"warm": wanted})
        if _take(cluster, claimed, free[wanted]):
            return _only(cluster, claimed)
    return None


def take_over(
    cluster: Cluster,
    spec: EnvironmentSpec,
    idle: EnvironmentSpec,
    *,
    recorder_token: str,
) -> list[Applied]:
    """Apply what a trial's environment has and its warm one had not.

    Nothing runs in it, so a refusal half-way is no danger: the caller removes it.

    Args:
        cluster: Where it is.
        spec: The environment as claimed.
        idle: What it was made from.
        recorder_token: Bearer token the system presents to the recorder.

    Returns:
        The namespace, and what was changed in it.

    Raises:
        InputError: The needs cannot be granted as written.
        ClusterError: Kubernetes refused or did not answer.
    """
    users = own_users(cluster, spec)
    wanted = environment_objects(spec, recorder_token=recorder_token, own_users=users)
    had = environment_objects(idle, recorder_token=NO_CREDENTIAL, own_users=users)
    before = {ref_of(item): item for item in had}
    changed = [item for item in wanted if before.get(ref_of(item)) != item]
    for item in changed:
        if item["metadata"]["name"] == PARAMS:
            # It is immutable; until the next is there, admission refuses every pod.
            cluster.delete(ref_of(item))
    # Quotas last: what they count must have its place before they shrink.
    others = [item for item in changed if item["kind"] != "ResourceQuota"]
    quotas = [item for item in changed if item["kind"] == "ResourceQuota"]
    return _all_at_once(cluster, others) + _all_at_once(cluster, quotas)


def _all_at_once(cluster: Cluster, objects: list[KubernetesObject]) -> list[Applied]:
    """Apply objects of which none needs another, several at a time."""
    with ThreadPoolExecutor(_THREADS) as threads:
        done = threads.map(
            lambda item: cluster.apply([item], owner=FIELD_MANAGER), objects
        )
        return [applied for one in done for applied in one]


def discard(cluster: Cluster, warm_id: str) -> bool:
    """Remove a warm environment; return False where a trial has claimed it.

    Nothing runs in it. It is deleted in the state it was seen in, so that it cannot be
    claimed in between.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    found = cluster.get(namespace_ref(trial_namespace(warm_id)))
    if found is None or not _is_free(found):
        return False
    uid, version = (found["metadata"][key] for key in ("uid", "resourceVersion"))
    try:
        return cluster.delete(ref_of(found), uid=uid, version=version)
    except ClusterError as error:
        if error.status != 409:
            raise
        return False


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


def _take(cluster: Cluster, spec: EnvironmentSpec, namespace: KubernetesObject) -> bool:
    """Write the trial's name on a namespace, unless someone else changed it."""
    home, *_ = environment_objects(spec, recorder_token="")
    metadata = namespace["metadata"]
    precondition = {key: metadata[key] for key in ("uid", "resourceVersion")}
    home["metadata"] |= precondition
    try:
        cluster.apply([home], owner=FIELD_MANAGER)
    except ClusterError as error:
        if error.status not in (404, 409):
            raise
        return False
    return True


def _only(cluster: Cluster, spec: EnvironmentSpec) -> EnvironmentSpec | None:
    """Return a claim, or give it back where another worker opened the trial too."""
    first, *rest = namespaces_of(cluster, spec.trial_id)
    for other in rest:
        if other["metadata"]["name"] == spec.namespace:
            cluster.delete(ref_of(other), uid=other["metadata"]["uid"])
    return spec if first["metadata"]["name"] == spec.namespace else None


def _is_free(namespace: KubernetesObject) -> bool:
    metadata = namespace["metadata"]
    labels = metadata.get("labels") or {}
    is_claimed = labels.get(TRIAL) != labels.get(WARM)
    return not is_claimed and WARM in labels and "deletionTimestamp" not in metadata


def _warm_id(namespace: KubernetesObject) -> str:
    return str(namespace["metadata"]["labels"][WARM])
