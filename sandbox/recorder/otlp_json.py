"""OTLP in JSON, turned once into the protobuf that is recorded.

Rules of this module, from the OTLP specification (JSON Protobuf Encoding):

* Trace and span ids are hexadecimal in either case, all other bytes base64.
* Enumerations are integers; names of their values are refused.
* Keys are lowerCamelCase; every other key, the snake_case name of a field too, is
  unknown, and unknown keys are ignored.
* What is recorded ends with the SHA-256 of the body as it came, in a protobuf field
  whose number no schema may declare, so that the original can be recognised later.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from google.protobuf import json_format

from sandbox.errors import EvidenceError
from sandbox.model.segment import Signal
from sandbox.recorder.request import TYPES

_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_ENUMERATIONS = frozenset({"kind", "code", "severityNumber", "aggregationTemporality"})
# Field 19963, length-delimited, 32 bytes; 19000-19999 are closed to every schema.
_DIGEST_PREFIX = b"\xda\xdf\x09\x20"


def from_json(signal: Signal, body: bytes) -> bytes:
    """Return the request in protobuf, with the digest of its JSON body.

    Args:
        signal: What the request claims to carry.
        body: JSON in UTF-8, decompressed.

    Raises:
        EvidenceError: It is not an OTLP request of that signal in JSON.
    """
    kind = TYPES[signal]
    try:
        data = json.loads(body)
        if not isinstance(data, dict):
            raise EvidenceError(f"the body is {type(data).__name__}, not an object")
        message = json_format.ParseDict(
            _as_proto_json(data), kind(), ignore_unknown_fields=True
        )
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise EvidenceError(
            f"the body is not an OTLP {kind.DESCRIPTOR.name} in JSON ({error}); send"
            " what the OTLP specification calls JSON Protobuf Encoding"
        ) from error
    digest = hashlib.sha256(body).digest()
    return bytes(message.SerializeToString()) + _DIGEST_PREFIX + digest


def _as_proto_json(data: Any) -> Any:
    """Return what the protobuf library's own JSON reader understands."""
    if isinstance(data, list):
        return [_as_proto_json(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {key: _value(key, item) for key, item in data.items() if "_" not in key}


def _value(key: str, value: Any) -> Any:
    if key in _ID_BYTES and isinstance(value, str):
        return base64.b64encode(_id(key, value)).decode()
    if key in _ENUMERATIONS and isinstance(value, str):
        raise EvidenceError(
            f"{key} is {value[:40]!r}; write the integer of that enumeration"
        )
    return _as_proto_json(value)


def _id(key: str, text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    # An empty id means none, for example the parent of a root span.
    if len(found) not in (0, _ID_BYTES[key]) or " " in text:
        raise EvidenceError(
            f"{key} is {text[:40]!r}; write {2 * _ID_BYTES[key]} hexadecimal digits"
        )
    return found
