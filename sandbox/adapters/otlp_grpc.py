"""OTLP/gRPC: the three export services, with requests as raw bytes.

Rules of this module, from the OTLP specification (OTLP/gRPC):

* OK with an empty response message once the request is durable; never partial success.
* UNAVAILABLE with RetryInfo where the client may send again; INVALID_ARGUMENT and
  UNAUTHENTICATED where it may not; larger messages are RESOURCE_EXHAUSTED.
* A message is limited before and after decompression.
* Requests are not parsed by gRPC: the bytes recorded are the bytes received.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc

from sandbox.adapters.otlp_reception import MAX_REQUEST_BYTES, Reception
from sandbox.adapters.otlp_refusals import Refused
from sandbox.adapters.otlp_status import status_of
from sandbox.errors import RecorderError
from sandbox.model.segment import Signal
from sandbox.ports import Producer

_SERVICES: Mapping[str, Signal] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
_CODES: Mapping[int, grpc.StatusCode] = {
    code.value[0]: code for code in grpc.StatusCode
}
_DETAILS = "grpc-status-details-bin"

Handler = Callable[[bytes, Any], Awaitable[bytes]]


def grpc_server(
    reception: Reception, *, addresses: Sequence[tuple[str, int]]
) -> tuple[grpc.aio.Server, list[int]]:
    """Return a server, not yet started, and the ports it is bound to.

    Args:
        reception: Where requests go.
        addresses: Host and port of each listener; port 0 chooses a free one.

    Raises:
        RecorderError: An address cannot be listened on.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.so_reuseport", 0),
        ]
    )
    for service, signal in _SERVICES.items():
        method = grpc.unary_unary_rpc_method_handler(_handler(reception, signal))
        handlers = grpc.method_handlers_generic_handler(service, {"Export": method})
        server.add_generic_rpc_handlers((handlers,))
    return server, [_bind(server, host, port) for host, port in addresses]


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    name = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{name}:{port}")
    except RuntimeError as error:
        raise RecorderError(
            f"the recorder cannot listen for OTLP/gRPC on {name}:{port}: {error}; free "
            "the port or set SANDBOX_RECORDER_GRPC_PORT",
            retryable=False,
        ) from error
    return int(bound)


def _handler(reception: Reception, signal: Signal) -> Handler:
    async def export(request: bytes, context: Any) -> bytes:
        metadata = {key: value for key, value in context.invocation_metadata() or ()}
        named = await reception.identify(str(metadata.get("authorization", "")))
        if isinstance(named, Refused):
            refused: Refused | None = named
        else:
            refused = await reception.record(named, signal, request)
        if refused is not None:
            producer = named if isinstance(named, Producer) else None
            peer = _address(context.peer())
            reception.refusals.add(refused, signal=signal, peer=peer, producer=producer)
            await _abort(context, refused)
        return b""

    return export


def _address(peer: str) -> str:
    family, _, rest = peer.partition(":")
    return rest.rpartition(":")[0] if family in ("ipv4", "ipv6") else peer


async def _abort(context: Any, refused: Refused) -> None:
    status = status_of(refused)
    trailing = ((_DETAILS, status.SerializeToString()),) if status.details else ()
    await context.abort(_CODES[status.code], status.message, trailing)
