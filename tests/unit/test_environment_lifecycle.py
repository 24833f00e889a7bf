"""Applying, deploying, freezing, thawing and tearing down, on a cluster in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sandbox.environment import (
    apply_environment,
    deploy_system,
    freeze,
    residue,
    tear_down,
    thaw,
)
from sandbox.errors import ClusterError, InputError, IsolationError
from sandbox.model.application import Limits, SystemNeeds
from sandbox.ports import KubernetesObject, ObjectRef
from sandbox.testing.cluster import FakeCluster, Write
from sandbox.testing.environment import environment_spec, system_manifests

SPEC = environment_spec()
NAMESPACE = ObjectRef("v1", "Namespace", "", "trial-ride-1")
DEPLOYMENT = ObjectRef("apps/v1", "Deployment", "trial-ride-1", "front")


def no_pause(seconds: float) -> None:
    """Wait in no time."""


@pytest.fixture(name="cluster")
def _cluster() -> FakeCluster:
    return FakeCluster()


def open_environment(cluster: FakeCluster) -> None:
    apply_environment(cluster, SPEC, recorder_token="t")
    deploy_system(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)


def policies(cluster: FakeCluster) -> set[str]:
    found = cluster.find(
        "networking.k8s.io/v1", "NetworkPolicy", namespace="trial-ride-1"
    )
    return {item["metadata"]["name"] for item in found}


def pods(cluster: FakeCluster) -> list[KubernetesObject]:
    return cluster.find("v1", "Pod", namespace="trial-ride-1")


def placed(writes: Sequence[Write], verb: str, kind: str) -> list[int]:
    return [
        number
        for number, write in enumerate(writes)
        if (write.verb, write.ref.kind) == (verb, kind)
    ]


def test_apply_twice(cluster: FakeCluster) -> None:
    """Applying the same environment again changes no object."""
    first = apply_environment(cluster, SPEC, recorder_token="t")
    assert apply_environment(cluster, SPEC, recorder_token="t") == first
    assert len(first) == 20


def test_refusal_leaves_nothing(cluster: FakeCluster) -> None:
    """A refusal names every refused object, and no namespace is left behind."""

    def no_limits(item: KubernetesObject) -> str:
        return "no" if item["kind"] in ("LimitRange", "Secret") else ""

    cluster.refuse = no_limits
    with pytest.raises(ClusterError) as caught:
        apply_environment(cluster, SPEC, recorder_token="t")
    assert "LimitRange" in caught.value.diagnosis
    assert "Secret" in caught.value.diagnosis
    assert cluster.get(NAMESPACE) is None


def test_refusal_leaves_what_was_there(cluster: FakeCluster) -> None:
    """A refused change of a running environment takes nothing away from it."""
    open_environment(cluster)
    cluster.refuse = lambda item: "no" if item["kind"] == "LimitRange" else ""
    with pytest.raises(ClusterError):
        apply_environment(cluster, SPEC, recorder_token="t")
    assert len(pods(cluster)) == 1


def test_bad_needs_touch_nothing(cluster: FakeCluster) -> None:
    """Needs that cannot be granted are found before anything is written."""
    needs = SystemNeeds(limits=Limits(cpu="much", memory="1Gi", pods=1))
    with pytest.raises(InputError):
        apply_environment(cluster, environment_spec(needs=needs), recorder_token="t")
    assert cluster.writes == []


def test_images_are_locked(cluster: FakeCluster) -> None:
    """The images the decision allowed cannot be changed while the environment lives."""
    apply_environment(cluster, SPEC, recorder_token="t")
    images = {**SPEC.images, "other": "sha256:" + "e" * 64}
    with pytest.raises(ClusterError, match="immutable"):
        apply_environment(cluster, environment_spec(images=images), recorder_token="t")


def test_foreign_namespace(cluster: FakeCluster) -> None:
    """A namespace of the same name that is not the trial's is never touched."""
    other: KubernetesObject = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "trial-ride-1"},
    }
    cluster.apply([other], owner="someone")
    before = cluster.get(NAMESPACE)
    with pytest.raises(IsolationError, match="left alone"):
        apply_environment(cluster, SPEC, recorder_token="t")
    with pytest.raises(IsolationError, match="left alone"):
        freeze(cluster, "ride-1", pause=no_pause)
    with pytest.raises(IsolationError, match="left alone"):
        tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert cluster.get(NAMESPACE) == before


@pytest.mark.parametrize("isolation_class", ["N2", "V1"])
def test_no_weaker_class(cluster: FakeCluster, isolation_class: str) -> None:
    """A class the cluster cannot give is refused, never replaced by a weaker one."""
    spec = environment_spec(isolation_class=isolation_class)
    with pytest.raises(IsolationError, match=isolation_class):
        apply_environment(cluster, spec, recorder_token="t")
    assert cluster.get(NAMESPACE) is None


