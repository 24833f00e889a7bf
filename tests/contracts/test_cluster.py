"""What every `Cluster` promises: the one in memory and a real Kubernetes node.

The real one is this machine's own node: the running one of `SANDBOX_HOME`, or one that
is started for these tests and stopped after them.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment.attempts import report_in
from sandbox.environment.probe import PROBE, trial_pod
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.local import describe, down, up
from sandbox.model.trial import ProofTarget
from sandbox.ports import Applied, Cluster, KubernetesObject, ObjectRef
from sandbox.settings import Settings
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec

OWNER = "contract"


def silent(stage: str, what: str) -> None:
    """Report no progress."""


@pytest.fixture(name="node", scope="module")
def _node() -> Iterator[KubernetesCluster]:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a real Kubernetes node needs root on this machine")
    settings = Settings()
    running = describe(settings)
    is_ours = running is None or not running.node_address
    servers = up(settings, progress=silent, temporal=False)
    cluster = KubernetesCluster.from_kubeconfig(servers.kubeconfig, servers.context)
    yield cluster
    cluster.close()
    if is_ours:
        down(settings, progress=silent)


@pytest.fixture(name="cluster", params=["fake", "kubernetes"])
def _cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "fake":
        return FakeCluster()
    node: KubernetesCluster = request.getfixturevalue("node")
    return node


@pytest.fixture(name="own_image")
def _own_image(cluster: Cluster) -> str:
    if isinstance(cluster, KubernetesCluster):
        servers = describe(Settings())
        assert servers is not None
        return servers.image("regulatory-sandbox")
    return environment_spec().probe_image


@pytest.fixture(name="namespace")
def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"contract-{uuid.uuid4().hex[:10]}"
    cluster.apply([namespace_object(name)], owner=OWNER)
    yield name
    cluster.delete(ObjectRef("v1", "Namespace", "", name))


def namespace_object(name: str) -> KubernetesObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config(
    namespace: str, name: str = "c", labels: dict[str, str] | None = None, **more: Any
) -> KubernetesObject:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "data": {"a": "1"},
        **more,
    }


def ref(namespace: str, name: str = "c") -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", namespace, name)


def apply_one(cluster: Cluster, item: KubernetesObject) -> Applied:
    (applied,) = cluster.apply([item], owner=OWNER)
    return applied


def eventually(claim: Callable[[], bool]) -> None:
    left = wait_until(
        lambda: [] if claim() else ["it is not so"], wait_s=30, pause=time.sleep
    )
    assert left == []


def names(
    cluster: Cluster, namespace: str, labels: str, kind: str = "ConfigMap"
) -> list[str]:
    found = cluster.find("v1", kind, namespace=namespace, labels=labels)
    return sorted(item["metadata"]["name"] for item in found)


def test_apply(cluster: Cluster, namespace: str) -> None:
    """What was applied can be read, under the uid and version that were returned."""
    applied = apply_one(cluster, config(namespace))
    assert applied[:3] == ("v1", "ConfigMap", "c")
    found = cluster.get(ref(namespace))
    assert found is not None
    assert found["data"] == {"a": "1"}
    assert found["metadata"]["uid"] == applied.uid != ""
    assert found["metadata"]["resourceVersion"] == applied.resource_version


def test_apply_again(cluster: Cluster, namespace: str) -> None:
    """Applying the same changes nothing; applying other content only the version."""
    first = apply_one(cluster, config(namespace))
    assert apply_one(cluster, config(namespace)) == first
    changed = apply_one(cluster, config(namespace, data={"a": "2"}))
    assert changed.uid == first.uid
    assert changed.resource_version != first.resource_version


def test_apply_on_condition(cluster: Cluster, namespace: str) -> None:
    """Applied with the uid and version it was read with, an object is changed only if
    nobody changed it since; of two who read the same, one wins.
    """
    first = apply_one(cluster, config(namespace))
    read = {"uid": first.uid, "resourceVersion": first.resource_version}
    mine, theirs = (config(namespace, data={"a": who}) for who in ("mine", "theirs"))
    for item in (mine, theirs):
        item["metadata"] |= read
    won = apply_one(cluster, mine)
    assert (
        won.uid == first.uid != "" and won.resource_version != read["resourceVersion"]
    )
    with pytest.raises(ClusterError) as caught:
        apply_one(cluster, theirs)
    assert caught.value.status == 409 and not caught.value.retryable
    found = cluster.get(ref(namespace))
    assert found is not None and found["data"] == {"a": "mine"}


def test_dry_run(cluster: Cluster, namespace: str) -> None:
    """A dry run keeps nothing."""
    cluster.apply([config(namespace)], owner=OWNER, dry_run=True)
    assert cluster.get(ref(namespace)) is None


def test_preview(cluster: Cluster, namespace: str) -> None:
    """A preview is the object as it would be; it keeps nothing and changes nothing."""
    new = cluster.preview(config(namespace), owner=OWNER)
    assert new["data"] == {"a": "1"} and new["kind"] == "ConfigMap"
    assert cluster.get(ref(namespace)) is None
    applied = apply_one(cluster, config(namespace))
    other = cluster.preview(config(namespace, data={"a": "2"}), owner=OWNER)
    assert (other["data"], other["metadata"]["uid"]) == ({"a": "2"}, applied.uid)
    found = cluster.get(ref(namespace))
    assert found is not None and found["data"] == {"a": "1"}


def test_replace(cluster: Cluster, namespace: str) -> None:
    """What is put in place of an object is all that is left of it; an object that was
    changed since it was read is not replaced.
    """
    apply_one(cluster, config(namespace, data={"a": "1", "b": "1"}))
    read = cluster.get(ref(namespace))
    assert read is not None
    replaced = cluster.replace({**read, "data": {"a": "2"}})
    found = cluster.get(ref(namespace))
    assert found is not None and found["data"] == {"a": "2"}
    assert found["metadata"]["resourceVersion"] == replaced.resource_version
    with pytest.raises(ClusterError) as caught:
        cluster.replace({**read, "data": {"a": "3"}})
    assert caught.value.status == 409 and not caught.value.retryable


def test_dry_run_names_every_refusal(cluster: Cluster, namespace: str) -> None:
    """A dry run of a set names every object refused, not the first."""
    apply_one(cluster, config(namespace, "fixed", immutable=True))
    wrong = [
        config(namespace, "fixed", immutable=True, data={"a": "other"}),
        config(namespace, "fine"),
        config("contract-no-such-namespace", "lost"),
    ]
    with pytest.raises(ClusterError) as caught:
        cluster.apply(wrong, owner=OWNER, dry_run=True)
    said = caught.value.diagnosis
    assert "fixed" in said and "lost" in said and "fine" not in said
    assert not caught.value.retryable


def test_immutable(cluster: Cluster, namespace: str) -> None:
    """An immutable ConfigMap keeps its data."""
    apply_one(cluster, config(namespace, immutable=True))
    with pytest.raises(ClusterError, match="immutable") as caught:
        apply_one(cluster, config(namespace, immutable=True, data={"a": "2"}))
    assert caught.value.status == 422 and not caught.value.retryable


def test_no_namespace(cluster: Cluster) -> None:
    """Nothing is applied into a namespace that is not there."""
    with pytest.raises(ClusterError, match="not found") as caught:
        apply_one(cluster, config("contract-no-such-namespace"))
    assert caught.value.status == 404


def test_unknown_kind(cluster: Cluster) -> None:
    """A kind the cluster does not have is an error in every call."""
    unknown: KubernetesObject = {
        "apiVersion": "example.org/v1",
        "kind": "Nothing",
        "metadata": {"name": "n"},
    }
    acts: list[Callable[[], object]] = [
        lambda: apply_one(cluster, unknown),
        lambda: cluster.get(ObjectRef("example.org/v1", "Nothing", "", "n")),
        lambda: cluster.find("example.org/v1", "Nothing"),
    ]
    for act in acts:
        with pytest.raises(ClusterError) as caught:
            act()
        assert caught.value.status == 404 and not caught.value.retryable


def test_get_nothing(cluster: Cluster, namespace: str) -> None:
    """What is not there is None."""
    assert cluster.get(ref(namespace)) is None
    assert cluster.get(ref("contract-no-such-namespace")) is None


def test_find(cluster: Cluster, namespace: str) -> None:
    """Objects are found by namespace and by label: equal, present, absent."""
    apply_one(cluster, config(namespace, "x", {"colour": "red", "size": "1"}))
    apply_one(cluster, config(namespace, "y", {"colour": "blue"}))
    assert names(cluster, namespace, "colour") == ["x", "y"]
    assert names(cluster, namespace, "colour=red") == ["x"]
    assert names(cluster, namespace, "colour,!size") == ["y"]
    assert names(cluster, namespace, "colour=red,size=2") == []
    assert names(cluster, "contract-no-such-namespace", "") == []
    everywhere = cluster.find("v1", "ConfigMap", labels="colour=red")
    places = [item["metadata"]["namespace"] for item in everywhere]
    assert places == [namespace]
    assert everywhere[0]["kind"] == "ConfigMap"
    assert everywhere[0]["apiVersion"] == "v1"


def test_delete(cluster: Cluster, namespace: str) -> None:
    """Deleting tells whether there was anything to delete."""
    apply_one(cluster, config(namespace))
    assert cluster.delete(ref(namespace))
    assert cluster.get(ref(namespace)) is None
    assert not cluster.delete(ref(namespace))


def test_delete_on_condition(cluster: Cluster, namespace: str) -> None:
    """Deleted with the version it was read with, an object goes only unchanged."""
    first = apply_one(cluster, config(namespace))
    second = apply_one(cluster, config(namespace, data={"a": "2"}))
    with pytest.raises(ClusterError) as caught:
        cluster.delete(ref(namespace), uid=first.uid, version=first.resource_version)
    assert caught.value.status == 409 and cluster.get(ref(namespace)) is not None
    version = second.resource_version
    assert cluster.delete(ref(namespace), uid=first.uid, version=version)
    assert cluster.get(ref(namespace)) is None


def test_delete_by_uid(cluster: Cluster, namespace: str) -> None:
    """A delete with a uid spares an object that was made anew."""
    first = apply_one(cluster, config(namespace))
    cluster.delete(ref(namespace), uid=first.uid)
    second = apply_one(cluster, config(namespace))
    assert second.uid != first.uid
    with pytest.raises(ClusterError) as caught:
        cluster.delete(ref(namespace), uid=first.uid)
    assert caught.value.status == 409 and not caught.value.retryable
    assert cluster.get(ref(namespace)) is not None


def deployment(namespace: str, replicas: int) -> KubernetesObject:
    labels = {"app": "sleeper"}
    container = {"name": "c", "image": "localhost/nothing:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sleeper", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container]},
            },
        },
    }


def test_scale(cluster: Cluster, namespace: str) -> None:
    """A Deployment has as many pods as it was last scaled to."""
    place = ObjectRef("apps/v1", "Deployment", namespace, "sleeper")
    apply_one(cluster, deployment(namespace, 2))
    eventually(lambda: len(names(cluster, namespace, "app=sleeper", "Pod")) == 2)
    cluster.scale(place, 0)
    found = cluster.get(place)
    assert found is not None and found["spec"]["replicas"] == 0
    for name in names(cluster, namespace, "app=sleeper", "Pod"):
        cluster.delete(ObjectRef("v1", "Pod", namespace, name), grace_s=0)
    eventually(lambda: names(cluster, namespace, "app=sleeper", "Pod") == [])
    apply_one(cluster, deployment(namespace, 1))
    eventually(lambda: len(names(cluster, namespace, "app=sleeper", "Pod")) == 1)


def test_deleted_pods_come_back(cluster: Cluster, namespace: str) -> None:
    """Deleting a pod without scaling its Deployment brings another one."""
    apply_one(cluster, deployment(namespace, 1))
    eventually(lambda: len(names(cluster, namespace, "app=sleeper", "Pod")) == 1)
    (pod,) = cluster.find("v1", "Pod", namespace=namespace, labels="app=sleeper")
    place = ObjectRef("v1", "Pod", namespace, pod["metadata"]["name"])
    assert cluster.delete(place, uid=pod["metadata"]["uid"], grace_s=0)

    def is_another() -> bool:
        found = cluster.find("v1", "Pod", namespace=namespace, labels="app=sleeper")
        uids = [item["metadata"]["uid"] for item in found]
        return len(uids) == 1 and uids != [pod["metadata"]["uid"]]

    eventually(is_another)


def test_scale_nothing(cluster: Cluster, namespace: str) -> None:
    """What is not there cannot be scaled."""
    with pytest.raises(ClusterError) as caught:
        cluster.scale(ObjectRef("apps/v1", "Deployment", namespace, "x"), 1)
    assert caught.value.status == 404


def test_namespace_takes_its_content(cluster: Cluster) -> None:
    """Deleting a namespace deletes what is in it, and then itself."""
    name = f"contract-{uuid.uuid4().hex[:10]}"
    cluster.apply([namespace_object(name), config(name)], owner=OWNER)
    assert cluster.delete(ObjectRef("v1", "Namespace", "", name))
    eventually(lambda: cluster.get(ObjectRef("v1", "Namespace", "", name)) is None)
    assert cluster.get(ref(name)) is None
    assert names(cluster, name, "") == []


def test_held_namespace(cluster: Cluster) -> None:
    """A finalizer holds its namespace open, which says so, until it is removed."""
    name = f"contract-{uuid.uuid4().hex[:10]}"
    held = config(name)
    held["metadata"]["finalizers"] = ["example.org/held"]
    cluster.apply([namespace_object(name), held], owner=OWNER)
    place = ObjectRef("v1", "Namespace", "", name)
    cluster.delete(place)

    def says_so() -> bool:
        found = cluster.get(place)
        assert found is not None and "deletionTimestamp" in found["metadata"]
        conditions = found["status"].get("conditions", [])
        held_by = {c["type"] for c in conditions if c["status"] == "True"}
        return "NamespaceFinalizersRemaining" in held_by

    eventually(says_so)
    with pytest.raises(ClusterError) as caught:
        apply_one(cluster, config(name, "late"))
    assert caught.value.status == 403
    apply_one(cluster, config(name))
    eventually(lambda: cluster.get(place) is None)


def test_no_rights(cluster: Cluster, namespace: str) -> None:
    """A fresh account has no rights; a role bound to it is a line that names it."""
    account: KubernetesObject = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "worker", "namespace": namespace},
    }
    role: KubernetesObject = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get"]}],
    }
    binding: KubernetesObject = {
        **role,
        "kind": "RoleBinding",
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "reader",
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": "worker", "namespace": namespace}
        ],
    }
    del binding["rules"]
    cluster.apply([account], owner=OWNER)
    assert cluster.rights(namespace, "worker") == []
    cluster.apply([role, binding], owner=OWNER)
    eventually(lambda: cluster.rights(namespace, "worker") == ["get,list core/pods"])
    assert cluster.rights(namespace, "other") == []


def test_no_log(cluster: Cluster, namespace: str) -> None:
    """The log of a pod that is not there is an error, not an empty text."""
    with pytest.raises(ClusterError) as caught:
        cluster.logs(namespace, "nobody", "c")
    assert caught.value.status == 404


def pod(namespace: str, image: str) -> KubernetesObject:
    """Return a pod that makes one attempt, to reach nothing at all."""
    target = ProofTarget(name="self", host="127.0.0.1", port=1, expect="blocked")
    made = trial_pod(environment_spec(probe_image=image), [target])
    made["metadata"] |= {"name": "p", "namespace": namespace}
    del made["spec"]["priorityClassName"], made["spec"]["serviceAccountName"]
    return made


def placed(cluster: Cluster, item: KubernetesObject) -> None:
    """Apply a pod; a new namespace takes one once it has its account."""

    def is_taken() -> bool:
        try:
            apply_one(cluster, item)
        except ClusterError as error:
            assert "serviceaccount" in error.diagnosis
            return False
        return True

    eventually(is_taken)


def test_log_of_what_has_not_begun(cluster: Cluster, namespace: str) -> None:
    """From the first instant of a pod on, a container that has not begun has printed
    nothing, and that is no error; one that the pod does not have is.
    """
    lacking = pod(namespace, "localhost/nothing@sha256:" + "0" * 64)
    lacking["spec"]["containers"][0]["command"] = ["/nothing"]
    placed(cluster, lacking)
    until = time.monotonic() + (3 if isinstance(cluster, KubernetesCluster) else 0)
    asked = 0
    while time.monotonic() < until or not asked:
        assert cluster.logs(namespace, "p", PROBE) == ""
        asked += 1
    with pytest.raises(ClusterError) as caught:
        cluster.logs(namespace, "p", "another")
    assert caught.value.status == 400 and not caught.value.retryable


def test_log_of_a_probe(cluster: Cluster, namespace: str, own_image: str) -> None:
    """What the probe of a proof prints can be read, and is a report of its attempts."""
    placed(cluster, pod(namespace, own_image))
    eventually(lambda: report_in(cluster.logs(namespace, "p", PROBE)) is not None)
    report = report_in(cluster.logs(namespace, "p", PROBE))
    assert report is not None and "Linux version" in report.kernel
    (tried,) = report.attempts
    assert (tried.name, tried.host, tried.port) == ("self", "127.0.0.1", 1)
    assert tried.started_at <= tried.finished_at
    said = "REFUSED" if isinstance(cluster, KubernetesCluster) else "CONNECTED"
    assert tried.said == said


def test_namespaced_kinds(cluster: Cluster) -> None:
    """The kinds that can lie in a namespace are known, each once."""
    kinds = cluster.namespaced_kinds()
    assert {
        ("v1", "Pod"),
        ("v1", "Secret"),
        ("apps/v1", "Deployment"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
    } <= set(kinds)
    assert ("v1", "Namespace") not in kinds
    assert len(kinds) == len(set(kinds))


def test_now(cluster: Cluster) -> None:
    """The cluster tells the present instant, with a time zone, to the second."""
    told = cluster.now()
    assert told.utcoffset() is not None
    assert abs(told.timestamp() - time.time()) < 5
    assert told.microsecond == 0
