"""One trial's segment files, as the recorder writes them.

Rules of this module:

* `append` returns once the bytes are durable (fdatasync), and raises otherwise: what it
  returned for is there after a power cut, what it raised for may be sent again.
* A new file's directory entry is made durable before anything in it is acknowledged.
* After a failed write or sync nothing in memory is believed: the file is read again and
  cut to what is whole before the next append.
* What is cut is kept beside the segment (`.torn`) and written down as a gap.
* Where a segment ends is durable beside it (`.end`) before it is closed. The room for
  that is taken when it is opened, so that it can be closed also on a full disk.
* Not safe for threads: the caller serialises.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import zstandard

from sandbox.adapters.durable import sync_folder
from sandbox.adapters.otlp_numbering import last_sequence
from sandbox.errors import RecorderError
from sandbox.model.segment import Signal
from sandbox.ports import Clock
from sandbox.recorder import (
    RECORDER,
    Ending,
    RollingPolicy,
    SegmentName,
    encode_ending,
    encode_frame,
    file_name,
    folder_name,
    gap_request,
    parse_name,
    restart_gaps,
    salvage_frames,
)

_CHECK_BYTES = 64 * 1024
_NUMBERED = ("closed", "zst", "dsse.json")
"""What is left of segments that are not open: whole, sealed, erased."""


class Received(NamedTuple):
    """One request, as it is to be recorded."""

    signal: Signal
    producer: str
    payload: bytes
    received_at: datetime


class TrialStore:
    """Writes the segments of one trial.

    Args:
        root: The evidence folder of the installation.
        trial_id: Whose segments.
        policy: When a segment is closed.
        clock: Tells when a gap was found.
        sync: Makes what was written to a file descriptor durable, or raises OSError.
    """

    def __init__(
        self,
        root: Path,
        trial_id: str,
        *,
        policy: RollingPolicy,
        clock: Clock,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self._folder = root / folder_name(trial_id)
        self._policy = policy
        self._clock = clock
        self._sync = sync
        self._fd: int | None = None
        self._number = 0
        self._size = 0
        self._sequence = 0
        self._opened = 0.0
        self._trusted = False

    @property
    def open_bytes(self) -> int:
        """Size of the open segment; 0 when none is open."""
        return self._size if self._fd is not None else 0

    def append(self, batch: Sequence[Received]) -> None:
        """Record requests in order, durably.

        Raises:
            RecorderError: Nothing of the batch is acknowledged.
        """
        try:
            self._prepare()
            frames = self._encode(batch)
            if self._policy.is_full(size=self.open_bytes, more=len(frames)):
                self._close()
            if self._fd is None:
                self._open()
            self._write(frames)
            self._sequence += len(batch)
            if self.is_due():
                self._close()
        except (OSError, zstandard.ZstdError) as error:
            self._abandon()
            raise RecorderError(
                f"cannot write {self._folder}: {error}; free space or repair the disk"
            ) from error

    def is_due(self) -> bool:
        """Return whether the open segment is to be closed."""
        age = time.monotonic() - self._opened
        return self._policy.is_due(size=self.open_bytes, age_s=age)

    def roll(self) -> int | None:
        """Close the open segment; return its number, or None if none was open.

        Raises:
            RecorderError: It cannot be closed.
        """
        try:
            if not self._folder.is_dir():
                return None
            self._prepare()
            return self._close() if self._fd is not None else None
        except (OSError, zstandard.ZstdError) as error:
            self._abandon()
            raise RecorderError(f"cannot close {self._folder}: {error}") from error

    def recover(self) -> None:
        """Close what an earlier recorder left open, without its torn tail.

        Raises:
            RecorderError: The folder cannot be read or written.
        """
        try:
            self._prepare()
        except (OSError, zstandard.ZstdError) as error:
            self._abandon()
            raise RecorderError(f"cannot recover {self._folder}: {error}") from error

    def check_writable(self) -> None:
        """Write a small file where segments lie, durably, and remove it.

        Raises:
            RecorderError: That is not possible, so nothing could be recorded.
        """
        place = self._folder if self._folder.is_dir() else self._folder.parent
        path = place / ".writable"
        try:
            with path.open("wb") as file:
                file.write(bytes(_CHECK_BYTES))
                file.flush()
                self._sync(file.fileno())
        except OSError as error:
            raise RecorderError(
                f"cannot write {place}: {error}; free space or repair the disk"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _prepare(self) -> None:
        if self._trusted:
            return
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, mode=0o700)
            sync_folder(self._folder.parent)
        found = self._names()
        opened = [name.number for name in found if name.kind == "open"]
        closed = [name.number for name in found if name.kind in _NUMBERED]
        self._sequence = last_sequence(self._folder, max(closed, default=0))
        for number in opened:
            self._recover(number)
        self._number = max((name.number for name in self._names()), default=0)
        self._trusted = True

    def _names(self) -> list[SegmentName]:
        names = (parse_name(item.name) for item in self._folder.iterdir())
        return sorted(name for name in names if name is not None)

    def _recover(self, number: int) -> None:
        path = self._folder / file_name(number, "open")
        raw = path.read_bytes()
        salvage = salvage_frames(raw)
        torn = raw[salvage.consumed :]
        if not raw:
            path.unlink()
            (self._folder / file_name(number, "end")).unlink(missing_ok=True)
            return
        if torn:
            _keep(self._folder / file_name(number, "torn"), torn)
        if salvage.frames:
            self._sequence = salvage.frames[-1].sequence
        now = self._clock.now()
        gaps = restart_gaps(
            salvage.frames, torn_bytes=len(torn), damage=salvage.damage, at=now
        )
        payloads = [gap_request(gap, at=now) for gap in gaps]
        notes = [Received("logs", RECORDER, payload, now) for payload in payloads]
        self._number, self._size = number, salvage.consumed
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._fd, salvage.consumed)
        self._write(self._encode(notes))
        self._sequence += len(notes)
        self._close()

    def _encode(self, batch: Sequence[Received]) -> bytes:
        return b"".join(
            encode_frame(
                item.payload,
                signal=item.signal,
                producer=item.producer,
                sequence=sequence,
                received_at=item.received_at,
            )
            for sequence, item in enumerate(batch, start=self._sequence + 1)
        )

    def _open(self) -> None:
        path = self._folder / file_name(self._number + 1, "open")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._number, self._size = self._number + 1, 0
        self._opened = time.monotonic()
        self._note_end()
        sync_folder(self._folder)

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            raise OSError("no segment is open")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._sync(self._fd)
        self._size += len(data)

    def _close(self) -> int:
        if self._fd is not None:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None
        self._note_end()
        opened = self._folder / file_name(self._number, "open")
        opened.rename(self._folder / file_name(self._number, "closed"))
        sync_folder(self._folder)
        return self._number

    def _note_end(self) -> None:
        note = encode_ending(Ending(self._size, self._sequence))
        path = self._folder / file_name(self._number, "end")
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, note, 0)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _abandon(self) -> None:
        # The pages behind a failed sync are undefined: forget everything, read again.
        self._trusted = False
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._size)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = None


def _keep(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
