"""Comparing an environment with its decision, and putting it back, in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.environment import (
    apply_environment,
    deploy_system,
    environment_objects,
    find_drift,
    freeze,
    open_ways,
    prove_isolation,
    put_back,
    reclaim,
    recorder_token,
    settle,
    standard_targets,
)
from sandbox.environment.drift import differences
from sandbox.environment.render import stated
from sandbox.errors import InputError, IsolationError
from sandbox.model.drift import Drift, EnvironmentShape
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import KubernetesObject, ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests

AT = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = environment_spec()
HOME = "trial-ride-1"
NAMESPACE = ObjectRef("v1", "Namespace", "", HOME)
POLICY = "networking.k8s.io/v1", "NetworkPolicy"


def no_pause(seconds: float) -> None:
    """Wait in no time."""


@pytest.fixture(name="cluster")
def _cluster() -> FakeCluster:
    cluster = FakeCluster()
    apply_environment(cluster, SPEC, recorder_token="t")
    deploy_system(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)
    return cluster


def found(
    cluster: FakeCluster, shape: EnvironmentShape = "ready", uid: str = ""
) -> Drift:
    return find_drift(cluster, SPEC, shape=shape, uid=uid, at=AT)


def lines(drift: Drift) -> list[str]:
    return [item.sentence() for item in drift.findings]


def changed(
    cluster: FakeCluster, ref: ObjectRef, change: Callable[[KubernetesObject], None]
) -> None:
    item = cluster.get(ref)
    assert item is not None
    change(item)
    cluster.apply([item], owner="someone-else")


def test_nothing_found(cluster: FakeCluster) -> None:
    """An environment as applied shows no drift, and looking writes nothing."""
    writes = len(cluster.writes)
    drift = found(cluster)
    assert drift.findings == ()
    assert drift.namespace_uid
    assert len(cluster.writes) == writes


@pytest.mark.parametrize(
    "item",
    [
        item
        for item in environment_objects(SPEC, recorder_token="t")
        if item["kind"] not in ("Namespace", "Secret")
    ],
    ids=lambda item: f"{item['kind']}-{item['metadata']['name']}",
)
def test_every_object_that_is_missing_is_put_back(
    cluster: FakeCluster, item: KubernetesObject
) -> None:
    """Whatever is rendered is looked for, and made again."""
    metadata = item["metadata"]
    ref = ObjectRef(item["apiVersion"], item["kind"], HOME, metadata["name"])
    assert cluster.delete(ref)
    assert lines(found(cluster)) == [
        f"{item['kind']} {HOME}/{metadata['name']} is missing"
    ]
    assert put_back(cluster, SPEC, found(cluster), pause=no_pause) == []
    assert found(cluster).findings == ()


@pytest.mark.parametrize(
    ("kind", "name", "content", "path"),
    [
        (POLICY, "allow-dns", {"egress": [{}]}, "spec.egress[0].to"),
        (("v1", "ResourceQuota"), "system", {"hard": {"pods": "99"}}, "spec.hard.pods"),
        (("v1", "ResourceQuota"), "system", {"scopes": ["BestEffort"]}, "spec.scopes"),
        (("v1", "LimitRange"), "container-limits", {"limits": []}, "spec.limits[0]"),
    ],
)
def test_a_field_that_was_changed_is_named(
    cluster: FakeCluster,
    kind: tuple[str, str],
    name: str,
    content: dict[str, Any],
    path: str,
) -> None:
    """The path of the field is told, whether changed or added."""
    ref = ObjectRef(*kind, HOME, name)
    changed(cluster, ref, lambda item: item["spec"].update(content))
    (finding,) = found(cluster).findings
    assert path in finding.fields
    assert (finding.change, finding.action) == ("changed", "put_back")
    assert settle(cluster, SPEC, found(cluster), pause=no_pause).findings == ()
    assert found(cluster).findings == ()


def test_quantities_are_compared_as_amounts() -> None:
    """The API server writes 1000m as 1; that is no drift, and 2 is."""
    asked = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"limits.cpu": "1000m", "limits.memory": "1024Mi"}},
    }
    there = copy.deepcopy(asked)
    there["spec"] = {"hard": {"limits.cpu": "1", "limits.memory": "1Gi"}}
    assert differences(asked, there) == ()
    there["spec"] = {"hard": {"limits.cpu": "2", "limits.memory": "1Gi"}}
    assert differences(asked, there) == ("spec.hard.limits.cpu",)


def test_other_peoples_labels_are_theirs(cluster: FakeCluster) -> None:
    """A label beside ours is no drift; one of ours with another value is."""
    changed(cluster, NAMESPACE, lambda i: i["metadata"]["labels"].update(team="blue"))
    assert found(cluster).findings == ()
    level = {"pod-security.kubernetes.io/enforce": "privileged"}
    changed(cluster, NAMESPACE, lambda i: i["metadata"]["labels"].update(level))
    (finding,) = found(cluster).findings
    assert finding.fields == ("metadata.labels.pod-security.kubernetes.io/enforce",)


@pytest.mark.parametrize(
    ("kind", "content", "is_foreign"),
    [
        (POLICY, {"spec": {"podSelector": {}, "policyTypes": ["Egress"]}}, True),
        (("rbac.authorization.k8s.io/v1", "Role"), {"rules": []}, True),
        (("v1", "ServiceAccount"), {}, True),
        (("v1", "Secret"), {"type": "kubernetes.io/service-account-token"}, True),
        (("v1", "Secret"), {"type": "Opaque"}, False),
        (("v1", "ConfigMap"), {"data": {}}, False),
    ],
)
def test_only_what_opens_something_is_foreign(
    cluster: FakeCluster,
    kind: tuple[str, str],
    content: dict[str, Any],
    is_foreign: bool,
) -> None:
    """A policy or role that nobody asked for is removed; data of the system is not."""
    item = {
        "apiVersion": kind[0],
        "kind": kind[1],
        "metadata": {"name": "other", "namespace": HOME},
        **content,
    }
    cluster.apply([item], owner="someone-else")
    assert lines(found(cluster)) == (
        [f"{kind[1]} {HOME}/other is foreign"] if is_foreign else []
    )
    settle(cluster, SPEC, found(cluster), pause=no_pause)
    kept = cluster.get(ObjectRef(*kind, HOME, "other"))
    assert (kept is None) == is_foreign


def test_what_cannot_be_put_back_is_escalated_with_the_reason(
    cluster: FakeCluster,
) -> None:
    """A refusal twice in a row is told in the words of the refusal."""
    cluster.delete(ObjectRef("v1", "LimitRange", HOME, "container-limits"))
    cluster.refuse = lambda item: "closed" if item["kind"] == "LimitRange" else ""
    left = settle(cluster, SPEC, found(cluster), pause=no_pause)
    (finding,) = left.having("escalate")
    assert left.act == "put-back"
    assert "closed" in finding.detail


def test_the_frozen_shape(cluster: FakeCluster) -> None:
    """Frozen, one policy is right and more are not; what runs is taken away."""
    freeze(cluster, SPEC.trial_id, pause=no_pause)
    assert found(cluster, "frozen").findings == ()
    assert found(cluster, "ready").findings != ()
    policy = environment_objects(SPEC, recorder_token="t")[2]
    assert policy["kind"] == "NetworkPolicy"
    cluster.apply([policy], owner="someone-else")
    cluster.scale(ObjectRef("apps/v1", "Deployment", HOME, "front"), 1)
    kinds = {line.split()[0] for line in lines(found(cluster, "frozen"))}
    assert kinds == {"NetworkPolicy", "Deployment", "Pod"}
    left = settle(cluster, SPEC, found(cluster, "frozen"), pause=no_pause)
    assert left.findings == ()
    assert cluster.find("v1", "Pod", namespace=HOME) == []


def test_a_namespace_that_is_lost(cluster: FakeCluster) -> None:
    """Gone, being deleted or another one: each is escalated, and nothing is written."""
    known = found(cluster).namespace_uid
    writes = len(cluster.writes)
    assert "another namespace" in lines(found(cluster, uid="x"))[0]
    assert found(cluster, uid=known).findings == ()
    assert len(cluster.writes) == writes
    cluster.delete(NAMESPACE)
    assert "it is gone" in lines(found(cluster, uid=known))[0]
    assert [i.action for i in found(cluster).findings] == ["escalate"]


def test_a_label_that_was_taken_away_is_put_back_by_the_uid(
    cluster: FakeCluster,
) -> None:
    """Without uid a namespace without our label is not ours; with it, it is."""
    uid = found(cluster).namespace_uid
    label = {"regulatory-sandbox/trial": "other"}
    changed(cluster, NAMESPACE, lambda i: i["metadata"]["labels"].update(label))
    assert [i.change for i in found(cluster).findings] == ["foreign"]
    assert [i.action for i in found(cluster, uid=uid).findings] == ["put_back"]
    with pytest.raises(IsolationError):
        freeze(cluster, SPEC.trial_id, pause=no_pause)
    assert reclaim(cluster, SPEC.trial_id, uid=uid)
    freeze(cluster, SPEC.trial_id, pause=no_pause)
    assert found(cluster, "frozen", uid).findings == ()


def test_the_credential_is_read_not_invented(cluster: FakeCluster) -> None:
    """It is compared with itself; changed in one place only, it is escalated."""
    assert recorder_token(cluster, SPEC) == "t"
    secret = ObjectRef("v1", "Secret", HOME, "recorder-token")
    changed(cluster, secret, lambda item: item["data"].update(token="dQ=="))
    (finding,) = found(cluster).findings
    assert finding.action == "escalate"
    assert put_back(cluster, SPEC, found(cluster), pause=no_pause) == []
    assert recorder_token(cluster, SPEC) == "u"
    changed(cluster, secret, lambda item: item["data"].update(token="not base64"))
    assert recorder_token(cluster, SPEC) == ""


def test_stated_lists() -> None:
    """A policy that leaves a list out states it as empty; other kinds are the same."""
    for item in environment_objects(SPEC, recorder_token="t"):
        if item["kind"] == "NetworkPolicy":
            assert {"ingress", "egress"} <= stated(item)["spec"].keys()
            assert differences(item, stated(item)) == ()
        else:
            assert stated(item) is item


def proof_of(cluster: FakeCluster) -> tuple[bool, tuple[str, ...]]:
    beacons = {"outside": ("198.51.100.9", 80)}
    targets = standard_targets(cluster, SPEC, beacons=beacons)
    proof = prove_isolation(
        cluster, SPEC, targets=targets, clock=FixedClock(AT), pause=no_pause
    )
    return proof.holds, open_ways(proof)


def test_what_a_proof_shows_to_be_open(cluster: FakeCluster) -> None:
    """One that holds shows nothing; rights and reached addresses are named."""
    assert proof_of(cluster) == (True, ())
    cluster.rights_of[HOME, "workload"] = ["get core/secrets"]
    holds, opened = proof_of(cluster)
    assert not holds
    assert opened == ("The workload account may get core/secrets",)


def test_a_proof_that_could_not_be_made_shows_nothing_open() -> None:
    """Names that do not answer fail the proof, and are no reason to freeze."""
    cluster = FakeCluster(lambda namespace, host, port: "blocked")
    apply_environment(cluster, SPEC, recorder_token="t")
    holds, opened = proof_of(cluster)
    assert not holds
    assert opened == ()
    everything = FakeCluster(lambda namespace, host, port: "reached")
    apply_environment(everything, SPEC, recorder_token="t")
    assert any("outside" in line for line in proof_of(everything)[1])


@pytest.mark.parametrize("skew_s", [0.0, 3600.0, -3600.0])
def test_an_expired_rule_is_refused_by_the_clusters_clock(skew_s: float) -> None:
    """Refused before anything is made, whatever this machine's clock tells."""
    cluster = FakeCluster()
    cluster.skew_s = skew_s
    now = cluster.now()
    late = environment_spec(expires_at=now)
    with pytest.raises(InputError, match="another decision"):
        apply_environment(cluster, late, recorder_token="t")
    assert cluster.writes == []
    left = environment_spec(expires_at=now.replace(year=now.year + 1))
    assert apply_environment(cluster, left, recorder_token="t")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plan_digest", None),
        ("isolation_class", "N9"),
        ("images", {"web": "latest"}),
        ("temporary_rule_digest", "sha256:short"),
    ],
)
def test_a_specification_that_names_no_decision_is_refused(
    field: str, value: object
) -> None:
    """Without locked plan, known class, pinned image or rule there is none."""
    data = SPEC.model_dump(mode="json")
    assert EnvironmentSpec.model_validate(data) == SPEC
    data[field] = value
    with pytest.raises(ValidationError, match=field):
        EnvironmentSpec.model_validate(data)


def test_a_class_the_cluster_lacks_makes_no_environment() -> None:
    """A stronger class than the cluster has is refused, and nothing is made."""
    cluster = FakeCluster()
    strong = environment_spec(isolation_class="N2")
    with pytest.raises(IsolationError, match="N2"):
        apply_environment(cluster, strong, recorder_token="t")
    assert cluster.writes == []
