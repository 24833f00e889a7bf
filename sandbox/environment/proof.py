"""Proves by trying that the environment holds, and records every attempt.

Rules of this module:

* Attempts start as soon as their pod does, all at once; what does not need their end is
  asked meanwhile.
* A negative counts only if its control, the same attempt from a namespace without
  policies, reached the target; otherwise the silence may be the target's own.
* What must be reached (names, recorder) is tried from inside as well: an environment
  that sees and reports nothing proves nothing.
* Admission is tried too: an image outside the decision must be refused.
* Where the class promises a kernel of its own, a pod of the trial reads which it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sandbox.environment.attempts import attempts_of, judge
from sandbox.environment.isolation import REQUIRED, kernel_failures, own_users
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import FIELD_MANAGER
from sandbox.environment.probe import (
    control_pod,
    foreign_pod,
    neighbour,
    neighbour_address,
    trial_pod,
)
from sandbox.environment.reporting import (
    NO_PARAMETERS,
    no_parameters,
    probes,
    reports,
)
from sandbox.environment.targets import (
    NEIGHBOUR,
    ClusterAddresses,
    cluster_addresses,
    proof_targets,
    standard_targets,
)
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.trial import EnvironmentSpec, IsolationProof, ProofTarget
from sandbox.ports import Clock, Cluster, KubernetesObject

__all__ = [
    "ClusterAddresses",
    "cluster_addresses",
    "proof_targets",
    "prove_isolation",
    "standard_targets",
]

Pause = Callable[[float], None]

_ADMISSION_POLICY = "regulatory-sandbox-decision"
_WAIT_S = 60.0


def prove_isolation(
    cluster: Cluster,
    spec: EnvironmentSpec,
    *,
    targets: Sequence[ProofTarget],
    clock: Clock,
    pause: Pause = time.sleep,
) -> IsolationProof:
    """Try every target from inside the trial and from its control, and judge.

    Args:
        cluster: Where the environment was applied.
        spec: The environment; its `probe_image` makes the attempts.
        targets: What to try; the host of one named `neighbour` is filled in.
        clock: Tells the time of attempts that no pod reports.
        pause: Waits for some seconds.

    Returns:
        The proof. Whether the isolation holds is in it: it is evidence either way.

    Raises:
        IsolationError: The attempts could not be made.
        ClusterError: Kubernetes refused or did not answer.
    """
    cluster.apply([neighbour(spec)], owner=FIELD_MANAGER)
    wait_for_quotas(cluster, spec, pause)
    placed = _with_neighbour(cluster, spec, targets=targets, pause=pause)
    controlled = [t for t in placed if t.expect == "blocked" and t.controlled]
    is_own = own_users(cluster, spec) == REQUIRED
    pods = [trial_pod(spec, placed, own_users=is_own)]
    pods += [control_pod(spec, controlled)] if controlled else []
    with probes(cluster, pods, pause) as started:
        is_admission_enforced = refuses_foreign_images(cluster, spec, pause)
        rights = cluster.rights(spec.namespace, "workload")
        inside, *outside = reports(cluster, started, pause)
    seen_at = clock.now()
    attempts = attempts_of(inside, placed, origin="trial", seen_at=seen_at)
    for report in outside:
        attempts += attempts_of(report, controlled, origin="control", seen_at=seen_at)
    return judge(
        spec,
        attempts,
        rights=rights,
        admits_foreign=not is_admission_enforced,
        kernel=kernel_failures(cluster, spec, inside.kernel),
    )


def wait_for_quotas(cluster: Cluster, spec: EnvironmentSpec, pause: Pause) -> None:
    """Wait until the usage of every quota is known; until then no pod is admitted.

    Raises:
        ClusterError: It is not known after a minute.
    """

    def unknown() -> list[str]:
        quotas = cluster.find("v1", "ResourceQuota", namespace=spec.namespace)
        return [
            title(ref_of(quota))
            for quota in quotas
            if quota.get("status", {}).get("hard") != quota["spec"]["hard"]
        ]

    left = wait_until(unknown, wait_s=_WAIT_S, pause=pause)
    if left:
        raise ClusterError(
            f"The usage of {', '.join(left)} is not known after {_WAIT_S:g} s. Check"
            " that the cluster's controller manager runs."
        )


def refusal_of(cluster: Cluster, pod: KubernetesObject) -> str:
    """Return why admission would refuse a pod; nothing if it would let it in.

    Raises:
        ClusterError: Kubernetes did not answer.
    """
    try:
        cluster.apply([pod], owner=FIELD_MANAGER, dry_run=True)
    except ClusterError as error:
        if error.retryable:
            raise
        return error.diagnosis
    return ""


def refuses_foreign_images(
    cluster: Cluster, spec: EnvironmentSpec, pause: Pause
) -> bool:
    """Return whether admission refuses an image outside the decision.

    A policy takes a moment to be in force after it was first applied, and another one
    to see the digests it compares with; until then it refuses every pod.
    """
    foreign = foreign_pod(spec, own_users=own_users(cluster, spec) == REQUIRED)

    def admitted() -> list[str]:
        said = refusal_of(cluster, foreign) or "it was admitted"
        is_judged = _ADMISSION_POLICY in said and NO_PARAMETERS not in said
        return [] if is_judged else [said]

    left = wait_until(admitted, wait_s=10.0, pause=pause)
    if left and NO_PARAMETERS in left[0]:
        raise no_parameters(spec.namespace)
    return not left


def _with_neighbour(
    cluster: Cluster,
    spec: EnvironmentSpec,
    *,
    targets: Sequence[ProofTarget],
    pause: Pause,
) -> list[ProofTarget]:
    if not any(target.name == NEIGHBOUR and not target.host for target in targets):
        return list(targets)
    address: list[str] = []

    def unknown() -> list[str]:
        address[:] = [neighbour_address(cluster, spec)]
        return [] if address[0] else ["the neighbour is not ready"]

    if wait_until(unknown, wait_s=_WAIT_S, pause=pause):
        raise IsolationError(
            f"The neighbour of the isolation proof is not ready after {_WAIT_S:g} s."
            " Look at its pod in namespace sandbox-control."
        )
    return [
        target.model_copy(update={"host": address[0]})
        if target.name == NEIGHBOUR and not target.host
        else target
        for target in targets
    ]
