"""One real Kubernetes node on this machine, in namespaces of its own.

Rules of this module:

* Every server is the real one; nothing of Kubernetes is imitated.
* A node is thrown away when it goes down: its keys, its database and its images are
  made anew. What must last is evidence, and evidence is not kept in a cluster.
* Policies hold before the first pod: packets of pods go to the policy agent or nowhere
  from the moment the wire exists, and the agent is told of each pod by the container
  runtime before its first packet (NRI).
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kubernetes import client

from sandbox.errors import LocalError
from sandbox.local import cgroups, control_plane
from sandbox.local.beacon import READY
from sandbox.local.cluster import (
    api_is_ready,
    apply_objects,
    connect_api,
    dns_is_ready,
    node_is_ready,
)
from sandbox.local.commands import attempt
from sandbox.local.control_plane import NODE_NAME, SYSTEM_PATH, NodePlan
from sandbox.local.enclosure import hold, inside, server_prefix
from sandbox.local.ending import node_processes
from sandbox.local.images import (
    OWN_IMAGE,
    PLANS,
    import_archive,
    reference,
    write_archive,
)
from sandbox.local.layout import Layout, Progress, layout_of
from sandbox.local.network import METADATA_ADDRESS, connect, take_slot
from sandbox.local.own_image import CODE_LAYER, own_layers
from sandbox.local.packet_queue import agent_table_is_held, queue_to_agent
from sandbox.local.pki import (
    client_subjects,
    issue,
    make_account_keys,
    make_authority,
    write_kubeconfig,
)
from sandbox.local.processes import (
    Tracked,
    alive,
    find_tracked,
    last_lines,
    spawn,
)
from sandbox.local.templates import render_objects
from sandbox.model.record import Record
from sandbox.settings import Settings

OUTSIDE_PORT = 8480
METADATA_PORT = 80
_BEACON = Path(__file__).with_name("beacon.py")


class NodeFacts(Record):
    """What others need to know about a node that runs."""

    kubeconfig: Path
    host_address: str
    node_address: str
    api_server: str
    api_address: str
    dns_address: str
    pod_range: str
    service_range: str
    images: dict[str, str]
    audit_log: Path
    beacons: dict[str, tuple[str, int]]
    timings: dict[str, float]


class _Start(NamedTuple):
    """A node while it starts."""

    settings: Settings
    plan: NodePlan
    keeper: Tracked
    progress: Progress
    timings: dict[str, float]
    begun: float

    def note(self, name: str) -> None:
        self.timings[name] = round(time.monotonic() - self.begun, 3)


def start_node(
    settings: Settings,
    binaries: Mapping[str, Path],
    *,
    progress: Progress,
    now: datetime,
) -> NodeFacts:
    """Start a node and wait until it runs pods and answers DNS.

    Args:
        settings: Where its files lie.
        binaries: Path of every binary of the node.
        progress: Told what happens.
        now: The present instant; certificates begin here.

    Raises:
        LocalError: A server cannot start; the diagnosis holds the end of its log.
    """
    layout = layout_of(settings)
    progress("kubernetes", "making namespaces, keys and images")
    begun = time.monotonic()
    digests = _prepare(layout, binaries, progress)
    keeper = hold(settings, needed=sorted({p.parent for p in binaries.values()}))
    plan = _wire(layout, keeper, digests)
    start = _Start(settings, plan, keeper, progress, {}, begun)
    _make_credentials(plan, now)
    start.note("prepared")
    api = connect_api(plan.server, layout.pki)
    _start_first(start, digests, api)
    _start_later(start, api)
    return _facts(start, digests)


def _prepare(
    layout: Layout, binaries: Mapping[str, Path], progress: Progress
) -> dict[str, str]:
    cgroups.make(layout.instance)
    for folder in ("bin", "cni", "pod-logs"):
        (layout.node / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.node.chmod(0o700)
    for name, path in binaries.items():
        (layout.node / "bin" / name).symlink_to(path)
    archive = layout.node / "images.tar"
    try:
        own = own_layers(layout)
    except LocalError as error:
        # The node is of use without it; whoever applies the platform says what lacks.
        progress("kubernetes", f"without this product's own image: {error.diagnosis}")
        others = {name: plan for name, plan in PLANS.items() if name != OWN_IMAGE}
        return write_archive(archive, binaries, others)
    digests = write_archive(archive, {**binaries, **own})
    own[CODE_LAYER].unlink()
    return digests


def _wire(layout: Layout, keeper: Tracked, digests: Mapping[str, str]) -> NodePlan:
    slot = take_slot(keeper, owner=f"{layout.instance} {layout.home}"[:255])
    connect(slot, keeper)
    runc = shutil.which("runc", path=SYSTEM_PATH)
    if runc is None:
        raise LocalError("runc is not on this machine; install it: apt install runc")
    return NodePlan(
        layout=layout,
        slot=slot,
        runc=Path(runc),
        images={name: reference(name, digest) for name, digest in digests.items()},
        may_lower_oom_score=has_capability(24),
        queues_by_iptables=queue_to_agent(slot, keeper),
    )


def has_capability(number: int) -> bool:
    """Return whether this process has a capability (linux/capability.h)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> number & 1)


