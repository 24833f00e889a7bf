"""An HTTP/1.1 server in the event loop it is started in.

Rules of this module:

* A connection on which nothing came for a minute is closed, unless it is owed an
  answer: a head that never ends holds nothing for long.
* Leaving stops listening, lets every answer that is owed be given within the grace
  given, and then closes what is left.
* Answers carry the time, as a server with a clock must (RFC 9110, 6.6.1); it is asked
  for once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import format_datetime

from sandbox.adapters.http_connection import HttpConnection
from sandbox.adapters.http_message import Application
from sandbox.ports import Clock

IDLE_S = 60.0
"""Seconds without a byte after which a connection is closed."""
BACKLOG = 1024
"""Connections that may wait to be accepted."""
_TICK_S = 1.0


class HttpServer:
    """Serves one application on any number of sockets.

    Args:
        application: Answers requests.
        clock: Tells the time in answers.
        refused: Told the status and the peer of what never became a request.
        max_bytes: Bytes a request may take on the wire, whatever is in it.
    """

    def __init__(
        self,
        application: Application,
        *,
        clock: Clock,
        refused: Callable[[int, str], None],
        max_bytes: int,
    ) -> None:
        self._application = application
        self._refused = refused
        self._clock = clock
        self._max_bytes = max_bytes
        self._connections: set[HttpConnection] = set()
        self._date = ""

    @contextlib.asynccontextmanager
    async def serving(
        self, sockets: Sequence[socket.socket], *, grace_s: float
    ) -> AsyncIterator[None]:
        """Serve while the `async with` block lasts.

        Args:
            sockets: Bound, listening.
            grace_s: Seconds for answers that are owed at the end.
        """
        loop = asyncio.get_running_loop()
        self._tell_time()
        servers = [
            await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)
            for listener in sockets
        ]
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            for server in servers:
                server.close()
            await self._close(grace_s)

    def _connection(self) -> HttpConnection:
        made = HttpConnection(
            self._application,
            date=lambda: self._date,
            ended=self._connections.discard,
            refused=self._refused,
            max_bytes=self._max_bytes,
        )
        self._connections.add(made)
        return made

    def _tell_time(self) -> None:
        self._date = format_datetime(self._clock.now(), usegmt=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            self._tell_time()
            longest = loop.time() - IDLE_S
            for item in list(self._connections):
                if item.active_at < longest and not item.is_busy:
                    item.abort()

    async def _close(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        for item in list(self._connections):
            item.close()
        while self._connections and loop.time() < until:
            await asyncio.sleep(0.01)
        for item in list(self._connections):
            item.abort()
