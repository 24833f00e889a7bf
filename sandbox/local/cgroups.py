"""One control group that holds every process of a node, servers and pods alike.

Rules of this module:

* The group is ours by name and nothing else lives in it: what is in it may be killed,
  also when every record of process numbers is lost. Shims outlive containerd and
  containers outlive shims, but neither leaves its group (cgroups(7)).
* Both versions of the kernel interface are served: version 1 freezes first, so that
  nothing can fork away from the kill; version 2 kills the group in one step.
"""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox.errors import LocalError

_MOUNTS = Path("/proc/self/mountinfo")


def hierarchies(mounts: str = "") -> dict[str, Path]:
    """Return the mount point of each hierarchy, by its controllers.

    Args:
        mounts: Text in the format of /proc/self/mountinfo; this process's when empty.

    Returns:
        `{"": path}` where version 2 has the controllers, otherwise one entry per
        version 1 hierarchy, for example `{"memory": …, "freezer": …}`.
    """
    first, second = _mounted(mounts or _MOUNTS.read_text())
    return first if any("memory" in name for name in first) else second


def _mounted(mounts: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the hierarchies of version 1 and of version 2, by controllers."""
    first: dict[str, Path] = {}
    second: dict[str, Path] = {}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        path = Path(left.split(" ")[4])
        if kind == "cgroup2":
            second.setdefault("", path)
        elif kind == "cgroup":
            first.setdefault(_controllers(options), path)
    return first, second


def _controllers(options: str) -> str:
    words = options.split(",")
    named = [word for word in words if word.startswith("name=")]
    skipped = {"rw", "ro", "xattr", "noprefix", "clone_children"}
    rest = (w for w in words if w not in skipped and not w.startswith("release_"))
    return ",".join(named or rest)


def controllers() -> set[str]:
    """Return the names of the controllers that are mounted."""
    found = hierarchies()
    if "" in found:
        return set((found[""] / "cgroup.controllers").read_text().split())
    return {controller for names in found for controller in names.split(",")}


def make(group: str) -> None:
    """Make the group, with a leaf `servers`, in every hierarchy.

    Raises:
        LocalError: The kernel refuses, or no hierarchy is mounted.
    """
    found = hierarchies()
    if not found:
        raise LocalError("no control groups are mounted; a node needs /sys/fs/cgroup")
    try:
        for name, path in found.items():
            _make_in(path / group, is_unified=name == "")
    except OSError as error:
        raise LocalError(f"cannot make the control group {group}: {error}") from error


def _make_in(path: Path, *, is_unified: bool) -> None:
    path.mkdir(exist_ok=True)
    if is_unified:
        _enable_controllers(path)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # In version 1 an empty cpuset accepts no process.
        if not is_unified and (path / name).exists():
            (path / name).write_text((path.parent / name).read_text())
    (path / "servers").mkdir(exist_ok=True)


def _enable_controllers(path: Path) -> None:
    for directory in (path.parent, path):
        for controller in (directory / "cgroup.controllers").read_text().split():
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def joining(group: str) -> list[str]:
    """Return a command prefix that moves itself into `servers`, then executes the rest.

    In version 1 memory, freezer and process numbers are joined: what is needed to
    account for a server and to end it.
    """
    wanted = ("", "memory", "freezer", "pids")
    files = [
        path / group / "servers" / "cgroup.procs"
        for name, path in hierarchies().items()
        if name in wanted
    ]
    script = " && ".join(f"echo $$ >{shlex.quote(str(file))}" for file in files)
    return ["sh", "-c", f'{script} && exec "$@"', "sh"]


def exists(group: str) -> bool:
    """Return whether the group is there, in any hierarchy."""
    return next(_directories(group), None) is not None


def processes(group: str) -> set[int]:
    """Return the numbers of all processes in the group, in any hierarchy."""
    found: set[int] = set()
    for directory in _directories(group):
        try:
            found.update(map(int, (directory / "cgroup.procs").read_text().split()))
        except OSError:
            continue
    return found - {0}


def _directories(group: str) -> Iterator[Path]:
    """Yield the group's directories in every hierarchy, innermost first.

    Where both versions are mounted, runc also makes directories in version 2.
    """
    first, second = _mounted(_MOUNTS.read_text())
    for path in (*first.values(), *second.values()):
        for directory, _, _ in os.walk(path / group, topdown=False):
            yield Path(directory)


def kill(group: str, *, within_s: float = 10.0) -> int:
    """Kill every process of the group and wait until none is left.

    Returns:
        How many there were.

    Raises:
        LocalError: Some survive for `within_s` seconds.
    """
    count = len(processes(group))
    deadline = time.monotonic() + within_s
    while left := processes(group):
        _kill_once(group, left)
        if time.monotonic() > deadline:
            raise LocalError(
                f"processes {sorted(left)} of {group} do not end after SIGKILL; "
                "they wait in the kernel, look at `dmesg`"
            )
        time.sleep(0.02)
    return count


def _kill_once(group: str, numbers: set[int]) -> None:
    found = hierarchies()
    unified = found.get("", Path("/nonexistent")) / group / "cgroup.kill"
    if unified.exists():
        unified.write_text("1")
        return
    freezer = found.get("freezer", Path("/nonexistent")) / group / "freezer.state"
    _write_state(freezer, "FROZEN")
    for number in numbers | processes(group):
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _write_state(freezer, "THAWED")


def _write_state(file: Path, state: str) -> None:
    if file.exists():
        file.write_text(state)


def remove(group: str) -> bool:
    """Remove the empty group from every hierarchy.

    Returns:
        Whether there was one.

    Raises:
        LocalError: The kernel still counts a process in it.
    """
    existed = False
    deadline = time.monotonic() + 5.0
    for directory in list(_directories(group)):
        existed = True
        while not _removed(directory):
            if time.monotonic() > deadline:
                raise LocalError(f"cannot remove the control group {directory}")
            time.sleep(0.02)
    return existed


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
