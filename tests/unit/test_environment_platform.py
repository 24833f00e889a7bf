"""What a cluster needs once: applied, compared, ensured and removed, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.environment import (
    apply_environment,
    apply_platform,
    ensure_platform,
    environment_objects,
    platform_differences,
    platform_objects,
    system_objects,
    uninstall_platform,
)
from sandbox.environment.difference import deviations, holds
from sandbox.environment.kinds import KINDS, ref_of
from sandbox.environment.probe import control_pod, neighbour, trial_pod
from sandbox.environment.removal import CLUSTER_KINDS
from sandbox.errors import IsolationError
from sandbox.ports import KubernetesObject, ObjectRef
from sandbox.rules.admission import RULES_OF
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests

SPEC = environment_spec()
OBJECTS = platform_objects()
POLICY = ObjectRef(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicy",
    "",
    "regulatory-sandbox-pods",
)
MARKER = ObjectRef("v1", "ConfigMap", "sandbox-control", "regulatory-sandbox-platform")
RULES = next(
    item["rules"]
    for item in OBJECTS
    if (item["kind"], item["metadata"]["name"])
    == ("ClusterRole", "regulatory-sandbox-worker")
)
MANAGED = {"app.kubernetes.io/managed-by": "regulatory-sandbox"}


def no_pause(seconds: float) -> None:
    """Wait in no time."""


@pytest.fixture(name="cluster")
def _cluster() -> FakeCluster:
    """A cluster with the platform, and nothing written since."""
    cluster = FakeCluster()
    apply_platform(cluster)
    cluster.writes.clear()
    return cluster


def put(cluster: FakeCluster, ref: ObjectRef, **body: Any) -> None:
    """Change an object as somebody else would."""
    item = cluster.get(ref)
    assert item is not None
    cluster.apply([{**item, **body}], owner="someone")


def fails_open() -> dict[str, Any]:
    (policy,) = (item for item in OBJECTS if ref_of(item) == POLICY)
    return {**policy["spec"], "failurePolicy": "Ignore"}


def test_apply_twice() -> None:
    """Everything is created, then found unchanged, and nothing differs."""
    cluster = FakeCluster()
    first, second = apply_platform(cluster), apply_platform(cluster)
    assert [step.outcome for step in first] == ["created"] * len(OBJECTS)
    assert [step.outcome for step in second] == ["unchanged"] * len(OBJECTS)
    assert platform_differences(cluster) == []


def test_marker_comes_last() -> None:
    """The marker is the last object: where it is, everything else is."""
    assert ref_of(OBJECTS[-1]) == MARKER
    assert ref_of(OBJECTS[0]).kind == "Namespace"


def test_differences_are_named(cluster: FakeCluster) -> None:
    """A changed field is named with its path, a missing object and a leftover too."""
    put(cluster, POLICY, spec=fails_open())
    cluster.delete(ref_of(OBJECTS[1]))
    old: KubernetesObject = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "of-old", "labels": MANAGED},
        "rules": [],
    }
    cluster.apply([old], owner="someone")
    name = "ValidatingAdmissionPolicy regulatory-sandbox-pods"
    assert {tuple(item) for item in platform_differences(cluster)} == {
        (name, "changed", "spec.failurePolicy", "Fail", "Ignore"),
        ("PriorityClass regulatory-sandbox-trial", "missing", "", None, None),
        ("ClusterRole of-old", "foreign", "", None, None),
    }


def test_trials_are_not_foreign(cluster: FakeCluster) -> None:
    """Namespaces, pods, neighbours and rendered rules of trials are no difference."""
    apply_environment(cluster, SPEC, recorder_token="t")
    rules: KubernetesObject = {
        **next(item for item in OBJECTS if ref_of(item) == POLICY),
        "metadata": {"name": "rules", "labels": {**MANAGED, RULES_OF: "ride-1"}},
    }
    cluster.apply([rules], owner="regulatory-sandbox")
    cluster.apply([neighbour(SPEC), control_pod(SPEC, [])], owner="regulatory-sandbox")
    assert platform_differences(cluster) == []


def test_ensure_writes_nothing_where_all_is_well(cluster: FakeCluster) -> None:
    """What is installed and whole is only read."""
    ensure_platform(cluster)
    assert cluster.writes == []


def test_ensure_installs_and_repairs(cluster: FakeCluster) -> None:
    """A platform that is not there, of another version, or broken is made whole."""
    empty = FakeCluster()
    ensure_platform(empty)
    assert platform_differences(empty) == []
    put(cluster, MARKER, data={"digest": "sha256:of-old"})
    ensure_platform(cluster)
    assert platform_differences(cluster) == []
    put(cluster, POLICY, spec=fails_open())
    ensure_platform(cluster)
    assert platform_differences(cluster) == []


def test_who_may_not_install_is_told(cluster: FakeCluster) -> None:
    """Without the right to repair, nothing begins, and the error says what to do."""
    cluster.refuse = lambda item: "not yours"
    ensure_platform(cluster)
    cluster.delete(POLICY)
    with pytest.raises(IsolationError, match="sandbox platform install") as caught:
        apply_environment(cluster, SPEC, recorder_token="t")
    assert "regulatory-sandbox-pods was changed or removed" in caught.value.diagnosis
    assert not caught.value.retryable


def test_uninstall(cluster: FakeCluster) -> None:
    """Objects go in reverse order, the marker first; what is not ours stays."""
    theirs = ref_of(OBJECTS[1])
    cluster.delete(theirs)
    cluster.apply([{**OBJECTS[1], "metadata": {"name": theirs.name}}], owner="someone")
    cluster.writes.clear()
    steps = uninstall_platform(cluster, wait_s=1, pause=no_pause)
    assert {step.outcome for step in steps} == {"removed", "not ours"}
    deleted = [write.ref for write in cluster.writes]
    assert deleted == [ref_of(i) for i in reversed(OBJECTS) if ref_of(i) != theirs]
    assert cluster.get(theirs) is not None


def test_no_uninstall_under_trials(cluster: FakeCluster) -> None:
    """While there is a trial nothing is removed, and it is named."""
    apply_environment(cluster, SPEC, recorder_token="t")
    cluster.writes.clear()
    with pytest.raises(IsolationError, match="trial-ride-1"):
        uninstall_platform(cluster, wait_s=1, pause=no_pause)
    assert cluster.writes == []


def covers(rule: dict[str, Any], ref: ObjectRef, verb: str) -> bool:
    """Whether a rule of RBAC gives a right over an object of that name."""
    group = ref.api_version.rpartition("/")[0]
    names = rule.get("resourceNames", [ref.name])
    plural = KINDS[ref.api_version, ref.kind].plural
    return (
        group in rule["apiGroups"]
        and plural in rule["resources"]
        and verb in rule["verbs"]
        and ref.name in names
    )


def test_worker_may_list_what_it_looks_through() -> None:
    """Every kind of this product but Secrets is in the worker's role, and every kind of
    admission policy: whoever adds a kind adds it there.
    """
    kinds = {key for key, kind in KINDS.items() if kind.namespaced} | {*CLUSTER_KINDS}
    kinds |= {
        (item["apiVersion"], item["kind"])
        for item in OBJECTS
        if item["apiVersion"].startswith("admissionregistration.k8s.io/")
    }
    lacking = [
        key
        for key in sorted(kinds)
        if not any(covers(rule, ObjectRef(*key, "", ""), "list") for rule in RULES)
    ]
    assert lacking == [("v1", "Secret")]


def test_worker_may_write_what_is_written() -> None:
    """Every object of an environment, a system and a proof is in the worker's role:
    whoever adds one adds its name there.
    """
    written = [
        *environment_objects(SPEC, recorder_token="t"),
        *system_objects(SPEC, system_manifests()),
        *(neighbour(SPEC), control_pod(SPEC, []), trial_pod(SPEC, [])),
    ]
    lacking = [
        (ref_of(item), verb)
        for item in written
        for verb in ("create", "patch")
        if not any(covers(rule, ref_of(item), verb) for rule in RULES)
    ]
    assert lacking == []


def test_wildcards_are_nowhere_but_in_the_control_namespace() -> None:
    """No role has a wildcard but one that lists, in our own namespace."""
    rules = [(item, rule) for item in OBJECTS for rule in item.get("rules", [])]
    wide = [item["kind"] for item, rule in rules if "*" in str(rule)]
    assert len(rules) > 20 and wide == ["Role"]
    assert [rule["verbs"] for _, rule in rules if "*" in str(rule)] == [["list"]]


def thing(labels: dict[str, str] | None = None, **spec: Any) -> KubernetesObject:
    metadata = {"name": "t", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "T", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("found", "paths"),
    [
        (thing(a=1, b=[1, 2]), []),
        (thing({"theirs": "x"}, a=1, b=[1, 2]), []),
        (thing(a=2, b=[1, 2]), ["spec.a"]),
        (thing(a=1, b=[1]), ["spec.b[1]"]),
        (thing(a=1, b=[1, 2], off=True), ["spec.off"]),
        (thing(b=[1, 2]), ["spec.a"]),
    ],
)
def test_deviations(found: KubernetesObject, paths: list[str]) -> None:
    """A value changed, lacking or added is one deviation, at its path."""
    wanted = thing(a=1, b=[1, 2])
    assert [item.path for item in deviations(wanted, found)] == paths


def test_our_labels_count() -> None:
    """A label of ours that is gone is a deviation."""
    (found,) = deviations(thing(MANAGED), thing())
    assert found.path == "metadata.labels.app.kubernetes.io/managed-by"


@pytest.mark.parametrize(
    ("added", "is_held"),
    [
        ({"matchPolicy": "Equivalent"}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"matchConditions": [{"name": "off", "expression": "false"}]}, False),
    ],
)
def test_a_policy_holds(added: dict[str, Any], is_held: bool) -> None:
    """Defaults of the API server change nothing; whatever else was added does."""
    written = {"failurePolicy": "Fail", "rules": [{"verbs": ["a"]}]}
    assert holds(written, {**written, **added}) == is_held
    assert not holds({**written, "more": 1}, written)


def test_a_repair_keeps_the_image_that_is_installed() -> None:
    """Who names no image takes none away: the job that ends trials stays as it is."""
    cluster, image = FakeCluster(), "registry.example/own@sha256:" + "c" * 64
    apply_platform(cluster, own_image=image)
    job = ObjectRef(
        "batch/v1", "CronJob", "sandbox-control", "regulatory-sandbox-expiry"
    )
    assert cluster.delete(job)
    apply_platform(cluster)
    assert cluster.get(job) is not None
    assert platform_differences(cluster) == []
