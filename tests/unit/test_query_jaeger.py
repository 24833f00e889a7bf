"""Recorded spans as Jaeger's user interface reads them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sandbox.query.jaeger import jaeger_file, jaeger_spans, jaeger_trace
from sandbox.query.selection import Chosen
from sandbox.recorder import Frame

TRACE = bytes.fromhex("5b8efff798038103d269b633813fc60c")
AT_NS = 1_544_712_660_000_000_999

# Jaeger's model/json: field → its type, and whether it may be left out.
FIELDS: dict[str, dict[str, tuple[type, bool]]] = {
    "trace": {
        "traceID": (str, False),
        "spans": (list, False),
        "processes": (dict, False),
        "warnings": (list, True),
    },
    "span": {
        "traceID": (str, False),
        "spanID": (str, False),
        "flags": (int, True),
        "operationName": (str, False),
        "references": (list, True),
        "startTime": (int, False),
        "duration": (int, False),
        "tags": (list, True),
        "logs": (list, True),
        "processID": (str, False),
        "warnings": (list, True),
    },
    "reference": {
        "refType": (str, False),
        "traceID": (str, False),
        "spanID": (str, False),
    },
    "process": {"serviceName": (str, False), "tags": (list, True)},
    "log": {"timestamp": (int, False), "fields": (list, True)},
    "tag": {"key": (str, False), "type": (str, False), "value": (object, False)},
}
VALUES = {"string": str, "bool": bool, "int64": int, "float64": float, "binary": str}


def check(kind: str, item: dict[str, Any]) -> None:
    """Assert that an object has the fields of Jaeger's model, and no others."""
    fields = FIELDS[kind]
    assert set(item) <= set(fields)
    for name, (of_type, may_miss) in fields.items():
        assert may_miss or name in item
        assert name not in item or isinstance(item[name], of_type)


def check_tags(tags: list[dict[str, Any]]) -> None:
    """Assert that every value is of the type its tag names."""
    for tag in tags:
        check("tag", tag)
        assert isinstance(tag["value"], VALUES[tag["type"]] | str)


def check_trace(trace: dict[str, Any]) -> None:
    """Assert that a trace is what Jaeger's model says, down to every value."""
    check("trace", trace)
    for process in trace["processes"].values():
        check("process", process)
        check_tags(process["tags"])
    for span in trace["spans"]:
        check("span", span)
        assert span["processID"] in trace["processes"]
        assert span["startTime"] >= 0
        assert span["duration"] >= 0
        check_tags(span["tags"])
        for reference in span["references"]:
            check("reference", reference)
            assert reference["refType"] in ("CHILD_OF", "FOLLOWS_FROM")
        for log in span["logs"]:
            check("log", log)
            check_tags(log["fields"])


def request() -> ExportTraceServiceRequest:
    """Return a request with everything in it: two services, three spans."""
    found = ExportTraceServiceRequest()
    for service in ("frontend", "driver"):
        batch = found.resource_spans.add()
        batch.resource.attributes.add(key="service.name").value.string_value = service
        batch.resource.attributes.add(key="host").value.string_value = "h1"
        scope = batch.scope_spans.add()
        scope.scope.name = "lib"
        scope.scope.version = "1.2"
        scope.spans.add(
            trace_id=TRACE,
            span_id=service[:8].encode(),
            name=f"GET /{service}",
            kind=2,
            start_time_unix_nano=AT_NS,
            end_time_unix_nano=AT_NS + 1_500_000,
        )
    rich = (
        found.resource_spans[1]
        .scope_spans[0]
        .spans.add(
            trace_id=TRACE,
            span_id=b"abcdefgh",
            parent_span_id=b"frontend",
            name="find",
            flags=0x301,
            trace_state="a=b",
            start_time_unix_nano=AT_NS,
            end_time_unix_nano=AT_NS - 5_000,
            dropped_events_count=3,
        )
    )
    rich.status.code = rich.status.STATUS_CODE_ERROR
    rich.status.message = "no driver"
    link = rich.links.add(trace_id=b"0123456789abcdef", span_id=b"01234567")
    link.attributes.add(key="why").value.string_value = "retry"
    event = rich.events.add(name="timeout", time_unix_nano=AT_NS)
    event.attributes.add(key="after").value.double_value = 1.5
    add_values(rich)
    return found


def add_values(span: Span) -> None:
    """Give a span an attribute of every type."""
    values = {
        "text": ("string_value", "x"),
        "yes": ("bool_value", True),
        "small": ("int_value", 7),
        "large": ("int_value", 2**60),
        "real": ("double_value", 2.0),
        "nan": ("double_value", float("nan")),
        "raw": ("bytes_value", b"\x00\xff"),
    }
    for key, (field, value) in values.items():
        setattr(span.attributes.add(key=key).value, field, value)
    items = span.attributes.add(key="list").value.array_value.values
    items.add(int_value=1)
    items.add(string_value="é")
    span.attributes.add(key="empty")


@pytest.fixture(name="trace", scope="module")
def _trace() -> dict[str, Any]:
    payload = request().SerializeToString()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    frame = Frame(4, 0, "traces", "hotrod", at, payload, 1)
    found = jaeger_trace(TRACE.hex(), jaeger_spans(Chosen(2, frame, None)))
    read: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return read


