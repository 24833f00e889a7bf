"""What a cluster would refuse is asked object by object, whatever is written there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.conformity import ask_admission
from sandbox.environment.system import examine_system
from sandbox.errors import ClusterError, IsolationError
from sandbox.ports import Applied, KubernetesObject
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests

SPEC = environment_spec()
WRONG: tuple[Any, ...] = (None, "x", 3, [], {}, ["x"], [3], {"x": 3})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in items:
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from places(below, (*path, key))


def spoiled(path: tuple[Any, ...], wrong: Any) -> list[KubernetesObject]:
    manifests = copy.deepcopy(system_manifests())
    level: Any = manifests
    for step in path[:-1]:
        level = level[step]
    level[path[-1]] = wrong
    return manifests


class Refusing(FakeCluster):
    """Refuses dry runs of one object in the words of an API server."""

    def __init__(self, words: str, of: str) -> None:
        super().__init__()
        self._words, self._of = words, of

    def apply(
        self, objects: Any, *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        names = [f"{item['kind']} {item['metadata']['name']}" for item in objects]
        if dry_run and self._of in names:
            raise ClusterError("refused", status=422, said=self._words)
        return super().apply(objects, owner=owner, dry_run=dry_run)


@pytest.mark.parametrize(
    "path", [path for path in places(system_manifests()) if len(path) > 1], ids=str
)
def test_no_manifest_is_too_wrong_to_be_answered(path: tuple[Any, ...]) -> None:
    """Whatever stands anywhere in a manifest, the problems are named."""
    for wrong in WRONG:
        objects, defects = examine_system(SPEC, spoiled(path, wrong))
        assert len(objects) == 2 or defects


@pytest.mark.parametrize(
    ("words", "by", "why", "remedy"),
    [
        (
            "ValidatingAdmissionPolicy 'no-ports' with binding 'b' denied request: it"
            " takes a port; remove x.y... now.",
            "no-ports",
            "it takes a port",
            "remove x.y... now",
        ),
        (
            'pods "front-pod" is forbidden: violates PodSecurity "restricted:v1.36":'
            " hostPort (container uses hostPort 80).",
            'PodSecurity "restricted:v1.36"',
            "hostPort (container uses hostPort 80)",
            "Correct what stands in brackets",
        ),
        (
            'pods "p" is forbidden: exceeded quota: system, requested: pods=1.',
            "quota: system",
            "requested: pods=1",
            "Ask for higher",
        ),
        ("something else.", "Kubernetes", "something else.", "Correct the field"),
    ],
)
def test_a_refusal_names_who_refused(
    words: str, by: str, why: str, remedy: str
) -> None:
    """Policy, quota and Pod Security are told apart by the API server's own words."""
    cluster = Refusing(words, "Pod front-pod")
    answers = ask_admission(cluster, SPEC, system_manifests(), pause=lambda _: None)
    (refused,) = [item for item in answers if item.refused_by]
    assert refused.item == "pods of Deployment front"
    assert (refused.refused_by, refused.why) == (by, why)
    assert refused.remedy.startswith(remedy)
    assert cluster.find("v1", "Namespace", labels="regulatory-sandbox/trial") == []


def test_what_does_not_fit_the_limits_is_said() -> None:
    """No single pod is refused, but all together need more than was asked for."""
    manifests = system_manifests()
    manifests[0]["spec"]["replicas"] = 9
    answers = ask_admission(FakeCluster(), SPEC, manifests, pause=lambda _: None)
    said = [item.why for item in answers if item.refused_by == "quota: system"]
    assert "pods: 9 needed, 8 asked for" in said


class Lenient(FakeCluster):
    """Admits whatever image."""

    def apply(
        self, objects: Any, *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        if dry_run and objects[0]["metadata"]["name"] == "admission-proof":
            return []
        return super().apply(objects, owner=owner, dry_run=dry_run)


def test_a_cluster_that_admits_everything_is_no_witness() -> None:
    """Where foreign images are admitted nothing is said of the manifests."""
    with pytest.raises(IsolationError, match="not in force"):
        ask_admission(Lenient(), SPEC, system_manifests(), pause=lambda _: None)
