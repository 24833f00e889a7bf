"""Does a cluster enforce isolation, from when on, and does it cut what was open?

Rules of this module:

* Everything is tried in throwaway namespaces, with one image, through the API server
  alone; nothing of a trial is touched.
* Each negative has its control: the same pod, namespace and address without a policy.
* Under a policy one address stays allowed; if that is silent too, nothing is enforced,
  something is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sandbox.environment.kinds import ref_of
from sandbox.environment.targets import METADATA, cluster_addresses
from sandbox.environment.template import fill
from sandbox.errors import IsolationError
from sandbox.examination.checks import (
    Cuts,
    Observed,
    checks_of,
    reaches_without_policy,
)
from sandbox.examination.first_packets import count_first_packets
from sandbox.examination.streams import (
    STREAM,
    arrivals,
    last_signs,
    start_streams,
    throwaway_certificate,
)
from sandbox.examination.throwaway import (
    FOLDER,
    Place,
    addresses,
    is_ready,
    throwaway,
    try_all,
)
from sandbox.model.isolation import IsolationCheck
from sandbox.ports import KubernetesObject, ObjectRef

Address = tuple[str, int]

_PORT = 8080
_METADATA_IPV6 = ("fd00:ec2::254", 80)
_DELETION_WATCH_S = 15.0
_POLICY = "networking.k8s.io/v1"


class Examination(NamedTuple):
    """How much is tried."""

    now: datetime
    """The present instant; a throwaway certificate is good around it."""
    starts: int = 20
    """Pods whose first packet is tried."""
    watch_s: float = 40.0
    """Seconds to wait for an open connection to be cut by a policy."""
    beacons: Mapping[str, Address] = {}
    """Listeners known to answer: `metadata`, a stand-in for the cloud's, `outside`."""


class _Listeners(NamedTuple):
    """Pods that answer, and their addresses."""

    denied: list[str]
    allowed: list[str]
    inner: list[str]
    """Inside the namespace that a policy will close."""


def examine_isolation(place: Place, asked: Examination) -> list[IsolationCheck]:
    """Try what isolation of trials relies on, and say what was found.

    Takes one to two minutes. Throwaway namespaces of earlier runs are removed first,
    so only one examination of a cluster can run at a time.

    Args:
        place: Which cluster, and with which image.
        asked: How much is tried.

    Raises:
        IsolationError: Something could not be tried, for example for lack of an image.
        ClusterError: Kubernetes refused or did not answer.
    """
    with throwaway(place):
        return checks_of(_observe(place, asked))


def _observe(place: Place, asked: Examination) -> Observed:
    free, shut = place.namespace("open"), place.namespace("shut")
    listeners = _start_listeners(place, free, shut)
    targets = _targets(place, listeners, asked)
    inner = {"inner": (listeners.inner[0], _PORT)}
    before = {
        **try_all(place, shut, "before", targets),
        **try_all(place, free, "before", inner),
    }
    if not reaches_without_policy(before):
        return Observed(before, {}, None, None)
    place.deny(shut)
    place.apply([_allow(shut, free, role) for role in ("allowed", STREAM)])
    under = {
        **try_all(place, shut, "under", targets),
        **try_all(place, free, "under", inner),
    }
    if under["allowed"] != "reached":
        return Observed(before, under, None, None)
    first = count_first_packets(place, targets["denied"], starts=asked.starts)
    return Observed(before, under, first, _cuts(place, (free, shut), targets, asked))


def _start_listeners(place: Place, free: str, shut: str) -> _Listeners:
    pods = [
        _listener(place, namespace, role)
        for namespace, role in ((free, "denied"), (free, "allowed"), (shut, "inner"))
    ]
    place.apply(pods)
    return _Listeners(*addresses(place, pods))


def _listener(place: Place, namespace: str, role: str) -> KubernetesObject:
    container = place.container(
        "listener",
        ["netexec", f"--http-port={_PORT}", "--udp-port=-1"],
        readiness={"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
    )
    return place.pod(namespace, role, [container])


def _targets(
    place: Place, listeners: _Listeners, asked: Examination
) -> dict[str, Address]:
    ipv6 = [address for address in listeners.denied if ":" in address]
    targets = {
        "denied": (listeners.denied[0], _PORT),
        "allowed": (listeners.allowed[0], _PORT),
        "metadata": asked.beacons.get("metadata", METADATA),
        "ipv6": (ipv6[0], _PORT) if ipv6 else _METADATA_IPV6,
    }
    if "outside" in asked.beacons:
        targets["outside"] = asked.beacons["outside"]
    try:
        found = cluster_addresses(place.cluster)
    except IsolationError:
        return targets
    parts = {"api-server": found.api_server, "api-endpoint": found.api_endpoint}
    return {**targets, **parts, "node": found.node}


def _allow(shut: str, free: str, role: str) -> KubernetesObject:
    values: dict[str, Any] = {
        "namespace": shut,
        "policy_name": f"allow-{role}",
        "open_namespace": free,
        "role": role,
    }
    return fill(FOLDER, "allow.yaml", values)


def _cuts(
    place: Place,
    namespaces: tuple[str, str],
    targets: Mapping[str, Address],
    asked: Examination,
) -> Cuts:
    """Open connections, then take a policy away, put one in place, delete a pod."""
    free, shut = namespaces
    late = place.namespace("late")
    asking = _asking(place, late, targets["denied"])
    place.apply([asking])
    clients = {"revoked": shut, "denied": late, "deleted": free}
    certificate = throwaway_certificate(asked.now)
    streams = start_streams(place, free, clients, certificate)
    addresses(place, [asking])
    signs = {name: arrivals(streams[name]) for name in ("revoked", "denied")}
    cut = last_signs(
        place,
        {**signs, "new": partial(_is_ready, place, asking)},
        act=partial(_change_policies, place, shut, late),
        watch_s=asked.watch_s,
    )
    gone = last_signs(
        place,
        {"deleted": arrivals(streams["deleted"])},
        act=partial(_delete_client, place, free),
        watch_s=_DELETION_WATCH_S,
    )
    return Cuts(
        new_s=cut["new"],
        revoked_s=cut["revoked"],
        denied_s=cut["denied"],
        deleted_s=gone["deleted"],
        watched_s=asked.watch_s,
    )


def _change_policies(place: Place, shut: str, late: str) -> None:
    place.deny(late)
    place.cluster.delete(ObjectRef(_POLICY, "NetworkPolicy", shut, f"allow-{STREAM}"))


def _is_ready(place: Place, pod: KubernetesObject) -> bool:
    return is_ready(place.cluster.get(ref_of(pod)) or {})


def _delete_client(place: Place, namespace: str) -> None:
    ref = ObjectRef("v1", "Pod", namespace, "client-deleted")
    place.cluster.delete(ref, grace_s=0)


def _asking(place: Place, namespace: str, target: Address) -> KubernetesObject:
    """Return a pod that is ready as long as it makes a new connection each second."""
    host, port = target
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connect = ["/agnhost", "connect", where, "--timeout=700ms"]
    container = place.container(
        "asking",
        ["pause"],
        readiness={
            "exec": {"command": connect},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 1,
        },
    )
    return place.pod(namespace, "asking", [container])
