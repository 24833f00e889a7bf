"""What was recorded and what was derived from it, each summed up by ClickHouse itself.

Rules of this module:

* The sums cover every span: its ids, name, service, times, and its attributes of plain
  types (text, whole numbers, floating point, truth values) with keys, types and values.
  Bytes, lists, maps and empty attributes, resource attributes besides `service.name`,
  events and links are not compared.
* Sums do not depend on order, and count what comes twice twice.
* Of equal keys the last counts, as in the derivation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from sandbox.errors import EvidenceError
from sandbox.query.clickhouse import shown_columns, source_of, text
from sandbox.query.flat_proto import oneof_type
from sandbox.query.origin import Origin

_PLAIN = ("string", "int", "double", "bool")
_TYPES = {"string": "String", "int": "Int64", "double": "Float64", "bool": "Bool"}


class Group(NamedTuple):
    """Spans of one segment that are summed up together."""

    segment: int
    service: str
    operation: str


class Sums(NamedTuple):
    """What the spans of a group come to."""

    spans: int
    duration_ns: int
    content: int
    """Sum of the hashes of all that is compared of each span."""


Tally = Mapping[Group, Sums]


def derived_statement(path: object, origin: Origin) -> str:
    """Return the statement that sums up a derived file.

    Args:
        path: Where it lies.
        origin: What it says of itself.
    """
    spans = f"SELECT {shown_columns(origin)} FROM {source_of(path, origin)}"
    maps = ", ".join(f"arraySort(CAST(attributes_{k}, '{_pairs(k)}'))" for k in _PLAIN)
    return (
        f"SELECT segment, service, name, {_sums(maps)} FROM ({spans}) "
        "GROUP BY segment, service, name"
    )


def recorded_statement(segment: int, path: object) -> str:
    """Return the statement that sums up recorded requests of traces.

    Args:
        segment: Number of the segment they are of.
        path: A file of length-delimited requests.
    """
    source = f"file({text(path)}, 'Protobuf', {text(_structure())})"
    batches = f"SELECT arrayJoin(resource_spans) AS batch FROM {source}"
    scopes = (
        f"SELECT arrayJoin(batch.scope_spans) AS scope, {_service()} AS service "
        f"FROM ({batches})"
    )
    spans = f"SELECT service, arrayJoin(scope.spans) AS span FROM ({scopes})"
    fields = (
        "SELECT service, span.name AS name, span.start_time_unix_nano AS start_ns, "
        "span.end_time_unix_nano AS end_ns, lower(hex(span.trace_id)) AS trace_id, "
        "lower(hex(span.span_id)) AS span_id, "
        "lower(hex(span.parent_span_id)) AS parent_span_id, "
        f"{_last('span.attributes')} AS kept FROM ({spans})"
    )
    maps = ", ".join(_of_kind("kept", kind) for kind in _PLAIN)
    return (
        f"SELECT {segment} AS segment, service, name, {_sums(maps)} FROM ({fields}) "
        "GROUP BY service, name"
    )


def check_tallies(recorded: Tally, derived: Tally) -> None:
    """Check that what was derived is what was recorded.

    Raises:
        EvidenceError: It is not; names the first difference.
    """
    nothing = Sums(0, 0, 0)
    for group in sorted({*recorded, *derived}):
        one, other = recorded.get(group, nothing), derived.get(group, nothing)
        if one != other:
            raise EvidenceError(
                f"segment {group.segment}, service {group.service!r}, operation "
                f"{group.operation!r}: recorded are {_said(one)}; derived are "
                f"{_said(other)}. Remove the folder of derived files, they are made "
                "again; if they still differ, report it and trust the recorded requests"
            )


def _said(sums: Sums) -> str:
    return (
        f"{sums.spans} spans of {sums.duration_ns} ns with content {sums.content:016x}"
    )


def _sums(maps: str) -> str:
    content = f"trace_id, span_id, parent_span_id, start_ns, end_ns, {maps}"
    return (
        "count() AS spans, sum(toInt128(end_ns) - toInt128(start_ns)) AS duration_ns, "
        f"sum(cityHash64({content})) AS content"
    )


def _structure() -> str:
    presence = oneof_type(AnyValue.DESCRIPTOR, "value")
    plain = ", ".join(f"{kind}_value {_TYPES[kind]}" for kind in _PLAIN)
    pairs = f"Array(Tuple(key String, value Tuple(value {presence}, {plain})))"
    span = (
        "trace_id String, span_id String, parent_span_id String, name String, "
        "start_time_unix_nano UInt64, end_time_unix_nano UInt64, "
        f"attributes {pairs}"
    )
    scopes = f"Array(Tuple(spans Array(Tuple({span}))))"
    return (
        f"resource_spans Array(Tuple(resource Tuple(attributes {pairs}), "
        f"scope_spans {scopes}))"
    )


def _service() -> str:
    named = "arrayLast(pair -> pair.key = 'service.name', batch.resource.attributes)"
    value = f"tupleElement({named}, 'value')"
    return (
        f"if(tupleElement({value}, 'value') = 'string_value', "
        f"tupleElement({value}, 'string_value'), '')"
    )


def _last(pairs: str) -> str:
    """Return the pairs without those whose key comes again later."""
    later = f"arrayLastIndex(other -> other.key = pair.key, {pairs})"
    chosen = (
        f"arrayFilter((pair, place) -> place = {later}, {pairs}, "
        f"arrayEnumerate({pairs}))"
    )
    # Few spans have equal keys, and looking for them takes three times as long.
    return (
        f"if(length(arrayDistinct({pairs}.key)) = length({pairs}), {pairs}, {chosen})"
    )


def _of_kind(pairs: str, kind: str) -> str:
    chosen = f"arrayFilter(pair -> pair.value.value = '{kind}_value', {pairs})"
    plain = f"arrayMap(pair -> (pair.key, pair.value.{kind}_value), {chosen})"
    return f"arraySort(CAST({plain}, '{_pairs(kind)}'))"


def _pairs(kind: str) -> str:
    return f"Array(Tuple(String, {_TYPES[kind]}))"
