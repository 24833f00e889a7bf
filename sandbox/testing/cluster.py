"""An in-memory cluster that behaves like one, for tests of everything above it.

What it keeps to, as the API server does: uids, resource versions that change only with
the object, namespaces that must exist and take their content with them, preconditions,
finalizers, immutable ConfigMaps, dry runs. Controllers act at once: quotas have a
status, Deployments have pods, probe pods have made their attempts against the
NetworkPolicies present (addresses and ports; namespaces without policies reach all).
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sandbox.environment.kinds import KINDS, ref_of, title
from sandbox.errors import ClusterError
from sandbox.ports import Applied, KubernetesObject, ObjectRef
from sandbox.testing.cluster_controllers import (
    bound_rights,
    decision_refusal,
    deployment_pods,
    finished_status,
    given_objects,
    matches_labels,
    namespace_content,
    policy_outcome,
    printed_by,
    settled_status,
)

Outcome = Literal["reached", "blocked", "error"]


class Write(NamedTuple):
    """One change asked of the cluster; dry runs are not changes."""

    verb: Literal["apply", "scale", "delete"]
    ref: ObjectRef


class FakeCluster:
    """A cluster in memory.

    Args:
        reach: Outcome of an attempt from (namespace, host, port); None follows the
            NetworkPolicies present.
    """

    def __init__(self, reach: Callable[[str, str, int], Outcome] | None = None) -> None:
        self.writes: list[Write] = []
        """Every change so far, oldest first."""
        self.rights_of: dict[tuple[str, str], list[str]] = {}
        """(namespace, account) → rights beside those of the roles bound to it."""
        self.printed: dict[tuple[str, str, str], str] = {}
        """(namespace, pod, container) → what it printed."""
        self.kernel = "Linux version 6.12.1 (gcc) #1 SMP"
        """What pods read of their kernel."""
        self.refuse: Callable[[KubernetesObject], str] = lambda item: ""
        """Admission beside the decision's images: a reason to refuse, or nothing."""
        self.unlistable: set[tuple[str, str]] = set()
        """(namespace, kind) that this account has no right to list."""
        self.skew_s = 0.0
        """Seconds by which its clock is ahead of this machine's."""
        self._reach = reach
        self._objects: dict[ObjectRef, KubernetesObject] = {}
        self._numbers = itertools.count(1)
        for item in given_objects():
            self._store(item)

    def apply(
        self, objects: Sequence[KubernetesObject], *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        """See `Cluster.apply`."""
        if dry_run:
            refusals = [reason for item in objects if (reason := self._refusal(item))]
            if refusals:
                raise _refused(refusals)
            return [self._as_applied(item) for item in objects]
        return [self._apply(item) for item in objects]

    def preview(self, item: KubernetesObject, *, owner: str) -> KubernetesObject:
        """See `Cluster.preview`; there are no defaults here."""
        refusal = self._refusal(item)
        if refusal:
            raise _refused([refusal])
        applied, thing = self._as_applied(item), copy.deepcopy(item)
        if applied.uid:
            thing["metadata"]["uid"] = applied.uid
        return thing

    def replace(self, item: KubernetesObject) -> Applied:
        """See `Cluster.replace`."""
        ref, metadata = ref_of(item), item["metadata"]
        present = self._objects.get(ref)
        if present is None:
            raise ClusterError(f"{title(ref)} not found. Apply it first.", status=404)
        if present["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise ClusterError(f"{title(ref)} was changed. Read it again.", status=409)
        return self._apply(item)

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """See `Cluster.get`."""
        _known(ref.api_version, ref.kind)
        return copy.deepcopy(self._objects.get(ref))

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> list[KubernetesObject]:
        """See `Cluster.find`."""
        _known(api_version, kind)
        if (namespace, kind) in self.unlistable:
            raise ClusterError(f"No right to list {kind} objects.", status=403)
        return [
            copy.deepcopy(item)
            for ref, item in self._objects.items()
            if (ref.api_version, ref.kind) == (api_version, kind)
            and namespace in ("", ref.namespace)
            and matches_labels(item, labels)
        ]

    def scale(self, ref: ObjectRef, replicas: int) -> None:
        """See `Cluster.scale`."""
        item = self.get(ref)
        if item is None:
            raise ClusterError(f"{title(ref)} not found. Apply it first.", status=404)
        item["spec"]["replicas"] = replicas
        self.writes.append(Write("scale", ref))
        self._store(item)

    def delete(
        self,
        ref: ObjectRef,
        *,
        uid: str = "",
        version: str = "",
        grace_s: int | None = None,
    ) -> bool:
        """See `Cluster.delete`."""
        item = self._objects.get(ref)
        if item is None:
            return False
        if uid and item["metadata"]["uid"] != uid:
            raise ClusterError(
                f"{title(ref)} is not the object with uid {uid}. Read it again.",
                status=409,
            )
        if version and item["metadata"]["resourceVersion"] != version:
            raise ClusterError(f"{title(ref)} was changed. Read it again.", status=409)
        self.writes.append(Write("delete", ref))
        self._remove(ref)
        return True

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """See `Cluster.logs`."""
        found = self._objects.get(ObjectRef("v1", "Pod", namespace, pod))
        if found is None:
            raise ClusterError(f"Pod {namespace}/{pod} not found.", status=404)
        if container not in [one["name"] for one in found["spec"]["containers"]]:
            raise ClusterError(f"{pod} has no container {container}.", status=400)
        return self.printed.get((namespace, pod, container), "")

    def rights(self, namespace: str, service_account: str) -> list[str]:
        """See `Cluster.rights`."""
        rbac = "rbac.authorization.k8s.io/v1"
        bound = bound_rights(
            self.find(rbac, "RoleBinding", namespace=namespace),
            self.find(rbac, "Role", namespace=namespace),
            service_account,
        )
        return sorted({*bound, *self.rights_of.get((namespace, service_account), [])})

    def now(self) -> datetime:
        """See `Cluster.now`."""
        return datetime.fromtimestamp(int(time.time() + self.skew_s), UTC)

    def namespaced_kinds(self) -> list[tuple[str, str]]:
        """See `Cluster.namespaced_kinds`."""
        return sorted(key for key, resource in KINDS.items() if resource.namespaced)

    def _apply(self, item: KubernetesObject) -> Applied:
        refusal = self._refusal(item)
        if refusal:
            raise _refused([refusal])
        self.writes.append(Write("apply", ref_of(item)))
        self._store(copy.deepcopy(item))
        return self._as_applied(item)

    def _as_applied(self, item: KubernetesObject) -> Applied:
        ref = ref_of(item)
        metadata = self._objects.get(ref, item)["metadata"]
        version = metadata.get("resourceVersion", "")
        return Applied(
            ref.api_version, ref.kind, ref.name, metadata.get("uid", ""), version
        )

    def _refusal(self, item: KubernetesObject) -> tuple[int, str] | None:
        ref = ref_of(item)
        if (ref.api_version, ref.kind) not in KINDS:
            return 404, f"{title(ref)}: there is no such kind"
        if ref.namespace:
            home = self._objects.get(ObjectRef("v1", "Namespace", "", ref.namespace))
            if home is None:
                return 404, f"{title(ref)}: namespace {ref.namespace} not found"
            if ref not in self._objects and "deletionTimestamp" in home["metadata"]:
                return 403, f"{title(ref)}: namespace is being terminated"
        present = self._objects.get(ref, {})
        if _is_other(item["metadata"], present.get("metadata", {})):
            return 409, f"{title(ref)}: it was changed since it was read"
        if present.get("immutable") and present.get("data") != item.get("data"):
            return 422, f"{title(ref)}: data is immutable"
        params = ObjectRef("v1", "ConfigMap", ref.namespace, "trial-params")
        reason = decision_refusal(item, self._objects.get(params)) or self.refuse(item)
        return (422, f"{title(ref)}: {reason}") if reason else None

    def _store(self, item: KubernetesObject) -> None:
        ref, present = ref_of(item), self._objects.get(ref_of(item))
        metadata: dict[str, Any] = item["metadata"]
        before: dict[str, Any] = {"uid": f"uid-{self._next()}", "generation": 0}
        if present is not None:
            before = present["metadata"]
        for key in ("uid", "resourceVersion", "generation"):
            metadata.pop(key, None)
        same_spec = present is not None and present.get("spec") == item.get("spec")
        metadata["uid"] = before["uid"]
        metadata["generation"] = before["generation"] + int(not same_spec)
        item["status"] = self._status(item, present)
        if present is None or _without_version(present) != item:
            metadata["resourceVersion"] = str(self._next())
        else:
            metadata["resourceVersion"] = before["resourceVersion"]
        self._objects[ref] = item
        if "deletionTimestamp" in before:
            metadata["deletionTimestamp"] = before["deletionTimestamp"]
            self._remove(ref)
        else:
            self._follow_up(ref, item, is_new=present is None)

    def _follow_up(
        self, ref: ObjectRef, item: KubernetesObject, *, is_new: bool
    ) -> None:
        if ref.kind == "Namespace" and is_new:
            for child in namespace_content(ref.name):
                self._store(child)
        if ref.kind == "Deployment":
            wanted = {ref_of(pod): pod for pod in deployment_pods(item)}
            owned = item["metadata"]["uid"]
            for pod_ref in [r for r, o in self._objects.items() if _owner(o) == owned]:
                if pod_ref not in wanted:
                    del self._objects[pod_ref]
            for pod_ref, pod in wanted.items():
                if pod_ref not in self._objects:
                    self._store(pod)

    def _status(
        self, item: KubernetesObject, present: KubernetesObject | None
    ) -> dict[str, Any]:
        if item["kind"] != "Pod":
            return settled_status(item)
        if present is not None:
            return dict(present["status"])
        place = item["metadata"]["namespace"], item["metadata"]["name"]
        for name, text in printed_by(item, self._attempt, self.kernel):
            self.printed[(*place, name)] = text
        return finished_status(item, f"10.0.0.{self._next() % 250 + 1}")

    def _attempt(self, namespace: str, host: str, port: int) -> Outcome:
        if self._reach is not None:
            return self._reach(namespace, host, port)
        policies = self.find(
            "networking.k8s.io/v1", "NetworkPolicy", namespace=namespace
        )
        return policy_outcome(policies, host, port)

    def _remove(self, ref: ObjectRef) -> None:
        item = self._objects[ref]
        if ref.kind == "Namespace":
            self._empty(ref.name)
            held = [title(r) for r in self._objects if r.namespace == ref.name]
            if held:
                item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                item["status"]["conditions"] = [_held(held)]
                return
        if item["metadata"].get("finalizers"):
            item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return
        del self._objects[ref]
        home = ObjectRef("v1", "Namespace", "", ref.namespace)
        if "deletionTimestamp" in self._objects.get(home, {}).get("metadata", {}):
            self._remove(home)
        owned = [r for r, o in self._objects.items() if _owner(o) == _uid(item)]
        for child in owned:
            del self._objects[child]
        owner = next((o for o in self._objects.values() if _uid(o) == _owner(item)), {})
        if owner:
            self._follow_up(ref_of(owner), owner, is_new=False)

    def _empty(self, namespace: str) -> None:
        inside = [ref for ref in self._objects if ref.namespace == namespace]
        for ref in sorted(inside, key=lambda ref: ref.kind != "Deployment"):
            if ref in self._objects:
                self._remove(ref)

    def _next(self) -> int:
        return next(self._numbers)


def _is_other(stated: dict[str, Any], present: dict[str, Any]) -> bool:
    keys = ("uid", "resourceVersion")
    return any(key in stated and stated[key] != present.get(key) for key in keys)


def _known(api_version: str, kind: str) -> None:
    if (api_version, kind) not in KINDS:
        raise ClusterError(
            f"The cluster has no kind {kind} in {api_version}. Check the spelling.",
            status=404,
        )


def _refused(refusals: Sequence[tuple[int, str]]) -> ClusterError:
    text = "\n".join(f"Kubernetes refused to apply {reason}." for _, reason in refusals)
    return ClusterError(text, status=refusals[0][0])


def _without_version(item: KubernetesObject) -> KubernetesObject:
    metadata = {k: v for k, v in item["metadata"].items() if k != "resourceVersion"}
    return {**item, "metadata": metadata}


def _uid(item: KubernetesObject) -> str:
    return str(item["metadata"].get("uid", ""))


def _owner(item: KubernetesObject) -> str | None:
    owners = item["metadata"].get("ownerReferences")
    return str(owners[0]["uid"]) if owners else None


def _held(titles: Sequence[str]) -> dict[str, str]:
    return {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": f"finalizers hold {', '.join(titles)}",
    }
