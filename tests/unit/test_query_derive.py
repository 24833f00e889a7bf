"""From frames to columns: nothing lost, nothing added, the same every time."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sandbox.query import (
    Arranged,
    Place,
    Source,
    arrange,
    core_schema,
    derive,
    metadata_of,
    origin_of,
    promoted,
    put_back,
    read_origin,
    recorded_span,
    same_content,
)
from sandbox.query.columns import KINDS, PLAIN, shown_names
from sandbox.query.maps import count_keys, set_apart
from sandbox.query.values import json_values, other_value, read_attributes
from sandbox.recorder import Frame, spans_in
from sandbox.recorder.spans import attributes_of, json_value
from sandbox.testing.rules import one_rule

READS = 'span.attributes["by"] == "human"'
RULES = one_rule(READS, rule="offer/by")

text = st.text('aé\0✓😀"', max_size=5)
values = st.recursive(
    st.one_of(
        st.builds(AnyValue),
        st.builds(AnyValue, string_value=text),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(
            lambda items: AnyValue(array_value={"values": items})
        ),
        st.dictionaries(text, inner, max_size=3).map(
            lambda items: AnyValue(
                kvlist_value={
                    "values": [KeyValue(key=k, value=v) for k, v in items.items()]
                }
            )
        ),
    ),
    max_leaves=6,
)
attributes = st.lists(
    st.builds(KeyValue, key=st.sampled_from(["a", "b", "by", "é"]), value=values)
)


def frame(request: ExportTraceServiceRequest, index: int = 0) -> Frame:
    return Frame(
        index=index,
        offset=0,
        signal="traces",
        producer="p",
        received_at=datetime(2026, 4, 1, tzinfo=UTC),
        payload=request.SerializeToString(),
        sequence=index + 1,
    )


def requests(count: int, seed: int = 3) -> list[Frame]:
    chance = random.Random(seed)
    frames = []
    for index in range(count):
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for _ in range(3):
            span = scope.spans.add(
                trace_id=chance.randbytes(16),
                span_id=chance.randbytes(8),
                name="n",
                start_time_unix_nano=chance.randrange(10**9),
            )
            span.attributes.add(key="by").value.string_value = "human"
        frames.append(frame(request, index))
    return frames


def arranged(tables: list[pa.Table]) -> Arranged:
    return arrange(tables, rules=RULES.names, always=promoted(RULES.mentions))


def whole(tables: list[pa.Table]) -> pa.Table:
    found = arranged(tables)
    return put_back(found.table, found.own)


@settings(deadline=None, max_examples=50)
@example(spans=[[KeyValue(key="k", value=AnyValue(double_value=math.nan))]], picked={0})
@given(spans=st.lists(attributes, max_size=6), picked=st.sets(st.integers(0, 30)))
def test_apart_and_back(spans: list[list[KeyValue]], picked: set[int]) -> None:
    """Attributes set apart and put back are where they were, whatever their types."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for items in spans:
        scope.spans.add(name="n", attributes=items)
    table = put_back(derive([frame(request)], rules=RULES, segment=1), ())
    places = sorted(count_keys(table))
    chosen = [place for place in places if place.kind in PLAIN]
    own = [place for number, place in enumerate(chosen) if number in picked]
    apart = set_apart(table, own)
    assert same_content(put_back(apart, own), table)
    rows = [recorded_span(row, own=own).span for row in apart.to_pylist()]
    assert rows == spans_in(frame(request))


@settings(deadline=None, max_examples=50)
@given(attributes)
def test_values_survive(items: list[KeyValue]) -> None:
    """Attributes of any type and depth come back as rules see them."""
    read = read_attributes(items)
    maps = dict(zip(KINDS, read.maps, strict=True))
    assert read.values == attributes_of(items)
    assert json_values(maps) == read.values


@settings(deadline=None, max_examples=50)
@given(values)
def test_other_is_lossless(value: AnyValue) -> None:
    """What has no plain type is kept so that the same value can be read again."""
    kept = dict(read_attributes([KeyValue(key="k", value=value)]).maps[4])
    if kept:
        assert other_value(kept["k"]) == json_value(value)


