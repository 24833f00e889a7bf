"""The applicant's manifests, made to run inside the environment and nowhere else.

Rules of this module:

* Only Deployments, Services and ConfigMaps are taken; anything else is a defect.
* The applicant writes `image: NAME`; the digest comes from the decision.
* What the environment decides (account, priority, security context, telemetry) is set
  here; a manifest that says otherwise is a defect, never silently changed.
* Every problem is found at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sandbox.environment.containers import ContainerSetting, harden_container
from sandbox.environment.labels import trial_labels
from sandbox.environment.needs import way_in
from sandbox.environment.shape import misshapen, without_nulls
from sandbox.errors import InputError
from sandbox.model.application import Defect, IngressNeed
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import KubernetesObject

_TAKEN = {("apps/v1", "Deployment"), ("v1", "Service"), ("v1", "ConfigMap")}
_ORDER = ("ConfigMap", "Service", "Deployment")
_MAX_GRACE_S = 30


def system_objects(
    spec: EnvironmentSpec,
    manifests: Sequence[KubernetesObject],
    *,
    own_users: bool = False,
) -> list[KubernetesObject]:
    """Return the applicant's objects as they will be applied, in apply order.

    Args:
        spec: The environment they will run in.
        manifests: Deployments, Services and ConfigMaps as the applicant wrote them.
        own_users: Whether every pod has users of its own.

    Raises:
        InputError: Something else was found, or a manifest contradicts the
            environment; every problem is named.
    """
    objects, defects = examine_system(spec, manifests, own_users=own_users)
    if defects:
        raise InputError(defects)
    return objects


def examine_system(
    spec: EnvironmentSpec,
    manifests: Sequence[KubernetesObject],
    *,
    own_users: bool = False,
) -> tuple[list[KubernetesObject], list[Defect]]:
    """Return the objects as they would be applied, and everything wrong with them.

    What is not taken is left out; what contradicts the environment is left as it is
    written, so that the cluster can be asked about it.

    Args:
        spec: The environment they will run in.
        manifests: As for `system_objects`.
        own_users: As for `system_objects`.
    """
    defects = list(_shape_defects(manifests))
    sound = [item for item in manifests if _is_taken(item) and not misshapen(item)]
    objects = [_placed(spec, item) for item in sound]
    setting = ContainerSetting.of(spec)._replace(own_users=own_users)
    for item in objects:
        if item["kind"] == "Deployment":
            defects += _make_deployment(spec, item, setting)
    if len(objects) == len(manifests):
        # A way in may lead to what was not taken.
        defects += _open_ways_in(spec, objects)
    return sorted(objects, key=lambda item: _ORDER.index(item["kind"])), defects


def _is_taken(item: KubernetesObject) -> bool:
    return _kind(item) in _TAKEN and bool(_name(item))


def _kind(item: KubernetesObject) -> tuple[str, str]:
    return str(item.get("apiVersion") or ""), str(item.get("kind") or "")


def _name(item: KubernetesObject) -> str:
    metadata = item.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _shape_defects(manifests: Sequence[KubernetesObject]) -> Iterator[Defect]:
    seen: set[tuple[str, str]] = set()
    for index, item in enumerate(manifests):
        (_, kind), name = _kind(item), _name(item)
        if _kind(item) not in _TAKEN:
            yield _defect(
                "system/kind-not-taken",
                f"manifest {index + 1} is a {kind or 'document without kind'}",
                "Bring only apps/v1 Deployments, Services and ConfigMaps.",
            )
        elif not name or (kind, name) in seen:
            yield _defect(
                "system/name",
                f"manifest {index + 1}, a {kind}, has no name of its own",
                "Give each object a metadata.name that no other of its kind has.",
            )
        else:
            for field, expected in misshapen(item):
                yield _defect(
                    "system/shape",
                    f"{kind}/{name}: {field} is not {expected}",
                    f"Write {expected} there, as the Kubernetes API has it.",
                )
        seen.add((kind, name))


def _placed(spec: EnvironmentSpec, item: KubernetesObject) -> KubernetesObject:
    placed: KubernetesObject = without_nulls(item)
    placed.pop("status", None)
    metadata = placed["metadata"]
    metadata["namespace"] = spec.namespace
    metadata["labels"] = {
        **metadata.get("labels", {}),
        **trial_labels(spec.trial_id, "system"),
    }
    return placed


def _make_deployment(
    spec: EnvironmentSpec, item: KubernetesObject, setting: ContainerSetting
) -> Iterator[Defect]:
    where = f"Deployment/{item['metadata']['name']}"
    template = item.get("spec", {}).get("template", {})
    pod = template.get("spec")
    if not pod or not pod.get("containers"):
        yield _defect(
            "system/no-containers",
            f"{where} has no containers",
            "Write at least one under spec.template.spec.containers.",
        )
        return
    item["spec"].setdefault("replicas", 1)
    # Without it a container that crashes at once counts as available in between.
    item["spec"].setdefault("minReadySeconds", 1)
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {
        **metadata.get("labels", {}),
        **trial_labels(spec.trial_id, "system"),
    }
    yield from _impose(pod, _pod_fields(setting), f"{where}: spec.template.spec")
    pod.setdefault("terminationGracePeriodSeconds", _MAX_GRACE_S)
    for key in ("initContainers", "containers"):
        for container in pod.get(key, []):
            yield from harden_container(container, setting, where)


def _pod_fields(setting: ContainerSetting) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "serviceAccountName": "workload",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": "regulatory-sandbox-trial",
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if setting.runtime_class:
        fields["runtimeClassName"] = setting.runtime_class
    if setting.own_users:
        fields["hostUsers"] = False
    return fields


def _impose(
    target: dict[str, Any], fields: dict[str, Any], where: str
) -> Iterator[Defect]:
    """Set fields, and name each one that already says something else."""
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _impose(target.setdefault(key, {}), value, f"{where}.{key}")
        elif target.setdefault(key, value) != value:
            yield _defect(
                "system/contradicts-environment",
                f"{where}.{key} is {target[key]!r}",
                f"The environment sets it to {value!r}; remove the field.",
            )


def _open_ways_in(
    spec: EnvironmentSpec, objects: Sequence[KubernetesObject]
) -> Iterator[Defect]:
    """Label the pods behind each declared way in, so that its policy finds them."""
    for index, need in enumerate(spec.needs.ingress):
        problem = _open_way_in(need, objects)
        if problem:
            yield _defect(
                "system/way-in",
                problem,
                "Let needs.ingress name a Service of the manifests and the port its"
                " pods listen on; policies see the port of the pod.",
                field=f"needs.ingress.{index}",
            )


def _open_way_in(need: IngressNeed, objects: Sequence[KubernetesObject]) -> str:
    services = [i for i in objects if i["kind"] == "Service"]
    service = next((i for i in services if i["metadata"]["name"] == need.to), None)
    if service is None:
        return f"there is no Service `{need.to}` in the manifests"
    leads = service.get("spec", {})
    ports = [p for p in leads.get("ports", []) if p.get("port") == need.port]
    if not ports or ports[0].get("targetPort", need.port) != need.port:
        return f"Service `{need.to}` does not lead port {need.port} to the same port"
    templates = _behind(leads.get("selector", {}), objects)
    for template in templates:
        template["metadata"]["labels"][f"regulatory-sandbox/{way_in(need)}"] = "true"
    return "" if templates else f"Service `{need.to}` selects no pod of the manifests"


def _behind(
    selector: dict[str, str], objects: Sequence[KubernetesObject]
) -> list[dict[str, Any]]:
    templates = [
        i["spec"]["template"]
        for i in objects
        if i["kind"] == "Deployment"
        and i.get("spec", {}).get("template", {}).get("spec")
    ]
    return [
        template
        for template in templates
        if selector and selector.items() <= _labels(template).items()
    ]


def _labels(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = template.get("metadata", {}).get("labels", {})
    return found


def _defect(code: str, what: str, remedy: str, field: str = "manifests") -> Defect:
    return Defect(code=code, what=what, remedy=remedy, field=field)