def test_gvisor(cluster: FakeCluster) -> None:
    """N2 is given where the cluster has gVisor, and then every pod asks for it."""
    gvisor: KubernetesObject = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "gvisor"},
        "handler": "runsc",
    }
    cluster.apply([gvisor], owner="someone")
    spec = environment_spec(isolation_class="N2")
    apply_environment(cluster, spec, recorder_token="t")
    deploy_system(cluster, spec, system_manifests(), wait_s=1, pause=no_pause)
    assert [pod["spec"]["runtimeClassName"] for pod in pods(cluster)] == ["gvisor"]


def test_deploy(cluster: FakeCluster) -> None:
    """A deployed system has its pods, all labelled with the trial."""
    open_environment(cluster)
    (pod,) = pods(cluster)
    assert pod["metadata"]["labels"]["regulatory-sandbox/trial"] == "ride-1"


def test_deploy_removes_what_is_gone(cluster: FakeCluster) -> None:
    """What a later version no longer brings is deleted, and nothing else."""
    open_environment(cluster)
    extra: KubernetesObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "flags"},
        "data": {"a": "b"},
    }
    manifests = [*system_manifests(), extra]
    deploy_system(cluster, SPEC, manifests, wait_s=1, pause=no_pause)
    flags = ObjectRef("v1", "ConfigMap", "trial-ride-1", "flags")
    assert cluster.get(flags) is not None
    deploy_system(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)
    assert cluster.get(flags) is None
    assert cluster.get(flags._replace(name="trial-params")) is not None
    assert len(pods(cluster)) == 1


class NeverAvailable(FakeCluster):
    """A cluster whose Deployments stay without an available pod."""

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """Return the object as if no pod were available."""
        item = super().get(ref)
        if item is not None and ref.kind == "Deployment":
            item["status"] |= {
                "availableReplicas": 0,
                "conditions": [{"type": "ReplicaFailure", "message": "no quota"}],
            }
        return item


def test_deploy_waits_no_longer() -> None:
    """A system that does not come up is an error that says what each part waits for."""
    cluster = NeverAvailable()
    apply_environment(cluster, SPEC, recorder_token="t")
    with pytest.raises(ClusterError, match=r"front.*0 of 1.*no quota") as caught:
        deploy_system(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)
    assert caught.value.retryable


def test_freeze(cluster: FakeCluster) -> None:
    """A frozen environment has no pod, and no policy but the one that denies all."""
    open_environment(cluster)
    report = freeze(cluster, "ride-1", pause=no_pause)
    assert pods(cluster) == []
    assert policies(cluster) == {"default-deny"}
    assert report.scaled == {"front": 1}
    assert "allow-recorder" in report.policies_removed
    item = cluster.get(DEPLOYMENT)
    assert item is not None and item["spec"]["replicas"] == 0


def test_freeze_order(cluster: FakeCluster) -> None:
    """The network is cut before anything is scaled or deleted."""
    open_environment(cluster)
    begin = len(cluster.writes)
    freeze(cluster, "ride-1", pause=no_pause)
    writes = cluster.writes[begin:]
    assert writes[0].ref.name == "default-deny"
    cut = placed(writes, "delete", "NetworkPolicy")
    assert cut and max(cut) < min(placed(writes, "scale", "Deployment"))


def test_freeze_again(cluster: FakeCluster) -> None:
    """Freezing twice, or what is gone, does nothing and says so."""
    open_environment(cluster)
    freeze(cluster, "ride-1", pause=no_pause)
    again = freeze(cluster, "ride-1", pause=no_pause)
    assert again == ([], {}, [], "trial-ride-1")
    assert freeze(cluster, "gone", pause=no_pause) == ([], {}, [], "")


def test_freeze_restores_default_deny(cluster: FakeCluster) -> None:
    """A freeze denies everything even where someone had deleted the policy for it."""
    open_environment(cluster)
    cluster.delete(
        ObjectRef(
            "networking.k8s.io/v1", "NetworkPolicy", "trial-ride-1", "default-deny"
        )
    )
    freeze(cluster, "ride-1", pause=no_pause)
    assert policies(cluster) == {"default-deny"}


class Interrupted(FakeCluster):
    """A cluster that stops answering after some changes."""

    left = 1_000_000

    def delete(self, ref: ObjectRef, **conditions: Any) -> bool:
        """Delete while changes are left."""
        self.left -= 1
        if self.left < 0:
            raise ClusterError("The API server does not answer. Try again.")
        return super().delete(ref, **conditions)


@pytest.mark.parametrize("after", range(5))
def test_freeze_half_way(after: int) -> None:
    """A freeze cut off anywhere is complete once it is tried again."""
    cluster = Interrupted()
    open_environment(cluster)
    cluster.left = after
    with pytest.raises(ClusterError):
        freeze(cluster, "ride-1", pause=no_pause)
    cluster.left = 1_000_000
    freeze(cluster, "ride-1", pause=no_pause)
    assert pods(cluster) == [] and policies(cluster) == {"default-deny"}


