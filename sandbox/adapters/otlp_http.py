"""OTLP/HTTP: requests in protobuf or JSON, plain or gzip.

Rules of this module, from the OTLP specification (OTLP/HTTP):

* POST `/v1/traces`, `/v1/metrics`, `/v1/logs`; `application/x-protobuf` or
  `application/json`, and the answer in the same.
* 200 with an empty response message once the request is durable.
* A body is limited before and after decompression (413); bad data is 400.
* 503 with `Retry-After` where the client may send again; never 200 for part of it.
* Every refusal has a `google.rpc.Status` as its body, in the request's encoding.
* JSON is converted beside the event loop, one request at a time: it costs much more
  memory and time than protobuf, and must not keep other producers waiting.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from google.protobuf import json_format
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from starlette.types import Receive, Scope, Send

from sandbox.adapters.otlp_reception import MAX_REQUEST_BYTES, Reception
from sandbox.adapters.otlp_refusals import Reason, Refused
from sandbox.adapters.otlp_status import RETRY_S, status_of
from sandbox.errors import EvidenceError
from sandbox.model.segment import Signal
from sandbox.ports import Producer
from sandbox.recorder import Converted, from_json

PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_SIGNALS: Mapping[str, Signal] = {
    "/v1/traces": "traces",
    "/v1/metrics": "metrics",
    "/v1/logs": "logs",
}


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str] = {}
    body: Status | None = None


_ANSWERS: Mapping[Reason, _Answer] = {
    "unauthenticated": _Answer(401, {"www-authenticate": "Bearer"}),
    "malformed": _Answer(400),
    "too-large": _Answer(413, {"connection": "close"}),
    "unsupported": _Answer(415),
    "overloaded": _Answer(503, {"retry-after": str(RETRY_S)}),
    "unavailable": _Answer(503, {"retry-after": str(RETRY_S)}),
}


class _Disconnected(ConnectionError):
    """The client went away before its request was whole."""


class OtlpHttp:
    """The ASGI application.

    Args:
        reception: Where requests go.
    """

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._converting = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in scope["headers"]
        }
        request = _Request(scope, headers, receive)
        try:
            await self._answer(request, send)
        except _Disconnected:
            return

    async def _answer(self, request: _Request, send: Send) -> None:
        signal = _SIGNALS.get(request.path)
        if signal is None or request.method != "POST":
            await request.drain()
            await _send(send, _unknown(signal), request)
            return
        refused = await self._receive(request, signal)
        if refused is None:
            await _send(send, _Answer(200), request)
        else:
            self._reception.refusals.add(
                refused, signal=signal, peer=request.peer, producer=request.producer
            )
            answer = _ANSWERS[refused.reason]
            await _send(send, answer._replace(body=status_of(refused)), request)

    async def _receive(self, request: _Request, signal: Signal) -> Refused | None:
        named = await self._reception.identify(request.header("authorization"))
        if isinstance(named, Refused):
            await request.drain()
            return named
        request.producer = named
        refused = request.unsupported()
        if refused is not None:
            await request.drain()
            return refused
        body = await request.body()
        read = body if isinstance(body, Refused) else await self._read(request, body)
        if isinstance(read, Refused):
            return read
        payload, origin = read
        return await self._reception.record(named, signal, payload, origin=origin)

    async def _read(self, request: _Request, body: bytes) -> Converted | Refused:
        if request.content_type != _JSON:
            return Converted(body, b"")
        async with self._converting:
            return await asyncio.to_thread(_from_json, _SIGNALS[request.path], body)


class _Request:
    """One HTTP request while it is read."""

    def __init__(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive
    ) -> None:
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.peer: str = (scope.get("client") or ("",))[0]
        self.producer: Producer | None = None
        self._headers = headers
        self._receive = receive

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    @property
    def content_type(self) -> str:
        return self.header("content-type").partition(";")[0].strip().lower()

    def unsupported(self) -> Refused | None:
        if self.content_type not in (PROTOBUF, _JSON):
            said = f"send content type {PROTOBUF} or {_JSON}"
            return Refused("unsupported", said)
        encoding = self.header("content-encoding").lower()
        if encoding not in ("", "identity", "gzip"):
            return Refused("unsupported", "send content encoding gzip or identity")
        return None

    async def drain(self) -> None:
        """Read and forget the body, so that the client sees the answer."""
        async for _ in self._chunks():
            pass

    async def body(self) -> bytes | Refused:
        chunks = [chunk async for chunk in self._chunks()]
        if sum(map(len, chunks)) > MAX_REQUEST_BYTES or self._announced_too_large():
            return _too_large()
        body = b"".join(chunks)
        zipped = self.header("content-encoding").lower() == "gzip"
        return _gunzip(body) if zipped and body else body

    def _announced_too_large(self) -> bool:
        length = self.header("content-length")
        return length.isdecimal() and int(length) > MAX_REQUEST_BYTES

    async def _chunks(self) -> AsyncIterator[bytes]:
        size = 0
        while size <= MAX_REQUEST_BYTES and not self._announced_too_large():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _Disconnected
            chunk = message.get("body", b"")
            size += len(chunk)
            yield chunk
            if not message.get("more_body", False):
                return


def _from_json(signal: Signal, body: bytes) -> Converted | Refused:
    try:
        return from_json(signal, body)
    except EvidenceError as error:
        return Refused("malformed", error.diagnosis)


def _gunzip(body: bytes) -> bytes | Refused:
    reader = zlib.decompressobj(wbits=31)
    try:
        data = reader.decompress(body, MAX_REQUEST_BYTES + 1)
    except zlib.error as error:
        return Refused("malformed", f"the body is not gzip: {error}")
    if len(data) > MAX_REQUEST_BYTES:
        return _too_large()
    if not reader.eof or reader.unused_data:
        return Refused(
            "malformed", "the gzip body is cut off or has more after its end"
        )
    return data


def _too_large() -> Refused:
    return Refused(
        "too-large",
        f"the request has more than {MAX_REQUEST_BYTES} bytes; send smaller batches",
    )


def _unknown(signal: Signal | None) -> _Answer:
    if signal is None:
        paths = f"there are only {', '.join(_SIGNALS)}"
        return _Answer(404, body=Status(code=Code.NOT_FOUND, message=paths))
    said = Status(code=Code.UNIMPLEMENTED, message="use POST")
    return _Answer(405, {"allow": "POST"}, said)


async def _send(send: Send, answer: _Answer, request: _Request) -> None:
    in_json = request.content_type == _JSON
    body = _in_json(answer.body) if in_json else _in_protobuf(answer.body)
    headers = {
        **answer.headers,
        "content-type": _JSON if in_json else PROTOBUF,
        "content-length": str(len(body)),
    }
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    start = {"type": "http.response.start", "status": answer.status, "headers": raw}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _in_json(status: Status | None) -> bytes:
    # Without a status: the empty response message of any of the three services.
    text = json_format.MessageToJson(status, indent=None) if status else "{}"
    return str(text).encode()


def _in_protobuf(status: Status | None) -> bytes:
    return bytes(status.SerializeToString()) if status else b""
