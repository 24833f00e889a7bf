"""From the frames of one segment to a table of its spans.

Rules of this module:

* The table says nothing that the frames do not: every delivery of a span is one row,
  with its place, also when the same span came before.
* Rules are judged span by span as the monitor judges them (`sandbox.monitor.observe`),
  as they stood on the span's own date (UTC).
* Nothing is repaired: values keep their types, identifiers their bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from sandbox.model.instants import at_unix_nano
from sandbox.model.observation import Span
from sandbox.model.record import canonical_json
from sandbox.model.trace import SpanVerdict
from sandbox.monitor.observe import span_start
from sandbox.query.columns import (
    KINDS,
    SCOPES,
    TYPES,
    Scope,
    core_schema,
    map_name,
    map_type,
    rule_column,
)
from sandbox.query.values import Attributes, otlp_json_list, read_attributes
from sandbox.recorder import Frame
from sandbox.recorder.spans import facts_of, service_of, traces_in
from sandbox.rules import CompiledRules, RuleOutcome

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
    gathering = _Gathering(rules, segment)
    for frame in frames:
        gathering.add(frame)
        if gathering.rows >= _BATCH_ROWS:
            batches.append(gathering.batch(schema))
            gathering = _Gathering(rules, segment)
    batches.append(gathering.batch(schema))
    return pa.Table.from_batches(batches, schema)


class _Gathering:
    """Spans on their way into columns."""

    def __init__(self, rules: CompiledRules, segment: int) -> None:
        self.rows = 0
        self._rules = rules
        self._segment = segment
        self._columns: dict[str, list[Any]] = defaultdict(list)
        self._maps = {scope: _Maps(scope) for scope in SCOPES}
        self._rules_columns = [rule_column(name) for name in rules.names]

    def add(self, frame: Frame) -> None:
        """Add the spans of one frame."""
        number = 0
        for batch in traces_in(frame).resource_spans:
            resource = read_attributes(batch.resource.attributes)
            for scope in batch.scope_spans:
                for span in scope.spans:
                    self._add(span, resource)
                count = len(scope.spans)
                self._columns["number"].extend(range(number, number + count))
                self._columns["scope"].extend([scope.scope.name] * count)
                number += count
        self.rows += number
        received_at = frame.received_at.replace(tzinfo=None)
        self._columns["producer"].extend([frame.producer] * number)
        self._columns["received_at"].extend([received_at] * number)
        self._columns["segment"].extend([self._segment] * number)
        self._columns["frame"].extend([frame.index] * number)

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Return what was gathered as columns."""
        maps = {**self._maps["attributes"].arrays(), **self._maps["resource"].arrays()}
        columns = [
            maps[field.name]
            if field.name in maps
            else pa.array(self._columns[field.name], field.type)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _add(self, span: OtlpSpan, resource: Attributes) -> None:
        attributes = read_attributes(span.attributes)
        seen = facts_of(
            span,
            attributes=attributes.values,
            resource=resource.values,
            service=service_of(resource.values),
        )
        self._maps["attributes"].add(attributes)
        self._maps["resource"].add(resource)
        columns = self._columns
        columns["trace_id"].append(span.trace_id)
        columns["span_id"].append(span.span_id)
        columns["parent_span_id"].append(span.parent_span_id)
        for name in _SEEN:
            columns[name].append(seen[name])
        columns["start_ns"].append(seen["start_unix_nano"])
        columns["end_ns"].append(seen["end_unix_nano"])
        columns["status_message"].append(span.status.message)
        columns["trace_state"].append(span.trace_state)
        columns["flags"].append(span.flags)
        columns["events"].append(otlp_json_list(span.events))
        columns["links"].append(otlp_json_list(span.links))
        self._judge(seen)

    def _judge(self, seen: dict[str, Any]) -> None:
        start = seen["start_unix_nano"]
        day = at_unix_nano(start).date()
        found = self._rules.judge_facts(seen, start_unix_nano=start, at=day)
        results = {rule_column(item.rule): item.result for item in found}
        for name in self._rules_columns:
            self._columns[name].append(results.get(name))
        data = [verdict_of(item).model_dump(mode="json") for item in found]
        self._columns["verdicts"].append(canonical_json(data).decode() if data else "")


_SEEN = ("name", "kind", "service", "status")


class _Maps:
    """The typed maps of spans, or of their resources, on their way into columns."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._keys: list[list[str]] = [[] for _ in KINDS]
        self._values: list[list[Any]] = [[] for _ in KINDS]
        self._offsets: list[list[int]] = [[0] for _ in KINDS]

    def add(self, attributes: Attributes) -> None:
        """Add the attributes of one span."""
        for number, pairs in enumerate(attributes.maps):
            keys = self._keys[number]
            if pairs:
                keys.extend(pairs)
                self._values[number].extend(pairs.values())
            self._offsets[number].append(len(keys))

    def arrays(self) -> dict[str, pa.Array]:
        """Return the maps as columns, by name."""
        parts = zip(KINDS, self._offsets, self._keys, self._values, strict=True)
        return {
            map_name(self._scope, kind): pa.MapArray.from_arrays(
                pa.array(offsets, pa.int32()),
                pa.array(keys, pa.string()),
                pa.array(values, TYPES[kind]),
                type=map_type(kind),
            )
            for kind, offsets, keys, values in parts
        }


def verdicts_of(span: Span, rules: CompiledRules) -> tuple[SpanVerdict, ...]:
    """Return what every rule that applies says of a span, in rulebook order."""
    judged = rules.judge(span, at=span_start(span).date())
    return tuple(verdict_of(item) for item in judged)


def verdict_of(outcome: RuleOutcome) -> SpanVerdict:
    """Return an outcome as a record."""
    return SpanVerdict(
        rule=outcome.rule,
        result=outcome.result,
        overlay=outcome.overlay,
        rulebook_version=outcome.rulebook_version,
        reason=outcome.reason,
    )
