"""Deploys the system under trial and waits until it is available.

Rules of this module:

* Availability is read from objects whose status is current (observed generation).
* What an earlier deployment brought and this one does not is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sandbox.environment.isolation import REQUIRED, own_users
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import FIELD_MANAGER, trial_selector
from sandbox.environment.system import system_objects
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

Pause = Callable[[float], None]


def deploy_system(
    cluster: Cluster,
    spec: EnvironmentSpec,
    manifests: Sequence[KubernetesObject],
    *,
    wait_s: float,
    pause: Pause = time.sleep,
) -> None:
    """Apply the applicant's objects and wait until every Deployment is available.

    Objects of an earlier deployment that `manifests` no longer holds are deleted.

    Raises:
        InputError: The manifests do not fit the environment.
        ClusterError: Kubernetes refused, or the system did not come up within `wait_s`
            seconds; the error says what each part waits for.
    """
    is_own = own_users(cluster, spec) == REQUIRED
    objects = system_objects(spec, manifests, own_users=is_own)
    cluster.apply(objects, owner=FIELD_MANAGER, dry_run=True)
    cluster.apply(objects, owner=FIELD_MANAGER)
    _prune(cluster, spec, objects)
    refs = [ref_of(item) for item in objects if item["kind"] == "Deployment"]
    waiting = wait_until(
        lambda: [line for ref in refs if (line := _not_available(cluster, ref))],
        wait_s=wait_s,
        pause=pause,
    )
    if waiting:
        pods = cluster.find(
            "v1", "Pod", namespace=spec.namespace, labels=trial_selector(spec.trial_id)
        )
        reasons = [line for pod in pods for line in _pod_troubles(pod)]
        raise ClusterError(
            f"The system of trial {spec.trial_id} is not available after {wait_s:g} s:"
            f" {'; '.join([*waiting, *reasons])}. Correct what is named."
        )


def _prune(
    cluster: Cluster, spec: EnvironmentSpec, objects: Sequence[KubernetesObject]
) -> None:
    kept = {ref_of(item) for item in objects}
    labels = f"{trial_selector(spec.trial_id)},regulatory-sandbox/part=system"
    for api_version, kind in (
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("v1", "ConfigMap"),
    ):
        for item in cluster.find(
            api_version, kind, namespace=spec.namespace, labels=labels
        ):
            if ref_of(item) not in kept:
                cluster.delete(ref_of(item))


def _not_available(cluster: Cluster, ref: ObjectRef) -> str:
    item = cluster.get(ref)
    if item is None:
        return f"{title(ref)} is gone"
    asked, status = item["spec"].get("replicas", 1), item.get("status", {})
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas")]
    is_current = status.get("observedGeneration") == item["metadata"].get("generation")
    available = status.get("availableReplicas", 0)
    if is_current and counts == [asked, asked] and available == asked:
        return ""
    failures = [
        condition.get("message", "")
        for condition in status.get("conditions", [])
        if condition.get("type") == "ReplicaFailure"
    ]
    return f"{title(ref)} has {available} of {asked} replicas" + (
        f" ({failures[0]})" if failures else ""
    )


def _pod_troubles(pod: KubernetesObject) -> list[str]:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    waits = [(s["name"], s.get("state", {}).get("waiting")) for s in statuses]
    return [
        f"container {name} of {pod['metadata']['name']} waits: {wait.get('reason', '')}"
        f" {wait.get('message', '')}".rstrip()
        for name, wait in waits
        if wait
    ]
