"""Attacks by Services, rights, credentials, kinds and finalizers, as whole objects."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from experiments.attack_corpus.attempt import Attack, applied
from experiments.attack_corpus.pods import usual_pod
from sandbox.ports import KubernetesObject

_RBAC = "rbac.authorization.k8s.io"
_NETWORKING = "networking.k8s.io/v1"
_SERVICES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("node port", {"type": "NodePort"}, "opens a way past the trial policies"),
    ("load balancer", {"type": "LoadBalancer"}, "opens a way past the trial policies"),
    (
        "external name",
        {"type": "ExternalName", "externalName": "example.org"},
        "opens a way past the trial policies",
    ),
    ("no selector", {"selector": None}, "without selector"),
)
# Refused by the plugin of that name where it is on, as on the local node.
_EXTERNAL = ("external-ips", "external IPs is denied")
_ROLES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("wildcard verb", {"verbs": ["*"]}, "wildcards"),
    ("wildcard resource", {"resources": ["*"]}, "wildcards"),
    ("wildcard group", {"apiGroups": ["*"]}, "wildcards"),
    ("wildcard subresource", {"resources": ["*/status"]}, "wildcards"),
    ("escalation", {"verbs": ["escalate"]}, "escalate"),
    ("right to bind", {"verbs": ["bind"]}, "bind"),
    ("impersonation", {"verbs": ["impersonate"]}, "impersonate"),
    (
        "right to enforce",
        {
            "apiGroups": ["regulatory-sandbox"],
            "resources": ["environments"],
            "verbs": ["enforce"],
        },
        "enforce",
    ),
    *(
        (f"right over {what}", {"resources": [what], "verbs": ["create"]}, "isolation")
        for what in ("secrets", "serviceaccounts/token", "pods/exec", "pods/attach",
                     "pods/portforward", "pods/proxy", "services/proxy",
                     "pods/ephemeralcontainers", "pods/status", "endpoints")
    ),
)  # fmt: skip


def service_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks by a Service; the control leads to pods of the trial."""
    good = _item(
        "v1",
        "Service",
        namespace,
        spec={"selector": {"app": "x"}, "ports": [{"port": 80}]},
    )
    for name, fields, words in _SERVICES:
        bad = copy.deepcopy(good)
        spec = {**bad["spec"], **fields}
        bad["spec"] = {key: value for key, value in spec.items() if value is not None}
        yield Attack("service", name, applied(bad), applied(good), "services", words)
    bad = copy.deepcopy(good)
    bad["spec"]["loadBalancerIP"] = "192.0.2.1"
    yield Attack(
        "service", "address", applied(bad), applied(good), "services", "loadBalancerIP"
    )
    bad = copy.deepcopy(good)
    bad["spec"]["externalIPs"] = ["192.0.2.1"]
    yield Attack("service", "external address", applied(bad), applied(good), *_EXTERNAL)


def rights_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks by roles and bindings, made by who may enforce the trial.

    Nobody else changes roles at all; that is the line `managed`.
    """
    good = _role(namespace)
    for name, fields, words in _ROLES:
        bad = copy.deepcopy(good)
        bad["rules"][0].update(fields)
        yield _enforcers("rights", name, bad, good, words)
    bound = _binding(namespace, "Role", _subject("User", "somebody"))
    for name, kind, subject, words in (
        ("cluster role", "ClusterRole", _subject("User", "somebody"), "ClusterRole"),
        ("the workload", "Role", _account("workload", namespace), "service accounts"),
        ("account elsewhere", "Role", _account("x", "default"), "service accounts"),
        (
            "account elsewhere by its user name",
            "Role",
            _subject("User", "system:serviceaccount:default:x"),
            "system groups",
        ),
        (
            "everyone",
            "Role",
            _subject("Group", "system:authenticated"),
            "system groups",
        ),
    ):
        bad = _binding(namespace, kind, subject)
        attack = _enforcers("rights", f"bound: {name}", bad, bound, words)
        yield attack._replace(control_says="exceeded quota: objects")


def credential_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks by objects that carry or mount a token."""
    good = _item("v1", "Secret", namespace, type="Opaque")
    bad = {**good, "type": "kubernetes.io/service-account-token"}
    note = {"kubernetes.io/service-account.name": "workload"}
    bad["metadata"] = {**good["metadata"], "annotations": note}
    yield Attack(
        "credential",
        "token as a Secret",
        applied(bad),
        applied(good),
        "credentials",
        "token of the API server",
    )
    good = _item("v1", "ServiceAccount", namespace, automountServiceAccountToken=False)
    good["metadata"]["name"] = "workload"
    bad = {**good, "automountServiceAccountToken": True}
    words = "an account that mounts its token"
    yield _enforcers("credential", "account that mounts a token", bad, good, words)


