"""Objects in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sandbox.errors import EvidenceError

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")


class FakeObjects:
    """Immutable named blobs, in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Store once; the same content again is accepted, other content refused."""
        if not _NAME.match(name):
            raise EvidenceError(f"{name!r} cannot name an object")
        if self._blobs.setdefault(name, data) != data:
            raise EvidenceError(f"the object {name} exists with other content")

    def get(self, name: str) -> bytes:
        """Return the bytes."""
        if name not in self._blobs:
            raise EvidenceError(f"there is no object {name}")
        return self._blobs[name]

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted."""
        return sorted(name for name in self._blobs if name.startswith(prefix))
