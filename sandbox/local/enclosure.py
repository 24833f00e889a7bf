"""The node's own network and mount namespaces, held by one sleeping process.

Rules of this module:

* Whatever the node mounts, pins or routes exists only inside; when its last process
  ends, the kernel removes all of it. Nothing has to be unmounted by hand.
* /run, /var/lib and /var/log are the node's own: servers with paths fixed in their
  code (the NRI socket, kubelet's plugin folder) meet no other node and leave no trace.
* The host's mounts are seen, and their removal is seen; nothing travels the other way
  (mount_namespaces(7), slave propagation).
* /sys stays as it is: mounting it anew would hide the control groups.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import LocalError
from sandbox.local.cgroups import joining
from sandbox.local.layout import Layout, layout_of
from sandbox.local.processes import Tracked, alive, last_lines, spawn
from sandbox.settings import Settings

COVERED = ("/run", "/var/lib", "/var/log")
"""Folders of the host that the node has for itself."""

_SCRIPT = """set -e
{keep}
mount --make-rshared /
for place in {covered}; do
  mount -t tmpfs -o mode=755,size=256m node "$place"
done
{restore}
mkdir -p /run/lock /run/netns
touch {ready}
exec sleep infinity
"""


def hold(settings: Settings, *, needed: Sequence[Path]) -> Tracked:
    """Make the namespaces and return the process that holds them.

    Args:
        settings: Where its record lies.
        needed: Folders the node uses; those under a covered place are kept visible.

    Raises:
        LocalError: The kernel refuses, for example without CAP_SYS_ADMIN.
    """
    layout = layout_of(settings)
    ready = layout.node / "enclosed"
    ready.unlink(missing_ok=True)
    script = _script(_kept([layout.home, *needed, *_python()]), ready)
    unshare = ["unshare", "--net", "--mount", "--propagation", "slave"]
    keeper = spawn(
        settings,
        "node",
        [*unshare, "sh", "-c", script],
        prefix=joining(layout.instance),
    )
    _wait_ready(keeper, ready)
    return keeper


def _python() -> list[Path]:
    return [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]]


def _kept(paths: Sequence[Path]) -> list[Path]:
    """Return those of `paths` that a cover would hide, outermost first."""
    hidden = {
        path
        for path in paths
        if any(path.is_relative_to(Path(place).resolve()) for place in COVERED)
    }
    return sorted(hidden)


def _script(kept: Sequence[Path], ready: Path) -> str:
    keep, restore = [], []
    for number, path in enumerate(kept, start=3):
        quoted = shlex.quote(str(path))
        keep.append(f"exec {number}<{quoted}")
        restore.append(
            f"mkdir -p {quoted} && "
            f"mount --no-canonicalize --bind /proc/self/fd/{number} {quoted}"
        )
    return _SCRIPT.format(
        keep="\n".join(keep),
        covered=" ".join(COVERED),
        restore="\n".join(restore),
        ready=shlex.quote(str(ready)),
    )


def _wait_ready(keeper: Tracked, ready: Path) -> None:
    deadline = time.monotonic() + 10.0
    while not ready.exists():
        if not alive(keeper) or time.monotonic() > deadline:
            raise LocalError(
                "the node's namespaces cannot be made; a node needs root with "
                f"CAP_SYS_ADMIN and CAP_NET_ADMIN:\n{last_lines(keeper.log)}"
            )
        time.sleep(0.01)


def inside(keeper: Tracked) -> list[str]:
    """Return a command prefix that executes the rest inside the namespaces."""
    return ["nsenter", f"--target={keeper.pid}", "--net", "--mount", "--"]


def server_prefix(layout: Layout, keeper: Tracked) -> list[str]:
    """Return the prefix of the node's servers: in the control group, then inside."""
    return [*joining(layout.instance), *inside(keeper)]