@settings(deadline=None, max_examples=50)
@given(attributes, st.binary(max_size=20))
def test_rows_are_spans(items: list[KeyValue], identity: bytes) -> None:
    """A row says what the recorder's own reader says of the span."""
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    batch.resource.attributes.extend(items)
    batch.scope_spans.add().spans.add(trace_id=identity, name="n", attributes=items)
    one = frame(request)
    (row,) = derive([one], rules=RULES, segment=4).to_pylist()
    found = recorded_span(row)
    assert [found.span] == spans_in(one)
    assert (found.segment, found.frame, found.number) == (4, 0, 0)


def test_again() -> None:
    """Deriving the same frames again gives the same content."""
    frames = requests(5)
    first = derive(frames, rules=RULES, segment=1)
    again = derive(frames, rules=RULES, segment=1)
    assert same_content(first, again)
    assert arranged([first]).table.equals(arranged([again]).table)
    assert same_content(first, whole([again]))


def test_difference_shows() -> None:
    """A span less, or one that says something else, is other content."""
    frames = requests(5)
    full = derive(frames, rules=RULES, segment=1)
    assert not same_content(full, full.slice(1))
    assert not same_content(full, derive(frames, rules=RULES, segment=2))
    other = derive(frames, rules=one_rule("false", rule="offer/by"), segment=1)
    assert not same_content(full, other)
    assert not same_content(full, full.drop_columns(["name"]))


def test_merging() -> None:
    """Merged files hold what one derivation of all segments would, in any grouping."""
    parts = [
        derive(requests(3, seed), rules=RULES, segment=seed) for seed in range(1, 5)
    ]
    at_once = arranged(parts).table
    in_steps = arranged([whole(parts[:2]), whole(parts[2:])]).table
    assert at_once.equals(in_steps)
    assert at_once["start_ns"].to_pylist() == sorted(at_once["start_ns"].to_pylist())


def test_own_columns() -> None:
    """What rules read has columns of all types; what is frequent has one of its own."""
    frames = requests(4)
    found = arranged([derive(frames, rules=RULES, segment=1)])
    by = [
        Place("attributes", kind, "by") for kind in ("string", "int", "double", "bool")
    ]
    assert found.promoted == tuple(by)
    assert found.own == tuple(by)
    assert set(found.table[by[0].column].to_pylist()) == {"human"}
    assert found.table[by[1].column].null_count == 12
    assert set(found.table["attributes_string"].to_pylist()[0]) == set()
    assert found.keys["attributes_string"] == ["by"]
    assert found.keys["resource_int"] == []


def test_no_spans() -> None:
    """A segment without spans is an empty table with every column."""
    table = derive([], rules=RULES, segment=1)
    assert table.num_rows == 0
    assert table.schema == core_schema(RULES.names)
    assert arranged([table]).table.num_rows == 0


def test_origin() -> None:
    """What a file says of itself can be read back."""
    found = arranged([derive(requests(2), rules=RULES, segment=1)])
    sources = [Source(1, "sha256:" + "0" * 64)]
    origin = origin_of(
        found, sources=sources, rules_digest=RULES.digest, rules=RULES.names
    )
    again = read_origin(metadata_of(found.table, origin))
    assert again == origin
    assert (again.spans, again.first, again.last) == (6, 1, 1)


def test_rules_digest() -> None:
    """Equal rules have equal digests; other rules have others."""
    assert RULES.digest == one_rule(READS, rule="offer/by").digest
    assert RULES.digest != one_rule("false", rule="offer/by").digest


@given(st.text("aA^_", max_size=4), st.text("aA^_", max_size=4))
def test_columns_without_case(one: str, other: str) -> None:
    """Columns of two keys have names that differ in more than case."""
    first, second = (Place("attributes", "int", key).column for key in (one, other))
    assert (first.lower() == second.lower()) == (one == other)


def test_names_in_the_view() -> None:
    """Attributes are shown under their keys, unless these differ in case only."""
    upper, lower, other = (Place("attributes", "int", key) for key in ("Ab", "ab", "C"))
    assert shown_names([upper, other]) == ["attributes_int:Ab", "attributes_int:C"]
    assert shown_names([upper, lower]) == ["attributes_int:^Ab", "attributes_int:ab"]
