"""What a cluster needs once: installed, compared with what is there, removed.

Rules of this module:

* An object is compared with what it would be if it were made anew, so that a field
  somebody added (a condition that switches a policy off) is a difference too.
* The marker is applied last and deleted first: where it names this version, all of it
  was installed.
* Only what carries our label is ever removed, and nothing while there are trials.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from sandbox.environment.difference import body, deviations, holds
from sandbox.environment.kinds import KINDS, ref_of, title
from sandbox.environment.labels import (
    CONTROL_NAMESPACE,
    FIELD_MANAGER,
    MANAGED_BY,
    NEIGHBOUR,
    PLATFORM,
    RULES_OF,
    TRIAL,
)
from sandbox.environment.render import platform_digest, platform_objects
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, IsolationError
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

Pause = Callable[[float], None]
State = Literal["missing", "changed", "foreign"]
Outcome = Literal["created", "changed", "unchanged", "removed", "absent", "not ours"]

_OURS = f"{MANAGED_BY}={FIELD_MANAGER},!{TRIAL},!{RULES_OF},!{NEIGHBOUR}"
"""Selects what is no part of a trial."""
_ADMISSION = "admissionregistration.k8s.io/"
_ATTEMPTS = 5
_MARKER = ObjectRef("v1", "ConfigMap", CONTROL_NAMESPACE, PLATFORM)


class Difference(NamedTuple):
    """One thing in which a cluster is not as this version would install it."""

    object: str
    """For example `ClusterRole regulatory-sandbox-worker`."""
    state: State
    """`foreign`: it carries our label, and this version has no such object."""
    path: str = ""
    wanted: Any = None
    found: Any = None


class Step(NamedTuple):
    """What became of one object."""

    object: str
    outcome: Outcome


def apply_platform(cluster: Cluster, *, own_image: str = "") -> list[Step]:
    """Make everything a cluster needs once what it has to be; say what that changed.

    Args:
        cluster: Where.
        own_image: The product's own image, pinned by digest. Without it the one that is
            installed stays; where none is, nothing in the cluster itself removes
            expired environments.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    image = own_image or _installed_image(cluster)
    return [_applied(cluster, item) for item in platform_objects(image)]


def ensure_platform(cluster: Cluster, *, own_image: str = "") -> None:
    """Install the platform unless this version is installed and its policies are whole.

    Reads three times where all is well, so a worker that may install nothing can ask.

    Args:
        cluster: Where.
        own_image: As for `apply_platform`; without it any that is installed will do.

    Raises:
        IsolationError: It is not, and this account cannot install it.
        ClusterError: Kubernetes refused or did not answer.
    """
    reason = "this account may not see whether the platform is installed"
    try:
        reason = _not_current(cluster, own_image)
        if reason:
            apply_platform(cluster, own_image=own_image)
    except ClusterError as error:
        if error.retryable:
            raise
        raise IsolationError(
            f"This cluster does not hold a trial to its limits: {reason}, and this"
            " account cannot change that. Run `sandbox platform install` with the"
            " rights of a cluster administrator, then try again. What was refused:"
            f" {error.diagnosis}"
        ) from error


def platform_lack(cluster: Cluster) -> str:
    """Return what of the platform no longer holds running trials to their limits.

    Its marker, its admission policies and their bindings are looked at. Of another
    version only its presence is known, for its objects are others.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    marker = cluster.get(_MARKER)
    if marker is None:
        return "the platform is not installed any more"
    is_this = marker.get("data", {}).get("digest") == platform_digest()
    return _broken_guard(cluster) if is_this else ""


def platform_differences(cluster: Cluster, *, own_image: str = "") -> list[Difference]:
    """Return in what a cluster differs from what this version would install.

    Needs the rights that `apply_platform` needs; nothing is kept.

    Args:
        cluster: Where.
        own_image: As for `apply_platform`.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    differences: list[Difference] = []
    for item in platform_objects(own_image or _installed_image(cluster)):
        name, found = title(ref_of(item)), cluster.get(ref_of(item))
        if found is None:
            differences.append(Difference(name, "missing"))
        else:
            changed = deviations(_as_new(cluster, item), found)
            differences += [Difference(name, "changed", *change) for change in changed]
    return differences + [
        Difference(title(ref_of(item)), "foreign") for item in _leftovers(cluster)
    ]


