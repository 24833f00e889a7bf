"""An API server that fails as asked: a proxy on loopback in front of a real one.

Rules of this module:

* It listens on loopback only, speaks plain HTTP there, and forwards with the
  credentials of the configuration it was given.
* A fault meets the requests it names, after some that pass, as often as it says.
* Every request is counted, whatever became of it.
"""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import kubernetes.config
from kubernetes.client import ApiClient, Configuration

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host"})
_ANSWER_S = 60.0


class Fault(NamedTuple):
    """What happens to some requests."""

    kind: Literal["status", "slow", "cut-before", "cut-after", "hold"]
    """status: answered so, not forwarded. slow: the answer comes late. cut-before,
    cut-after: the connection ends before or after the server has done it. hold: nothing
    happens until it is released, then the connection ends."""
    status: int = 503
    retry_after: str = ""
    """Seconds, as the header says it; empty sends none."""
    seconds: float = 0.0
    """How late a slow answer comes."""
    method: str = ""
    """Empty: every method."""
    part: str = ""
    """What the path and query must contain."""
    without: str = ""
    """What they must not contain; empty: nothing."""
    skip: int = 0
    """So many matching requests pass first."""
    times: int = 1


class FaultyApi:
    """The proxy; started and ended by a `with` block.

    Args:
        kubeconfig: File that says where the real API server is, and as whom to ask it.
        context: Name of the context in it.
    """

    def __init__(self, kubeconfig: Path, context: str) -> None:
        configuration = Configuration()
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(kubeconfig),
            context=context,
            client_configuration=configuration,
        )
        self._upstream = configuration
        self._lock = threading.Lock()
        self._faults: list[list[Any]] = []
        self.requests: list[tuple[str, str]] = []
        """(method, path with query) of every request so far."""
        self.held = threading.Event()
        """Set once a request is held."""
        self.released = threading.Event()
        """Set by a test: what is held ends."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyApi:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def client(self) -> ApiClient:
        """Return a client whose requests go through the proxy."""
        return client_of(self.url)

    def fail(self, *faults: Fault) -> None:
        """Let these faults happen from now on, and no others."""
        with self._lock:
            self._faults = [[fault, fault.skip, fault.times] for fault in faults]

    def count(self, method: str, part: str = "") -> int:
        """Return how many requests of a method came whose path holds `part`."""
        return sum(m == method and part in path for m, path in list(self.requests))

    def meet(self, method: str, path: str) -> Fault | None:
        """Count a request and return the fault it meets, if any."""
        with self._lock:
            self.requests.append((method, path))
            for state in self._faults:
                fault, skip, times = state
                is_met = fault.method in ("", method) and fault.part in path
                if not is_met or (fault.without and fault.without in path):
                    continue
                if skip:
                    state[1] -= 1
                elif times:
                    state[2] -= 1
                    return Fault(*fault)
        return None

    def forward(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send a request on and return status, headers and body of the answer."""
        place, known = urlsplit(self._upstream.host), self._upstream
        context = ssl.create_default_context(cafile=known.ssl_ca_cert)
        context.load_cert_chain(str(known.cert_file), known.key_file)
        connection = http.client.HTTPSConnection(
            str(place.hostname), place.port or 443, context=context, timeout=_ANSWER_S
        )
        try:
            connection.request(method, path, body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


def client_of(url: str) -> ApiClient:
    """Return a client for an API server that asks for no credentials."""
    configuration = Configuration(host=url)
    configuration.retries = False
    return ApiClient(configuration)


def _handler(api: FaultyApi) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Forwards one request, or fails it."""

        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = api.meet(self.command, self.path)
            if fault is not None and fault.kind in _UNFORWARDED:
                _UNFORWARDED[fault.kind](self, api, fault)
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            status, sent, data = api.forward(self.command, self.path, body, headers)
            if fault is not None and fault.kind == "cut-after":
                _cut(self, api, fault)
                return
            if fault is not None:
                time.sleep(fault.seconds)
            kept = [(k, v) for k, v in sent if k.lower() not in _HOP]
            _answer(self, status, kept, data)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _handle

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler


Handler = http.server.BaseHTTPRequestHandler


def _answer(
    handler: Handler, status: int, headers: list[tuple[str, str]], data: bytes
) -> None:
    try:
        handler.send_response_only(status)
        for name, value in [*headers, ("Content-Length", str(len(data)))]:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
    except OSError:
        # Whoever asked has gone meanwhile.
        handler.close_connection = True


def _cut(handler: Handler, api: FaultyApi, fault: Fault) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _hold(handler: Handler, api: FaultyApi, fault: Fault) -> None:
    api.held.set()
    api.released.wait(_ANSWER_S)
    handler.close_connection = True


def _refuse(handler: Handler, api: FaultyApi, fault: Fault) -> None:
    headers = [("Retry-After", fault.retry_after)] if fault.retry_after else []
    _answer(handler, fault.status, headers, b'{"message": "as asked by the test"}')


_UNFORWARDED: dict[str, Callable[[Handler, FaultyApi, Fault], None]] = {
    "status": _refuse,
    "cut-before": _cut,
    "hold": _hold,
}