def _make_credentials(plan: NodePlan, now: datetime) -> None:
    pki = plan.layout.pki
    authority = make_authority(pki, now=now)
    make_account_keys(pki)
    issue(authority, "apiserver", control_plane.server_subject(plan))
    for file, subject in client_subjects(NODE_NAME).items():
        hosts = (NODE_NAME, plan.slot.node_address) if file == "kubelet" else ()
        issue(authority, file, subject._replace(hosts=hosts))
        write_kubeconfig(pki, file, server=plan.server)
    for path, text in control_plane.configurations(plan).items():
        (plan.layout.node / path).write_text(text)


def _start_first(
    start: _Start, digests: Mapping[str, str], api: client.ApiClient
) -> None:
    start.progress("kubernetes", "starting etcd, containerd and the API server")
    _spawn_all(start, control_plane.first_servers(start.plan))
    ctr = [str(start.plan.bin / "ctr"), "--address", str(start.plan.socket)]
    ctr += ["--namespace", "k8s.io"]
    answers = [*inside(start.keeper), *ctr, "version"]
    _wait(start, "containerd", lambda: attempt(answers).returncode == 0)
    archive = start.plan.layout.node / "images.tar"
    import_archive([*inside(start.keeper), *ctr], archive, digests)
    archive.unlink()
    start.note("images")
    _wait(start, "kube-apiserver", lambda: api_is_ready(api))
    start.note("api")


def _start_later(start: _Start, api: client.ApiClient) -> None:
    start.progress("kubernetes", "starting the kubelet, controllers and policy agent")
    filled = control_plane.values(start.plan)
    objects = render_objects("node/cluster.yaml", filled)
    _wait(start, "kube-apiserver", lambda: apply_objects(api, objects))
    _spawn_all(start, control_plane.before_policy_agent(start.plan))
    if start.plan.queues_by_iptables:
        _wait(start, "policy-table", partial(agent_table_is_held, start.keeper))
    _spawn_all(start, control_plane.later_servers(start.plan))
    _start_beacons(start)
    start.progress("kubernetes", "waiting for the node and its DNS")
    _wait(start, "kubelet", lambda: node_is_ready(api, NODE_NAME))
    start.note("node")
    _wait(start, "kubelet", lambda: dns_is_ready(api))
    start.note("dns")


def _spawn_all(start: _Start, commands: Mapping[str, list[str]]) -> None:
    prefix = server_prefix(start.plan.layout, start.keeper)
    env = {"PATH": f"{start.plan.bin}:{SYSTEM_PATH}"}
    for name, argv in commands.items():
        spawn(start.settings, name, argv, env=env, prefix=prefix)


def _beacons(plan: NodePlan) -> dict[str, tuple[str, int]]:
    return {
        "metadata": (METADATA_ADDRESS, METADATA_PORT),
        "outside": (plan.slot.host_address, OUTSIDE_PORT),
    }


def _start_beacons(start: _Start) -> None:
    layout = start.plan.layout
    prefixes = {
        "metadata": server_prefix(layout, start.keeper),
        "outside": cgroups.joining(layout.instance),
    }
    for name, (address, port) in _beacons(start.plan).items():
        argv = [sys.executable, "-I", str(_BEACON), address, str(port), name]
        process = f"beacon-{name}"
        tracked = spawn(start.settings, process, argv, prefix=prefixes[name])
        _wait(start, process, partial(_says_ready, tracked))


def _says_ready(tracked: Tracked) -> bool:
    return tracked.log.read_text().startswith(READY)


def _wait(
    start: _Start, name: str, ready: Callable[[], bool], *, within_s: float = 180.0
) -> None:
    """Wait for a condition as long as every server of the node lives.

    Raises:
        LocalError: A server has ended, or `name` is not ready in time.
    """
    deadline = time.monotonic() + within_s
    while not ready():
        for tracked in node_processes(start.settings):
            if not alive(tracked):
                raise LocalError(_diagnosis(tracked, "has ended"))
        if time.monotonic() > deadline:
            tracked = find_tracked(start.settings, name) or start.keeper
            raise LocalError(_diagnosis(tracked, f"is not ready after {within_s:g} s"))
        time.sleep(0.05)


def _diagnosis(tracked: Tracked, what: str) -> str:
    return (
        f"the Kubernetes node cannot start: {tracked.name} {what}; end of "
        f"{tracked.log}:\n{last_lines(tracked.log)}\n"
        "`sandbox doctor` checks what a node needs of this machine; an existing "
        "cluster is used with `--context NAME`"
    )


def _facts(start: _Start, digests: Mapping[str, str]) -> NodeFacts:
    slot = start.plan.slot
    return NodeFacts(
        kubeconfig=start.plan.layout.pki / "admin.kubeconfig",
        host_address=slot.host_address,
        node_address=slot.node_address,
        api_server=start.plan.server,
        api_address=slot.api_address,
        dns_address=slot.dns_address,
        pod_range=slot.pod_range,
        service_range=slot.service_range,
        images=dict(digests),
        audit_log=start.plan.layout.audit_log,
        beacons=_beacons(start.plan),
        timings=dict(start.timings),
    )
