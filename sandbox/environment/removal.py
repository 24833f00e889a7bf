"""Takes a trial's environment away, and looks for what is left of it.

Rules of this module:

* The namespace is deleted by its uid: never another one of the same name.
* Pods go first, with every policy still in place.
* A namespace's own finalizers are never touched: that strands objects in the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sandbox.environment.kinds import KINDS, ref_of, title
from sandbox.environment.labels import (
    CONTROL_NAMESPACE,
    RECORDER_TOKEN,
    TRIAL,
    trial_namespace,
    trial_selector,
)
from sandbox.environment.place import namespaces_of
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, IsolationError
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

Pause = Callable[[float], None]

CLUSTER_KINDS = (
    ("v1", "Namespace"),
    ("v1", "PersistentVolume"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("node.k8s.io/v1", "RuntimeClass"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
)
"""Kinds without a namespace in which a trial could have left something."""


def tear_down(
    cluster: Cluster,
    trial_id: str,
    *,
    uid: str = "",
    wait_s: float,
    pause: Pause = time.sleep,
) -> None:
    """Scale to zero with the policies in place, delete the namespace, wait until gone.

    Args:
        cluster: Where the environment is.
        trial_id: Whose environment.
        uid: Delete only the namespace with this uid; empty takes the present one's.
        wait_s: Seconds to wait for the end.
        pause: Waits for some seconds.

    Raises:
        IsolationError: The namespace belongs to something else.
        ClusterError: Kubernetes refused, or something holds the namespace open; the
            error carries the namespace's own conditions.
    """
    going = begin_removal(cluster, trial_id, uid=uid)

    def there() -> list[str]:
        return [why for ref, uid in going.items() for why in holding(cluster, ref, uid)]

    left = wait_until(there, wait_s=wait_s, pause=pause)
    if left:
        names = ", ".join(ref.name for ref in going)
        raise ClusterError(
            f"Namespace {names} is still there {wait_s:g} s after its deletion:"
            f" {'; '.join(left)}. Remove what the conditions name; never edit the"
            " namespace's own finalizers."
        )


def begin_removal(
    cluster: Cluster, trial_id: str, *, uid: str = ""
) -> dict[ObjectRef, str]:
    """End everything that runs in an environment and order its namespace away.

    May be repeated until the namespace is gone: pods that came back are ended again.

    Returns:
        The namespaces that go, with their uids; empty where there is none to remove.

    Raises:
        IsolationError: The namespace belongs to something else.
        ClusterError: Kubernetes refused or did not answer.
    """
    delete_pods(cluster, CONTROL_NAMESPACE, trial_selector(trial_id))
    found = namespaces_of(cluster, trial_id)
    wanted = [item for item in found if uid in ("", item["metadata"]["uid"])]
    for item in wanted:
        require_ours(item, trial_id)
    return {ref_of(item): _begin_removal_of(cluster, item) for item in wanted}


def _begin_removal_of(cluster: Cluster, namespace: KubernetesObject) -> str:
    ref, uid = ref_of(namespace), str(namespace["metadata"]["uid"])
    is_going = "deletionTimestamp" in namespace["metadata"]
    if not is_going:
        scale_to_zero(cluster, ref.name)
    delete_pods(cluster, ref.name)
    if not is_going:
        cluster.delete(ref, uid=uid)
    return uid


def residue(cluster: Cluster, trial_id: str, *, namespace: str = "") -> list[str]:
    """Return every object that is left of a trial, one line each.

    Args:
        cluster: Where its environment was.
        trial_id: Whose environment.
        namespace: Where it lay; empty is the one named after the trial.

    Looks at every listable namespaced kind of the cluster, in the trial's namespace and
    by label in the control namespace, and at labelled cluster-scoped kinds. Kinds that
    are not ours and that this account may not list are vouched for by the end of the
    namespace itself: Kubernetes lets one go when all kinds of its content are gone. Of
    Secrets that cannot be listed, the one this product makes is asked for by name.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    namespace, labels = namespace or trial_namespace(trial_id), trial_selector(trial_id)
    left: list[KubernetesObject] = []
    for api_version, kind in cluster.namespaced_kinds():
        left += readable_inside(cluster, namespace, api_version, kind)
        left += cluster.find(
            api_version, kind, namespace=CONTROL_NAMESPACE, labels=labels
        )
    for api_version, kind in CLUSTER_KINDS:
        left += cluster.find(api_version, kind, labels=labels)
    left += [v for v in cluster.find("v1", "PersistentVolume") if _claims(v, namespace)]
    return sorted({title(ref_of(item)) for item in left})