def uninstall_platform(
    cluster: Cluster, *, wait_s: float, pause: Pause = time.sleep
) -> list[Step]:
    """Remove the platform, last object first, and what older versions left of theirs.

    Args:
        cluster: Where it is installed.
        wait_s: Seconds to wait for the end of the control namespace.
        pause: Waits for some seconds.

    Raises:
        IsolationError: There are trials, which would be left without their limits.
        ClusterError: Kubernetes refused or did not answer.
    """
    _require_no_trials(cluster)
    objects = [*platform_objects(_installed_image(cluster)), *_leftovers(cluster)]
    steps = [_removed(cluster, ref_of(item)) for item in reversed(objects)]
    control = ObjectRef("v1", "Namespace", "", CONTROL_NAMESPACE)

    def ending() -> list[str]:
        found = cluster.get(control)
        return [CONTROL_NAMESPACE] if found is not None and _is_ours(found) else []

    if wait_until(ending, wait_s=wait_s, pause=pause):
        raise ClusterError(
            f"Namespace {CONTROL_NAMESPACE} is still there after {wait_s:g} s;"
            " everything else is removed. Look at its conditions, remove what they"
            " name, and uninstall again."
        )
    return steps


def _applied(cluster: Cluster, item: KubernetesObject) -> Step:
    ref = ref_of(item)
    before = cluster.get(ref)
    cluster.apply([item], owner=FIELD_MANAGER)
    if before is None:
        return Step(title(ref), "created")
    after = _repaired(cluster, item)
    return Step(title(ref), "changed" if deviations(after, before) else "unchanged")


def _repaired(cluster: Cluster, item: KubernetesObject) -> KubernetesObject:
    """Return an object as it is, without the fields that others added to it.

    Applying keeps what other owners set; here nobody else has anything to set.
    """
    wanted = _as_new(cluster, item)
    for attempt in range(1, _ATTEMPTS + 1):
        found = cluster.get(ref_of(item)) or wanted
        if not deviations(wanted, found):
            break
        kept = {key: value for key, value in found.items() if key not in body(found)}
        try:
            cluster.replace({**kept, **body(wanted)})
        except ClusterError as error:
            # A controller wrote the status in between: read again.
            if error.status != 409 or attempt == _ATTEMPTS:
                raise
    return found


def _as_new(cluster: Cluster, item: KubernetesObject) -> KubernetesObject:
    """Return what an object would be if it were made now, with every default."""
    anew = copy.deepcopy(item)
    anew["metadata"]["name"] += "-anew"
    new = cluster.preview(anew, owner=FIELD_MANAGER)
    return {**new, "metadata": item["metadata"]}


def _removed(cluster: Cluster, ref: ObjectRef) -> Step:
    found = cluster.get(ref)
    if found is None:
        return Step(title(ref), "absent")
    if not _is_ours(found):
        return Step(title(ref), "not ours")
    cluster.delete(ref, uid=found["metadata"]["uid"])
    return Step(title(ref), "removed")


def _is_ours(item: KubernetesObject) -> bool:
    labels = item["metadata"].get("labels") or {}
    return bool(labels.get(MANAGED_BY) == FIELD_MANAGER)


def _require_no_trials(cluster: Cluster) -> None:
    trials = cluster.find("v1", "Namespace", labels=TRIAL)
    if trials:
        names = ", ".join(sorted(item["metadata"]["name"] for item in trials))
        raise IsolationError(
            f"There are environments: {names}. Without the platform nothing would hold"
            " them to their limits. End those trials first; environments that wait for"
            " a trial (trial-warm-…) go with `sandbox worker run --warm 0`."
        )


def _leftovers(cluster: Cluster) -> list[KubernetesObject]:
    """Return what carries our label and is no part of this version's platform."""
    ours = {ref_of(item) for item in platform_objects()}
    kinds = {ref[:2] for ref in ours}
    kinds |= {key for key, resource in KINDS.items() if not resource.namespaced}
    return [
        item
        for api_version, kind in sorted(kinds)
        for item in cluster.find(api_version, kind, labels=_OURS)
        if ref_of(item) not in ours
    ]


def _installed_image(cluster: Cluster) -> str:
    marker = cluster.get(_MARKER) or {}
    return str(marker.get("data", {}).get("image", ""))


def _not_current(cluster: Cluster, own_image: str) -> str:
    """Return why the platform has to be installed; nothing if it need not."""
    marker = cluster.get(_MARKER)
    if marker is None:
        return "the platform is not installed"
    if marker.get("data", {}).get("digest") != platform_digest():
        return "another version of the platform is installed"
    if own_image and marker["data"].get("image") != own_image:
        return "the platform is installed with another image of this product"
    return _broken_guard(cluster)


def _broken_guard(cluster: Cluster) -> str:
    """Return which admission policy or binding is not as installed; nothing if none."""
    guards = {
        ref_of(item): body(item)
        for item in platform_objects()
        if item["apiVersion"].startswith(_ADMISSION)
    }
    found = {
        ref_of(item): body(item)
        for api_version, kind in sorted({ref[:2] for ref in guards})
        for item in cluster.find(api_version, kind)
    }
    broken = [ref for ref, guard in guards.items() if not holds(guard, found.get(ref))]
    return f"{title(broken[0])} was changed or removed" if broken else ""
