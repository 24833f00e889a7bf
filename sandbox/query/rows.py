"""From a row of a derived file, as an engine gives it, to a record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from functools import lru_cache
from typing import Any

from sandbox.model.observation import Span
from sandbox.model.trace import RecordedSpan, SpanVerdict
from sandbox.query.columns import KINDS, Kind, Scope, core_schema, map_name
from sandbox.query.values import events_of, json_values, links_of

COLUMNS = tuple(core_schema(()).names)
"""The columns a record is made of."""


def recorded_span(row: Mapping[str, Any]) -> RecordedSpan:
    """Return the record of one row.

    Args:
        row: Value by column, for all of `COLUMNS`; maps as mappings.
    """
    return RecordedSpan(
        span=_span(row),
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


def _span(row: Mapping[str, Any]) -> Span:
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
        attributes=json_values(_maps(row, "attributes")),
        resource=json_values(_maps(row, "resource")),
    )


def _maps(row: Mapping[str, Any], scope: Scope) -> dict[Kind, dict[str, Any]]:
    return {kind: dict(row[map_name(scope, kind)]) for kind in KINDS}


@lru_cache(4096)
def _verdicts(text: str) -> tuple[SpanVerdict, ...]:
    items = json.loads(text) if text else []
    return tuple(SpanVerdict.model_validate(item) for item in items)
