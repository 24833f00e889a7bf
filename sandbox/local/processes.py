"""Processes that outlive the command that started them, and are found again.

Rules of this module:

* A process is its number *and* its start time within one boot: a number that was given
  to another process since is never signalled (proc(5), field 22 of `stat`).
* Every process leads its own session, writes to one log, and is recorded on disk
  before anything waits for it.
* Stopping asks first (SIGTERM) and insists later (SIGKILL).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import ValidationError

from sandbox.errors import LocalError
from sandbox.local.layout import layout_of
from sandbox.model.record import Record
from sandbox.settings import Settings

_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Children of this very process stay in the kernel's table until they are reaped, which
# happens when they are asked about. Those of a process that has ended are init's.
_children: set[int] = set()


class Tracked(Record):
    """One process that was started, as recorded on disk."""

    name: str
    pid: int
    started_ticks: int
    """Start time in clock ticks since boot."""
    boot: str
    """The boot it belongs to: numbers and ticks start again at the next."""
    command: tuple[str, ...]
    log: Path


class ProcessStatus(Record):
    """One recorded process, as it is now."""

    name: str
    pid: int
    alive: bool
    resident_bytes: int
    processor_s: float
    """Processor time it has used since it started, in seconds."""
    log: Path


def started_ticks(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def spawn(
    settings: Settings,
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Tracked:
    """Start a process in its own session and record it.

    Args:
        settings: Where records and logs lie.
        name: Names the process, its record and its log.
        argv: The program and its arguments.
        env: Variables added to this process's environment.
        prefix: A command that ends by executing its arguments, for example `nsenter`.

    Raises:
        LocalError: The program cannot be executed, or one of that name runs already.
    """
    if is_alive(settings, name):
        raise LocalError(
            f"{name} runs already; stop it first with `sandbox local down`"
        )
    layout = layout_of(settings)
    extra = [f"{key}={value}" for key, value in (env or {}).items()]
    command = [*prefix, *(["env", *extra] if extra else []), *argv]
    log = layout.log / f"{name}.log"
    pid = _start(name, command, log)
    tracked = Tracked(
        name=name,
        pid=pid,
        started_ticks=started_ticks(pid) or 0,
        boot=_BOOT.read_text().strip(),
        command=tuple(argv),
        log=log,
    )
    _record(layout.run / f"{name}.json", tracked)
    return tracked


def _start(name: str, command: Sequence[str], log: Path) -> int:
    try:
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise LocalError(
            f"{name} cannot be started: {command[0]}: {error.strerror}; "
            "`sandbox doctor` says what this machine lacks"
        ) from error
    # It is meant to outlive this object, which otherwise warns when it is collected.
    child.returncode = 0
    _children.add(child.pid)
    return child.pid


def _record(path: Path, tracked: Tracked) -> None:
    part = path.with_suffix(".part")
    part.write_text(tracked.model_dump_json())
    part.replace(path)


def tracked_processes(settings: Settings) -> list[Tracked]:
    """Return every recorded process, in the order they were started."""
    found = []
    for path in layout_of(settings).run.glob("*.json"):
        try:
            found.append(Tracked.model_validate_json(path.read_text()))
        except (ValidationError, FileNotFoundError):
            continue
    return sorted(found, key=lambda tracked: (tracked.started_ticks, tracked.pid))


def find_tracked(settings: Settings, name: str) -> Tracked | None:
    """Return the record of a process, alive or not."""
    named = (item for item in tracked_processes(settings) if item.name == name)
    return next(named, None)


def alive(tracked: Tracked) -> bool:
    """Return whether this very process still runs."""
    _reap(tracked.pid)
    same_boot = tracked.boot == _BOOT.read_text().strip()
    return same_boot and started_ticks(tracked.pid) == tracked.started_ticks


def _reap(pid: int) -> None:
    if pid not in _children:
        return
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        ended = pid
    _children.difference_update({ended})


def is_alive(settings: Settings, name: str) -> bool:
    """Return whether the recorded process of that name runs."""
    tracked = find_tracked(settings, name)
    return tracked is not None and alive(tracked)


def stop(settings: Settings, tracked: Tracked, *, grace_s: float = 10.0) -> bool:
    """End a process and forget it.

    Args:
        settings: Where the record lies.
        tracked: The process; another one that took its number is left alone.
        grace_s: Seconds between SIGTERM and SIGKILL; 0 kills at once.

    Returns:
        Whether it was running.

    Raises:
        LocalError: It survives SIGKILL for five seconds.
    """
    was_alive = alive(tracked)
    if was_alive and grace_s > 0:
        _signal(tracked, signal.SIGTERM)
        _wait_ended(tracked, grace_s)
    if alive(tracked):
        _signal(tracked, signal.SIGKILL)
        if not _wait_ended(tracked, 5.0):
            raise LocalError(
                f"{tracked.name} (process {tracked.pid}) does not end after SIGKILL; "
                "it waits in the kernel, look at `dmesg`"
            )
    forget(settings, tracked)
    return was_alive


def forget(settings: Settings, tracked: Tracked) -> None:
    """Remove the record of a process."""
    (layout_of(settings).run / f"{tracked.name}.json").unlink(missing_ok=True)


def _signal(tracked: Tracked, number: signal.Signals) -> None:
    try:
        os.kill(tracked.pid, number)
    except ProcessLookupError:
        return


def _wait_ended(tracked: Tracked, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(tracked):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def status_of(tracked: Tracked) -> ProcessStatus:
    """Return whether the process runs, and what it holds and has used."""
    running = alive(tracked)
    resident, used = 0, 0.0
    if running:
        try:
            process = psutil.Process(tracked.pid)
            resident = process.memory_info().rss
            times = process.cpu_times()
            used = times.user + times.system
        except psutil.NoSuchProcess:
            running = False
    return ProcessStatus(
        name=tracked.name,
        pid=tracked.pid,
        alive=running,
        resident_bytes=resident,
        processor_s=round(used, 2),
        log=tracked.log,
    )


def last_lines(log: Path, count: int = 12) -> str:
    """Return the end of a log, for a diagnosis."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(it left no log)"
    return "\n".join(f"    {line[:300]}" for line in lines[-count:]) or "(empty log)"
