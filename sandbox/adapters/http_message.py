"""One HTTP request while it is read, and its answer.

Rules of this module:

* Of a body no more than `MAX_HEAD_BYTES` and one read is held before it is asked for,
  so whoever is refused cannot fill memory.
* A body larger than its reader allows is forgotten as soon as that is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

MAX_HEAD_BYTES = 64 * 1024
"""Largest head of a request, and what is held of a body nobody asked for yet."""


class HttpAnswer(NamedTuple):
    """What a request is answered."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class HttpRequest:
    """One request, perhaps while its body still arrives.

    Args:
        method: As sent.
        path: As sent, without the query.
        headers: By lower-case name; equal names are joined by commas (RFC 9110, 5.3).
        peer: Address of the client.
    """

    def __init__(
        self, method: str, path: bytes, *, headers: dict[bytes, bytes], peer: str
    ) -> None:
        self.method = method
        self.path = path.decode("latin-1")
        self.peer = peer
        self.is_whole = False
        self.is_begun = False
        self.keep_alive = True
        self.size = 0
        self._headers = headers
        self._chunks: list[bytes] | None = []
        self._is_lost = False
        self._limit: int | None = None
        self._asked: Callable[[], None] = _nothing
        self._done: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> str:
        """Return the value of a header, empty where there is none.

        Args:
            name: In lower case.
        """
        return self._headers.get(name, b"").decode("latin-1")

    async def body(self, limit: int) -> bytes | None:
        """Return the body, or None when it has more than `limit` bytes.

        Raises:
            ConnectionResetError: The client went away in the middle of it.
        """
        await self._receive(limit)
        if self._chunks is None:
            return None
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def drain(self, limit: int) -> None:
        """Read and forget up to `limit` bytes of body, so that the client can listen.

        Raises:
            ConnectionResetError: The client went away in the middle of it.
        """
        self._chunks = None
        await self._receive(limit)

    @property
    def announced(self) -> int:
        """Size of the body by its `Content-Length`; 0 where there is none."""
        # The parser has seen that it is a number, and only one.
        return int(self._headers.get(b"content-length", b"0"))

    async def _receive(self, limit: int) -> None:
        if self.size > limit or self.announced > limit:
            self._chunks = None
        elif self._is_lost:
            raise ConnectionResetError("the client went away")
        elif not self.is_whole:
            self._limit = limit
            self._done = asyncio.get_running_loop().create_future()
            self._asked()
            await self._done

    # What follows is for the connection.

    @property
    def is_held(self) -> bool:
        """Whether the rest of the body has to wait until somebody asks for it."""
        return not self.is_whole and self._limit is None

    def when_asked(self, call: Callable[[], None]) -> None:
        """Call back when the rest of the body is asked for."""
        self._asked = call

    def add(self, chunk: bytes) -> None:
        """Take in a part of the body."""
        self.size += len(chunk)
        if self._limit is not None and self.size > self._limit:
            self._chunks = None
            self._settle()
        elif self._chunks is not None:
            self._chunks.append(chunk)

    def finish(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self._settle()

    def lose(self) -> None:
        """The rest of the body will never come."""
        self._is_lost = True
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionResetError("the client went away"))

    def _settle(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


def _nothing() -> None:
    return


Application = Callable[[HttpRequest], Coroutine[Any, Any, HttpAnswer]]
"""Answers one request."""
