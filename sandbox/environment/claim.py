"""How a trial claims a warm environment.

Rules of this module:

* A claim is one conditional write of the namespace: two trials never get the same one.
* What is seen not to be empty is not given to a trial, whoever put something there.
* What the trial's rule changes is applied on top; cut off, it can be gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sandbox.environment.isolation import OWN_USERS, own_users
from sandbox.environment.kinds import ref_of
from sandbox.environment.labels import (
    CONTROL_NAMESPACE,
    FIELD_MANAGER,
    PARAMS,
    trial_namespace,
    trial_selector,
)
from sandbox.environment.lifecycle import require_time_left
from sandbox.environment.place import namespaces_of, warm_namespaces
from sandbox.environment.platform import ensure_platform
from sandbox.environment.proof import refusal_of
from sandbox.environment.removal import delete_pods
from sandbox.environment.render import MOST_WAYS_IN, environment_objects
from sandbox.environment.waiting import wait_until
from sandbox.environment.warm import NO_CREDENTIAL, contents, is_free, warm_id_of
from sandbox.errors import ClusterError
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Applied, Cluster, KubernetesObject, ObjectRef

Pause = Callable[[float], None]

_ATTEMPTS = 5
_WAIT_S = 10.0
_THREADS = 4


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
        was left that is empty, or where the trial has an environment already.

    Raises:
        InputError: The rule has expired.
        IsolationError: The platform is not installed.
        ClusterError: Kubernetes refused or did not answer.
    """
    require_time_left(cluster, spec)
    if not candidates or len(spec.needs.ingress) > MOST_WAYS_IN:
        return None
    ensure_platform(cluster, own_image=own_image)
    for _ in range(_ATTEMPTS):
        if namespaces_of(cluster, spec.trial_id):
            return None
        free = {
            warm_id_of(item): item for item in warm_namespaces(cluster) if is_free(item)
        }
        # Before the claim, for after a write the API server makes a list wait until it
        # has seen that write, which takes a tenth of a second for kinds at rest.
        empty = (
            name
            for name in candidates
            if name in free and not contents(cluster, trial_namespace(name))
        )
        wanted = next(empty, None)
        if wanted is None:
            return None
        delete_pods(cluster, CONTROL_NAMESPACE, trial_selector(wanted))
        claimed = spec.model_copy(update={"warm": wanted})
        if _take(cluster, claimed, free[wanted]):
            return claimed if _keep(cluster, claimed, free[wanted]) else None
    return None


def take_over(
    cluster: Cluster,
    spec: EnvironmentSpec,
    unclaimed: EnvironmentSpec,
    *,
    recorder_token: str,
    pause: Pause = time.sleep,
) -> list[Applied]:
    """Apply what a trial's environment has and its warm one had not.

    Nothing runs in it, so a refusal half-way is no danger: the caller removes it.

    Args:
        cluster: Where it is.
        spec: The environment as claimed.
        unclaimed: What it was made from.
        recorder_token: Bearer token the system presents to the recorder.
        pause: Waits for some seconds.

    Returns:
        The namespace, and what was changed in it.

    Raises:
        InputError: The needs cannot be granted as written.
        ClusterError: Kubernetes refused or did not answer.
    """
    users = own_users(cluster, spec)
    wanted = environment_objects(spec, recorder_token=recorder_token, own_users=users)
    had = environment_objects(unclaimed, recorder_token=NO_CREDENTIAL, own_users=users)
    before = {ref_of(item): item for item in had}
    changed = [item for item in wanted if before.get(ref_of(item)) != item]
    forget_parameters(cluster, spec, unclaimed)
    _await_name(cluster, changed, pause)
    # Quotas last: what they count must have its place before they shrink.
    others = [item for item in changed if item["kind"] != "ResourceQuota"]
    quotas = [item for item in changed if item["kind"] == "ResourceQuota"]
    return _all_at_once(cluster, others) + _all_at_once(cluster, quotas)


def forget_parameters(
    cluster: Cluster, spec: EnvironmentSpec, unclaimed: EnvironmentSpec
) -> None:
    """Delete the parameters of admission that are still those of before the claim.

    They are immutable; until the trial's own are there, admission refuses every pod.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    place = ObjectRef("v1", "ConfigMap", spec.namespace, PARAMS)
    found = cluster.get(place)
    users = ((found or {}).get("data") or {}).get(OWN_USERS, "")
    had = environment_objects(unclaimed, recorder_token="", own_users=users)
    stale = next(item for item in had if ref_of(item) == place)
    if found is not None and found.get("data") == stale["data"]:
        cluster.delete(place)


def _await_name(
    cluster: Cluster, changed: list[KubernetesObject], pause: Pause
) -> None:
    """Wait until admission knows whose the namespace is now, for some seconds.

    It asks whether the operators of this trial may look into it; what it knows of
    namespaces is a copy that follows a moment later.
    """
    binding = next(item for item in changed if item["kind"] == "RoleBinding")
    wait_until(
        lambda: [said] if (said := refusal_of(cluster, binding)) else [],
        wait_s=_WAIT_S,
        pause=pause,
    )


def _all_at_once(cluster: Cluster, objects: list[KubernetesObject]) -> list[Applied]:
    """Apply objects of which none needs another, several at a time."""
    with ThreadPoolExecutor(_THREADS) as threads:
        done = threads.map(
            lambda item: cluster.apply([item], owner=FIELD_MANAGER), objects
        )
        return [applied for one in done for applied in one]


def _take(cluster: Cluster, spec: EnvironmentSpec, namespace: KubernetesObject) -> bool:
    """Write the trial's name on a namespace, unless someone else changed it."""
    home, *_ = environment_objects(spec, recorder_token="")
    metadata = namespace["metadata"]
    home["metadata"] |= {key: metadata[key] for key in ("uid", "resourceVersion")}
    try:
        cluster.apply([home], owner=FIELD_MANAGER)
    except ClusterError as error:
        if error.status not in (404, 409):
            raise
        return False
    return True


def _keep(cluster: Cluster, spec: EnvironmentSpec, namespace: KubernetesObject) -> bool:
    """Return whether a claim stands; give it back where another worker opened the
    trial too.
    """
    if len(namespaces_of(cluster, spec.trial_id)) == 1:
        return True
    cluster.delete(ref_of(namespace), uid=namespace["metadata"]["uid"])
    return False
