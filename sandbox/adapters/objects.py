"""Immutable named blobs as files of one folder.

Rules of this module:

* A blob appears whole and durable, or not at all, and never changes: it is written and
  synced beside its place, then linked into it, which fails where something is.
* This is the one store not left to `obstore`: its local store does not sync, so a power
  cut could take back what was said to be stored.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from sandbox.adapters.durable import sync_folder
from sandbox.errors import EvidenceError
from sandbox.evidence.objects import (
    check_content,
    check_object_name,
    check_range,
    is_object_name,
    other_content,
)

_NOT_A_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class LocalObjects:
    """Implements `sandbox.ports.Objects` on one folder.

    Args:
        root: The folder; made when the first blob is stored.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        """Store once; the same content again is accepted, other content refused.

        Raises:
            EvidenceError: Other content has that name, the name is not plain, or it
                cannot be written.
        """
        path = self._path(name)
        try:
            if not path.exists():
                self._place(path, data)
                return
        except FileExistsError:
            pass
        except OSError as error:
            raise EvidenceError(
                f"the object {name} cannot be written to {self._root}: {error}; free "
                "space or the place, then try again",
                retryable=not isinstance(error, NotADirectoryError),
            ) from error
        if self.get(name) != data:
            raise other_content(name)

    def get(self, name: str, *, digest: str = "") -> bytes:
        """Return the bytes; with `digest`, only if they have it.

        Raises:
            EvidenceError: There is nothing of that name, it cannot be read, or it is
                not what the digest says.
        """
        try:
            data = self._path(name).read_bytes()
        except OSError as error:
            raise _unreadable(name, error) from error
        return check_content(name, data, digest)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`.

        Raises:
            EvidenceError: The object has not all of them, or cannot be read.
        """
        try:
            with self._path(name).open("rb") as file:
                file.seek(max(start, 0))
                data = file.read(max(end - start, 0))
        except OSError as error:
            raise _unreadable(name, error) from error
        return check_range(name, data, start=start, end=end)

    def size(self, name: str) -> int | None:
        """Return the number of bytes, or None where there is nothing of that name.

        Raises:
            EvidenceError: The folder cannot be read.
        """
        path = self._path(name)
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise _unreadable(name, error) from error

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted."""
        found = (item for item in self._root.rglob("*") if item.is_file())
        names = (item.relative_to(self._root).as_posix() for item in found)
        return sorted(
            name for name in names if name.startswith(prefix) and is_object_name(name)
        )

    def _path(self, name: str) -> Path:
        return self._root / check_object_name(name)

    def _place(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(f"{path.parent} is no folder") from error
        partial = path.with_name(f".{secrets.token_hex(8)}.partial")
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        for folder in (path.parent, *path.parent.parents):
            sync_folder(folder)
            if folder == self._root:
                break


def _unreadable(name: str, error: OSError) -> EvidenceError:
    if isinstance(error, _NOT_A_FILE):
        return EvidenceError(f"there is no object {name}")
    return EvidenceError(f"the object {name} cannot be read: {error}", retryable=True)
