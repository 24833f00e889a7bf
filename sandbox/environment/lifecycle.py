"""Applies, freezes and thaws a trial's environment.

Rules of this module:

* Every act may be repeated half-way: what is already so is left so.
* Before anything is kept, the whole set is tried as a dry run; a refusal is one error.
* Freezing cuts the network first, then removes the pods without grace (an open
  connection outlives its policy, not its pod), whatever they were about to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sandbox.environment.deployment import deploy_system
from sandbox.environment.isolation import own_users, require_isolation_class
from sandbox.environment.kinds import ref_of
from sandbox.environment.labels import DEFAULT_DENY, FIELD_MANAGER, trial_selector
from sandbox.environment.place import namespaces_of
from sandbox.environment.platform import ensure_platform
from sandbox.environment.removal import (
    delete_pods,
    require_ours,
    residue,
    scale_to_zero,
    still_scaling,
    tear_down,
)
from sandbox.environment.render import default_deny, environment_objects, stated
from sandbox.environment.waiting import wait_until
from sandbox.errors import (
    ClusterError,
    InputError,
    IsolationError,
    SandboxError,
)
from sandbox.model.application import Defect
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Applied, Cluster, KubernetesObject, ObjectRef

__all__ = [
    "FreezeReport",
    "apply_environment",
    "deploy_system",
    "freeze",
    "residue",
    "tear_down",
    "thaw",
]

Pause = Callable[[float], None]

_FREEZE_WAIT_S = 10.0


class FreezeReport(NamedTuple):
    """What a freeze did; all lists are empty where nothing was left to do."""

    policies_removed: list[str]
    """NetworkPolicies taken away; only the one that denies everything stays."""
    scaled: dict[str, int]
    """Deployment → replicas it had."""
    pods_deleted: list[str]
    namespace: str = ""
    """Where that was; empty where the environment is gone."""


def apply_environment(
    cluster: Cluster, spec: EnvironmentSpec, *, recorder_token: str, own_image: str = ""
) -> list[Applied]:
    """Apply the objects of a trial's environment, after a dry run of the whole set.

    The API server can try an object only inside a namespace that exists. So a new
    namespace is made for real, alone, right after its own dry run; the rest is tried in
    it; and after a refusal that namespace is deleted again. Nothing can run in it
    meanwhile: the dry run keeps nothing else.

    Args:
        cluster: Where.
        spec: What the decision and the temporary rule ask for.
        recorder_token: Bearer token the system presents to the recorder.
        own_image: As for `ensure_platform`.

    Returns:
        The environment's objects as they now are, in apply order.

    Raises:
        InputError: The needs cannot be granted as written, or the rule has expired.
        IsolationError: The cluster cannot give the isolation class, its platform is
            not installed, or the namespace belongs to something else.
        ClusterError: Kubernetes refused or did not answer.
    """
    require_time_left(cluster, spec)
    require_isolation_class(cluster, spec)
    namespace, *rest = environment_objects(
        spec, recorder_token=recorder_token, own_users=own_users(cluster, spec)
    )
    ensure_platform(cluster, own_image=own_image)
    cluster.apply([namespace], owner=FIELD_MANAGER, dry_run=True)
    is_new = _check_namespace(cluster, spec)
    applied = cluster.apply([namespace], owner=FIELD_MANAGER)
    try:
        cluster.apply(rest, owner=FIELD_MANAGER, dry_run=True)
    except ClusterError as error:
        if is_new and not error.retryable:
            cluster.delete(ref_of(namespace), uid=applied[0].uid)
        raise
    return applied + cluster.apply(rest, owner=FIELD_MANAGER)


def freeze(
    cluster: Cluster, trial_id: str, *, pause: Pause = time.sleep
) -> FreezeReport:
    """Deny all traffic, scale every Deployment to zero and remove every pod.

    Returns once the API server holds no pod of the namespace; each container ends
    within moments of that. Revoking the credentials of telemetry is the caller's. An
    environment that is gone needs no freezing.

    Raises:
        IsolationError: The namespace belongs to something else.
        ClusterError: Kubernetes refused, did not answer, or pods kept coming back.
    """
    reports: list[FreezeReport] = []
    errors: list[SandboxError] = []
    for found in namespaces_of(cluster, trial_id):
        try:
            reports.append(_freeze(cluster, trial_id, found, pause))
        except SandboxError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    if not reports:
        _require_gone(cluster, trial_id)
    return reports[0] if reports else FreezeReport([], {}, [])


def _freeze(
    cluster: Cluster, trial_id: str, found: KubernetesObject, pause: Pause
) -> FreezeReport:
    namespace = str(found["metadata"]["name"])
    require_ours(found, trial_id)
    if "deletionTimestamp" not in found["metadata"]:
        deny = stated(default_deny(trial_id, namespace))
        cluster.apply([deny], owner=FIELD_MANAGER)
    removed = _remove_policies(cluster, namespace)
    scaled = scale_to_zero(cluster, namespace)
    deleted: list[str] = []

    def sweep() -> list[str]:
        left = delete_pods(cluster, namespace)
        deleted.extend(name for name in left if name not in deleted)
        return left or still_scaling(cluster, namespace)

    left = wait_until(sweep, wait_s=_FREEZE_WAIT_S, pause=pause)
    if left:
        raise ClusterError(
            f"The freeze of trial {trial_id} is not complete after"
            f" {_FREEZE_WAIT_S:g} s: {', '.join(left)} remain. Traffic is denied;"
            " freeze again."
        )
    return FreezeReport(removed, scaled, deleted, namespace)


def _require_gone(cluster: Cluster, trial_id: str) -> None:
    """Check that nothing of a trial without a namespace is left in anybody's."""
    left = cluster.find(
        "networking.k8s.io/v1", "NetworkPolicy", labels=trial_selector(trial_id)
    )
    if left:
        names = ", ".join(sorted({str(ref_of(item).namespace) for item in left}))
        raise IsolationError(
            f"Trial {trial_id} has no namespace any more, and its policies lie in"
            f" {names}, which lost the trial's label. Label it again, or delete it."
        )


