"""Segments on the local disk, as the recorder writes them.

Rules of this module:

* Closing is the recorder's: it is asked through its own door, and only when something
  is open; with nothing open no recorder is needed.
* A raw segment is removed only after its sealed form is durable and was compared with
  it, byte for byte.
* A sealed segment never changes: the same content again is accepted, other refused.
* Erasing removes what was derived first and the compressed file last: as long as that
  is there, the erasure is not complete and is repeated.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Self

import zstandard

from sandbox.adapters.durable import replace_file, sync_folder
from sandbox.adapters.otlp_admin import TOKEN_FILE
from sandbox.adapters.otlp_refusals import (
    REFUSALS_FOLDER,
    closed_windows,
    drop_window,
)
from sandbox.adapters.recorder_door import RecorderDoor
from sandbox.adapters.segment_files import decompress, read_raw, staged_name
from sandbox.errors import RecorderError
from sandbox.model.segment import RecorderHealth, RefusalWindow
from sandbox.ports import SegmentFile
from sandbox.recorder import (
    FileKind,
    file_name,
    folder_name,
    parse_name,
    segment_files,
)
from sandbox.settings import Settings

_ERASED: tuple[FileKind, ...] = ("torn", "closed", "end", "zst")
"""Whatever of a segment holds bytes of requests; the sealed file is the last to go."""


class LocalSegments:
    """The segment files of every trial, under one folder.

    Args:
        root: The evidence folder of the installation.
        admin_port: Loopback port of the recorder's own door.
        token_file: File of the secret that door asks for.
        derived: Folder of files made from sealed segments, one folder each trial.
    """

    def __init__(
        self, root: Path, *, admin_port: int, token_file: Path, derived: Path
    ) -> None:
        self._root = root
        self._derived = derived
        self._door = RecorderDoor(admin_port, token_file)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the segments of the installation with these settings."""
        return cls(
            settings.evidence_dir,
            admin_port=settings.recorder_admin_port,
            token_file=settings.home / TOKEN_FILE,
            derived=settings.home / "derived",
        )

    def files(self, trial_id: str, *, since: int = 1) -> list[SegmentFile]:
        """Return the trial's segments from number `since` on, in order.

        Raises:
            RecorderError: The folder cannot be read, or it is not a trial id.
        """
        folder = self._folder(trial_id)
        sizes: dict[str, int] = {}
        try:
            for item in folder.iterdir() if folder.is_dir() else ():
                parsed = parse_name(item.name)
                if parsed is None or parsed.number < since:
                    continue
                # The recorder may rename a file between listing and looking.
                with contextlib.suppress(FileNotFoundError):
                    sizes[item.name] = item.stat().st_size
        except OSError as error:
            raise RecorderError(f"cannot read {folder}: {error}") from error
        return segment_files(sizes)

    def read(self, trial_id: str, number: int, *, offset: int = 0) -> bytes:
        """Return the raw bytes from `offset`; sealed segments are decompressed.

        Raises:
            RecorderError: There is no such segment, or it cannot be read.
        """
        try:
            return read_raw(self._folder(trial_id), number, offset)
        except (OSError, zstandard.ZstdError) as error:
            raise _unreadable(trial_id, number, error) from error

    def roll(self, trial_id: str) -> None:
        """Ask the recorder to close the open segment, and wait until it has.

        Raises:
            RecorderError: Something is open and the recorder does not close it.
        """
        if not any(item.state == "open" for item in self.files(trial_id)):
            return
        self._door.roll(trial_id)

    def stage_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Lay the sealed form durably beside a closed raw segment, which stays closed.

        Raises:
            RecorderError: The segment is not closed, or the compressed file does not
                hold it.
        """
        folder, state = self._folder(trial_id), self._state(trial_id, number)
        if state != "closed":
            raise RecorderError(
                f"segment {number} of trial {trial_id} is {state}, not closed; roll it "
                "before sealing",
                retryable=False,
            )
        self._check_holds(trial_id, number, compressed)
        try:
            replace_file(folder / file_name(number, "dsse.json"), envelope)
            replace_file(folder / staged_name(number), compressed)
        except OSError as error:
            raise RecorderError(f"cannot write to {folder}: {error}") from error

    def read_staged(self, trial_id: str, number: int) -> tuple[bytes, bytes] | None:
        """Return (compressed file, DSSE envelope) laid beside a closed segment.

        Raises:
            RecorderError: They cannot be read.
        """
        folder = self._folder(trial_id)
        try:
            compressed = (folder / staged_name(number)).read_bytes()
            return compressed, (folder / file_name(number, "dsse.json")).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(trial_id, number, error) from error

    def put_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Replace a closed raw segment by its sealed form; idempotent.

        Raises:
            RecorderError: The segment is open or missing, is sealed otherwise, or the
                compressed file does not hold the raw one.
        """
        folder, state = self._folder(trial_id), self._state(trial_id, number)
        sealed = (compressed, envelope)
        if state == "sealed":
            self._check_same(trial_id, number, sealed)
        elif state != "closed" or self.read_staged(trial_id, number) != sealed:
            self.stage_sealed(
                trial_id, number, compressed=compressed, envelope=envelope
            )
        try:
            if state != "sealed":
                (folder / staged_name(number)).replace(
                    folder / file_name(number, "zst")
                )
                sync_folder(folder)
            for kind in ("closed", "end"):
                (folder / file_name(number, kind)).unlink(missing_ok=True)
        except OSError as error:
            raise RecorderError(f"cannot write to {folder}: {error}") from error

    def read_sealed(self, trial_id: str, number: int) -> tuple[bytes, bytes]:
        """Return (compressed file, DSSE envelope) of a sealed segment.

        Raises:
            RecorderError: The segment is not sealed, or cannot be read.
        """
        folder = self._folder(trial_id)
        try:
            compressed = (folder / file_name(number, "zst")).read_bytes()
        except OSError as error:
            raise _unreadable(trial_id, number, error) from error
        return compressed, self.read_envelope(trial_id, number)

    def read_envelope(self, trial_id: str, number: int) -> bytes:
        """Return the DSSE envelope of a sealed or erased segment.

        Raises:
            RecorderError: The segment is not sealed, or cannot be read.
        """
        path = self._folder(trial_id) / file_name(number, "dsse.json")
        try:
            return path.read_bytes()
        except OSError as error:
            raise _unreadable(trial_id, number, error) from error

    def erase(self, trial_id: str, number: int) -> None:
        """Remove the bytes of a sealed segment, with all that was derived from them.

        Derived files may join segments and can be made anew from those that are left,
        so all of the trial's go.

        Raises:
            RecorderError: The segment is open, closed or missing, or something cannot
                be removed.
        """
        folder, state = self._folder(trial_id), self._state(trial_id, number)
        if state not in ("sealed", "erased"):
            raise RecorderError(
                f"segment {number} of trial {trial_id} is {state}, not sealed; only a "
                "sealed segment can be erased, for its statement has to stay",
                retryable=False,
            )
        try:
            if state == "sealed":
                self._remove_derived(trial_id)
            kinds = (file_name(number, kind) for kind in _ERASED)
            for name in (staged_name(number), *kinds):
                (folder / f".{name}.partial").unlink(missing_ok=True)
                (folder / name).unlink(missing_ok=True)
            sync_folder(folder)
            # Once more, for who derived from the bytes at that moment.
            self._remove_derived(trial_id)
        except OSError as error:
            raise RecorderError(f"cannot erase from {folder}: {error}") from error

    def _remove_derived(self, trial_id: str) -> None:
        if self._derived.joinpath(folder_name(trial_id)).is_dir():
            shutil.rmtree(self._derived / folder_name(trial_id))
            sync_folder(self._derived)

    def health(self, trial_id: str) -> RecorderHealth:
        """Return whether what the trial's producers send now would be recorded.

        Raises:
            RecorderError: It is not a trial id.
        """
        return self._door.health(trial_id)

    def refusals(self) -> list[RefusalWindow]:
        """Return the closed windows of refused requests that are still kept.

        What is not as the recorder wrote it is set aside under another name.

        Raises:
            RecorderError: One cannot be read.
        """
        return closed_windows(self._root / REFUSALS_FOLDER)

    def drop_refusals(self, name: str) -> None:
        """Keep a window no longer, now that it is in the log; idempotent.

        Raises:
            RecorderError: It cannot be removed.
        """
        drop_window(self._root / REFUSALS_FOLDER, name)

    def _folder(self, trial_id: str) -> Path:
        return self._root / folder_name(trial_id)

    def _state(self, trial_id: str, number: int) -> str:
        states = {item.number: item.state for item in self.files(trial_id)}
        return states.get(number, "missing")

    def _check_same(
        self, trial_id: str, number: int, sealed: tuple[bytes, bytes]
    ) -> None:
        if self.read_sealed(trial_id, number) != sealed:
            raise RecorderError(
                f"segment {number} of trial {trial_id} is already sealed with other "
                "content; evidence is never replaced",
                retryable=False,
            )

    def _check_holds(self, trial_id: str, number: int, compressed: bytes) -> None:
        try:
            holds = decompress(compressed) == self.read(trial_id, number)
        except zstandard.ZstdError:
            holds = False
        if not holds:
            raise RecorderError(
                f"the compressed file does not hold segment {number} of trial "
                f"{trial_id}; seal the raw bytes as they are",
                retryable=False,
            )


def _unreadable(trial_id: str, number: int, error: Exception) -> RecorderError:
    return RecorderError(
        f"segment {number} of trial {trial_id} cannot be read: {error}",
        retryable=not isinstance(error, FileNotFoundError),
    )
