"""Which namespace an environment has.

Rules of this module:

* An environment made for a trial lies in `trial-ID`; one that was warm keeps the name
  it was made with, and says by its labels whose it is now.
* The cluster is asked, so that an end finds what is there, whoever recorded it or not.
"""

from __future__ import annotations

from sandbox.environment.labels import (
    FIELD_MANAGER,
    MANAGED_BY,
    TRIAL,
    WARM,
    trial_namespace,
)
from sandbox.model.trial import WARM_PREFIX, EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject, ObjectRef


def namespace_ref(name: str) -> ObjectRef:
    """Return what names a namespace."""
    return ObjectRef("v1", "Namespace", "", name)


def namespaces_of(
    cluster: Cluster, trial_id: str, *, uid: str = ""
) -> list[KubernetesObject]:
    """Return the namespaces of a trial: one as a rule, none before and after it.

    Two only where two workers opened the same trial at once. Where the trial has none,
    one that bears its name and is someone else's is returned, for those to refuse in
    words who would touch it.

    Args:
        cluster: Where to look.
        trial_id: Whose environment.
        uid: The namespace it was made in, known even without its labels; it is first.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    own_name = trial_namespace(trial_id)
    own = cluster.get(namespace_ref(own_name))
    labels = f"{TRIAL}={trial_id},{MANAGED_BY}={FIELD_MANAGER}"
    labelled = _by_name(cluster.find("v1", "Namespace", labels=labels))
    found = [own] if own is not None and _names(own, trial_id) else []
    found += [item for item in labelled if _was_warm(item, own_name)]
    if uid and uid not in {_uid(item) for item in found}:
        every = cluster.find("v1", "Namespace")
        found += [item for item in every if _uid(item) == uid]
    if not found and own is not None:
        return [own]
    return sorted(found, key=lambda item: _uid(item) != uid)


def warm_namespaces(cluster: Cluster) -> list[KubernetesObject]:
    """Return every namespace that was made before a trial asked for it, by name.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    labels = f"{WARM},{MANAGED_BY}={FIELD_MANAGER}"
    return _by_name(cluster.find("v1", "Namespace", labels=labels))


def located(
    cluster: Cluster, spec: EnvironmentSpec, *, uid: str = ""
) -> EnvironmentSpec:
    """Return the specification of an environment with the namespace it has.

    Args:
        cluster: Where it is.
        spec: The environment as decided.
        uid: As for `namespaces_of`.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    namespace = namespace_of(cluster, spec.trial_id, uid=uid)
    is_own = namespace == trial_namespace(spec.trial_id)
    warm = "" if is_own else namespace.removeprefix("trial-")
    return spec.model_copy(update={"warm": warm})


def namespace_of(
    cluster: Cluster, trial_id: str, *, uid: str = "", last: str = ""
) -> str:
    """Return the name of the namespace a trial has, had last, or would have.

    Args:
        cluster: Where to look.
        trial_id: Whose environment.
        uid: As for `namespaces_of`.
        last: Where it is known to have been; used where there is none any more.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    found = namespaces_of(cluster, trial_id, uid=uid)
    if found:
        return str(found[0]["metadata"]["name"])
    return last or trial_namespace(trial_id)


def _by_name(namespaces: list[KubernetesObject]) -> list[KubernetesObject]:
    return sorted(namespaces, key=lambda item: str(item["metadata"]["name"]))


def _names(namespace: KubernetesObject, trial_id: str) -> bool:
    labels = namespace["metadata"].get("labels") or {}
    return bool(labels.get(TRIAL) == trial_id)


def _uid(namespace: KubernetesObject) -> str:
    return str(namespace["metadata"]["uid"])


def _was_warm(namespace: KubernetesObject, own_name: str) -> bool:
    # By its name, which nobody can take off it.
    name = str(namespace["metadata"]["name"])
    return name.startswith(trial_namespace(WARM_PREFIX)) and name != own_name
