"""Objects in memory."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.errors import EvidenceError
from sandbox.evidence.objects import (
    check_content,
    check_object_name,
    check_range,
    other_content,
)


class FakeObjects:
    """Immutable named blobs, in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Store once; the same content again is accepted, other content refused."""
        if self._blobs.setdefault(check_object_name(name), data) != data:
            raise other_content(name)

    def get(self, name: str, *, digest: str = "") -> bytes:
        """Return the bytes; with `digest`, only if they have it."""
        if check_object_name(name) not in self._blobs:
            raise EvidenceError(f"there is no object {name}")
        return check_content(name, self._blobs[name], digest)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`."""
        data = self.get(name)[max(start, 0) : max(end, 0)]
        return check_range(name, data, start=start, end=end)

    def size(self, name: str) -> int | None:
        """Return the number of bytes, or None where there is nothing of that name."""
        data = self._blobs.get(check_object_name(name))
        return None if data is None else len(data)

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted."""
        return sorted(name for name in self._blobs if name.startswith(prefix))
