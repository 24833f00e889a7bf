"""What a real node cannot give is not used, said, and never believed by name."""

import socket

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.environment import (
    apply_environment,
    prove_isolation,
    standard_targets,
    tear_down,
)
from sandbox.errors import IsolationError
from sandbox.model.application import Limits, SystemNeeds
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec

GVISOR = ObjectRef("node.k8s.io/v1", "RuntimeClass", "", "gvisor")


@pytest.fixture(name="make_spec", scope="module")
def _make_spec(servers):
    with socket.create_server((servers.host_address, 0)) as recorder:
        host, port = recorder.getsockname()

        def make(trial_id, isolation_class):
            return environment_spec(
                trial_id,
                isolation_class=isolation_class,
                images={"agnhost": servers.images["agnhost"]},
                probe_image=servers.image("regulatory-sandbox"),
                needs=SystemNeeds(limits=Limits(cpu="4", memory="1Gi", pods=8)),
                recorder=RecorderEndpoint(
                    host=host, http_port=port, grpc_port=port + 1
                ),
                load_source=f"{host}/32",
            )

        yield make


def proven(cluster, servers, spec):
    targets = standard_targets(cluster, spec, beacons=servers.beacons)
    return prove_isolation(cluster, spec, targets=targets, clock=SystemClock())


def test_no_user_namespaces(cluster, servers, make_spec):
    """The node's runc has no user namespaces: none is asked for, and it is said."""
    spec = make_spec("users", "N1")
    (node,) = cluster.find("v1", "Node")
    handlers = node["status"]["runtimeHandlers"]
    assert handlers and not any(h["features"].get("userNamespaces") for h in handlers)
    try:
        apply_environment(cluster, spec, recorder_token="t")
        place = ObjectRef("v1", "ConfigMap", spec.namespace, "trial-params")
        assert cluster.get(place)["data"]["user-namespaces"] == "unavailable"
        assert proven(cluster, servers, spec).holds
    finally:
        tear_down(cluster, "users", wait_s=60)


def test_a_runtime_class_that_is_not_gvisor(cluster, servers, make_spec):
    """N2 is refused without the runtime class, and found out where it leads to runc."""
    spec = make_spec("named", "N2")
    with pytest.raises(IsolationError, match="RuntimeClass gvisor"):
        apply_environment(cluster, spec, recorder_token="t")
    impostor = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "gvisor"},
        "handler": "runc",
    }
    cluster.apply([impostor], owner="someone")
    try:
        apply_environment(cluster, spec, recorder_token="t")
        proof = proven(cluster, servers, spec)
        assert not proof.holds
        (failure,) = proof.failures
        assert "the node's own kernel" in failure and "N2 is not given" in failure
    finally:
        tear_down(cluster, "named", wait_s=60)
        cluster.delete(GVISOR)
