"""What an OTLP request must be before it is recorded.

Rules of this module:

* A request that no OTLP reader could read is refused whole; nothing of it is kept (OTLP
  specification 1.x: bad data is answered 400 or INVALID_ARGUMENT).
* A well-formed request is kept as it came, also with fields this version does not know:
  a newer OTLP is evidence too.
* No sender can claim in protobuf that its request came in JSON: a request that ends in
  the field the recorder writes for that is refused.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.model.segment import Signal

M = TypeVar("M", bound=Message)

TYPES: dict[Signal, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
"""The message that each signal's request is."""
ORIGIN_PREFIX = b"\xda\xdf\x09\x20"
"""Tag and length of field 19963: SHA-256 of the JSON body a request was made from.

The protobuf language forbids every schema to declare the numbers 19000-19999.
"""
_ORIGIN_BYTES = len(ORIGIN_PREFIX) + 32


def check_request(signal: Signal, payload: bytes) -> None:
    """Read a request once, to be sure that it can be read.

    Args:
        signal: What the request claims to carry.
        payload: Its bytes.

    Raises:
        EvidenceError: It is not an OTLP request of that signal, or ends in the field
            that only the recorder writes.
    """
    message = parse_as(TYPES[signal], payload)
    if _ends_in_origin(payload) and _is_unusual(message, payload):
        raise EvidenceError(
            "the request ends in protobuf field 19963, which only the recorder writes; "
            "send fields that OTLP defines"
        )


def is_unusual(signal: Signal, payload: bytes) -> bool:
    """Return whether a request has fields this version of OTLP does not know.

    So does one that is not written as usual, with a field twice for example. It takes
    four times as long as `check_request`.

    Args:
        signal: What the request carries.
        payload: Its bytes.

    Raises:
        EvidenceError: It is not an OTLP request of that signal.
    """
    return _is_unusual(parse_as(TYPES[signal], payload), payload)


def claims_origin(signal: Signal, payload: bytes) -> bool:
    """Return whether a recorded request ends in the digest of a JSON body.

    Args:
        signal: What the request carries.
        payload: The payload of its frame.

    Raises:
        EvidenceError: It ends as one does, and is not an OTLP request of that signal.
    """
    return _ends_in_origin(payload) and is_unusual(signal, payload)


def _is_unusual(message: Message, payload: bytes) -> bool:
    message.DiscardUnknownFields()
    return message.ByteSize() != len(payload)


def _ends_in_origin(payload: bytes) -> bool:
    # The same bytes may end a string; then nothing about the request is unusual.
    return payload[-_ORIGIN_BYTES:].startswith(ORIGIN_PREFIX)


def parse_as(kind: type[M], payload: bytes) -> M:
    """Return the parsed request.

    Args:
        kind: The request's protobuf type.
        payload: Its bytes.

    Raises:
        EvidenceError: The bytes are not a request of that type.
    """
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise EvidenceError(
            f"the bytes are not an OTLP {kind.DESCRIPTOR.name} in protobuf ({error}); "
            "send what opentelemetry-proto defines"
        ) from error
