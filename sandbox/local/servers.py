"""Temporal and the Kubernetes node of this machine: up, down, status.

Rules of this module:

* `up` on running servers changes nothing; on leftovers it cleans them first.
* What cannot start is named, with the end of its log; what was started is stopped.
* `down` touches only what an `up` of the same home started. It needs no record but the
  state directory, so it also cleans after everything was killed.
* One `up` or `down` at a time per home.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from sandbox.errors import LocalError
from sandbox.local.binaries import node_binaries, resolve_binaries, temporal_binaries
from sandbox.local.ending import SERVERS, has_leftovers, node_processes, stop_node
from sandbox.local.images import reference
from sandbox.local.layout import Layout, Progress, layout_of
from sandbox.local.node import NodeFacts, start_node
from sandbox.local.pki import CONTEXT
from sandbox.local.processes import (
    ProcessStatus,
    alive,
    find_tracked,
    is_alive,
    status_of,
    stop,
    tracked_processes,
)
from sandbox.local.temporal import NAME as TEMPORAL
from sandbox.local.temporal import start_temporal
from sandbox.model.record import Record
from sandbox.settings import Settings


class LocalServers(Record):
    """How to reach the servers that run on this machine.

    Without a node its texts are empty, without Temporal `temporal_address` is.
    """

    temporal_address: str = ""
    """HOST:PORT of the frontend."""
    kubeconfig: Path
    """Names one cluster, one user (`admin`) and one context."""
    context: str = CONTEXT
    host_address: str = ""
    """This machine's side of the wire: the recorder listens, load comes from here."""
    node_address: str = ""
    """The node's side: its kubelet answers on port 10250, the API server on 6443."""
    api_server: str = ""
    """URL of the API server."""
    api_address: str = ""
    """The API server's service address, as pods see it, on port 443."""
    dns_address: str = ""
    """The cluster's DNS service."""
    pod_range: str = ""
    service_range: str = ""
    images: dict[str, str] = {}
    """Digest of every image the node holds, by name."""
    audit_log: Path | None = None
    """Where the API server writes who changed what."""
    beacons: dict[str, tuple[str, int]] = {}
    """(address, port) of listeners that answer wherever they are reachable."""
    timings: dict[str, float] = {}
    """Seconds after the start at which a stage was reached; `total` for all."""

    def image(self, name: str) -> str:
        """Return the reference by which a pod names an image, pinned by digest.

        Raises:
            LocalError: The node holds no such image.
        """
        if name not in self.images:
            held = ", ".join(sorted(self.images)) or "none"
            raise LocalError(f"the node holds no image {name!r}; it holds {held}")
        return reference(name, self.images[name])


def up(
    settings: Settings,
    *,
    progress: Progress,
    kubernetes: bool = True,
    temporal: bool = True,
) -> LocalServers:
    """Start what is wanted and does not run yet, and wait until it is ready.

    Args:
        settings: Home of the state, directory of ready binaries.
        progress: Told (stage, what happens).
        kubernetes: Whether a node is wanted.
        temporal: Whether a Temporal server is wanted.

    Raises:
        LocalError: A server cannot be built or started; says which, why and what to do.
    """
    layout = layout_of(settings)
    with _alone(layout):
        begun = time.monotonic()
        servers = _recorded(layout) or LocalServers(kubeconfig=_kubeconfig(layout))
        wanted = {
            "kubernetes": kubernetes and not _node_runs(settings),
            "temporal": temporal and not is_alive(settings, TEMPORAL),
        }
        if not any(wanted.values()):
            return servers
        try:
            if wanted["temporal"]:
                servers = _with_temporal(settings, servers, progress)
            if wanted["kubernetes"]:
                servers = _with_node(settings, servers, progress)
        except BaseException:
            _undo(settings, wanted)
            raise
        timings = {**servers.timings, "total": round(time.monotonic() - begun, 3)}
        servers = servers.model_copy(update={"timings": timings})
        _write(layout, servers)
        return servers


