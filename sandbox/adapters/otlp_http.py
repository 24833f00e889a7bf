"""OTLP/HTTP: requests in protobuf or JSON, plain or gzip.

Rules of this module, from the OTLP specification (OTLP/HTTP):

* POST `/v1/traces`, `/v1/metrics`, `/v1/logs`; `application/x-protobuf` or
  `application/json`, and the answer in the same.
* 200 with an empty response message once the request is durable.
* A body is limited before and after decompression (413); bad data is 400.
* 503 with `Retry-After` where the client may send again; never 200 for part of it.
* Every refusal from here, 404 and 405 too, has a `google.rpc.Status` as its body, in
  the request's encoding. What never became a request (400, 413, 431) and a fault of
  ours (500) are answered below this module, with an empty body.
* Refusals are counted, also of what never became a request; not 404, 405 and 500.
* JSON is converted beside the event loop, one request at a time: it costs much more
  memory and time than protobuf, and must not keep other producers waiting.
* Only the body of a sender whose token is known is kept in memory.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

from google.protobuf import json_format
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from sandbox.adapters.http_message import HttpAnswer, HttpRequest
from sandbox.adapters.otlp_reception import MAX_REQUEST_BYTES, Reception
from sandbox.adapters.otlp_refusals import Refused
from sandbox.adapters.otlp_status import RETRY_S, status_of
from sandbox.errors import EvidenceError
from sandbox.model.segment import RefusalReason, Signal
from sandbox.ports import Producer
from sandbox.recorder import Converted, from_json

PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_SIGNALS: Mapping[str, Signal] = {
    "/v1/traces": "traces",
    "/v1/metrics": "metrics",
    "/v1/logs": "logs",
}
_OK: Mapping[str, HttpAnswer] = {
    PROTOBUF: HttpAnswer(200, (("content-type", PROTOBUF),)),
    # The empty response message of any of the three services.
    _JSON: HttpAnswer(200, (("content-type", _JSON),), b"{}"),
}
_RETRY = (("retry-after", str(RETRY_S)),)
_REFUSALS: Mapping[RefusalReason, HttpAnswer] = {
    "unauthenticated": HttpAnswer(401, (("www-authenticate", "Bearer"),)),
    "malformed": HttpAnswer(400),
    "too-large": HttpAnswer(413),
    "unsupported": HttpAnswer(415),
    "overloaded": HttpAnswer(503, _RETRY),
    "unavailable": HttpAnswer(503, _RETRY),
}


class OtlpHttp:
    """Answers the HTTP requests of senders.

    Args:
        reception: Where requests go.
    """

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._converting = asyncio.Semaphore(1)

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request.

        Raises:
            ConnectionResetError: The client went away before the request was whole.
        """
        signal, encoding = _SIGNALS.get(request.path), _encoding(request)
        if signal is None or request.method != "POST":
            await request.drain(MAX_REQUEST_BYTES)
            return _misdirected(signal, encoding)
        named = await self._reception.identify(request.header(b"authorization"))
        if isinstance(named, Refused):
            await request.drain(MAX_REQUEST_BYTES)
            return self._refusal(named, request)
        refused = await self._receive(request, signal, named)
        return self._refusal(refused, request, named) if refused else _OK[encoding]

    def refused(self, status: int, peer: str) -> None:
        """Count what came to the HTTP port and never became a request.

        Args:
            status: What it was answered.
            peer: Address of the sender.
        """
        reason: RefusalReason = "malformed" if status == 400 else "too-large"
        said = Refused(reason, "it is not an HTTP request as the recorder takes them")
        self._reception.refusals.add(said, signal="", peer=peer)

    async def _receive(
        self, request: HttpRequest, signal: Signal, producer: Producer
    ) -> Refused | None:
        refused = _unsupported(request)
        if refused is not None:
            await request.drain(MAX_REQUEST_BYTES)
            return refused
        body = _plain(request, await request.body(MAX_REQUEST_BYTES))
        if isinstance(body, Refused):
            return body
        if _encoding(request) != _JSON:
            return await self._reception.record(producer, signal, body)
        async with self._converting:
            read = await asyncio.to_thread(_from_json, signal, body)
        if isinstance(read, Refused):
            return read
        payload, origin = read
        return await self._reception.record(producer, signal, payload, origin=origin)

    def _refusal(
        self, refused: Refused, request: HttpRequest, producer: Producer | None = None
    ) -> HttpAnswer:
        self._reception.refusals.add(
            refused, signal=_SIGNALS[request.path], peer=request.peer, producer=producer
        )
        answer = _REFUSALS[refused.reason]
        return _with_status(answer, status_of(refused), _encoding(request))


def _content_type(request: HttpRequest) -> str:
    return request.header(b"content-type").partition(";")[0].strip().lower()


def _encoding(request: HttpRequest) -> str:
    return _JSON if _content_type(request) == _JSON else PROTOBUF


def _unsupported(request: HttpRequest) -> Refused | None:
    if _content_type(request) not in (PROTOBUF, _JSON):
        return Refused("unsupported", f"send content type {PROTOBUF} or {_JSON}")
    if request.header(b"content-encoding").lower() not in ("", "identity", "gzip"):
        return Refused("unsupported", "send content encoding gzip or identity")
    return None


def _from_json(signal: Signal, body: bytes) -> Converted | Refused:
    try:
        return from_json(signal, body)
    except EvidenceError as error:
        return Refused("malformed", error.diagnosis)


def _plain(request: HttpRequest, body: bytes | None) -> bytes | Refused:
    if body is None:
        return _too_large()
    zipped = request.header(b"content-encoding").lower() == "gzip"
    return _gunzip(body) if zipped and body else body


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


def _misdirected(signal: Signal | None, encoding: str) -> HttpAnswer:
    if signal is None:
        said = Status(
            code=Code.NOT_FOUND, message=f"there are only {', '.join(_SIGNALS)}"
        )
        return _with_status(HttpAnswer(404), said, encoding)
    said = Status(code=Code.UNIMPLEMENTED, message="use POST")
    return _with_status(HttpAnswer(405, (("allow", "POST"),)), said, encoding)


def _with_status(answer: HttpAnswer, status: Status, encoding: str) -> HttpAnswer:
    if encoding == _JSON:
        body = str(json_format.MessageToJson(status, indent=None)).encode()
    else:
        body = bytes(status.SerializeToString())
    return HttpAnswer(
        answer.status, (*answer.headers, ("content-type", encoding)), body
    )
