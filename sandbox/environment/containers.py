"""One container of the applicant, with image, limits, telemetry and privileges set.

Rules of this module:

* The security context is that of Pod Security *restricted* plus a read-only root.
* Telemetry goes to the recorder by the standard variables of OpenTelemetry exporters
  (https://opentelemetry.io/docs/specs/otel/protocol/exporter/); the credential comes
  from the Secret, never from the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from sandbox.environment.labels import RECORDER_TOKEN
from sandbox.environment.quantity import cpu_share, memory_share, parse_quantity
from sandbox.model.application import Defect
from sandbox.model.trial import EnvironmentSpec

_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "privileged": False,
    "capabilities": {"drop": ["ALL"]},
}


class ContainerSetting(NamedTuple):
    """What the environment decides about every container."""

    images: dict[str, str]
    """Name as the applicant writes it → reference pinned by digest."""
    limits: dict[str, str]
    requests: dict[str, str]
    telemetry: list[dict[str, Any]]
    """Environment variables of the OTLP exporter."""
    runtime_class: str
    own_users: bool = False
    """Whether its pod has users of its own."""

    @classmethod
    def of(cls, spec: EnvironmentSpec) -> ContainerSetting:
        """Return the setting of one environment."""
        limits, pods = spec.needs.limits, spec.needs.limits.pods
        memory = parse_quantity(limits.memory) or Decimal(0)
        return cls(
            images={name: image_reference(spec, name) for name in spec.images},
            limits={
                "cpu": cpu_share(parse_quantity(limits.cpu) or Decimal(0), pods),
                "memory": memory_share(memory, pods),
            },
            requests={"cpu": "1m", "memory": memory_share(memory, pods * 4)},
            telemetry=_telemetry(spec),
            runtime_class=runtime_class(spec),
        )


def runtime_class(spec: EnvironmentSpec) -> str:
    """Return the runtime class of the isolation class; empty is the node's own."""
    return "gvisor" if spec.isolation_class == "N2" else ""


def image_reference(spec: EnvironmentSpec, name: str) -> str:
    """Return an allowed image as pods name it; a bare name is an image of the node."""
    place = name if "/" in name else f"localhost/{name}"
    return f"{place}@{spec.images[name]}"


def harden_container(
    container: dict[str, Any], setting: ContainerSetting, where: str
) -> Iterator[Defect]:
    """Set what the environment decides, in place; yield what contradicts it."""
    place = f"{where}, container {container.get('name', '(without name)')}"
    yield from _image(container, setting, place)
    yield from _security(container.setdefault("securityContext", {}), place)
    yield from _variables(container, setting, place)
    resources = container.setdefault("resources", {})
    if not resources.get("limits"):
        resources["requests"] = {**setting.requests, **resources.get("requests", {})}
    resources["limits"] = {**setting.limits, **resources.get("limits", {})}
    container["imagePullPolicy"] = "IfNotPresent"


def _image(
    container: dict[str, Any], setting: ContainerSetting, place: str
) -> Iterator[Defect]:
    name = container.get("image", "")
    if name in setting.images:
        container["image"] = setting.images[name]
        return
    known = ", ".join(sorted(setting.images))
    yield Defect(
        code="system/image-not-declared",
        what=f"{place} uses image `{name}`",
        remedy=f"Write the bare name of a declared image, one of: {known}.",
        field="manifests",
    )


def _security(context: dict[str, Any], place: str) -> Iterator[Defect]:
    for key, value in _SECURITY.items():
        if context.setdefault(key, value) != value:
            yield Defect(
                code="system/privilege",
                what=f"{place} sets securityContext.{key} to {context[key]!r}",
                remedy=f"The environment sets it to {value!r}; remove the field.",
                field="manifests",
            )


def _variables(
    container: dict[str, Any], setting: ContainerSetting, place: str
) -> Iterator[Defect]:
    ours = {variable["name"] for variable in setting.telemetry}
    theirs = [v for v in container.get("env", []) if v.get("name") in ours]
    container["env"] = [*container.get("env", []), *setting.telemetry]
    if theirs:
        names = ", ".join(variable["name"] for variable in theirs)
        yield Defect(
            code="system/telemetry-redirected",
            what=f"{place} sets {names}",
            remedy="Telemetry goes to the recorder of the trial; remove the variable.",
            field="manifests",
        )


def _telemetry(spec: EnvironmentSpec) -> list[dict[str, Any]]:
    grpc = spec.telemetry.protocol == "otlp-grpc"
    port = spec.recorder.grpc_port if grpc else spec.recorder.http_port
    host = spec.recorder.host
    place = f"[{host}]" if ":" in host else host
    token = {"name": RECORDER_TOKEN, "key": "otlp-headers"}
    return [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": f"http://{place}:{port}"},
        {
            "name": "OTEL_EXPORTER_OTLP_PROTOCOL",
            "value": "grpc" if grpc else "http/protobuf",
        },
        {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": token}},
    ]
