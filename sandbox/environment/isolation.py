"""Whether a cluster can give the isolation class, and shows that it does.

Rules of this module:

* A class that the cluster cannot give is refused; a weaker one is never used instead.
* A RuntimeClass is a name; N2 is believed only when a pod has read from its own kernel
  that it is gVisor's and no node's.
* Users of their own (user namespaces, KEP-127) are asked of pods where every node says
  that its runtime has them. What was asked when the trial began is asked to its end.
"""

from __future__ import annotations

import re

from sandbox.environment.labels import PARAMS
from sandbox.errors import IsolationError
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

OWN_USERS = "user-namespaces"
"""Key of `trial-params`: whether pods have users of their own."""
REQUIRED = "required"
"""Value of that key where every pod must have `hostUsers: false`."""
UNAVAILABLE = "unavailable"
"""Value of that key where the nodes do not have it, so that no pod asks for it."""

_GVISOR = ObjectRef("node.k8s.io/v1", "RuntimeClass", "", "gvisor")
_RELEASE = re.compile(r"Linux version (\S+)")
# The release was 4.4.0, and is 4.19.0-gvisor since google/gvisor#13016; the time of the
# build that it tells was never changed.
_GVISORS = ("gvisor", "Sun Jan 10 15:06:54 PST 2016")


def require_isolation_class(cluster: Cluster, spec: EnvironmentSpec) -> None:
    """Check that the cluster offers the isolation class; its pods have yet to prove it.

    Raises:
        IsolationError: It does not.
        ClusterError: Kubernetes refused or did not answer.
    """
    if spec.isolation_class == "N1":
        return
    if spec.isolation_class == "V1" or cluster.get(_GVISOR) is None:
        raise IsolationError(
            f"This cluster cannot give isolation class {spec.isolation_class} that the"
            f" decision on trial {spec.trial_id} asks for, and a weaker one is never"
            " used instead. Name a cluster that has it (N2: RuntimeClass gvisor)."
        )


def own_users(cluster: Cluster, spec: EnvironmentSpec) -> str:
    """Return whether pods of a trial have users of their own.

    Returns:
        `REQUIRED`, `UNAVAILABLE`, or nothing for an environment that was applied before
        this was asked. Once its parameters are applied, they say so.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    params = cluster.get(ObjectRef("v1", "ConfigMap", spec.namespace, PARAMS))
    if params is not None:
        return str((params.get("data") or {}).get(OWN_USERS, ""))
    handler = _handler(cluster, spec)
    nodes = cluster.find("v1", "Node")
    able = bool(nodes) and all(_has_user_namespaces(node, handler) for node in nodes)
    return REQUIRED if able else UNAVAILABLE


def kernel_failures(
    cluster: Cluster, spec: EnvironmentSpec, said: str
) -> tuple[str, ...]:
    """Return why the kernel of a trial's pods is not what its class promises.

    Args:
        cluster: Where the pod ran.
        spec: The environment; only N2 promises a kernel.
        said: What a pod of the trial read from `/proc/version`.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    if spec.isolation_class != "N2":
        return ()
    found = _RELEASE.search(said)
    release = found[1] if found else "unknown"
    infos = [
        n.get("status", {}).get("nodeInfo", {}) for n in cluster.find("v1", "Node")
    ]
    if release in {info.get("kernelVersion") for info in infos}:
        what = f"the node's own kernel, Linux {release}"
    elif not any(mark in said for mark in _GVISORS):
        what = f"a kernel that is not gVisor's ({release})"
    else:
        return ()
    return (
        f"Pods of the trial run on {what}, so isolation class N2 is not given. Let the"
        " handler of RuntimeClass gvisor be runsc, or name a cluster where it is.",
    )


def _handler(cluster: Cluster, spec: EnvironmentSpec) -> str:
    if spec.isolation_class != "N2":
        return ""
    return str((cluster.get(_GVISOR) or {}).get("handler", ""))


def _has_user_namespaces(node: KubernetesObject, handler: str) -> bool:
    """Return whether a node says so; the handler without a name is the usual one."""
    handlers = node.get("status", {}).get("runtimeHandlers") or []
    features = [
        item.get("features") or {}
        for item in handlers
        if item.get("name", "") == handler
    ]
    return any(feature.get("userNamespaces") for feature in features)
