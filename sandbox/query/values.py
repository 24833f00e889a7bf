"""Attribute values: out of protobuf into typed maps, and back into JSON values.

Rules of this module:

* Of equal keys the last counts, whatever its type, as in `sandbox.recorder.spans`.
* Nothing is lost: what has no plain type is kept as OTLP/JSON, from which the very
  AnyValue can be read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from pydantic import JsonValue

from sandbox.model.trace import SpanEvent, SpanLink
from sandbox.query.columns import Kind
from sandbox.recorder.spans import attributes_of, json_number, json_value

Pairs = dict[str, Any]

_PLACES = {"int_value": 1, "double_value": 2, "bool_value": 3}
"""Where a type stands in `KINDS`."""
_OTHER = 4


class Attributes(NamedTuple):
    """Attributes read once, in both of their forms."""

    values: dict[str, JsonValue]
    """As rules see them."""
    maps: tuple[Pairs, Pairs, Pairs, Pairs, Pairs]
    """By type, in the order of `KINDS`."""


def read_attributes(items: Iterable[KeyValue]) -> Attributes:
    """Return attributes as rules see them and as the maps keep them."""
    values: dict[str, JsonValue] = {}
    maps: tuple[Pairs, Pairs, Pairs, Pairs, Pairs] = ({}, {}, {}, {}, {})
    for item in items:
        key, value = item.key, item.value
        if key in values:
            for pairs in maps:
                pairs.pop(key, None)
        case = value.WhichOneof("value")
        if case == "string_value":
            values[key] = maps[0][key] = value.string_value
        else:
            values[key] = _read_other(key, value, maps)
    return Attributes(values, maps)


def _read_other(key: str, value: AnyValue, maps: tuple[Pairs, ...]) -> JsonValue:
    case = value.WhichOneof("value")
    if case is None or case not in _PLACES:
        maps[_OTHER][key] = otlp_json(value)
        return json_value(value)
    plain = getattr(value, case)
    maps[_PLACES[case]][key] = plain
    return json_number(plain) if case == "double_value" else plain


def otlp_json(message: Message) -> str:
    """Return a message as compact OTLP/JSON, bytes as base64."""
    return _compact(json_format.MessageToDict(message))


def otlp_json_list(messages: Iterable[Message]) -> str:
    """Return messages as one OTLP/JSON list; empty text where there are none."""
    found = [json_format.MessageToDict(message) for message in messages]
    return _compact(found) if found else ""


def json_values(maps: Mapping[Kind, Mapping[str, Any]]) -> dict[str, JsonValue]:
    """Return the attributes of all maps as rules see them."""
    found: dict[str, JsonValue] = {**maps["string"], **maps["int"], **maps["bool"]}
    found.update({key: json_number(value) for key, value in maps["double"].items()})
    found.update({key: other_value(text) for key, text in maps["other"].items()})
    return found


def other_value(text: str) -> JsonValue:
    """Return the JSON value of what the map `other` holds."""
    return json_value(json_format.Parse(text, AnyValue()))


@lru_cache(1024)
def events_of(text: str) -> tuple[SpanEvent, ...]:
    """Return the events that a column `events` holds."""
    return tuple(read_event(item) for item in _parsed(text, OtlpSpan.Event))


@lru_cache(1024)
def links_of(text: str) -> tuple[SpanLink, ...]:
    """Return the links that a column `links` holds."""
    return tuple(read_link(item) for item in _parsed(text, OtlpSpan.Link))


def read_event(event: OtlpSpan.Event) -> SpanEvent:
    """Return an event as a record."""
    return SpanEvent(
        name=event.name,
        unix_nano=event.time_unix_nano,
        attributes=attributes_of(event.attributes),
    )


def read_link(link: OtlpSpan.Link) -> SpanLink:
    """Return a link as a record."""
    return SpanLink(
        trace_id=link.trace_id.hex(),
        span_id=link.span_id.hex(),
        attributes=attributes_of(link.attributes),
    )


def _parsed(text: str, kind: type[Any]) -> list[Any]:
    items = json.loads(text) if text else []
    return [json_format.ParseDict(item, kind()) for item in items]


def _compact(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)
