"""One attack on an environment, its control, and what came of both.

Rules of this module:

* An attack counts only if it was refused, its control was let through, and the refusal
  came from where it was expected; two of the three prove nothing.
* Attacks are dry runs, so nothing stays. They are made by a person to whom Kubernetes
  grants everything except the one right to enforce the trial.
* A control is the same request without the one thing under attack; where the request
  itself is the attack, it is the same request made by who may make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox.adapters.kubernetes_api import (
    APPLY_PATCH,
    MERGE_PATCH,
    KubernetesApi,
    Request,
)
from sandbox.environment.kinds import KINDS, Resource
from sandbox.errors import ClusterError
from sandbox.ports import KubernetesObject

HOSTILE = (("Impersonate-User", "mallory"), ("Impersonate-Group", "attackers"))
"""Headers of a request made by the hostile person."""
SOURCES = {
    "api-server": "disallowed by cluster policy",
    "pod-security": 'violates PodSecurity "restricted:v1.36"',
    "external-ips": "Use of external IPs is denied by admission control",
}
"""Who refuses beside our own policies → how it says so."""

_POLICY = "ValidatingAdmissionPolicy 'regulatory-sandbox-{}'"
_DRY = ("dryRun", "All")
_RBAC = "rbac.authorization.k8s.io"
_GROUPS = (
    "",
    "apps",
    "batch",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "networking.k8s.io",
    "policy",
    _RBAC,
    "resource.k8s.io",
)
_OTHER_KINDS = {
    ("apps/v1", "DaemonSet"): "daemonsets",
    ("apps/v1", "StatefulSet"): "statefulsets",
    ("batch/v1", "CronJob"): "cronjobs",
    ("batch/v1", "Job"): "jobs",
    ("networking.k8s.io/v1", "Ingress"): "ingresses",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("resource.k8s.io/v1", "ResourceClaim"): "resourceclaims",
    ("resource.k8s.io/v1", "ResourceClaimTemplate"): "resourceclaimtemplates",
    ("v1", "PodTemplate"): "podtemplates",
    ("v1", "ReplicationController"): "replicationcontrollers",
}


class Attack(NamedTuple):
    """One attempt against one line of what admission refuses."""

    line: str
    """Key of the line, one of `lines.LINES`."""
    name: str
    attempt: Request
    control: Request
    policy: str
    """Who must refuse it: the last part of a policy's name, or `pod-security`."""
    words: str
    """What the refusal must say."""
    control_says: str = ""
    """What stops the control after admission let it through; empty is nothing."""


class Outcome(NamedTuple):
    """What came of one attack."""

    refused: bool
    controlled: bool
    """Whether the control was let through."""
    attributed: bool
    """Whether the refusal came from where it was expected, in the words expected."""
    said: str
    """The refusal, and what stopped the control."""

    @property
    def counts(self) -> bool:
        """Return whether the attack proves something."""
        return self.refused and self.controlled and self.attributed


def hostile_rights() -> list[KubernetesObject]:
    """Return what grants the hostile person everything but the right to enforce."""
    name = "attack-corpus"
    rules = [{"apiGroups": list(_GROUPS), "resources": ["*"], "verbs": ["*"]}]
    subject = {"apiGroup": _RBAC, "kind": "Group", "name": "attackers"}
    return [
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        },
    ]


def applied(item: KubernetesObject, *, hostile: bool = True) -> Request:
    """Return the request that applies an object as a dry run."""
    metadata = item["metadata"]
    key = (item["apiVersion"], item["kind"])
    resource = KINDS.get(key) or Resource(key[0], _OTHER_KINDS[key], True)
    path = resource.path(metadata.get("namespace", ""), metadata["name"])
    query = (
        ("fieldManager", "attacker"),
        ("force", "true"),
        ("fieldValidation", "Strict"),
        _DRY,
    )
    return Request(
        "PATCH",
        path,
        f"apply {item['kind']} {metadata['name']}",
        query=query,
        body=item,
        content_type=APPLY_PATCH,
        headers=HOSTILE if hostile else (),
    )


def asked(
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    hostile: bool = True,
    dry: bool = True,
) -> Request:
    """Return a request to one path, as a dry run where it is not said otherwise."""
    return Request(
        method,
        path,
        f"{method} {path}",
        query=(_DRY,) if dry else (),
        body=dict(body) if body is not None else None,
        content_type=MERGE_PATCH if method == "PATCH" else "application/json",
        headers=HOSTILE if hostile else (),
    )


def answer(api: KubernetesApi, request: Request) -> str:
    """Return why the API server refuses a request; empty where it does not.

    Raises:
        ClusterError: It did not answer, which is no refusal.
    """
    try:
        api.call(request)
    except ClusterError as error:
        if not error.status:
            raise
        return error.diagnosis
    return ""


def outcome(api: KubernetesApi, attack: Attack) -> Outcome:
    """Make an attack and its control, and return what came of them."""
    said, control = answer(api, attack.attempt), answer(api, attack.control)
    controlled = attack.control_says in control if attack.control_says else not control
    source = SOURCES.get(attack.policy) or _POLICY.format(attack.policy)
    return Outcome(
        refused=bool(said),
        controlled=controlled and "ValidatingAdmissionPolicy" not in control,
        attributed=source in said and attack.words in said,
        said=f"attack: {said or 'admitted'} control: {control or 'admitted'}",
    )
