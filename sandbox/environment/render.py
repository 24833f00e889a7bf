"""What must exist in Kubernetes so that the temporary rule is enforced.

Rules of this module:

* The objects are the YAML of `manifests/trial` and `manifests/platform`, filled in; the
  same specification gives the same objects, so applying twice is no change.
* Policies come before anything that could run; quotas come last, because the API server
  refuses counted objects until it knows the usage of a new quota.
* No rights are granted to the workload.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from sandbox.environment.containers import runtime_class
from sandbox.environment.isolation import OWN_USERS
from sandbox.environment.labels import (
    DEFAULT_DENY,
    trial_labels,
)
from sandbox.environment.needs import egress_rules, needs_defects, way_in
from sandbox.environment.quantity import cpu_share, memory_share, parse_quantity
from sandbox.environment.system import system_objects
from sandbox.environment.template import (
    fill,
    template_files,
    template_text,
    templates_digest,
)
from sandbox.errors import InputError
from sandbox.model.application import Limits
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import KubernetesObject

__all__ = [
    "audit_policy",
    "default_deny",
    "environment_objects",
    "platform_digest",
    "platform_objects",
    "stated",
    "system_objects",
]

_TRIAL = "trial"
_PLATFORM = "platform"
_EXPIRY_JOB = "69-cronjob-expiry.yaml"
_WAY_IN = "25-networkpolicy-ingress.yaml"
_POLICIES_BESIDE_WAYS_IN = 5
MOST_WAYS_IN = 16
"""Ways in that a warm environment has room for: a quota takes a moment to grow."""
_LISTS = ("ingress", "egress")


def environment_objects(
    spec: EnvironmentSpec, *, recorder_token: str, own_users: str = ""
) -> list[KubernetesObject]:
    """Return the objects of one trial's environment, in apply order.

    Args:
        spec: What the decision and the temporary rule ask for.
        recorder_token: Bearer token the system presents to the recorder.
        own_users: Whether pods have users of their own, as `isolation.own_users` says.

    Raises:
        InputError: The needs cannot be granted as written; every problem is named.
    """
    defects = needs_defects(spec)
    if defects:
        raise InputError(defects)
    values = _values(spec, recorder_token) | {"params": _params(spec, own_users)}
    objects: list[KubernetesObject] = []
    for file in template_files(_TRIAL):
        if file == _WAY_IN:
            objects += [fill(_TRIAL, file, item) for item in _ways_in(spec, values)]
        else:
            objects.append(fill(_TRIAL, file, values))
    return objects


def platform_objects(own_image: str = "") -> list[KubernetesObject]:
    """Return what a cluster needs once, in apply order.

    Args:
        own_image: The product's own image, pinned by digest. Without it the job that
            removes expired environments from inside the cluster is left out.
    """
    values = {"platform_digest": platform_digest(), "own_image": own_image}
    files = [
        file for file in template_files(_PLATFORM) if own_image or file != _EXPIRY_JOB
    ]
    return [fill(_PLATFORM, file, values) for file in files]


def platform_digest() -> str:
    """Return what names this version of the platform's objects."""
    return templates_digest(_PLATFORM)


def audit_policy() -> str:
    """Return what an API server is given (`--audit-policy-file`) to write down changes.

    It is no object, so no platform can bring it: whoever runs the API server does.
    """
    return template_text("apiserver", "audit-policy.yaml")


def default_deny(trial_id: str, namespace: str) -> KubernetesObject:
    """Return the policy that lets nothing in and nothing out."""
    values = {
        "namespace": namespace,
        "labels": trial_labels(trial_id, "environment"),
    }
    return fill(_TRIAL, f"20-networkpolicy-{DEFAULT_DENY}.yaml", values)


def stated(item: KubernetesObject) -> KubernetesObject:
    """Return an object that also states the lists it leaves out.

    Server-side apply leaves alone what it is not told: an empty list takes out what
    another writer put into a policy.
    """
    if item["kind"] != "NetworkPolicy":
        return item
    empty: dict[str, Any] = {key: [] for key in _LISTS}
    return {**item, "spec": {**empty, **item["spec"]}}


def _values(spec: EnvironmentSpec, recorder_token: str) -> dict[str, Any]:
    is_unclaimed = spec.warm == spec.trial_id
    ways_in = MOST_WAYS_IN if is_unclaimed else len(spec.needs.ingress)
    return {
        "namespace": spec.namespace,
        "trial_id": spec.trial_id,
        "warm": spec.warm or None,
        "labels": trial_labels(spec.trial_id, "environment"),
        "isolation_class": spec.isolation_class,
        "expires_at": spec.expires_at.isoformat().replace("+00:00", "Z"),
        "rulebook_digest": spec.rulebook_digest,
        "temporary_rule_digest": spec.temporary_rule_digest,
        "plan_digest": spec.plan_digest,
        "recorder_cidr": str(ip_network(spec.recorder.host)),
        "recorder_http_port": spec.recorder.http_port,
        "recorder_grpc_port": spec.recorder.grpc_port,
        "egress_rules": egress_rules(spec.needs.egress) or None,
        "operator_group": f"regulatory-sandbox:operator:{spec.trial_id}",
        "network_policies": str(_POLICIES_BESIDE_WAYS_IN + ways_in),
        "recorder_secret": _recorder_secret(recorder_token),
        **_limits(spec.needs.limits),
    }


def _params(spec: EnvironmentSpec, own_users: str) -> dict[str, str]:
    return {
        "images": " ".join(sorted(_allowed_digests(spec))),
        "runtime-class": runtime_class(spec),
        "expires-at": spec.expires_at.isoformat(),
        **({OWN_USERS: own_users} if own_users else {}),
        **{f"cap.{name}": f"{cap:g}" for name, cap in sorted(spec.caps.items())},
    }


def _allowed_digests(spec: EnvironmentSpec) -> set[str]:
    probe = spec.probe_image.partition("@")[2]
    return {*spec.images.values(), *([probe] if probe else [])}


def _recorder_secret(token: str) -> dict[str, str]:
    # The exporter reads its headers in W3C Baggage form, where a space is %20.
    header = f"Authorization=Bearer%20{token}"
    plain = {"otlp-headers": header, "token": token}
    return {key: base64.b64encode(v.encode()).decode() for key, v in plain.items()}


def _limits(limits: Limits) -> dict[str, Any]:
    memory = parse_quantity(limits.memory) or Decimal(0)
    return {
        "storage": f"{(limits.pods + 1) * 256}Mi",
        "pods": str(limits.pods),
        "container_limits": {
            "cpu": cpu_share(parse_quantity(limits.cpu) or Decimal(0), limits.pods),
            "memory": memory_share(memory, limits.pods),
            "ephemeral-storage": "256Mi",
        },
        "container_requests": {
            "cpu": "1m",
            "memory": memory_share(memory, limits.pods * 4),
            "ephemeral-storage": "0",
        },
        "system_quota": {
            "pods": str(limits.pods),
            "requests.cpu": limits.cpu,
            "limits.cpu": limits.cpu,
            "requests.memory": limits.memory,
            "limits.memory": limits.memory,
        },
    }


def _ways_in(spec: EnvironmentSpec, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **values,
            "way_in_name": way_in(need),
            "way_in_labels": {f"regulatory-sandbox/{way_in(need)}": "true"},
            "way_in_port": need.port,
            "load_source": str(ip_network(spec.load_source, strict=False)),
        }
        for need in spec.needs.ingress
    ]
