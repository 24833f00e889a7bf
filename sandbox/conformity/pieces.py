"""Of which objects does a system consist, as far as one can say before it runs?

Rules of this module:

* A Deployment stands for pods as well: its pod is a piece by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sandbox.ports import KubernetesObject


def pieces(
    objects: Sequence[KubernetesObject],
) -> Iterator[tuple[str, KubernetesObject]]:
    """Yield each object of a system, and the pod of each Deployment, with its name."""
    for item in objects:
        name = f"{item['kind']} {item['metadata']['name']}"
        yield name, item
        if item["kind"] == "Deployment" and pod_template(item).get("spec"):
            yield f"pods of {name}", _pod(item)


def pod_template(deployment: KubernetesObject) -> dict[str, Any]:
    """Return what the pods of a Deployment are made from; empty where nothing is."""
    found = (deployment.get("spec") or {}).get("template") or {}
    return dict(found)


def _pod(deployment: KubernetesObject) -> KubernetesObject:
    metadata, template = deployment["metadata"], pod_template(deployment)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **(template.get("metadata") or {}),
            "name": f"{metadata['name']}-pod",
            "namespace": metadata["namespace"],
        },
        "spec": template["spec"],
    }
