"""The place of a bundle: one at a time writes there, and it appears whole or not.

Rules of this module:

* Whoever writes holds a lock beside the bundle (`.NAME.lock`), which stays there; the
  worker and the command line may write the same bundle at the same time.
* What is not a bundle is not replaced.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import sha256


class BundleFolder:
    """A bundle while it is written; remembers what was put where."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files: list[dict[str, Any]] = []

    def add(self, name: str, data: bytes) -> None:
        """Write a file of the bundle."""
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        digest = sha256(data)[7:]
        self.files.append({"name": name, "sha256": digest, "size": len(data)})


def partial_bundle(directory: Path) -> Path:
    """Return where a bundle lies while it is written; left over by an interruption."""
    return directory.with_name(f".{directory.name}.partial")


@contextmanager
def writing_alone(directory: Path) -> Iterator[None]:
    """Wait until nobody else writes a bundle at this place, and keep others waiting.

    Raises:
        EvidenceError: Something else is at that place, or it cannot be written.
    """
    lock = _open_lock(directory)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _check_place(directory)
        yield
    finally:
        os.close(lock)


@contextmanager
def replacing(directory: Path) -> Iterator[BundleFolder]:
    """Give a folder to fill, which then takes the place of the bundle there.

    Raises:
        EvidenceError: It cannot be written.
    """
    partial = partial_bundle(directory)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield BundleFolder(partial)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    except OSError as error:
        raise _not_written(directory, error) from error


def _open_lock(directory: Path) -> int:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        return os.open(directory.with_name(f".{directory.name}.lock"), flags, 0o600)
    except OSError as error:
        raise _not_written(directory, error) from error


def _check_place(directory: Path) -> None:
    if not directory.exists():
        return
    is_bundle = directory.is_dir() and (directory / "manifest.dsse.json").is_file()
    if not is_bundle and not (directory.is_dir() and not any(directory.iterdir())):
        raise EvidenceError(
            f"{directory} exists and is not a bundle; it is not overwritten: name "
            "another place"
        )


def _not_written(directory: Path, error: OSError) -> EvidenceError:
    return EvidenceError(
        f"the bundle cannot be written to {directory}: {error}; free the place or "
        "name another one"
    )
