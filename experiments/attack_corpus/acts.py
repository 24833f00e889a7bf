"""Attacks by a request: on what limits the trial, on its namespace, into its pods.

The control of most is the same request by who may enforce the trial.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from experiments.attack_corpus.attempt import Attack, applied, asked
from experiments.attack_corpus.mutations import FOREIGN
from experiments.attack_corpus.pods import usual_container
from sandbox.adapters.kubernetes_api import Request
from sandbox.ports import KubernetesObject

_STRATEGIC = "application/strategic-merge-patch+json"

_NOTE = {"metadata": {"annotations": {"note": "x"}}}
_MANAGED = (
    ("/apis/networking.k8s.io/v1", "networkpolicies/default-deny"),
    ("/api/v1", "resourcequotas/system"),
    ("/api/v1", "limitranges/container-limits"),
    ("/api/v1", "serviceaccounts/workload"),
    ("/api/v1", "configmaps/trial-params"),
    ("/api/v1", "secrets/recorder-token"),
    ("/apis/rbac.authorization.k8s.io/v1", "roles/trial-operator"),
    ("/apis/rbac.authorization.k8s.io/v1", "rolebindings/trial-operator"),
)
_COLLECTIONS = (
    ("/apis/networking.k8s.io/v1", "networkpolicies"),
    ("/api/v1", "configmaps"),
    ("/api/v1", "secrets"),
)
_LABELS = (
    ("Pod Security", "pod-security.kubernetes.io/enforce", "privileged"),
    ("version of Pod Security", "pod-security.kubernetes.io/enforce-version", "v1.20"),
    ("trial", "regulatory-sandbox/trial", None),
    ("isolation class", "regulatory-sandbox/isolation-class", "N0"),
    ("admin access to devices", "resource.kubernetes.io/admin-access", "true"),
    ("a neighbour's policy", "access", "granted"),
)
_NOTES = (
    ("end", "regulatory-sandbox/expires-at", "2999-01-01T00:00:00Z"),
    ("no end", "regulatory-sandbox/expires-at", None),
    ("rulebook", "regulatory-sandbox/rulebook-digest", "sha256:0"),
    ("nodes", "scheduler.alpha.kubernetes.io/node-selector", "a=b"),
)
_CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "ByHand",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
_ENTRIES = ("exec", "attach", "portforward", "proxy")


def managed_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks on what limits the trial: changed, deleted, added to."""

    def attack(name: str, *request: Any) -> Attack:
        return Attack(
            "managed",
            name,
            asked(*request),
            asked(*request, hostile=False),
            "managed",
            "changed by its enforcer only",
        )

    for root, place in _MANAGED:
        path = f"{root}/namespaces/{namespace}/{place}"
        kind = place.partition("/")[0]
        yield attack(f"change of {kind}", "PATCH", path, _NOTE)
        yield attack(f"deletion of {kind}", "DELETE", path)
    for root, kind in _COLLECTIONS:
        path = f"{root}/namespaces/{namespace}/{kind}"
        yield attack(f"deletion of all {kind}", "DELETE", path)
    allow = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
    policy = _item("networking.k8s.io/v1", "NetworkPolicy", namespace, spec=allow)
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    yield attack("policy that allows all", "POST", path, policy)._replace(
        control_says="exceeded quota: objects"
    )


def namespace_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks on the boundary: its labels, its notes, and its end by hand."""
    path = f"/api/v1/namespaces/{namespace}"
    for part, rows in (("labels", _LABELS), ("annotations", _NOTES)):
        for name, key, value in rows:
            body: dict[str, Any] = {"metadata": {part: {key: value}}}
            yield Attack(
                "namespace",
                f"{part}: {name}",
                asked("PATCH", path, body),
                asked("PATCH", path, body, hostile=False),
                "namespace",
                "its enforcer only",
            )
    made = {"name": "attack", "labels": {"regulatory-sandbox/trial": "attack"}}
    new: KubernetesObject = {"apiVersion": "v1", "kind": "Namespace", "metadata": made}
    yield Attack(
        "namespace",
        "trial of one's own",
        applied(new),
        applied(new, hostile=False),
        "namespace",
        "its enforcer only",
    )
    place = {"name": namespace, "labels": {"regulatory-sandbox/trial": "x"}}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": place}
    yield Attack(
        "namespace",
        "end by hand",
        asked("PUT", f"{path}/finalize", body, hostile=False),
        asked("PATCH", path, _NOTE, hostile=False),
        "namespace",
        "strands what is in it",
    )


def entry_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks into a running pod.

    No pod of the name is there: admission comes first, and who may enter hears that.
    """
    for way in _ENTRIES:
        path = f"/api/v1/namespaces/{namespace}/pods/nobody/{way}"
        yield _entry(way, path, 'pods "nobody" not found')
    path = f"/api/v1/namespaces/{namespace}/services/nobody/proxy"
    yield _entry("proxy of a Service", path, 'services "nobody" not found')


