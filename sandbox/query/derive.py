"""From the frames of one segment to a table of its spans.

Rules of this module:

* The table says nothing that the frames do not: every delivery of a span is one row,
  with its place, also when the same span came before.
* Rules are judged span by span as the monitor judges them (`sandbox.monitor.observe`),
  as they stood on the span's own date (UTC).
* Nothing is repaired: values keep their types, identifiers their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from sandbox.model.observation import Span
from sandbox.model.record import canonical_json
from sandbox.model.trace import SpanVerdict
from sandbox.monitor.observe import span_start
from sandbox.query.columns import KINDS, core_schema, map_name, rule_column
from sandbox.query.values import Attributes, otlp_json_list, read_attributes
from sandbox.recorder import Frame
from sandbox.recorder.spans import service_of, span_of, traces_in
from sandbox.rules import CompiledRules

_BATCH_ROWS = 8192
"""Rows that are held as Python objects before they become Arrow columns."""


def derive(frames: Iterable[Frame], *, rules: CompiledRules, segment: int) -> pa.Table:
    """Return the spans of a segment as a table, in the order in which they came.

    Args:
        frames: All frames of the segment; those without spans give no rows.
        rules: The rulebook with the trial's temporary rule over it.
        segment: Number of the segment.

    Raises:
        EvidenceError: A frame is not what the recorder writes.
    """
    schema = core_schema(rules.names)
    batches: list[pa.RecordBatch] = []
    rows: list[dict[str, Any]] = []
    for frame in frames:
        rows.extend(_rows(frame, rules, segment))
        if len(rows) >= _BATCH_ROWS:
            batches.append(_batch(rows, schema))
            rows = []
    batches.append(_batch(rows, schema))
    return pa.Table.from_batches(batches, schema)


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array([row.get(field.name) for row in rows], field.type) for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _rows(frame: Frame, rules: CompiledRules, segment: int) -> Iterator[dict[str, Any]]:
    place = {
        "producer": frame.producer,
        "received_at": frame.received_at.replace(tzinfo=None),
        "segment": segment,
        "frame": frame.index,
    }
    number = 0
    for batch in traces_in(frame).resource_spans:
        resource = read_attributes(batch.resource.attributes)
        shared = {**place, **_maps("resource", resource)}
        for scope in batch.scope_spans:
            shared["scope"] = scope.scope.name
            for span in scope.spans:
                row = {**shared, **_row(span, resource, rules), "number": number}
                number += 1
                yield row


def _row(span: OtlpSpan, resource: Attributes, rules: CompiledRules) -> dict[str, Any]:
    attributes = read_attributes(span.attributes)
    seen = span_of(
        span,
        attributes=attributes.values,
        resource=resource.values,
        service=service_of(resource.values),
    )
    row = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": seen.name,
        "kind": seen.span_kind,
        "service": seen.service,
        "status": seen.status,
        "status_message": span.status.message,
        "trace_state": span.trace_state,
        "flags": span.flags,
        "start_ns": seen.start_unix_nano,
        "end_ns": seen.end_unix_nano,
        "duration_s": seen.duration_s,
        "events": otlp_json_list(span.events),
        "links": otlp_json_list(span.links),
    }
    row.update(_maps("attributes", attributes))
    row.update(_verdicts(seen, rules))
    return row


def _maps(scope: Any, attributes: Attributes) -> dict[str, Any]:
    named = zip(KINDS, attributes.maps, strict=True)
    return {map_name(scope, kind): pairs for kind, pairs in named}


def _verdicts(span: Span, rules: CompiledRules) -> dict[str, str]:
    found = verdicts_of(span, rules)
    columns = {rule_column(item.rule): str(item.result) for item in found}
    data = [item.model_dump(mode="json") for item in found]
    columns["verdicts"] = canonical_json(data).decode() if data else ""
    return columns


def verdicts_of(span: Span, rules: CompiledRules) -> tuple[SpanVerdict, ...]:
    """Return what every rule that applies says of a span, in rulebook order."""
    return tuple(
        SpanVerdict.model_construct(
            rule=item.rule,
            result=item.result,
            overlay=item.overlay,
            rulebook_version=item.rulebook_version,
            reason=item.reason,
        )
        for item in rules.judge(span, at=span_start(span).date())
    )
