"""What controllers, kubelet and admission would do, for the in-memory cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from sandbox.environment.kinds import right_line
from sandbox.ports import KubernetesObject

Outcome = Literal["reached", "blocked", "error"]

_INSTANT = "2026-01-01T00:00:00Z"
_SAID: dict[Outcome, str] = {
    "reached": "CONNECTED",
    "blocked": "TIMEOUT",
    "error": "DNS: no such host",
}


def matches_labels(item: KubernetesObject, selector: str) -> bool:
    """Return whether an object has what a label selector (`a=b,c,!d`) asks for."""
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if key.startswith("!"):
            if key[1:] in labels:
                return False
        elif key not in labels or (equals and labels[key] != value):
            return False
    return True


def decision_refusal(item: KubernetesObject, params: KubernetesObject | None) -> str:
    """Return why the decision does not allow an object's images, or nothing.

    Args:
        item: The object to be admitted.
        params: The namespace's `trial-params`; None where it is no trial.
    """
    if params is None or item["kind"] not in ("Pod", "Deployment"):
        return ""
    spec = item["spec"]
    pod = spec["template"]["spec"] if item["kind"] == "Deployment" else spec
    allowed = params["data"]["images"].split(" ")
    images = [container["image"] for container in pod["containers"]]
    foreign = [image for image in images if image.partition("@")[2] not in allowed]
    if not foreign:
        return ""
    return (
        "ValidatingAdmissionPolicy 'regulatory-sandbox-decision' denied the request:"
        f" image {', '.join(foreign)} is not pinned by a digest the decision allows"
    )


def settled_status(item: KubernetesObject) -> dict[str, Any]:
    """Return the status of an object whose controller has done its work."""
    kind, spec = item["kind"], item.get("spec", {})
    if kind == "ResourceQuota":
        return {"hard": dict(spec["hard"])}
    if kind == "Namespace":
        return {"phase": "Active"}
    if kind == "Node":
        return {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.2"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            **item.get("status", {}),
        }
    if kind != "Deployment":
        return {}
    replicas = spec.get("replicas", 1)
    status = {"observedGeneration": item["metadata"]["generation"]}
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return status | dict.fromkeys(counts, replicas) if replicas else status


def deployment_pods(item: KubernetesObject) -> list[KubernetesObject]:
    """Return the pods a Deployment asks for."""
    name, template = item["metadata"]["name"], item["spec"]["template"]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-{number}",
                "namespace": item["metadata"]["namespace"],
                "labels": dict(template["metadata"].get("labels") or {}),
                "ownerReferences": [{"uid": item["metadata"]["uid"]}],
            },
            "spec": template["spec"],
        }
        for number in range(item["spec"].get("replicas", 1))
    ]


def finished_status(pod: KubernetesObject, address: str) -> dict[str, Any]:
    """Return the status of a pod: probes have ended, everything else is ready."""
    running = {"running": {"startedAt": _INSTANT}}
    ended = {"terminated": {"exitCode": 0, "startedAt": _INSTANT}}
    return {
        "podIP": address,
        "containerStatuses": [
            {"name": one["name"], "state": ended if _is_probe(one) else running}
            for one in pod["spec"]["containers"]
        ],
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def printed_by(
    pod: KubernetesObject, attempt: Callable[[str, str, int], Outcome], kernel: str
) -> Iterator[tuple[str, str]]:
    """Yield (container, text) of what the probes of a pod print.

    Args:
        pod: The pod.
        attempt: Outcome of an attempt from (namespace, host, port).
        kernel: What `/proc/version` says in it.
    """
    namespace = pod["metadata"]["namespace"]
    for container in filter(_is_probe, pod["spec"]["containers"]):
        tried = [
            {
                **{key: one[key] for key in ("name", "host", "port")},
                "started_at": _INSTANT,
                "finished_at": _INSTANT,
                "said": _SAID[attempt(namespace, one["host"], one["port"])],
            }
            for one in json.loads(container["args"][0])
        ]
        document = {"attempts": tried, "kernel": kernel}
        yield container["name"], json.dumps(document) + "\n"


def _is_probe(container: dict[str, Any]) -> bool:
    return str(container.get("command", [""])[-1]).endswith("/incluster/attempts.py")


def policy_outcome(
    policies: Sequence[KubernetesObject], host: str, port: int
) -> Outcome:
    """Return what becomes of an attempt to leave a namespace with these policies."""
    egress = [p["spec"] for p in policies if "Egress" in p["spec"]["policyTypes"]]
    rules = [rule for spec in egress for rule in spec.get("egress") or []]
    if not egress or any(_lets_out(rule, host, port) for rule in rules):
        return "reached"
    return "blocked"


def _lets_out(rule: dict[str, Any], host: str, port: int) -> bool:
    ports = [item["port"] for item in rule.get("ports", [])]
    if ports and port not in ports:
        return False
    return any(_holds(peer, host) for peer in rule.get("to", []))


def _holds(peer: dict[str, Any], host: str) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        try:
            address = ip_address(host)
        except ValueError:
            return False
        kept = [ip_network(text) for text in block.get("except", [])]
        return address in ip_network(block["cidr"]) and not any(
            address in network for network in kept
        )
    return "namespaceSelector" in peer and host.endswith(".svc.cluster.local")


def namespace_content(name: str) -> Iterator[KubernetesObject]:
    """Yield what Kubernetes puts into every new namespace."""
    place = {"namespace": name}
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt", **place},
        "data": {},
    }
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", **place},
    }


def given_objects() -> Iterator[KubernetesObject]:
    """Yield what every cluster has before anyone uses it."""
    for name in ("default", "kube-system"):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 443}]},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "endpoints": [{"addresses": ["192.0.2.2"]}],
        "ports": [{"port": 6443}],
    }
    yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}


def bound_rights(
    bindings: Sequence[KubernetesObject],
    roles: Sequence[KubernetesObject],
    account: str,
) -> list[str]:
    """Return what a service account may do by the roles bound to it."""
    granted = {
        binding["roleRef"]["name"]
        for binding in bindings
        for subject in binding.get("subjects", [])
        if (subject["kind"], subject["name"]) == ("ServiceAccount", account)
    }
    named = [role for role in roles if role["metadata"]["name"] in granted]
    return [right_line(rule) for role in named for rule in role["rules"]]
