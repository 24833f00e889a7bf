"""Every attack by an object or a request, on one trial of one cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from experiments.attack_corpus import acts, objects, pods
from experiments.attack_corpus.attempt import Attack, hostile_rights
from experiments.attack_corpus.lines import LINES
from experiments.attack_corpus.mutations import OTHER_RUNTIME
from sandbox.ports import KubernetesObject

USERS_NAMESPACE = "attack-corpus-users"
"""A trial whose pods must have users of their own, whatever its nodes can do."""
POD = "victim"
"""Name of the pod and the Service that must be there: some attacks are on them."""


def attacks(image: str, namespace: str) -> Iterator[Attack]:
    """Yield the corpus.

    Args:
        image: Reference of an image that the decision allows, with `/agnhost`.
        namespace: A trial's, where the pod and the Service `POD` are.
    """
    of_namespace: tuple[Callable[[str], Iterator[Attack]], ...] = (
        objects.service_attacks,
        objects.rights_attacks,
        objects.credential_attacks,
        objects.kind_attacks,
        acts.managed_attacks,
        acts.namespace_attacks,
        acts.entry_attacks,
        acts.token_attacks,
    )
    yield from pods.pod_attacks(image, namespace)
    yield from pods.template_attacks(image, namespace)
    yield from pods.user_attacks(image, USERS_NAMESPACE)
    yield from objects.finalizer_attacks(image, namespace)
    for made in of_namespace:
        yield from made(namespace)
    yield from acts.address_attacks(namespace, POD)
    yield from acts.ephemeral_attacks(image, namespace, POD)


def cluster_objects(image: str) -> list[KubernetesObject]:
    """Return what must be in the cluster beside a trial, for the attacks' time.

    Args:
        image: Reference of the image that the decision allows.
    """
    other = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": OTHER_RUNTIME},
        "handler": "runc",
    }
    return [*hostile_rights(), other, *_trial_with_users(image)]


def victims(image: str, namespace: str) -> list[KubernetesObject]:
    """Return the pod, and the Service before it, that some attacks are made on."""
    pod = pods.usual_pod(image, namespace, POD)
    spec = {"selector": pod["metadata"]["labels"], "ports": [{"port": 80}]}
    place = {"name": POD, "namespace": namespace}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": spec}
    return [service, pod]


def _trial_with_users(image: str) -> list[KubernetesObject]:
    """Return a trial whose nodes can keep the users of a pod apart."""
    labels = {"regulatory-sandbox/trial": USERS_NAMESPACE}
    params = {
        "images": image.partition("@")[2],
        "runtime-class": "",
        "user-namespaces": "required",
        "expires-at": "2100-01-01T00:00:00Z",
    }
    place = {"name": "trial-params", "namespace": USERS_NAMESPACE}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": USERS_NAMESPACE, "labels": labels},
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": params},
    ]


def table() -> str:
    """Return the lines of what is refused, with who refuses and how many attacks."""
    found = list(attacks("image", "namespace"))
    rows = ["| line | refused | by | attacks |", "|---|---|---|---:|"]
    for key, text in LINES.items():
        mine = [attack for attack in found if attack.line == key]
        by = ", ".join(f"`{name}`" for name in sorted({a.policy for a in mine}))
        rows.append(f"| `{key}` | {text} | {by} | {len(mine)} |")
    rows.append(f"| | | together | {len(found)} |")
    return "\n".join(rows)