def span_named(trace: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the span of that operation."""
    return next(span for span in trace["spans"] if span["operationName"] == name)


def tags_of(span: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return (type, value) by key."""
    return {tag["key"]: (tag["type"], tag["value"]) for tag in span["tags"]}


def test_it_is_what_the_model_says(trace: dict[str, Any]) -> None:
    """Every object has the fields and types of Jaeger's model, and no others."""
    check_trace(trace)
    assert len(trace["spans"]) == 3
    assert trace["traceID"] == TRACE.hex()


def test_processes_are_services(trace: dict[str, Any]) -> None:
    """Spans of one resource share a process, which keeps the rest of the resource."""
    assert {p["serviceName"] for p in trace["processes"].values()} == {
        "frontend",
        "driver",
    }
    find, driver = span_named(trace, "find"), span_named(trace, "GET /driver")
    assert find["processID"] == driver["processID"]
    process = trace["processes"][find["processID"]]
    assert process["tags"] == [{"key": "host", "type": "string", "value": "h1"}]


def test_types_of_tags_are_kept(trace: dict[str, Any]) -> None:
    """A number stays a number; what JavaScript or JSON cannot hold is text."""
    tags = tags_of(span_named(trace, "find"))
    assert tags["text"] == ("string", "x")
    assert tags["yes"] == ("bool", True)
    assert tags["small"] == ("int64", 7)
    assert tags["large"] == ("int64", str(2**60))
    assert tags["real"] == ("float64", 2.0)
    assert isinstance(tags["real"][1], float)
    assert tags["nan"] == ("float64", "nan")
    assert tags["raw"] == ("binary", base64.b64encode(b"\x00\xff").decode())
    assert tags["list"] == ("string", '[1, "é"]')
    assert tags["empty"] == ("string", "")


def test_what_opentelemetry_has_fields_for(trace: dict[str, Any]) -> None:
    """Kind, status, scope, state and what was dropped are the tags Jaeger expects."""
    tags = tags_of(span_named(trace, "find"))
    assert tags["error"] == ("bool", True)
    assert tags["otel.status_code"] == ("string", "ERROR")
    assert tags["otel.status_description"] == ("string", "no driver")
    assert tags["otel.scope.name"] == ("string", "lib")
    assert tags["otel.scope.version"] == ("string", "1.2")
    assert tags["w3c.tracestate"] == ("string", "a=b")
    assert tags["otel.dropped_events_count"] == ("int64", 3)
    assert tags_of(span_named(trace, "GET /driver"))["span.kind"] == (
        "string",
        "server",
    )
    assert "error" not in tags_of(span_named(trace, "GET /driver"))


def test_the_place_in_the_evidence_goes_along(trace: dict[str, Any]) -> None:
    """Segment, frame and number, and the producer the token named."""
    tags = tags_of(span_named(trace, "find"))
    assert tags["sandbox.place"] == ("string", "2/4/2")
    assert tags["sandbox.producer"] == ("string", "hotrod")


def test_references_and_logs(trace: dict[str, Any]) -> None:
    """A parent is CHILD_OF, a link FOLLOWS_FROM, an event a log."""
    find = span_named(trace, "find")
    assert find["references"] == [
        {"refType": "CHILD_OF", "traceID": TRACE.hex(), "spanID": b"frontend".hex()},
        {
            "refType": "FOLLOWS_FROM",
            "traceID": b"0123456789abcdef".hex(),
            "spanID": b"01234567".hex(),
        },
    ]
    fields = [
        {"key": "event", "type": "string", "value": "timeout"},
        {"key": "after", "type": "float64", "value": 1.5},
    ]
    assert find["logs"] == [{"timestamp": AT_NS // 1000, "fields": fields}]


def test_times_are_microseconds(trace: dict[str, Any]) -> None:
    """An end before the start is no negative duration, and is said."""
    driver, find = span_named(trace, "GET /driver"), span_named(trace, "find")
    assert (driver["startTime"], driver["duration"]) == (AT_NS // 1000, 1500)
    assert find["duration"] == 0
    assert find["warnings"] == ["it says that it ended 5 µs before it began"]
    assert find["flags"] == 1


def test_some_spans_and_other_signals() -> None:
    """Only the spans asked for; a frame of logs has none."""
    payload = request().SerializeToString()
    frame = Frame(0, 0, "traces", "p", datetime(2026, 1, 1, tzinfo=UTC), payload, 1)
    found = list(jaeger_spans(Chosen(1, frame, frozenset({2}))))
    assert [item.span["operationName"] for item in found] == ["find"]
    assert list(jaeger_spans(Chosen(1, frame._replace(signal="logs"), None))) == []


def test_a_service_without_a_name() -> None:
    """Jaeger needs one; OpenTelemetry's own word stands for it."""
    found = ExportTraceServiceRequest()
    found.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE)
    payload = found.SerializeToString()
    frame = Frame(0, 0, "traces", "p", datetime(2026, 1, 1, tzinfo=UTC), payload, 1)
    (item,) = jaeger_spans(Chosen(1, frame, None))
    assert item.process["serviceName"] == "unknown_service"


def test_a_file_holds_whole_traces() -> None:
    """A trace that goes on in a later segment is written once, after its last span."""
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def chosen(segment: int, *traces: bytes) -> Chosen:
        found = ExportTraceServiceRequest()
        scope = found.resource_spans.add().scope_spans.add()
        for trace in traces:
            scope.spans.add(trace_id=trace * 16, span_id=bytes([segment]) * 8)
        payload = found.SerializeToString()
        return Chosen(segment, Frame(0, 0, "traces", "p", at, payload, 1), None)

    run = [chosen(1, b"a", b"b"), chosen(1, b"b"), chosen(2, b"c"), chosen(3, b"a")]
    pieces = list(jaeger_file(lambda: iter(run)))
    read = json.loads("".join(pieces))
    assert [trace["traceID"][:2] for trace in read["data"]] == ["62", "63", "61"]
    assert [len(trace["spans"]) for trace in read["data"]] == [2, 1, 2]
    for trace in read["data"]:
        check_trace(trace)
    assert json.loads("".join(jaeger_file(lambda: iter([])))) == {"data": []}
