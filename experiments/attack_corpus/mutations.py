"""The one field under attack in a pod: line by line, how an attacker would set it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

Change = Callable[[dict[str, Any]], Any]
"""Makes the one change under attack to a pod's `spec`."""

FOREIGN = "localhost/agnhost@sha256:" + "0" * 64
"""An image nobody decided on."""
OTHER_RUNTIME = "attack-corpus"
"""A runtime class that exists, and is not that of the trial."""

_TOKEN = {"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}
_NODE_TERM = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
_TERM = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": {},
    "namespaceSelector": {},
}


class Mutation(NamedTuple):
    """One field, set as an attacker would."""

    line: str
    name: str
    change: Change
    policy: str
    words: str


def set_pod(**fields: Any) -> Change:
    """Return what sets fields of a pod's `spec`."""
    return lambda spec: spec.update(copy.deepcopy(fields))


def set_container(**fields: Any) -> Change:
    """Return what sets fields of its first container."""
    return lambda spec: spec["containers"][0].update(copy.deepcopy(fields))


def _security(**fields: Any) -> Change:
    return lambda spec: spec["containers"][0]["securityContext"].update(
        copy.deepcopy(fields)
    )


def _pod_security(**fields: Any) -> Change:
    return lambda spec: spec["securityContext"].update(copy.deepcopy(fields))


def _volume(**source: Any) -> Change:
    return set_pod(volumes=[{"name": "v", **source}])


def _init(**fields: Any) -> Change:
    def change(spec: dict[str, Any]) -> None:
        spec["initContainers"] = [{**spec["containers"][0], "name": "init", **fields}]

    return change


def _node_affinity(**terms: Any) -> Change:
    required = {"nodeSelectorTerms": [terms]}
    return set_pod(
        affinity={
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}
        }
    )


def _node_preference() -> Change:
    preferred = [{"weight": 1, "preference": {"matchExpressions": [_NODE_TERM]}}]
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    return set_pod(affinity={"nodeAffinity": {key: preferred}})


def _beside(key: str) -> Change:
    return set_pod(
        affinity={key: {"requiredDuringSchedulingIgnoredDuringExecution": [_TERM]}}
    )


def _rootless_user_namespace(spec: dict[str, Any]) -> None:
    spec["hostUsers"] = False
    spec["securityContext"]["runAsNonRoot"] = False


def _for_windows(spec: dict[str, Any]) -> None:
    spec.update(os={"name": "windows"}, securityContext={"runAsNonRoot": True})
    spec["containers"][0].pop("securityContext")


def _root_in_user_namespace(spec: dict[str, Any]) -> None:
    spec["hostUsers"] = False
    spec["securityContext"]["runAsUser"] = 0


def _container_root_in_user_namespace(spec: dict[str, Any]) -> None:
    spec["hostUsers"] = False
    spec["containers"][0]["securityContext"]["runAsUser"] = 0


