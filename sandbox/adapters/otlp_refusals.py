"""What the recorder refused: counted at once, written down soon, window by window.

Rules of this module:

* Equal refusals of one window are one count, with the first and the last time; no token
  is ever written. Beyond `MAX_KINDS` peers are not told apart, so nobody can fill the
  memory or the disk by being refused.
* The file of a window is written anew as a whole at each flush, durably: what was
  flushed is there after a power cut, and nothing is counted twice.
* A closed window never changes. It waits under a name never used again until the
  refusals are in the log, and is then removed by whoever put them there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from sandbox.adapters.durable import replace_file, sync_folder
from sandbox.errors import RecorderError
from sandbox.model.segment import RecorderRefusal, RefusalReason, RefusalWindow
from sandbox.ports import Clock, Producer

REFUSALS_FOLDER = "_refusals"
OPEN = ".open.json"
CLOSED = ".closed.json"
MAX_KINDS = 1000
_LOG = logging.getLogger(__name__)


class Refused(NamedTuple):
    """Why a request was not recorded."""

    reason: RefusalReason
    message: str


class _Kind(NamedTuple):
    reason: RefusalReason
    signal: str
    peer: str
    trial_id: str
    producer: str


class _Window:
    """The refusals of one window while it is open."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.name = ""
        self.kinds: dict[_Kind, RecorderRefusal] = {}
        self.changes = 0
        self.written = 0

    def add(self, kind: _Kind, clock: Clock) -> None:
        if kind not in self.kinds and len(self.kinds) >= MAX_KINDS:
            kind = _Kind(kind.reason, "", "many", "", "")
        now = clock.now()
        if not self.kinds:
            self.began = time.monotonic()
            self.name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        known = self.kinds.get(kind)
        self.kinds[kind] = RecorderRefusal.model_construct(
            **kind._asdict(),
            count=known.count + 1 if known else 1,
            first_at=known.first_at if known else now,
            last_at=now,
        )
        self.changes += 1

    def text(self) -> bytes:
        refusals = tuple(self.kinds.values())
        return (
            RefusalWindow(name=self.name, refusals=refusals).model_dump_json().encode()
        )


class Refusals:
    """The refusals of one recorder.

    Args:
        folder: Where they are written.
        clock: Tells when a request was refused.
        window_s: How long a window lasts, in seconds.
    """

    def __init__(self, folder: Path, *, clock: Clock, window_s: float) -> None:
        self._folder = folder
        self._clock = clock
        self._window_s = window_s
        self._counts: Counter[RefusalReason] = Counter()
        # One that could not be closed yet may lie before the one that is filled.
        self._windows = [_Window()]
        # A flush that is given up at the end goes on in its thread.
        self._writing = threading.Lock()

    def counts(self) -> dict[str, int]:
        """Return how often each reason came, since the start."""
        return {str(reason): count for reason, count in self._counts.items()}

    def add(
        self,
        refused: Refused,
        *,
        signal: str,
        peer: str,
        producer: Producer | None = None,
    ) -> None:
        """Remember a refusal until the next `flush`.

        Args:
            refused: Why.
            signal: What the request claimed to carry.
            peer: Address of the sender.
            producer: Whom the token named, if it named anyone.
        """
        self._counts[refused.reason] += 1
        trial_id, name = producer or ("", "")
        kind = _Kind(refused.reason, signal[:80], peer[:80], trial_id, name)
        self._windows[-1].add(kind, self._clock)

    def recover(self) -> None:
        """Close what an earlier recorder left open.

        Raises:
            RecorderError: It cannot be closed.
        """
        try:
            for path in sorted(self._folder.glob(f"*{OPEN}")):
                path.rename(path.with_name(path.name.removesuffix(OPEN) + CLOSED))
            if self._folder.is_dir():
                sync_folder(self._folder)
        except OSError as error:
            raise RecorderError(f"cannot close refusals: {error}") from error

    async def flush(self, *, ending: bool = False) -> None:
        """Write down what was refused since the last flush; close a window that is due.

        Args:
            ending: Close the window also when it is not due.

        Raises:
            RecorderError: It cannot be written; it is kept for the next flush.
        """
        current = self._windows[-1]
        is_due = ending or time.monotonic() - current.began >= self._window_s
        if current.kinds and is_due and len(self._windows) == 1:
            self._windows.append(_Window())
        for window in list(self._windows):
            await self._keep(window, is_closed=window is not self._windows[-1])

    async def _keep(self, window: _Window, *, is_closed: bool) -> None:
        changes = window.changes
        if changes == window.written and not is_closed:
            return
        try:
            await asyncio.to_thread(self._write, window.name, window.text(), is_closed)
        except OSError as error:
            raise RecorderError(f"cannot write refusals: {error}") from error
        window.written = changes
        if is_closed:
            self._windows.remove(window)

    def _write(self, name: str, data: bytes, is_closed: bool) -> None:
        with self._writing:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            opened = self._folder / f"{name}{OPEN}"
            replace_file(opened, data)
            if is_closed:
                opened.rename(self._folder / f"{name}{CLOSED}")
                sync_folder(self._folder)


def closed_windows(folder: Path) -> list[RefusalWindow]:
    """Return the closed windows that are still kept, oldest first.

    What is not as the recorder wrote it is set aside under another name.

    Raises:
        RecorderError: One cannot be read.
    """
    read = (_window_in(path) for path in sorted(folder.glob(f"*{CLOSED}")))
    return [window for window in read if window is not None]


def drop_window(folder: Path, name: str) -> None:
    """Remove a closed window; idempotent.

    Raises:
        RecorderError: It cannot be removed.
    """
    path = folder / f"{Path(name).name}{CLOSED}"
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RecorderError(f"cannot remove {path}: {error}") from error


def _window_in(path: Path) -> RefusalWindow | None:
    try:
        return RefusalWindow.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        # Another worker has entered it in the log meanwhile.
        return None
    except ValidationError as error:
        # One damaged file must not keep segments from being sealed.
        aside = path.with_name(f"{path.name}.damaged")
        path.rename(aside)
        _LOG.error("what the recorder refused cannot be read: %s: %s", aside, error)
        return None
    except OSError as error:
        raise RecorderError(f"{path} cannot be read: {error}") from error
