"""Makes an environment again what the decision asks for.

Rules of this module:

* What opens something is taken away first, then what is missing is made again.
* An object that apply does not make right is deleted by its uid and made anew.
* Nothing is judged here: what is left is found by comparing again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from sandbox.environment.drift import differences, find_drift, wanted_objects
from sandbox.environment.isolation import own_users
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import FIELD_MANAGER, MANAGED_BY, TRIAL
from sandbox.environment.lifecycle import freeze
from sandbox.environment.place import namespaces_of
from sandbox.environment.removal import readable_inside
from sandbox.environment.render import stated
from sandbox.errors import ClusterError
from sandbox.model.drift import Drift
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

Pause = Callable[[float], None]

_ATTEMPTS = 2
_PAUSE_S = 1.0
_RECLAIMER = "regulatory-sandbox-reclaim"
"""Owner of the two labels of a namespace that lost them: the usual owner would take
every field away that is not applied with them."""


def put_back(
    cluster: Cluster,
    spec: EnvironmentSpec,
    drift: Drift,
    *,
    pause: Pause = time.sleep,
) -> list[str]:
    """Undo the findings that say so; return why some could not be, one line each.

    Args:
        cluster: Where the environment is.
        spec: What the decision and the temporary rule ask for.
        drift: What was found.
        pause: Waits for some seconds; also tells that work goes on.

    Raises:
        ClusterError: Kubernetes did not answer.
        IsolationError: The namespace belongs to something else.
    """
    names = {item.object for item in drift.having("put_back")}
    if not names:
        return []
    wanted = wanted_objects(spec, drift.shape, own_users=own_users(cluster, spec))
    known = {title(ref_of(item)) for item in wanted}
    failures: list[str] = []
    home = wanted[0]
    if title(ref_of(home)) in names:
        # First, for the admission policies and a freeze know it by its labels.
        _attempt(failures, partial(_apply, cluster, home))
    if drift.shape == "frozen":
        _attempt(failures, partial(freeze, cluster, spec.trial_id, pause=pause))
    for ref in _foreign(cluster, spec, names - known):
        pause(0)
        _attempt(failures, partial(cluster.delete, ref))
    for item in wanted[1:]:
        if title(ref_of(item)) in names:
            pause(0)
            _attempt(failures, partial(_restore, cluster, item))
    return failures


def settle(
    cluster: Cluster,
    spec: EnvironmentSpec,
    drift: Drift,
    *,
    pause: Pause = time.sleep,
) -> Drift:
    """Put back what can be, twice if need be; return what is left, to be escalated.

    Raises:
        ClusterError: Kubernetes did not answer.
        IsolationError: The namespace belongs to something else.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        failures = put_back(cluster, spec, drift, pause=pause)
        left = find_drift(
            cluster,
            spec,
            shape=drift.shape,
            uid=drift.namespace_uid,
            at=drift.found_at,
        )
        if not left.having("put_back"):
            break
        if attempt < _ATTEMPTS:
            # A quota takes a moment to see that something it counts has gone.
            pause(_PAUSE_S)
    why = "; ".join(failures) or "it could not be put back"
    findings = tuple(
        item.model_copy(update={"action": "escalate", "detail": item.detail or why})
        for item in left.findings
    )
    return left.model_copy(update={"act": "put-back", "findings": findings})


def reclaim(cluster: Cluster, trial_id: str, *, uid: str) -> bool:
    """Label a trial's namespace as its own again; return whether that was needed.

    A namespace that lost its label would be taken for someone else's, and neither be
    frozen nor removed. It is known by the uid it was made with.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    there = namespaces_of(cluster, trial_id, uid=uid) if uid else []
    found = next((item for item in there if item["metadata"]["uid"] == uid), None)
    if found is None:
        return False
    metadata = found["metadata"]
    own = {TRIAL: trial_id, MANAGED_BY: FIELD_MANAGER}
    if own.items() <= (metadata.get("labels") or {}).items():
        return False
    labels = {**(metadata.get("labels") or {}), **own}
    labelled = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": metadata["name"],
            "labels": labels,
            "annotations": metadata.get("annotations") or {},
        },
    }
    cluster.apply([labelled], owner=_RECLAIMER)
    return True


def _foreign(
    cluster: Cluster, spec: EnvironmentSpec, names: set[str]
) -> list[ObjectRef]:
    kinds = {
        (item["apiVersion"], item["kind"]) for item in wanted_objects(spec, "ready")
    }
    found = [
        ref_of(item)
        for api_version, kind in sorted(kinds)
        if kind != "Namespace"
        for item in readable_inside(cluster, spec.namespace, api_version, kind)
    ]
    return [ref for ref in found if title(ref) in names]


def _restore(cluster: Cluster, item: KubernetesObject) -> None:
    place = ref_of(item)
    try:
        _apply(cluster, item)
    except ClusterError as error:
        if error.retryable:
            raise
    live = cluster.get(place)
    if live is not None:
        if not differences(item, live):
            return
        # Something in it cannot be changed, such as the role a binding names.
        cluster.delete(place, uid=live["metadata"]["uid"])
    _apply(cluster, item)


def _apply(cluster: Cluster, item: KubernetesObject) -> None:
    """Apply what is asked for, and take out what others put beside it."""
    forms = [item] if stated(item) == item else [stated(item), item]
    cluster.apply(forms, owner=FIELD_MANAGER)


def _attempt(failures: list[str], act: Callable[[], object]) -> None:
    try:
        act()
    except ClusterError as error:
        if error.retryable:
            raise
        failures.append(error.diagnosis)
