"""A trial's environment to start from: a specification, and a small system for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.model.application import (
    IngressNeed,
    Limits,
    SystemNeeds,
    Telemetry,
)
from sandbox.model.trial import EnvironmentSpec, RecorderEndpoint
from sandbox.ports import KubernetesObject

_DIGEST = "sha256:" + "d" * 64


def environment_spec(trial_id: str = "ride-1", **changes: Any) -> EnvironmentSpec:
    """Return a complete specification.

    Args:
        trial_id: The trial it belongs to.
        **changes: Fields that differ from the usual.
    """
    ingress = IngressNeed.model_validate(
        {"from": "load-source", "to": "front", "port": 8080}
    )
    usual: dict[str, Any] = {
        "trial_id": trial_id,
        "isolation_class": "N1",
        "expires_at": datetime(2030, 1, 1, tzinfo=UTC),
        "temporary_rule_digest": _DIGEST,
        "rulebook_digest": _DIGEST,
        "plan_digest": _DIGEST,
        "needs": SystemNeeds(
            ingress=(ingress,), limits=Limits(cpu="2", memory="1Gi", pods=8)
        ),
        "images": {"web": "sha256:" + "b" * 64},
        "probe_image": "localhost/regulatory-sandbox@sha256:" + "a" * 64,
        "telemetry": Telemetry(protocol="otlp-http", services=("front",)),
        "recorder": RecorderEndpoint(
            host="198.51.100.7", http_port=4318, grpc_port=4317
        ),
        "load_source": "198.51.100.7/32",
    }
    return EnvironmentSpec.model_validate({**usual, **changes})


def system_manifests(image: str = "web", *args: str) -> list[KubernetesObject]:
    """Return a Deployment and a Service called `front`, as an applicant writes them.

    Args:
        image: Name of the image.
        *args: Arguments of the container.
    """
    labels = {"app": "front"}
    container: dict[str, Any] = {"name": "front", "image": image}
    if args:
        container["args"] = list(args)
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "front"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "front"},
            "spec": {
                "selector": labels,
                "ports": [{"port": 8080, "targetPort": 8080}],
            },
        },
    ]
