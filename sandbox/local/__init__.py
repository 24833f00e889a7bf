"""The servers a trial needs, on this machine: real Temporal, one real Kubernetes node.

Rules of this package:

* What runs is the real server, built from pinned modules; nothing is imitated.
* Several homes live on one machine without meeting: names, addresses and ranges are
  each home's own.
* `up` starts, `down` leaves nothing behind but the state directory, also after a crash.

Start with `up`, `down`, `status`, `describe` and `doctor.checks`. Other processes that
must outlive the command that starts them go through `spawn` and `stop`.
"""

from sandbox.local.layout import Progress
from sandbox.local.processes import (
    ProcessStatus,
    Tracked,
    alive,
    find_tracked,
    is_alive,
    last_lines,
    spawn,
    stop,
    tracked_processes,
)
from sandbox.local.servers import LocalServers, describe, down, status, up

__all__ = [
    "LocalServers",
    "ProcessStatus",
    "Progress",
    "Tracked",
    "alive",
    "describe",
    "down",
    "find_tracked",
    "is_alive",
    "last_lines",
    "spawn",
    "status",
    "stop",
    "tracked_processes",
    "up",
]
