"""The sender of imports, against a server that answers as scripted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from sandbox.adapters.otlp_sender import OtlpSender
from sandbox.errors import RecorderError

BODY = b"\n\x00"


class ScriptedServer:
    """A server on loopback that gives one answer after the other.

    An answer is a status, or None for a connection that is cut without one.
    """

    def __init__(self) -> None:
        self.answers: list[int | None] = []
        self.in_json = False
        self.seen: list[tuple[str, str, str, bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Give the next answer of the script."""
        body = request.rfile.read(int(request.headers["content-length"]))
        token, kind = request.headers["authorization"], request.headers["content-type"]
        self.seen.append((request.path, token, kind, body))
        status = self.answers.pop(0)
        if status is None:
            request.close_connection = True
            return
        said = b"" if status == 200 else self._refusal()
        request.send_response(status)
        request.send_header("retry-after", "0")
        request.send_header("content-length", str(len(said)))
        request.end_headers()
        request.wfile.write(said)

    def _refusal(self) -> bytes:
        status = Status(code=3, message="the bytes are not OTLP")
        if self.in_json:
            return json_format.MessageToJson(status).encode()
        return status.SerializeToString()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(name="server")
def _server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


def send(server: ScriptedServer, *answers: int | None, in_json: bool = False) -> None:
    """Send one request to a server that will give these answers."""
    server.answers, server.in_json = list(answers), in_json
    with OtlpSender(server.port, "secret") as sender:
        sender.send("traces", BODY, in_json=in_json)


@pytest.mark.parametrize(
    ("in_json", "kind"),
    [(True, "application/json"), (False, "application/x-protobuf")],
)
def test_a_request_goes_out_as_a_producer_sends_it(
    server: ScriptedServer, in_json: bool, kind: str
) -> None:
    """Path by signal, bearer token, content type, and the bytes as they are."""
    send(server, 200, in_json=in_json)
    assert server.seen == [("/v1/traces", "Bearer secret", kind, BODY)]


@pytest.mark.parametrize("answers", [(503, 200), (None, 200), (503, None, 200)])
def test_what_may_be_sent_again_is(
    server: ScriptedServer, answers: tuple[int | None, ...]
) -> None:
    """Unavailable, or no answer at all: the same request once more."""
    send(server, *answers)
    assert [item[3] for item in server.seen] == [BODY] * len(answers)


@pytest.mark.parametrize("in_json", [True, False])
@pytest.mark.parametrize("status", [400, 401, 413])
def test_a_refusal_is_final(server: ScriptedServer, status: int, in_json: bool) -> None:
    """It is not sent again, and the recorder's own words are passed on."""
    with pytest.raises(
        RecorderError, match=f"{status}: the bytes are not OTLP"
    ) as said:
        send(server, status, in_json=in_json)
    assert not said.value.retryable
    assert len(server.seen) == 1


def test_it_gives_up(server: ScriptedServer) -> None:
    """A recorder that stays unavailable is an error that may be tried again."""
    with pytest.raises(RecorderError, match="503") as said:
        send(server, *[503] * 10)
    assert said.value.retryable
    assert 1 < len(server.seen) < 10


def test_nobody_listens() -> None:
    """Without a recorder nothing is begun, and it is said how to start one."""
    with pytest.raises(RecorderError, match="sandbox recorder run"):
        OtlpSender(1, "secret").__enter__()
