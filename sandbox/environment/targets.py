"""What an isolation proof tries to reach, and what must come of each attempt.

Rules of this module:

* What must stay out of reach: cloud metadata, the API server by its service address and
  by its endpoint, the node, a neighbour, a listener outside the cluster.
* What must be in reach: names, and the recorder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sandbox.environment.probe import NEIGHBOUR_PORT
from sandbox.errors import IsolationError
from sandbox.model.trial import EnvironmentSpec, ProofTarget
from sandbox.ports import Cluster, ObjectRef

METADATA = ("169.254.169.254", 80)
"""Where clouds answer with credentials of the machine (RFC 3927 range)."""
NEIGHBOUR = "neighbour"
"""Target without a host: the proof starts the listener and fills in its address."""
_DNS = ("kube-dns.kube-system.svc.cluster.local", 53)

Address = tuple[str, int]


class ClusterAddresses(NamedTuple):
    """Where the parts of a cluster listen."""

    api_server: Address
    """Service address of the API server."""
    api_endpoint: Address
    """The API server itself, behind that service."""
    node: Address
    """A node's kubelet."""


def proof_targets(
    spec: EnvironmentSpec,
    *,
    api_server: Address,
    api_endpoint: Address,
    node: Address,
    beacons: Mapping[str, Address],
) -> tuple[ProofTarget, ...]:
    """Return the standard targets.

    Args:
        spec: The environment to be proven.
        api_server: Service address of the API server.
        api_endpoint: The API server itself, behind that service.
        node: A node's kubelet.
        beacons: Listeners known to be there: `metadata`, a stand-in for the cloud's,
            and `outside`. Without the first, no control is asked for the metadata
            address (there may be none); without the second, `outside` is not tried.
    """
    metadata = beacons.get("metadata", METADATA)
    blocked = {
        "metadata": metadata,
        "api-server": api_server,
        "api-endpoint": api_endpoint,
        "node": node,
        NEIGHBOUR: ("", NEIGHBOUR_PORT),
        **({"outside": beacons["outside"]} if "outside" in beacons else {}),
    }
    reached = {
        "dns": _DNS,
        "recorder": (spec.recorder.host, spec.recorder.http_port),
    }
    return (
        *(
            ProofTarget(
                name=name,
                host=host,
                port=port,
                expect="blocked",
                controlled=name != "metadata" or "metadata" in beacons,
            )
            for name, (host, port) in blocked.items()
        ),
        *(
            ProofTarget(
                name=name, host=host, port=port, expect="reached", controlled=False
            )
            for name, (host, port) in reached.items()
        ),
    )


def standard_targets(
    cluster: Cluster, spec: EnvironmentSpec, *, beacons: Mapping[str, Address]
) -> tuple[ProofTarget, ...]:
    """Return the standard targets, with the addresses the cluster itself tells.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
        IsolationError: The cluster does not say where its parts listen.
    """
    found = cluster_addresses(cluster)
    return proof_targets(
        spec,
        api_server=found.api_server,
        api_endpoint=found.api_endpoint,
        node=found.node,
        beacons=beacons,
    )


def cluster_addresses(cluster: Cluster) -> ClusterAddresses:
    """Return where API server and a node listen, as the cluster itself tells.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
        IsolationError: The cluster does not say.
    """
    service = cluster.get(ObjectRef("v1", "Service", "default", "kubernetes"))
    slices = cluster.find(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace="default",
        labels="kubernetes.io/service-name=kubernetes",
    )
    nodes = cluster.find("v1", "Node")
    if service is None or not slices or not nodes:
        raise IsolationError(
            "The cluster does not say where its API server or nodes listen, so nobody"
            " can prove that a trial does not reach them. Grant reading Service and"
            " EndpointSlice `kubernetes` in namespace default, and Nodes."
        )
    spec, first, status = service["spec"], slices[0], nodes[0]["status"]
    internal = [a["address"] for a in status["addresses"] if a["type"] == "InternalIP"]
    return ClusterAddresses(
        (spec["clusterIP"], spec["ports"][0]["port"]),
        (first["endpoints"][0]["addresses"][0], first["ports"][0]["port"]),
        (internal[0], status["daemonEndpoints"]["kubeletEndpoint"]["Port"]),
    )
