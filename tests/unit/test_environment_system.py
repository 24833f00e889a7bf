"""The applicant's manifests, as they will run."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sandbox.environment import system_objects
from sandbox.errors import InputError
from sandbox.model.application import Telemetry
from sandbox.ports import KubernetesObject
from sandbox.testing.environment import environment_spec, system_manifests

SPEC = environment_spec()


def deployment(objects: list[KubernetesObject]) -> dict[str, Any]:
    return next(item for item in objects if item["kind"] == "Deployment")


def pod_of(objects: list[KubernetesObject]) -> dict[str, Any]:
    pod: dict[str, Any] = deployment(objects)["spec"]["template"]["spec"]
    return pod


def container_of(objects: list[KubernetesObject]) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(objects)["containers"][0]
    return container


def codes(manifests: list[KubernetesObject]) -> list[str]:
    with pytest.raises(InputError) as caught:
        system_objects(SPEC, manifests)
    return [getattr(defect, "code", "") for defect in caught.value.defects]


def test_image() -> None:
    """A bare image name becomes a reference pinned by the decision's digest."""
    container = container_of(system_objects(SPEC, system_manifests()))
    assert container["image"] == "localhost/web@" + SPEC.images["web"]
    assert codes(system_manifests("web:1")) == ["system/image-not-declared"]


def test_image_of_a_registry() -> None:
    """A name with a registry keeps it."""
    spec = environment_spec(images={"ghcr.io/x/web": "sha256:" + "b" * 64})
    objects = system_objects(spec, system_manifests("ghcr.io/x/web"))
    assert container_of(objects)["image"] == "ghcr.io/x/web@sha256:" + "b" * 64


def test_hardened() -> None:
    """Every container runs restricted, with limits and a read-only root."""
    objects = system_objects(SPEC, system_manifests())
    pod, container = pod_of(objects), container_of(objects)
    assert pod["serviceAccountName"] == "workload"
    assert pod["automountServiceAccountToken"] is False
    assert pod["priorityClassName"] == "regulatory-sandbox-trial"
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and security["runAsNonRoot"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"] == {"cpu": "250m", "memory": "131072Ki"}


def test_own_limits_stay() -> None:
    """Limits the applicant wrote are kept."""
    manifests = system_manifests()
    container_of(manifests)["resources"] = {"limits": {"cpu": "1", "memory": "8Mi"}}
    resources = container_of(system_objects(SPEC, manifests))["resources"]
    assert resources == {"limits": {"cpu": "1", "memory": "8Mi"}}


@pytest.mark.parametrize(
    ("protocol", "endpoint", "said"),
    [
        ("otlp-http", "http://198.51.100.7:4318", "http/protobuf"),
        ("otlp-grpc", "http://198.51.100.7:4317", "grpc"),
    ],
)
def test_telemetry(protocol: str, endpoint: str, said: str) -> None:
    """Telemetry goes to the recorder, with the credential from the Secret."""
    telemetry = Telemetry.model_validate({"protocol": protocol, "services": []})
    spec = environment_spec(telemetry=telemetry)
    env = container_of(system_objects(spec, system_manifests()))["env"]
    values = {item["name"]: item.get("value") for item in env}
    assert values["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    assert values["OTEL_EXPORTER_OTLP_PROTOCOL"] == said
    assert values["OTEL_EXPORTER_OTLP_HEADERS"] is None


def test_way_in_label() -> None:
    """Only the pods behind a declared way in carry its label."""
    manifests = system_manifests()
    other = copy.deepcopy(manifests[0])
    other["metadata"]["name"] = "back"
    other["spec"]["template"]["metadata"]["labels"] = {"app": "back"}
    objects = system_objects(SPEC, [*manifests, other])
    labelled = {
        item["metadata"]["name"]
        for item in objects
        if item["kind"] == "Deployment"
        and "regulatory-sandbox/allow-in-front-8080"
        in item["spec"]["template"]["metadata"]["labels"]
    }
    assert labelled == {"front"}


def test_way_in_without_service() -> None:
    """A way in to nothing, or to another port than the pod's, is a defect."""
    only_deployment = system_manifests()[:1]
    assert codes(only_deployment) == ["system/way-in"]
    turned = system_manifests()
    turned[1]["spec"]["ports"] = [{"port": 8080, "targetPort": 9090}]
    assert codes(turned) == ["system/way-in"]


def test_kinds() -> None:
    """Anything but Deployments, Services and ConfigMaps is refused, each by name."""
    extra: list[KubernetesObject] = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "r"},
        },
        {},
    ]
    assert codes([*system_manifests(), *extra]) == ["system/kind-not-taken"] * 3


def test_names() -> None:
    """Two objects of a kind cannot share a name."""
    assert codes([*system_manifests(), system_manifests()[0]]) == ["system/name"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("automountServiceAccountToken", True),
        ("serviceAccountName", "admin"),
        ("priorityClassName", "system-node-critical"),
        ("securityContext", {"runAsNonRoot": False}),
    ],
)
def test_contradiction(field: str, value: Any) -> None:
    """A pod field that contradicts the environment is a defect, not overwritten."""
    manifests = system_manifests()
    pod_of(manifests)[field] = value
    assert codes(manifests) == ["system/contradicts-environment"]


def test_privileges() -> None:
    """Every privilege a container asks for is named, in one error."""
    manifests = system_manifests()
    container_of(manifests)["securityContext"] = {
        "privileged": True,
        "readOnlyRootFilesystem": False,
        "capabilities": {"add": ["NET_ADMIN"]},
    }
    container_of(manifests)["env"] = [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://elsewhere"}
    ]
    assert sorted(codes(manifests)) == [
        "system/privilege",
        "system/privilege",
        "system/privilege",
        "system/telemetry-redirected",
    ]


def test_input_is_untouched() -> None:
    """The applicant's manifests are not changed by rendering them."""
    manifests = system_manifests()
    before = copy.deepcopy(manifests)
    system_objects(SPEC, manifests)
    assert manifests == before
