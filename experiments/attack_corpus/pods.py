"""Attacks by one field of a pod, or of the template of something that makes pods."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from experiments.attack_corpus.attempt import Attack, applied
from experiments.attack_corpus.mutations import (
    FOREIGN,
    MUTATIONS,
    Change,
    set_container,
    set_pod,
)
from sandbox.ports import KubernetesObject


def usual_pod(image: str, namespace: str, name: str = "admitted") -> KubernetesObject:
    """Return a pod that admission accepts.

    Args:
        image: Reference of an image that the decision allows.
        namespace: The trial's.
        name: Name of the pod, and of its container.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "priorityClassName": "regulatory-sandbox-trial",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [usual_container(image, name)],
        },
    }


def usual_container(image: str, name: str) -> dict[str, Any]:
    """Return a container that admission accepts."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/agnhost", "pause"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "1m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "64Mi"},
        },
    }


def pod_attacks(image: str, namespace: str) -> Iterator[Attack]:
    """Yield every attack by a field of a pod; the control is the pod without it."""
    good = usual_pod(image, namespace)
    for item in MUTATIONS:
        bad = copy.deepcopy(good)
        item.change(bad["spec"])
        yield Attack(
            item.line, item.name, applied(bad), applied(good), item.policy, item.words
        )


def user_attacks(image: str, namespace: str) -> Iterator[Attack]:
    """Yield attacks by the users of a pod.

    Args:
        image: Reference of an image that the decision allows.
        namespace: One whose parameters ask for users of the pod's own.
    """
    good = usual_pod(image, namespace)
    good["spec"]["hostUsers"] = False
    for name, change in (
        ("users of the node", set_pod(hostUsers=True)),
        ("users of the node by omission", lambda spec: spec.pop("hostUsers")),
    ):
        bad = copy.deepcopy(good)
        change(bad["spec"])
        attempt, control = applied(bad), applied(good)
        yield Attack("user-namespace", name, attempt, control, "decision", "hostUsers")


def template_attacks(image: str, namespace: str) -> Iterator[Attack]:
    """Yield attacks by what makes pods; most kinds have a quota of zero besides.

    The quota is looked at last, so that it alone stops a control shows that every
    policy let it through.
    """
    for kind, line, quota in _MAKERS:
        good = _maker(kind, usual_pod(image, namespace))
        for name, change, policy, words in _IN_TEMPLATES:
            bad = copy.deepcopy(good)
            change(_template(bad)["spec"])
            yield Attack(
                "limits" if name == "no limits" else line,
                f"{name} in a {kind}",
                applied(bad),
                applied(good),
                policy,
                words,
                control_says=quota,
            )


_NONE = "exceeded quota: objects"
_MAKERS = (
    ("Deployment", "kind", ""),
    ("ReplicaSet", "kind", ""),
    ("StatefulSet", "kind", _NONE),
    ("DaemonSet", "kind", _NONE),
    ("Job", "kind", _NONE),
    ("CronJob", "kind", _NONE),
    ("ReplicationController", "kind", _NONE),
)
_IN_TEMPLATES: tuple[tuple[str, Change, str, str], ...] = (
    ("foreign image", set_container(image=FOREIGN), "decision", "not pinned"),
    ("no limits", set_container(resources={}), "pods", "no cpu or memory limit"),
    ("node", set_pod(nodeName="local"), "pods", "nodeName"),
    (
        "host port",
        set_container(ports=[{"containerPort": 80, "hostPort": 80}]),
        "pods",
        "a port of the node",
    ),
)


def _template(item: dict[str, Any]) -> dict[str, Any]:
    spec = item["spec"]
    if "jobTemplate" in spec:
        spec = spec["jobTemplate"]["spec"]
    template: dict[str, Any] = spec["template"]
    return template


def _maker(kind: str, pod: KubernetesObject) -> KubernetesObject:
    """Return an object of a kind that makes pods like this one."""
    labels, version = pod["metadata"]["labels"], "apps/v1"
    template = {"metadata": {"labels": labels}, "spec": copy.deepcopy(pod["spec"])}
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": template}
    if kind in ("Job", "CronJob"):
        spec, version = {"template": template}, "batch/v1"
    else:
        template["spec"].pop("restartPolicy")
    if kind == "CronJob":
        spec = {"schedule": "0 0 * * *", "jobTemplate": {"spec": spec}}
    if kind == "ReplicationController":
        spec, version = {"selector": labels, "template": template}, "v1"
    if kind == "StatefulSet":
        spec["serviceName"] = "none"
    place = {"name": "maker", "namespace": pod["metadata"]["namespace"]}
    return {"apiVersion": version, "kind": kind, "metadata": place, "spec": spec}