def address_attacks(namespace: str, pod: str) -> Iterator[Attack]:
    """Yield attacks by addresses and states written by hand.

    Args:
        namespace: The trial's.
        pod: Name of a pod that is there, and of a Service.
    """
    for item in (_slice(namespace), _endpoints(namespace)):
        elsewhere = {**item, "metadata": {**item["metadata"], "namespace": "default"}}
        name = f"{item['kind']} by hand"
        yield _by_hand(name, applied(item), applied(elsewhere))
    root = f"/api/v1/namespaces/{namespace}"
    service, place = f"{root}/services/{pod}", f"{root}/pods/{pod}"
    noted = asked("PATCH", place, _NOTE)
    # The API server itself takes an address only for type LoadBalancer.
    status = {"status": {"conditions": [_CONDITION]}}
    yield _by_hand(
        "a Service's status by hand",
        asked("PATCH", f"{service}/status", status),
        asked("PATCH", service, _NOTE),
    )
    address = {"status": {"podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}]}}
    moved = asked("PATCH", f"{place}/status", address)
    yield _by_hand("a pod's address by hand", moved, noted, "said by its node")
    target = {"apiVersion": "v1", "kind": "Node", "name": "local"}
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod, "namespace": namespace},
        "target": target,
    }
    bound = asked("POST", f"{place}/binding", binding)
    yield _by_hand("binding by hand", bound, noted, "by the scheduler only")


def ephemeral_attacks(image: str, namespace: str, pod: str) -> Iterator[Attack]:
    """Yield attacks by a container added to a pod that runs."""
    good = usual_container(image, "debug")
    good.pop("resources")
    open_root = {**good["securityContext"], "readOnlyRootFilesystem": False}
    for line, name, fields, policy, words in (
        ("image", "ephemeral container", {"image": FOREIGN}, "decision", "not pinned"),
        (
            "writable",
            "writable root of an ephemeral container",
            {"securityContext": open_root},
            "pods",
            "root file system",
        ),
    ):
        yield Attack(
            line,
            name,
            _debug(namespace, pod, {**good, **fields}),
            _debug(namespace, pod, good),
            policy,
            words,
        )
    base = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    add = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
    yield Attack(
        "placement",
        "toleration added later",
        _merged(base, {"spec": {"tolerations": add}}),
        asked("PATCH", base, _NOTE),
        "pods",
        "tolerates",
    )


def token_attacks(namespace: str) -> Iterator[Attack]:
    """Yield the request for a token, which not even the enforcer is granted."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["x"]},
    }

    def request(place: str, hostile: bool) -> Request:
        path = f"/api/v1/namespaces/{place}/serviceaccounts/default/token"
        return asked("POST", path, body, hostile=hostile)

    for name, hostile in (("token", True), ("token for the enforcer", False)):
        yield Attack(
            "credential",
            name,
            request(namespace, hostile),
            request("default", hostile),
            "credentials",
            "no token of the API server",
        )


def _by_hand(
    name: str, attempt: Request, control: Request, words: str = "written by hand"
) -> Attack:
    return Attack("endpoints", name, attempt, control, "endpoints", words)


def _entry(name: str, path: str, control_says: str) -> Attack:
    return Attack(
        "entry",
        name,
        asked("GET", path, dry=False),
        asked("GET", path, dry=False, hostile=False),
        "entry",
        "enters a system under trial",
        control_says=control_says,
    )


def _debug(namespace: str, pod: str, container: dict[str, Any]) -> Request:
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/ephemeralcontainers"
    body = {"spec": {"ephemeralContainers": [container]}}
    return _merged(path, body)


def _merged(path: str, body: dict[str, Any]) -> Request:
    return asked("PATCH", path, body)._replace(content_type=_STRATEGIC)


def _item(version: str, kind: str, namespace: str, **content: Any) -> KubernetesObject:
    place = {"name": "attack", "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": place, **content}


def _slice(namespace: str) -> KubernetesObject:
    return _item(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace,
        addressType="IPv4",
        endpoints=[{"addresses": ["198.51.100.1"]}],
        ports=[],
    )


def _endpoints(namespace: str) -> KubernetesObject:
    subset = {"addresses": [{"ip": "198.51.100.1"}], "ports": [{"port": 80}]}
    return _item("v1", "Endpoints", namespace, subsets=[subset])
