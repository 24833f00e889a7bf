"""OTLP in JSON, turned once into the protobuf that is recorded.

Rules of this module, from the OTLP specification (JSON Protobuf Encoding):

* Trace and span ids are hexadecimal in either case, all other bytes base64.
* Enumerations are integers; names of their values are refused.
* Keys are lowerCamelCase; every other key, the snake_case name of a field too, is
  unknown, and unknown keys are ignored with whatever they hold.
* What came is remembered by its SHA-256 in a protobuf field of its own, appended to
  what is recorded. Its number is one that no schema may declare.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from sandbox.errors import EvidenceError
from sandbox.model.segment import Signal
from sandbox.recorder.request import ORIGIN_PREFIX, TYPES, claims_origin

_ID_BYTES = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


class Converted(NamedTuple):
    """One request that came in JSON, in the form in which it is recorded."""

    payload: bytes
    """The request in protobuf."""
    origin: bytes
    """The field that holds the digest of the body; recorded after the payload."""


def from_json(signal: Signal, body: bytes) -> Converted:
    """Return the request in protobuf, and the digest of its JSON body.

    Args:
        signal: What the request claims to carry.
        body: JSON in UTF-8, decompressed.

    Raises:
        EvidenceError: It is not an OTLP request of that signal in JSON.
    """
    kind = TYPES[signal]
    try:
        data = json.loads(body.decode("utf-8-sig"))
        if not isinstance(data, dict):
            raise EvidenceError(f"the body is {type(data).__name__}, not an object")
        message = kind()
        json_format.ParseDict(_object(kind.DESCRIPTOR, data), message)
        payload = bytes(message.SerializeToString())
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise EvidenceError(
            f"the body is not an OTLP {kind.DESCRIPTOR.name} in JSON ({error}); send"
            " what the OTLP specification calls JSON Protobuf Encoding"
        ) from error
    return Converted(payload, ORIGIN_PREFIX + hashlib.sha256(body).digest())


def origin_digest(signal: Signal, recorded: bytes) -> bytes | None:
    """Return the SHA-256 of the JSON body a recorded request was made from.

    Args:
        signal: What the request carries.
        recorded: The payload of its frame.

    Returns:
        32 bytes, or None when the request came in protobuf.

    Raises:
        EvidenceError: It ends as a digest does, and is not a request of that signal.
    """
    found = claims_origin(signal, recorded)
    return recorded[-hashlib.sha256().digest_size :] if found else None


def _object(kind: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Return the known fields, as the protobuf library's own JSON reader wants them."""
    # `kind` is a Descriptor; which class that is depends on how protobuf was built.
    fields = kind.fields_by_camelcase_name
    named = ((fields.get(key), key, value) for key, value in data.items())
    return {
        key: _field(field, value)
        for field, key, value in named
        # The library also answers to a field's snake_case name here.
        if field is not None and field.camelcase_name == key
    }


def _field(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated and isinstance(value, list):
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type and isinstance(value, dict):
        return _object(field.message_type, value)
    if field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str):
        read = _id if field.name in _ID_BYTES else _base64
        return base64.b64encode(read(field, value)).decode()
    if field.enum_type and value is not None and type(value) is not int:
        raise EvidenceError(
            f"{field.camelcase_name} is {str(value)[:40]!r}; write the integer of that "
            "enumeration"
        )
    return value


def _id(field: FieldDescriptor, text: str) -> bytes:
    length = _ID_BYTES[field.name]
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    # An empty id means none, for example the parent of a root span.
    if len(text) != 2 * len(found) or len(found) not in (0, length):
        raise EvidenceError(
            f"{field.camelcase_name} is {text[:40]!r}; write {2 * length} hexadecimal "
            "digits"
        )
    return found


def _base64(field: FieldDescriptor, text: str) -> bytes:
    # The library's own reader passes over what is not base64, so it would change data.
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise EvidenceError(
            f"{field.camelcase_name} is {text[:40]!r}; write base64 ({error})"
        ) from error