def kind_attacks(namespace: str) -> Iterator[Attack]:
    """Yield attacks by kinds that no trial needs; elsewhere they are admitted."""
    for line, name, item, words in _kinds(namespace):
        elsewhere = copy.deepcopy(item)
        elsewhere["metadata"]["namespace"] = "default"
        yield Attack(line, name, applied(item), applied(elsewhere), "kinds", words)


def finalizer_attacks(image: str, namespace: str) -> Iterator[Attack]:
    """Yield one attack by a finalizer on each kind a hostile person would try."""
    holder = {"holderIdentity": "x"}
    for good in (
        usual_pod(image, namespace),
        _item("v1", "ConfigMap", namespace),
        _item("v1", "Secret", namespace),
        _item("coordination.k8s.io/v1", "Lease", namespace, spec=holder),
        _item(
            "v1",
            "Service",
            namespace,
            spec={"selector": {"app": "x"}, "ports": [{"port": 80}]},
        ),
    ):
        bad = copy.deepcopy(good)
        bad["metadata"]["finalizers"] = ["example.org/never"]
        yield Attack(
            "finalizer",
            f"finalizer on a {good['kind']}",
            applied(bad),
            applied(good),
            "finalizers",
            "hold the trial open",
        )


def _kinds(namespace: str) -> Iterator[tuple[str, str, KubernetesObject, str]]:
    def item(version: str, kind: str, **content: Any) -> KubernetesObject:
        return _item(version, kind, namespace, **content)

    backend = {"service": {"name": "s", "port": {"number": 80}}}
    ingress = item(_NETWORKING, "Ingress", spec={"defaultBackend": backend})
    yield "way-in", "Ingress", ingress, "opens a way in"
    labels = {"matchLabels": {"app": "x"}}
    for key, value in (("maxUnavailable", 0), ("minAvailable", "100%")):
        budget = item(
            "policy/v1", "PodDisruptionBudget", spec={"selector": labels, key: value}
        )
        yield "disruption", f"budget of {key} {value}", budget, "past their end"
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    kept = item("v1", "PersistentVolumeClaim", spec=claim)
    yield "kind", "claim of storage", kept, "keeps data"
    spec = {"containers": [{"name": "c", "image": "x"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    yield "kind", "pod template", item("v1", "PodTemplate", template=template), "PodTem"
    request = {"name": "r", "exactly": {"deviceClassName": "d"}}
    device: dict[str, Any] = {"devices": {"requests": [request]}}
    for kind, content in (
        ("ResourceClaim", device),
        ("ResourceClaimTemplate", {"spec": device}),
    ):
        taken = item("resource.k8s.io/v1", kind, spec=content)
        yield "device", f"a {kind}", taken, "takes a device"


def _enforcers(
    line: str, name: str, bad: KubernetesObject, good: KubernetesObject, words: str
) -> Attack:
    """Return an attack that not even who may enforce the trial gets through."""
    return Attack(
        line,
        name,
        applied(bad, hostile=False),
        applied(good, hostile=False),
        "credentials",
        words,
    )


def _item(version: str, kind: str, namespace: str, **content: Any) -> KubernetesObject:
    place = {"name": "attack", "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": place, **content}


def _role(namespace: str) -> KubernetesObject:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    item = _item(f"{_RBAC}/v1", "Role", namespace, rules=[rule])
    item["metadata"]["name"] = "trial-operator"
    return item


def _binding(namespace: str, kind: str, subject: dict[str, str]) -> KubernetesObject:
    role = {"apiGroup": _RBAC, "kind": kind, "name": "trial-operator"}
    item = _item(
        f"{_RBAC}/v1", "RoleBinding", namespace, roleRef=role, subjects=[subject]
    )
    return item


def _subject(kind: str, name: str) -> dict[str, str]:
    return {"apiGroup": _RBAC, "kind": kind, "name": name}


def _account(name: str, namespace: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