class Undead(FakeCluster):
    """A cluster whose pods never go."""

    def delete(self, ref: ObjectRef, **conditions: Any) -> bool:
        """Delete anything but a pod."""
        return ref.kind != "Pod" and super().delete(ref, **conditions)

    def scale(self, ref: ObjectRef, replicas: int) -> None:
        """Keep the replicas."""


def test_freeze_says_what_remains() -> None:
    """A freeze that leaves a pod is an error that names it."""
    cluster = Undead()
    open_environment(cluster)
    with pytest.raises(ClusterError, match="front-0 remain"):
        freeze(cluster, "ride-1", pause=no_pause)


def test_thaw(cluster: FakeCluster) -> None:
    """After a freeze the whole environment comes back, the system last."""
    open_environment(cluster)
    before = policies(cluster)
    freeze(cluster, "ride-1", pause=no_pause)
    with pytest.raises(IsolationError, match="is frozen"):
        thaw(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)
    assert pods(cluster) == []
    apply_environment(cluster, SPEC, recorder_token="new")
    thaw(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)
    assert policies(cluster) == before
    assert len(pods(cluster)) == 1


def test_tear_down(cluster: FakeCluster) -> None:
    """Nothing of a trial is left, and nothing of another is touched."""
    open_environment(cluster)
    other = environment_spec("ride-2")
    apply_environment(cluster, other, recorder_token="t")
    assert len(residue(cluster, "ride-1")) > 20
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert residue(cluster, "ride-1") == []
    assert len(residue(cluster, "ride-2")) > 20
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)


def test_tear_down_order(cluster: FakeCluster) -> None:
    """The policies stay until the namespace goes: no pod outlives them."""
    open_environment(cluster)
    begin = len(cluster.writes)
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    writes = cluster.writes[begin:]
    assert placed(writes, "delete", "NetworkPolicy") == []
    (end,) = placed(writes, "delete", "Namespace")
    assert max(placed(writes, "scale", "Deployment")) < end


def test_tear_down_by_uid(cluster: FakeCluster) -> None:
    """A namespace made again under the same name is not deleted by an old order."""
    open_environment(cluster)
    first = cluster.get(NAMESPACE)
    assert first is not None
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    apply_environment(cluster, SPEC, recorder_token="t")
    uid = first["metadata"]["uid"]
    tear_down(cluster, "ride-1", uid=uid, wait_s=1, pause=no_pause)
    assert cluster.get(NAMESPACE) is not None


def held_open(cluster: FakeCluster) -> None:
    holder: KubernetesObject = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "held",
            "namespace": "trial-ride-1",
            "finalizers": ["example.org/never"],
        },
    }
    cluster.apply([holder], owner="someone")


def test_tear_down_stuck(cluster: FakeCluster) -> None:
    """A namespace held open is an error that says by what, and residue lists it."""
    open_environment(cluster)
    held_open(cluster)
    with pytest.raises(ClusterError, match="NamespaceFinalizersRemaining.*held"):
        tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert residue(cluster, "ride-1") == [
        "Lease trial-ride-1/held",
        "Namespace trial-ride-1",
    ]


def test_apply_into_what_is_going(cluster: FakeCluster) -> None:
    """A namespace still being deleted is waited for, not built upon."""
    open_environment(cluster)
    held_open(cluster)
    with pytest.raises(ClusterError):
        tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    with pytest.raises(ClusterError, match="still being deleted") as caught:
        apply_environment(cluster, SPEC, recorder_token="t")
    assert caught.value.retryable


def test_residue_of_volumes(cluster: FakeCluster) -> None:
    """A volume that a claim of the trial left behind counts as residue."""
    volume: KubernetesObject = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {"claimRef": {"namespace": "trial-ride-1", "name": "data"}},
    }
    cluster.apply([volume], owner="someone")
    assert residue(cluster, "ride-1") == ["PersistentVolume disk"]
    assert residue(cluster, "ride-2") == []


def test_residue_of_a_narrow_worker(cluster: FakeCluster) -> None:
    """Who may not list Secrets asks for the one we make; who may not list one of our
    other kinds cannot say that nothing is left.
    """
    apply_environment(cluster, SPEC, recorder_token="t")
    cluster.unlistable = {("trial-ride-1", "Secret")}
    token = "Secret trial-ride-1/recorder-token"
    assert token in residue(cluster, "ride-1")
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert residue(cluster, "ride-1") == []
    cluster.unlistable = {("trial-ride-1", "ConfigMap")}
    with pytest.raises(ClusterError):
        residue(cluster, "ride-1")
