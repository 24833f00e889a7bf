"""From a row of a derived file, as an engine gives it, to a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any

from sandbox.model.observation import Span
from sandbox.model.trace import RecordedSpan, SpanVerdict
from sandbox.query.columns import KINDS, Kind, Place, Scope, core_schema, map_name
from sandbox.query.values import events_of, json_values, links_of

COLUMNS = tuple(core_schema(()).names)
"""The columns a record is made of."""


def recorded_span(row: Mapping[str, Any], own: Sequence[Place] = ()) -> RecordedSpan:
    """Return the record of one row.

    Args:
        row: Value by column, for all of `COLUMNS`, maps as mappings or pairs; and for
            the columns of `own`, None where the span has no such attribute.
        own: Attributes that stand in columns of their own.
    """
    return RecordedSpan(
        span=_span(row, own),
        status_message=row["status_message"],
        scope=row["scope"],
        events=events_of(row["events"]),
        links=links_of(row["links"]),
        producer=row["producer"],
        received_at=row["received_at"].replace(tzinfo=UTC),
        segment=row["segment"],
        frame=row["frame"],
        number=row["number"],
        verdicts=_verdicts(row["verdicts"]),
    )


def answer_order(item: RecordedSpan) -> tuple[int, str, str, int, int, int]:
    """Return the key by which spans of an answer are sorted."""
    span = item.span
    place = (item.segment, item.frame, item.number)
    return span.start_unix_nano, span.trace_id, span.span_id, *place


def _span(row: Mapping[str, Any], own: Sequence[Place]) -> Span:
    # Built without validation: it was read out of typed columns.
    return Span.model_construct(
        trace_id=bytes(row["trace_id"]).hex(),
        span_id=bytes(row["span_id"]).hex(),
        parent_span_id=bytes(row["parent_span_id"]).hex(),
        name=row["name"],
        span_kind=row["kind"],
        service=row["service"],
        start_unix_nano=row["start_ns"],
        end_unix_nano=row["end_ns"],
        status=row["status"],
        attributes=json_values(_maps(row, "attributes", own)),
        resource=json_values(_maps(row, "resource", own)),
    )


def _maps(
    row: Mapping[str, Any], scope: Scope, own: Sequence[Place]
) -> dict[Kind, dict[str, Any]]:
    maps = {kind: dict(row[map_name(scope, kind)]) for kind in KINDS}
    for place in own:
        value = row[place.column] if place.scope == scope else None
        if value is not None:
            maps[place.kind][place.key] = value
    return maps


@lru_cache(4096)
def _verdicts(text: str) -> tuple[SpanVerdict, ...]:
    items = json.loads(text) if text else []
    return tuple(SpanVerdict.model_validate(item) for item in items)
