"""The log's key in a file, and how another one takes its place.

Rules of this module:

* The log says which key is in force; the file follows. An unfinished change is finished
  where the key is opened next, and a file that holds another key is not used.
* Whoever uses the key holds a shared lock beside it for as long; a change needs the
  lock alone. So no process signs with a key that is no longer in force.
* The new key is on disk before the log names it (`NAME.next`), and the old one is kept
  (`NAME.1`, `NAME.2`, …, mode 0600) until someone asks for it to be destroyed.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sandbox.adapters.durable import sync_folder
from sandbox.adapters.signer import FileSigner
from sandbox.errors import EvidenceError
from sandbox.evidence.log import key_history, sign_checkpoint
from sandbox.evidence.rotation import change_key, check_sealed
from sandbox.ports import Log, Segments


class Rotation(NamedTuple):
    """What a change of key came to."""

    public_key: bytes
    """The new one, 32 raw bytes."""
    since: int
    """Place in the log from which it is in force."""
    kept: Path | None
    """Where the old private key is, if it was not destroyed."""


class KeyFile(NamedTuple):
    """Where the log's key is."""

    path: Path
    name: str
    """The log's origin."""

    def holder(self) -> FileSigner:
        """Return the holder of the key in the file; it is made where there is none."""
        return FileSigner(self.path, self.name)

    def next_holder(self) -> FileSigner:
        """Return the holder of the key that comes next, as above."""
        return FileSigner(self.next_path, self.name)

    @property
    def next_path(self) -> Path:
        """Where the key that comes next waits."""
        return self.path.with_name(f"{self.path.name}.next")


def open_log_key(file: KeyFile, log: Log) -> FileSigner:
    """Return the holder of the key in force; the first one is made where none is.

    The key cannot be changed while the returned object lives.

    Args:
        file: The key's file.
        log: Says which key is in force.

    Raises:
        EvidenceError: The file holds another key than the one in force, or cannot be
            used.
        RecordsError: The log cannot be read.
    """
    lock = _open_lock(file.path)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        signer = file.holder()
        if key_history(log, signer).latest != signer.public_key:
            _take_alone(lock, file.path)
            _finish(file, log)
            fcntl.flock(lock, fcntl.LOCK_SH)
            signer = file.holder()
    except BaseException:
        os.close(lock)
        raise
    weakref.finalize(signer, os.close, lock)
    return signer


def rotate_log_key(
    file: KeyFile, *, log: Log, segments: Segments, at: datetime, destroy: bool = False
) -> Rotation:
    """Put a new key in force; an interrupted change is finished first.

    Args:
        file: The key's file.
        log: Gets the entry, and a checkpoint by each of the two keys.
        segments: None of them may be half sealed.
        at: When that is.
        destroy: Remove the old private key; the file's blocks are not overwritten.

    Raises:
        EvidenceError: Someone uses the key, it is not the one in force, a segment is
            half sealed, or a file cannot be written.
        RecordsError: The log cannot be read or written.
    """
    with _alone(file.path):
        check_sealed(log, segments)
        old = file.holder()
        if key_history(log, old).latest != old.public_key:
            _finish(file, log)
            old = file.holder()
        new = file.next_holder()
        # The log must not name a key that a power cut could still take away.
        sync_folder(file.path.parent)
        entry = change_key(log, old, new, at=at)
        kept = _finish(file, log)
        if destroy:
            _destroy(kept)
        sign_checkpoint(log, new)
    return Rotation(new.public_key, entry.index, None if destroy else kept)


def _finish(file: KeyFile, log: Log) -> Path:
    """Put the key that the log names in its place; return where the old one is."""
    path, old = file.path, file.holder()
    history = key_history(log, old)
    is_there = file.next_path.exists()
    if not is_there or file.next_holder().public_key != history.latest:
        raise EvidenceError(
            f"the log's key is {history.latest.hex()} since entry "
            f"{history.keys[-1].since}, and {path} holds {old.public_key.hex()}: "
            "restore the right one from a backup"
        )
    kept = path.with_name(f"{path.name}.{len(history.keys) - 1}")
    try:
        _keep(path, kept)
        os.replace(file.next_path, path)
        sync_folder(path.parent)
    except OSError as error:
        raise EvidenceError(
            f"the new key cannot be put at {path}: {error}; free the place, and the "
            "next command goes on where this one stopped"
        ) from error
    return kept


def _keep(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except FileExistsError:
        if kept.read_bytes() != path.read_bytes():
            raise


def _destroy(kept: Path) -> None:
    try:
        kept.unlink(missing_ok=True)
        sync_folder(kept.parent)
    except OSError as error:
        raise EvidenceError(
            f"the old key {kept} cannot be removed: {error}; the new one is in force, "
            "remove it by hand"
        ) from error


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        return os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
    except OSError as error:
        raise EvidenceError(
            f"the signing key {path} cannot be used: {error}; name a folder that this "
            "user may write"
        ) from error


def _take_alone(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise EvidenceError(
            f"the signing key {path} is in use by another process; stop the workers "
            "and whatever else runs on this installation, then try again"
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = _open_lock(path)
    try:
        _take_alone(lock, path)
        yield
    finally:
        os.close(lock)