MUTATIONS = tuple(
    Mutation(*row)
    for row in (
        (
            "image",
            "image by tag",
            set_container(image="localhost/agnhost:1"),
            "decision",
            "not pinned",
        ),
        (
            "image",
            "image of nobody's choice",
            set_container(image=FOREIGN),
            "decision",
            "not pinned",
        ),
        ("image", "init container", _init(image=FOREIGN), "decision", "not pinned"),
        (
            "image",
            "image volume",
            _volume(image={"reference": FOREIGN}),
            "decision",
            "not pinned",
        ),
        (
            "root",
            "root allowed",
            _pod_security(runAsNonRoot=False),
            "pod-security",
            "runAsNonRoot != true",
        ),
        (
            "root",
            "root by number",
            _pod_security(runAsUser=0),
            "pod-security",
            "runAsUser=0",
        ),
        (
            "root",
            "root allowed in a user namespace",
            _rootless_user_namespace,
            "pods",
            "may run as root",
        ),
        (
            "root",
            "root by number in a user namespace",
            _root_in_user_namespace,
            "pods",
            "the pod runs as root",
        ),
        (
            "root",
            "root of one container in a user namespace",
            _container_root_in_user_namespace,
            "pods",
            "may run as root",
        ),
        (
            "privilege",
            "privileged",
            _security(privileged=True, allowPrivilegeEscalation=True),
            "api-server",
            "privileged",
        ),
        (
            "privilege",
            "escalation",
            _security(allowPrivilegeEscalation=True),
            "pod-security",
            "allowPrivilegeEscalation != false",
        ),
        (
            "privilege",
            "capability",
            _security(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
            "pod-security",
            "unrestricted capabilities",
        ),
        (
            "privilege",
            "capabilities kept",
            _security(capabilities={}),
            "pod-security",
            "unrestricted capabilities",
        ),
        (
            "privilege",
            "no seccomp",
            _pod_security(seccompProfile={"type": "Unconfined"}),
            "pod-security",
            "seccompProfile",
        ),
        (
            "privilege",
            "procMount",
            lambda spec: (
                spec.update(hostUsers=False),
                spec["containers"][0]["securityContext"].update(procMount="Unmasked"),
            ),
            "pod-security",
            "procMount",
        ),
        (
            "privilege",
            "host network",
            set_pod(hostNetwork=True),
            "pod-security",
            "host namespaces",
        ),
        (
            "privilege",
            "host processes",
            set_pod(hostPID=True),
            "pod-security",
            "host namespaces",
        ),
        (
            "privilege",
            "host path",
            _volume(hostPath={"path": "/"}),
            "pod-security",
            "hostPath",
        ),
        (
            "privilege",
            "probe of another host",
            set_container(livenessProbe={"httpGet": {"host": "192.0.2.1", "port": 80}}),
            "pod-security",
            "probe or lifecycle host",
        ),
        (
            "privilege",
            "not for Linux",
            _for_windows,
            "pods",
            "not for Linux",
        ),
        (
            "token",
            "token mounted",
            set_pod(automountServiceAccountToken=True),
            "pods",
            "token of the API server",
        ),
        (
            "token",
            "token projected",
            _volume(projected={"sources": [_TOKEN]}),
            "pods",
            "credential",
        ),
        ("placement", "node", set_pod(nodeName="local"), "pods", "nodeName"),
        (
            "placement",
            "node by selector",
            set_pod(nodeSelector={"node-role.kubernetes.io/control-plane": ""}),
            "pods",
            "nodeSelector",
        ),
        (
            "placement",
            "control plane by affinity",
            _node_affinity(matchExpressions=[_NODE_TERM]),
            "pods",
            "nodeAffinity",
        ),
        (
            "placement",
            "control plane by preference",
            _node_preference(),
            "pods",
            "nodeAffinity",
        ),
        (
            "placement",
            "node by name in affinity",
            _node_affinity(
                matchFields=[
                    {"key": "metadata.name", "operator": "In", "values": ["local"]}
                ]
            ),
            "pods",
            "nodeAffinity",
        ),
        (
            "placement",
            "beside a neighbour",
            _beside("podAffinity"),
            "pods",
            "other namespaces",
        ),
        (
            "placement",
            "keep neighbours away",
            _beside("podAntiAffinity"),
            "pods",
            "other namespaces",
        ),
        (
            "placement",
            "runtime class",
            set_pod(runtimeClassName=OTHER_RUNTIME),
            "decision",
            "the runtime class is",
        ),
        (
            "placement",
            "scheduler",
            set_pod(schedulerName="mine"),
            "pods",
            "schedulerName",
        ),
        (
            "placement",
            "system priority",
            set_pod(priorityClassName="system-node-critical"),
            "pods",
            "priority",
        ),
        ("placement", "no priority", set_pod(priorityClassName=""), "pods", "priority"),
        (
            "placement",
            "toleration",
            set_pod(tolerations=[{"operator": "Exists"}]),
            "pods",
            "tolerates",
        ),
        (
            "placement",
            "control plane tolerated",
            set_pod(tolerations=[_NODE_TERM]),
            "pods",
            "tolerates",
        ),
        (
            "host-port",
            "host port",
            set_container(ports=[{"containerPort": 80, "hostPort": 80}]),
            "pod-security",
            "hostPort",
        ),
        (
            "names",
            "hosts of its own",
            set_pod(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["x"]}]),
            "pods",
            "hostAliases",
        ),
        (
            "names",
            "resolver",
            set_pod(dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.1"]}),
            "pods",
            "resolver",
        ),
        (
            "names",
            "resolver beside the cluster's",
            set_pod(dnsConfig={"nameservers": ["192.0.2.1"]}),
            "pods",
            "resolver",
        ),
        ("names", "node's resolver", set_pod(dnsPolicy="Default"), "pods", "resolver"),
        (
            "writable",
            "writable root",
            _security(readOnlyRootFilesystem=False),
            "pods",
            "root file system",
        ),
        (
            "writable",
            "writable root by omission",
            lambda spec: spec["containers"][0]["securityContext"].pop(
                "readOnlyRootFilesystem"
            ),
            "pods",
            "root file system",
        ),
        ("volume", "emptyDir without bound", _volume(emptyDir={}), "pods", "sizeLimit"),
        (
            "volume",
            "claim",
            _volume(persistentVolumeClaim={"claimName": "c"}),
            "pods",
            "storage",
        ),
        (
            "volume",
            "claim made for the pod",
            _volume(
                ephemeral={
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                        }
                    }
                }
            ),
            "pods",
            "storage",
        ),
        (
            "volume",
            "driver of the node",
            _volume(csi={"driver": "nfs.example.org"}),
            "pods",
            "storage",
        ),
        (
            "volume",
            "network file system",
            _volume(nfs={"server": "192.0.2.1", "path": "/"}),
            "pod-security",
            "restricted volume types",
        ),
        (
            "kernel",
            "safe kernel parameter",
            _pod_security(
                sysctls=[{"name": "net.ipv4.ip_local_port_range", "value": "1 2"}]
            ),
            "pods",
            "kernel parameters",
        ),
        (
            "kernel",
            "kernel parameter",
            _pod_security(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
            "pod-security",
            "forbidden sysctls",
        ),
        (
            "device",
            "claim of a device",
            set_pod(resourceClaims=[{"name": "d", "resourceClaimName": "d"}]),
            "pods",
            "device",
        ),
        (
            "late-end",
            "long grace period",
            set_pod(terminationGracePeriodSeconds=600),
            "pods",
            "outlive",
        ),
    )
)
"""Every attack by one field; `privilege` is refused by Kubernetes itself."""
