"""Immutable named blobs as files of one folder.

Rules of this module:

* A name is one or more plain parts joined by slashes; it cannot leave the folder.
* A blob appears whole and durable, or not at all, and never changes.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from sandbox.errors import EvidenceError

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")


class LocalObjects:
    """Blobs under one folder.

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
            _place(path, data)
        except FileExistsError:
            if self.get(name) != data:
                raise EvidenceError(
                    f"the object {name} exists with other content and never changes; "
                    "choose another name"
                ) from None
        except OSError as error:
            raise EvidenceError(
                f"the object {name} cannot be written: {error}", retryable=True
            ) from error

    def get(self, name: str) -> bytes:
        """Return the bytes.

        Raises:
            EvidenceError: There is nothing of that name, or it cannot be read.
        """
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise EvidenceError(f"there is no object {name}") from error
        except OSError as error:
            raise EvidenceError(
                f"the object {name} cannot be read: {error}", retryable=True
            ) from error

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted."""
        found = (item for item in self._root.rglob("*") if item.is_file())
        names = (item.relative_to(self._root).as_posix() for item in found)
        return sorted(
            name for name in names if name.startswith(prefix) and _NAME.match(name)
        )

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise EvidenceError(
                f"{name!r} cannot name an object; use letters, digits, dots, hyphens "
                "and underscores, with slashes between parts"
            )
        return self._root / name


def _place(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