def thaw(
    cluster: Cluster,
    spec: EnvironmentSpec,
    manifests: Sequence[KubernetesObject],
    *,
    wait_s: float,
    pause: Pause = time.sleep,
) -> None:
    """Start the system again in an environment that is whole again.

    A freeze is undone in this order: `apply_environment` with a new recorder token,
    `prove_isolation`, then this.

    Raises:
        IsolationError: The environment was not applied again.
        ClusterError: As for `deploy_system`.
    """
    names = {
        policy["metadata"]["name"]
        for policy in cluster.find(
            "networking.k8s.io/v1", "NetworkPolicy", namespace=spec.namespace
        )
    }
    if DEFAULT_DENY not in names or len(names) == 1:
        raise IsolationError(
            f"The environment of trial {spec.trial_id} is frozen: its policies are not"
            " applied. Apply the environment and prove its isolation first."
        )
    deploy_system(cluster, spec, manifests, wait_s=wait_s, pause=pause)


def require_time_left(cluster: Cluster, spec: EnvironmentSpec) -> None:
    # Of the two clocks the cluster's own decides: it also ends what has expired.
    now = cluster.now()
    if spec.expires_at > now:
        return
    raise InputError(
        [
            Defect(
                code="environment/expired",
                what=f"the temporary rule of trial {spec.trial_id} ended at"
                f" {spec.expires_at.isoformat()}, and it is {now.isoformat()} in the"
                " cluster",
                remedy="Ask the authority for another decision; if the cluster's clock"
                " is wrong, set it.",
                field="expires_at",
            )
        ]
    )


def _check_namespace(cluster: Cluster, spec: EnvironmentSpec) -> bool:
    """Return whether the namespace has to be made; refuse one that is not ours."""
    found = cluster.get(ObjectRef("v1", "Namespace", "", spec.namespace))
    if found is None:
        return True
    require_ours(found, spec.trial_id)
    if "deletionTimestamp" in found["metadata"]:
        raise ClusterError(
            f"Namespace {spec.namespace} is still being deleted. Wait for its end.",
            retryable=True,
        )
    return False


def _remove_policies(cluster: Cluster, namespace: str) -> list[str]:
    policies = cluster.find(
        "networking.k8s.io/v1", "NetworkPolicy", namespace=namespace
    )
    refs = [ref_of(policy) for policy in policies]
    removed = [ref for ref in refs if ref.name != DEFAULT_DENY and cluster.delete(ref)]
    return [ref.name for ref in removed]
