"""The pods of an isolation proof: attempts from inside, controls from outside.

Rules of this module:

* One container makes all attempts of a pod, at once, and prints what came of them: the
  program `sandbox/incluster/attempts.py` in the product's own image.
* Probe pods obey every rule a system's pods obey; only their share is their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sandbox.environment.containers import image_reference, runtime_class
from sandbox.environment.labels import (
    CONTROL_NAMESPACE,
    FIELD_MANAGER,
    MANAGED_BY,
    NEIGHBOUR,
    PROOF_POD,
    trial_labels,
)
from sandbox.environment.template import fill
from sandbox.errors import IsolationError
from sandbox.model.trial import EnvironmentSpec, ProofTarget
from sandbox.ports import Cluster, KubernetesObject

PROBE = "attempts"
"""Container that makes the attempts and prints what came of them."""
NEIGHBOUR_PORT = 8080

_FOLDER = "trial/proof"
# What must be blocked is tried long enough for its first packet to be repeated once,
# after 1 s (RFC 6298); what must be reached, from inside or by a control, for longer.
_SECONDS = {"blocked": 1.5, "reached": 2.0}
_FOREIGN = "localhost/foreign@sha256:" + "0" * 64


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
        [_asked(target, target.expect) for target in targets],
        pod_name=PROOF_POD,
        pod_namespace=spec.namespace,
        service_account="workload",
    )
    if own_users:
        pod["spec"]["hostUsers"] = False
    return pod


def control_pod(
    spec: EnvironmentSpec, targets: Sequence[ProofTarget]
) -> KubernetesObject:
    """Return the pod whose attempts start where nothing is denied."""
    return _pod(
        spec,
        [_asked(target, "reached") for target in targets],
        pod_name=f"proof-{spec.trial_id}",
        pod_namespace=CONTROL_NAMESPACE,
        service_account="default",
    )


def foreign_pod(spec: EnvironmentSpec, *, own_users: bool = False) -> KubernetesObject:
    """Return a pod that admission must refuse: its image is not in the decision."""
    pod = trial_pod(spec, [], own_users=own_users)
    pod["metadata"]["name"] = "admission-proof"
    pod["spec"]["containers"][0]["image"] = _FOREIGN
    return pod


def allowed_pod(spec: EnvironmentSpec, *, own_users: bool = False) -> KubernetesObject:
    """Return a pod that admission must let in: its image is one of the decision."""
    pod = foreign_pod(spec, own_users=own_users)
    # The parameters are one object: where one of its images is known, all are.
    pod["spec"]["containers"][0]["image"] = image_reference(spec, min(spec.images))
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
    digest = _image(spec).partition("@sha256:")[2]
    return {MANAGED_BY: FIELD_MANAGER, NEIGHBOUR: digest[:12]}


def _is_ready(pod: KubernetesObject) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _image(spec: EnvironmentSpec) -> str:
    if not spec.probe_image:
        raise IsolationError(
            f"The isolation of trial {spec.trial_id} cannot be proven: its environment"
            " names no image of this product, whose attempts are the proof. Set"
            " SANDBOX_IMAGES with regulatory-sandbox to NAME@sha256:…, and open the"
            " trial anew."
        )
    return spec.probe_image


def _pod(
    spec: EnvironmentSpec, asked: Sequence[dict[str, Any]], **place: str
) -> KubernetesObject:
    values: dict[str, Any] = {
        **place,
        "labels": trial_labels(spec.trial_id, "proof"),
        "runtime_class": runtime_class(spec) or None,
        "probe_name": PROBE,
        "image": _image(spec),
        "targets": [json.dumps(asked)],
    }
    return fill(_FOLDER, "probe.yaml", values)


def _asked(target: ProofTarget, hoped: str) -> dict[str, Any]:
    return {
        "name": target.name,
        "host": target.host,
        "port": target.port,
        "seconds": _SECONDS[hoped],
    }
