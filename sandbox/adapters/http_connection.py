"""HTTP/1.1 on one connection: requests in, one answer each, in their order.

Rules of this module, from RFC 9112 unless another is named:

* Requests are parsed by llhttp with none of its leniencies. Two lengths, a length and a
  coding, a line that does not end in CRLF, no host or several are 400, and what follows
  on the connection is never read as a request (2.2, 3.2, 6.3, 11.2).
* One request of a connection is answered at a time; others wait in order (9.3.2), and
  while one waits nothing more is read.
* A head has at most 64 KiB, give or take one read (431).
* An answer given before the body was read closes the connection; the other side is
  given time to read it, and what it still sends is forgotten (9.6).
* Upgrades to other protocols are refused (400); fields after a body are ignored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools

from sandbox.adapters.http_message import (
    MAX_HEAD_BYTES,
    Application,
    HttpAnswer,
    HttpRequest,
)

_VERSIONS = ("1.0", "1.1")
_LINGER_S = 1.0
_LINES = {item.value: f"HTTP/1.1 {item.value} {item.phrase}" for item in HTTPStatus}


class HttpConnection(asyncio.Protocol):
    """One connection, from its first byte to its last.

    Args:
        application: Answers requests.
        date: Tells the value of the `Date` header (RFC 9110, 6.6.1).
        ended: Called once the connection is gone.
        refused: Told the status and the peer of what never became a request.
        max_bytes: Bytes a request may take on the wire, whatever is in it.
    """

    def __init__(
        self,
        application: Application,
        *,
        date: Callable[[], str],
        ended: Callable[[HttpConnection], None],
        refused: Callable[[int, str], None],
        max_bytes: int,
    ) -> None:
        self._application = application
        self._date = date
        self._ended = ended
        self._refused = refused
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._peer = ""
        self._arriving: HttpRequest | None = None
        self._waiting: deque[HttpRequest] = deque()
        self._task: asyncio.Task[None] | None = None
        self._last: HttpAnswer | None = None
        self._wire_bytes = 0
        self._in_head = True
        self._is_clogged = False
        self._is_deaf = False
        self._is_reading = True
        self.active_at = self._loop.time()
        """When the last bytes came, by the clock of the event loop."""

    @property
    def _is_ending(self) -> bool:
        return self._is_deaf and not self._waiting and self._last is None

    @property
    def is_busy(self) -> bool:
        """Whether it waits for an answer, and not for its client."""
        return self._task is not None and self._arriving is None

    def close(self) -> None:
        """Close, at once or after the answers that are owed."""
        self._is_deaf = True
        if self._task is None:
            self._transport.close()
        elif self._arriving is not None:
            self._arriving.lose()

    def abort(self) -> None:
        """Close at once, whatever is owed."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # The transports of uvloop are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._is_deaf = True
        self._waiting.clear()
        if self._arriving is not None:
            self._arriving.lose()
        self._ended(self)

    def eof_received(self) -> bool:
        """Called by the event loop when the client has no more to send."""
        self.close()
        return self._task is not None

    def pause_writing(self) -> None:
        """Called by the event loop when the client does not read its answers."""
        self._is_clogged = True
        self._flow()

    def resume_writing(self) -> None:
        """Called by the event loop when the client reads again."""
        self._is_clogged = False
        self._flow()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self.active_at = self._loop.time()
        if self._is_deaf:
            return
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400)
            return
        if self._in_head and self._wire_bytes > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._wire_bytes > self._max_bytes:
            self._refuse(413)
        self._flow()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers = b"", {}
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or one after the body, which is ignored."""
        if self._in_head:
            key, known = name.lower(), self._headers
            known[key] = known[key] + b", " + value if key in known else value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        version, headers = self._parser.get_http_version(), self._headers
        host = headers.get(b"host", b"," if version == "1.1" else b"")
        if version not in _VERSIONS or b"," in host or self._parser.should_upgrade():
            raise httptools.HttpParserError("its version, host or upgrade is wrong")
        request = HttpRequest(
            self._parser.get_method().decode(),
            _path_of(self._url),
            headers=headers,
            peer=self._peer,
        )
        request.keep_alive = version == "1.1" and self._parser.should_keep_alive()
        self._arriving, self._in_head = request, False
        waits = headers.get(b"expect", b"").lower() == b"100-continue"
        request.when_asked(self._go_on if waits else self._flow)
        if waits or request.announced > MAX_HEAD_BYTES:
            self._begin(request)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        request = self._arriving
        if request is not None:
            held = request.size
            request.add(body)
            if held <= MAX_HEAD_BYTES < request.size and request.is_held:
                self._begin(request)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request, self._arriving = self._arriving, None
        self._wire_bytes, self._in_head = 0, True
        if request is not None:
            request.finish()
            self._begin(request)

    def _begin(self, request: HttpRequest) -> None:
        if not request.is_begun:
            request.is_begun = True
            self._waiting.append(request)
            self._next()

    def _next(self) -> None:
        if self._task is not None:
            return
        if self._waiting:
            request = self._waiting.popleft()
            self._task = self._loop.create_task(self._serve(request))
        elif self._last is not None:
            self._say(self._last)
            self._end()

    async def _serve(self, request: HttpRequest) -> None:
        answer = HttpAnswer(500)
        try:
            answer = await self._application(request)
        except ConnectionResetError:
            answer = HttpAnswer(400)
        finally:
            self._task = None
            self._say(answer, request)
            if answer.status == 500 or not (request.is_whole and request.keep_alive):
                self._end()
            elif self._is_ending:
                self._transport.close()
            self._next()
            self._flow()

    def _say(self, answer: HttpAnswer, request: HttpRequest | None = None) -> None:
        stays = request is not None and request.keep_alive and request.is_whole
        lines = [
            _LINES[answer.status],
            f"date: {self._date()}",
            *(f"{name}: {value}" for name, value in answer.headers),
            f"content-length: {len(answer.body)}",
            "\r\n" if stays and not self._is_ending else "connection: close\r\n\r\n",
        ]
        body = b"" if request is not None and request.method == "HEAD" else answer.body
        self._transport.write("\r\n".join(lines).encode("latin-1") + body)

    def _refuse(self, status: int) -> None:
        self._is_deaf, self._last = True, HttpAnswer(status)
        self._refused(status, self._peer)
        request, self._arriving = self._arriving, None
        if request is not None:
            request.lose()
        self._next()

    def _end(self) -> None:
        self._is_deaf = True
        self._waiting.clear()
        self._last = None
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._loop.call_later(_LINGER_S, self._transport.close)

    def _go_on(self) -> None:
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._flow()

    def _flow(self) -> None:
        if self._transport.is_closing():
            return
        request = self._arriving
        held = request is not None and request.is_begun and request.is_held
        reads = self._is_deaf or not (self._is_clogged or self._waiting or held)
        if reads != self._is_reading:
            self._is_reading = reads
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()


def _path_of(url: bytes) -> bytes:
    if url.startswith(b"/"):
        return url.partition(b"?")[0]
    return httptools.parse_url(url).path or b"/"