def require_ours(namespace: KubernetesObject, trial_id: str) -> None:
    """Check that a namespace is that of a trial.

    Raises:
        IsolationError: It belongs to something else.
    """
    labels = namespace["metadata"].get("labels") or {}
    if labels.get(TRIAL) != trial_id:
        raise IsolationError(
            f"Namespace {namespace['metadata']['name']} exists and is not that of trial"
            f" {trial_id}; it is left alone. Remove it, or use another cluster."
        )


def scale_to_zero(cluster: Cluster, namespace: str) -> dict[str, int]:
    """Scale every Deployment to zero; return the replicas each had."""
    scaled: dict[str, int] = {}
    for item in cluster.find("apps/v1", "Deployment", namespace=namespace):
        replicas = item["spec"].get("replicas", 1)
        if replicas:
            cluster.scale(ref_of(item), 0)
            scaled[item["metadata"]["name"]] = replicas
    return scaled


def still_scaling(cluster: Cluster, namespace: str) -> list[str]:
    """Return the Deployments whose controller has not yet seen its scale of zero."""
    return [
        title(ref_of(item))
        for item in cluster.find("apps/v1", "Deployment", namespace=namespace)
        if item.get("status", {}).get("replicas", 0)
        or item.get("status", {}).get("observedGeneration")
        != item["metadata"].get("generation")
    ]


def delete_pods(cluster: Cluster, namespace: str, labels: str = "") -> list[str]:
    """Delete pods without grace; return their names."""
    refs = [
        ref_of(pod)
        for pod in cluster.find("v1", "Pod", namespace=namespace, labels=labels)
    ]
    for ref in refs:
        cluster.delete(ref, grace_s=0)
    return [ref.name for ref in refs]


def readable_inside(
    cluster: Cluster, namespace: str, api_version: str, kind: str
) -> list[KubernetesObject]:
    """Return the objects of a kind in a trial's namespace, as far as one may read them.

    A worker with its group's rights alone lists no Secrets, and reads the one of the
    trial.

    Raises:
        ClusterError: Kubernetes did not answer, or refused what every worker may read.
    """
    try:
        return cluster.find(api_version, kind, namespace=namespace)
    except ClusterError as error:
        is_secret = (api_version, kind) == ("v1", "Secret")
        if error.status != 403 or ((api_version, kind) in KINDS and not is_secret):
            raise
    if not is_secret:
        return []
    token = cluster.get(ObjectRef(api_version, kind, namespace, RECORDER_TOKEN))
    return [token] if token is not None else []


def holding(cluster: Cluster, ref: ObjectRef, uid: str) -> list[str]:
    """Return why a namespace is still there; empty once it is gone."""
    namespace = cluster.get(ref)
    if namespace is None or namespace["metadata"]["uid"] != uid:
        return []
    conditions = namespace.get("status", {}).get("conditions", [])
    held = [
        f"{item['type']}: {item.get('message', '')}"
        for item in conditions
        if item.get("status") == "True"
    ]
    return held or ["it is being deleted"]


def _claims(volume: KubernetesObject, namespace: str) -> bool:
    claim = volume.get("spec", {}).get("claimRef") or {}
    return claim.get("namespace") == namespace
