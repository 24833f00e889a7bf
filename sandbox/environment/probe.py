"""The pods of an isolation proof: attempts from inside, controls from outside.

Rules of this module:

* One container per attempt, blocked ones first, because they take longest.
* Probe pods obey every rule a system's pods obey; only their share is their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.environment.containers import image_reference, runtime_class
from sandbox.environment.labels import (
    CONTROL_NAMESPACE,
    FIELD_MANAGER,
    MANAGED_BY,
    NEIGHBOUR,
    trial_labels,
)
from sandbox.environment.template import fill
from sandbox.errors import IsolationError
from sandbox.model.trial import EnvironmentSpec, ProofTarget
from sandbox.ports import Cluster, KubernetesObject

PROBE = "agnhost"
"""Name of the image whose `connect` makes the attempts."""
KERNEL = "kernel"
"""Container that says which kernel the pod runs on."""
NEIGHBOUR_PORT = 8080

_FOLDER = "trial/proof"
# What must be blocked is tried long enough for its first packet to be repeated once,
# after 1 s (RFC 6298); what must be reached, from inside or by a control, for longer.
_TIMEOUTS = {"blocked": "1500ms", "reached": "2s"}
_FOREIGN_DIGEST = "sha256:" + "0" * 64


def trial_pod(
    spec: EnvironmentSpec, targets: Sequence[ProofTarget], *, own_users: bool = False
) -> KubernetesObject:
    """Return the pod whose attempts start inside the trial.

    Args:
        spec: The environment to be proven.
        targets: What to try.
        own_users: Whether the pods of the trial have users of their own.
    """
    pod = _pod(
        spec,
        [_attempt(spec, target, target.expect) for target in _blocked_first(targets)],
        pod_name="isolation-proof",
        pod_namespace=spec.namespace,
        service_account="workload",
    )
    if own_users:
        pod["spec"]["hostUsers"] = False
    if spec.isolation_class == "N2":
        values = {"kernel_name": KERNEL, "image": _image(spec)}
        pod["spec"]["containers"].append(fill(_FOLDER, "kernel.yaml", values))
    return pod


def control_pod(
    spec: EnvironmentSpec, targets: Sequence[ProofTarget]
) -> KubernetesObject:
    """Return the pod whose attempts start where nothing is denied."""
    return _pod(
        spec,
        [_attempt(spec, target, "reached") for target in targets],
        pod_name=f"proof-{spec.trial_id}",
        pod_namespace=CONTROL_NAMESPACE,
        service_account="default",
    )


def foreign_pod(spec: EnvironmentSpec, *, own_users: bool = False) -> KubernetesObject:
    """Return a pod that admission must refuse: its image is not in the decision."""
    pod = trial_pod(spec, [], own_users=own_users)
    pod["metadata"]["name"] = "admission-proof"
    foreign = spec.model_copy(update={"images": {PROBE: _FOREIGN_DIGEST}})
    target = ProofTarget(name="nowhere", host="192.0.2.1", port=1, expect="blocked")
    pod["spec"]["containers"] = [_attempt(foreign, target, "blocked")]
    return pod


def allowed_pod(spec: EnvironmentSpec, *, own_users: bool = False) -> KubernetesObject:
    """Return a pod that admission must let in: its images are those of the decision."""
    pod = foreign_pod(spec, own_users=own_users)
    template, *_ = pod["spec"]["containers"]
    pod["spec"]["containers"] = [
        {**template, "name": f"image-{number}", "image": image_reference(spec, name)}
        for number, name in enumerate(sorted(spec.images))
    ]
    return pod


def neighbour(spec: EnvironmentSpec) -> KubernetesObject:
    """Return the Deployment of the listener that stands for a neighbour.

    It is shared by all trials with the same probe image, and stays between proofs.
    """
    labels = _neighbour_labels(spec)
    values = {
        "neighbour_name": f"neighbour-{labels[NEIGHBOUR]}",
        "control_namespace": CONTROL_NAMESPACE,
        "labels": labels,
        "image": _image(spec),
    }
    return fill(_FOLDER, "neighbour.yaml", values)


def neighbour_address(cluster: Cluster, spec: EnvironmentSpec) -> str:
    """Return the IP address of the listener; empty while it is not ready."""
    labels = ",".join(
        f"{key}={value}" for key, value in _neighbour_labels(spec).items()
    )
    pods = cluster.find("v1", "Pod", namespace=CONTROL_NAMESPACE, labels=labels)
    ready = [pod for pod in pods if _is_ready(pod)]
    return str(ready[0]["status"]["podIP"]) if ready else ""


def _neighbour_labels(spec: EnvironmentSpec) -> dict[str, str]:
    _image(spec)
    short = spec.images[PROBE].removeprefix("sha256:")[:12]
    return {MANAGED_BY: FIELD_MANAGER, NEIGHBOUR: short}


def _is_ready(pod: KubernetesObject) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _image(spec: EnvironmentSpec) -> str:
    if PROBE not in spec.images:
        raise IsolationError(
            f"The isolation of trial {spec.trial_id} cannot be proven: its images lack"
            f" `{PROBE}`, whose attempts are the proof. Add it with its digest."
        )
    return image_reference(spec, PROBE)


def _blocked_first(targets: Sequence[ProofTarget]) -> list[ProofTarget]:
    return sorted(targets, key=lambda target: target.expect)


def _pod(
    spec: EnvironmentSpec, attempts: Sequence[dict[str, Any]], **place: str
) -> KubernetesObject:
    values: dict[str, Any] = {
        **place,
        "labels": trial_labels(spec.trial_id, "proof"),
        "runtime_class": runtime_class(spec) or None,
        "attempts": list(attempts),
    }
    return fill(_FOLDER, "probe.yaml", values)


def _attempt(spec: EnvironmentSpec, target: ProofTarget, hoped: str) -> dict[str, Any]:
    host = f"[{target.host}]" if ":" in target.host else target.host
    values = {
        "target": target.name,
        "image": _image(spec),
        "connect_args": [f"{host}:{target.port}", f"--timeout={_TIMEOUTS[hoped]}"],
    }
    return fill(_FOLDER, "attempt.yaml", values)
