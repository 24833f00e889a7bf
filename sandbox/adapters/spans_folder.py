"""The folder of one trial's derived files.

Rules of this module:

* A file appears whole under its final name or not at all. One process at a time makes
  files; the others wait.
* A file is read to be checked once, while it is not changed. What was read of files
  that are gone is forgotten.
* Files that are not wanted any more are removed, as erased evidence may stand in them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from sandbox.adapters.spans_parquet import checksum, read_checked
from sandbox.errors import EvidenceError
from sandbox.query import Origin, Range, TraceIndex

_NAME = re.compile(r"^(\d{6,})-(\d{6,})-([0-9a-f]{8})\.parquet$")
_SUFFIXES = (".parquet", ".partial")


class DerivedFile(NamedTuple):
    """One derived file that may be used."""

    path: Path
    origin: Origin
    traces: TraceIndex

    @property
    def range(self) -> Range:
        """The segments it holds."""
        return Range(self.origin.first, self.origin.last)


class DerivedFolder:
    """The derived files of one trial, as they lie on disk.

    Args:
        path: The folder; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[tuple[Path, int], DerivedFile] = {}

    def changed_ns(self) -> int:
        """Return when names in the folder last changed; 0 where there is none."""
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def files(self) -> list[DerivedFile]:
        """Return the files that are whole, in order of their names."""
        seen: dict[tuple[Path, int], DerivedFile] = {}
        for path in sorted(self._paths()):
            # Another process may remove a file that was merged.
            with contextlib.suppress(EvidenceError, FileNotFoundError):
                key = path, path.stat().st_mtime_ns
                seen[key] = self._seen.get(key) or _checked(path)
        self._seen = seen
        return list(seen.values())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process makes files, and keep others waiting."""
        self._path.mkdir(parents=True, exist_ok=True)
        with self._lock(fcntl.LOCK_EX):
            yield

    def put(self, held: Range, data: bytes) -> Path:
        """Keep a new file; return where it lies."""
        path = self._path / f"{held.first:06d}-{held.last:06d}-{checksum(data)}.parquet"
        # No fsync: after a power cut the name's checksum does not match, and the file
        # is made again.
        partial = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.partial")
        partial.write_bytes(data)
        partial.replace(path)
        return path

    def remove_others(self, kept: Collection[Path]) -> None:
        """Remove every file but these; to be called by who keeps others waiting."""
        for path in self._others(kept):
            path.unlink(missing_ok=True)

    def clean(self, kept: Collection[Path]) -> None:
        """Remove every file but these, if there are any.

        What cannot be removed stays, and is not used. While another process makes
        files nothing is removed: it does so itself.
        """
        if self._others(kept):
            with (
                contextlib.suppress(OSError),
                self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB),
            ):
                self.remove_others(kept)

    def _others(self, kept: Collection[Path]) -> list[Path]:
        return [path for path in self._paths() if path not in kept]

    def _paths(self) -> list[Path]:
        try:
            return [path for path in self._path.iterdir() if path.suffix in _SUFFIXES]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        with (self._path / "lock").open("wb") as lock:
            fcntl.flock(lock, how)
            yield


def _checked(path: Path) -> DerivedFile:
    name = _NAME.match(path.name)
    if name is None:
        raise EvidenceError(f"{path} is not a derived file")
    return DerivedFile(path, *read_checked(path, name[3]))
