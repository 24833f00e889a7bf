"""Isolation classes are given where the nodes can, asked of every pod, and proven."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.environment import (
    apply_environment,
    deploy_system,
    open_ways,
    proof_targets,
    prove_isolation,
)
from sandbox.environment.isolation import kernel_failures, own_users
from sandbox.environment.labels import PARAMS
from sandbox.model.trial import IsolationProof
from sandbox.ports import ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests

SPEC = environment_spec()
N2 = environment_spec(isolation_class="N2")
OLD_GVISOR = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"
GVISOR = "Linux version 4.19.0-gvisor #1 SMP Sun Jan 10 15:06:54 PST 2016"


def no_pause(seconds: float) -> None:
    """Wait in no time."""


def node(name: str, *able: str, kernel: str = "6.12.1") -> dict[str, Any]:
    """Return a node; the handlers named have user namespaces, others do not."""
    handlers = [
        {"name": handler, "features": {"userNamespaces": handler in able}}
        for handler in ("", "runc", "runsc")
    ]
    status = {"runtimeHandlers": handlers, "nodeInfo": {"kernelVersion": kernel}}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": status,
    }


def cluster_with(*nodes: dict[str, Any]) -> FakeCluster:
    """Return a cluster of these nodes, with gVisor's runtime class."""
    gvisor = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "gvisor"},
        "handler": "runsc",
    }
    cluster = FakeCluster()
    cluster.apply([*nodes, gvisor], owner="someone")
    return cluster


def host_users(cluster: FakeCluster) -> list[bool | None]:
    """Return what the pods of the system say about their users."""
    pods = cluster.find("v1", "Pod", namespace=SPEC.namespace)
    return [pod["spec"].get("hostUsers") for pod in pods]


def noted(cluster: FakeCluster) -> str | None:
    """Return what the parameters of the trial say about users."""
    params = cluster.get(ObjectRef("v1", "ConfigMap", SPEC.namespace, PARAMS))
    assert params is not None
    value: str | None = params["data"].get("user-namespaces")
    return value


def opened(cluster: FakeCluster) -> FakeCluster:
    apply_environment(cluster, SPEC, recorder_token="t")
    deploy_system(cluster, SPEC, system_manifests(), wait_s=1, pause=no_pause)
    return cluster


def test_own_users() -> None:
    """Where every node has user namespaces, every pod asks for one."""
    cluster = opened(cluster_with(node("node", ""), node("other", "")))
    assert noted(cluster) == "required"
    assert host_users(cluster) == [False]
    assert prove(cluster, N2_kernel="").holds


def test_users_of_the_node() -> None:
    """Where one node has none, no pod asks for one, and the parameters say so."""
    cluster = opened(cluster_with(node("node", ""), node("other")))
    assert noted(cluster) == "unavailable"
    assert host_users(cluster) == [None]


def test_users_stay_as_they_were() -> None:
    """What was asked when the trial began is asked to its end, whatever nodes say."""
    cluster = opened(cluster_with(node("node", "")))
    cluster.apply([node("node")], owner="someone")
    opened(cluster)
    assert (noted(cluster), host_users(cluster)) == ("required", [False])


def test_an_older_trial_stays_as_it_is() -> None:
    """Parameters that say nothing about users are not changed: they are immutable."""
    cluster = opened(FakeCluster())
    place = ObjectRef("v1", "ConfigMap", SPEC.namespace, PARAMS)
    params = cluster.get(place)
    assert params is not None
    cluster.delete(place)
    params["data"].pop("user-namespaces")
    params["metadata"] = {"name": PARAMS, "namespace": SPEC.namespace}
    cluster.apply([params], owner="someone")
    cluster.apply([node("node", "")], owner="someone")
    assert own_users(cluster, SPEC) == ""
    opened(cluster)
    assert (noted(cluster), host_users(cluster)) == (None, [None])


def test_users_by_the_runtime_of_the_class() -> None:
    """For N2 it is gVisor's handler that must have them."""
    assert own_users(cluster_with(node("node", "")), N2) == "unavailable"
    assert own_users(cluster_with(node("node", "runsc")), N2) == "required"


def prove(cluster: FakeCluster, *, N2_kernel: str) -> IsolationProof:
    """Prove the environment; pods of N2 read this of their kernel."""
    spec = N2 if N2_kernel else SPEC
    apply_environment(cluster, spec, recorder_token="t")
    cluster.kernel = N2_kernel
    targets = proof_targets(
        spec,
        api_server=("10.96.0.1", 443),
        api_endpoint=("192.0.2.2", 6443),
        node=("192.0.2.2", 10250),
        beacons={},
    )
    return prove_isolation(
        cluster, spec, targets=targets, clock=FixedClock(), pause=no_pause
    )


@pytest.mark.parametrize("said", [OLD_GVISOR, GVISOR])
def test_gvisor_is_proven(said: str) -> None:
    """N2 holds once a pod has read a kernel that is gVisor's."""
    proof = prove(cluster_with(node("node")), N2_kernel=said)
    assert proof.holds, proof.failures


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Linux version 6.12.1 (gcc) #1 SMP", "the node's own kernel, Linux 6.12.1"),
        ("Linux version 6.8.0 (gcc) #1 SMP", "not gVisor's (6.8.0)"),
        ("nothing", "not gVisor's (unknown)"),
    ],
)
def test_another_kernel_is_not_taken_for_gvisor(said: str, words: str) -> None:
    """N2 does not hold by the name of a runtime class alone; the reason is clear, and
    one to freeze a trial that runs.
    """
    proof = prove(cluster_with(node("node")), N2_kernel=said)
    assert not proof.holds and proof.isolation_class == "N2"
    (failure,) = proof.failures
    assert words in failure and "RuntimeClass gvisor" in failure
    assert open_ways(proof) == (failure.removesuffix("."),)


def test_a_node_that_claims_gvisor() -> None:
    """A release that a node has is no proof, whatever it is called."""
    cluster = cluster_with(node("node", kernel="4.19.0-gvisor"))
    assert kernel_failures(cluster, N2, GVISOR)


def test_other_classes_promise_no_kernel() -> None:
    """N1 runs on the node's kernel, and says nothing else."""
    assert (
        kernel_failures(cluster_with(node("node")), SPEC, "Linux version 6.12.1") == ()
    )
