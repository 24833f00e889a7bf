"""The kinds of Kubernetes object this product handles, and where their API lives.

A static table saves the discovery requests of every process; kinds outside it are found
by discovery. Shapes follow the Kubernetes API conventions (resource paths).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox.ports import KubernetesObject, ObjectRef


class Resource(NamedTuple):
    """Where the objects of one kind live."""

    api_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """Return the URL path of a list, an object, or a part (subresource) of it."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        inside = ("namespaces", namespace) if self.namespaced and namespace else ()
        steps = (*inside, self.plural, name, part)
        return root + "/".join((self.api_version, *(step for step in steps if step)))


_CORE = {
    "ConfigMap": "configmaps",
    "Endpoints": "endpoints",
    "Event": "events",
    "LimitRange": "limitranges",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "ResourceQuota": "resourcequotas",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
_OTHER = {
    ("apps/v1", "Deployment"): ("deployments", True),
    ("apps/v1", "ReplicaSet"): ("replicasets", True),
    ("batch/v1", "CronJob"): ("cronjobs", True),
    ("batch/v1", "Job"): ("jobs", True),
    ("coordination.k8s.io/v1", "Lease"): ("leases", True),
    ("discovery.k8s.io/v1", "EndpointSlice"): ("endpointslices", True),
    ("networking.k8s.io/v1", "NetworkPolicy"): ("networkpolicies", True),
    ("rbac.authorization.k8s.io/v1", "Role"): ("roles", True),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ("rolebindings", True),
    ("v1", "Namespace"): ("namespaces", False),
    ("v1", "Node"): ("nodes", False),
    ("v1", "PersistentVolume"): ("persistentvolumes", False),
    ("node.k8s.io/v1", "RuntimeClass"): ("runtimeclasses", False),
    ("scheduling.k8s.io/v1", "PriorityClass"): ("priorityclasses", False),
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"): ("flowschemas", False),
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"): (
        "prioritylevelconfigurations",
        False,
    ),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): ("clusterroles", False),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): (
        "clusterrolebindings",
        False,
    ),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): (
        "validatingadmissionpolicies",
        False,
    ),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): (
        "validatingadmissionpolicybindings",
        False,
    ),
}

KINDS: dict[tuple[str, str], Resource] = {
    **{("v1", kind): Resource("v1", plural, True) for kind, plural in _CORE.items()},
    **{
        (version, kind): Resource(version, plural, namespaced)
        for (version, kind), (plural, namespaced) in _OTHER.items()
    },
}
"""(api_version, kind) → where its objects live."""


def ref_of(item: KubernetesObject) -> ObjectRef:
    """Return what names an object."""
    metadata = item["metadata"]
    return ObjectRef(
        item["apiVersion"],
        item["kind"],
        metadata.get("namespace", ""),
        metadata["name"],
    )


def title(ref: ObjectRef) -> str:
    """Return the name of an object as people write it: `Pod trial-x/probe`."""
    place = f"{ref.namespace}/" if ref.namespace else ""
    return f"{ref.kind} {place}{ref.name}"


def ref_titled(text: str) -> ObjectRef | None:
    """Return what a `title` names; None where it is no kind of this table."""
    kind, _, rest = text.partition(" ")
    namespace, _, name = rest.rpartition("/")
    versions = [version for version, known in KINDS if known == kind]
    return ObjectRef(versions[0], kind, namespace, name) if versions and name else None


def right_line(rule: Mapping[str, Any]) -> str:
    """Return one RBAC rule as a line: `get,list core/pods`."""
    verbs = ",".join(sorted(rule["verbs"]))
    groups = ",".join(rule.get("apiGroups") or [""]) or "core"
    names = ",".join(rule.get("resourceNames") or [])
    resources = ",".join(sorted(rule.get("resources") or []))
    return f"{verbs} {groups}/{resources}" + (f" named {names}" if names else "")