def _with_temporal(
    settings: Settings, servers: LocalServers, progress: Progress
) -> LocalServers:
    binaries = resolve_binaries(settings, temporal_binaries(), progress=progress)
    progress("temporal", "starting the Temporal server")
    begun = time.monotonic()
    address = start_temporal(settings, binaries["temporal-server"])
    timings = {**servers.timings, "temporal": round(time.monotonic() - begun, 3)}
    return servers.model_copy(update={"temporal_address": address, "timings": timings})


def _with_node(
    settings: Settings, servers: LocalServers, progress: Progress
) -> LocalServers:
    _demand_root()
    for line in stop_node(settings):
        progress("kubernetes", f"leftover of an earlier node: {line}")
    binaries = resolve_binaries(settings, node_binaries(), progress=progress)
    facts = start_node(settings, binaries, progress=progress, now=_now())
    return _with_facts(servers, facts)


def _with_facts(servers: LocalServers, facts: NodeFacts) -> LocalServers:
    known = {name: getattr(facts, name) for name in NodeFacts.model_fields}
    timings = {**servers.timings, **facts.timings}
    return servers.model_copy(update={**known, "timings": timings})


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _demand_root() -> None:
    if os.geteuid() != 0:
        raise LocalError(
            "a Kubernetes node of this machine needs root (namespaces, network, "
            "control groups). Run as root, or use an existing cluster with "
            "`--context NAME`, for example one made by kind"
        )


def _undo(settings: Settings, started: dict[str, bool]) -> None:
    if started["kubernetes"]:
        stop_node(settings)
    tracked = find_tracked(settings, TEMPORAL)
    if started["temporal"] and tracked is not None:
        stop(settings, tracked)


def down(settings: Settings, *, progress: Progress) -> list[str]:
    """Stop every server of this home, and clean what was left by one that was killed.

    Processes that others started through `sandbox.local.processes` (worker, recorder)
    are stopped too, before the servers they talk to.

    Returns:
        What was done, one sentence each; empty if there was nothing to do.

    Raises:
        LocalError: A process survives SIGKILL.
    """
    layout = layout_of(settings)
    done: list[str] = []
    with _alone(layout):
        for tracked in reversed(tracked_processes(settings)):
            if tracked.name in SERVERS or tracked.name == TEMPORAL:
                continue
            progress("down", f"stopping {tracked.name}")
            if stop(settings, tracked):
                done.append(f"stopped {tracked.name}")
        if has_leftovers(layout):
            progress("down", "ending the Kubernetes node")
            done += stop_node(settings)
        temporal = find_tracked(settings, TEMPORAL)
        if temporal is not None:
            progress("down", "stopping the Temporal server")
            done += ["stopped temporal"] if stop(settings, temporal) else []
        _facts_file(layout).unlink(missing_ok=True)
    return done


def status(settings: Settings) -> list[ProcessStatus]:
    """Return every recorded process, alive or not, in the order they were started."""
    return [status_of(tracked) for tracked in tracked_processes(settings)]


def describe(settings: Settings) -> LocalServers | None:
    """Return how to reach what runs now; None if neither server does."""
    servers = _recorded(layout_of(settings))
    if servers is None:
        return None
    if not is_alive(settings, TEMPORAL):
        servers = servers.model_copy(update={"temporal_address": ""})
    if not _node_runs(settings):
        servers = LocalServers(
            temporal_address=servers.temporal_address, kubeconfig=servers.kubeconfig
        )
    return servers if servers.temporal_address or servers.node_address else None


def _node_runs(settings: Settings) -> bool:
    processes = node_processes(settings)
    names = {tracked.name for tracked in processes}
    return names == set(SERVERS) and all(alive(tracked) for tracked in processes)


def _recorded(layout: Layout) -> LocalServers | None:
    try:
        return LocalServers.model_validate_json(_facts_file(layout).read_text())
    except (FileNotFoundError, ValidationError):
        return None


def _write(layout: Layout, servers: LocalServers) -> None:
    part = layout.home / "servers.json.part"
    part.write_text(servers.model_dump_json(indent=2))
    part.replace(_facts_file(layout))


def _facts_file(layout: Layout) -> Path:
    return layout.home / "servers.json"


def _kubeconfig(layout: Layout) -> Path:
    return layout.pki / "admin.kubeconfig"


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    with (layout.run / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
