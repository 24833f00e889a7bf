"""A span as expressions see it, and what is kept of what they read."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import JsonValue

from sandbox.model.observation import Span
from sandbox.rules.cel import Facts
from sandbox.rules.mentions import Path, dotted

_LONGEST_VALUE = 256


def span_facts(span: Span) -> dict[str, JsonValue]:
    """Return a span as expressions see it: the fields of `rulebook.SPAN_FIELDS`."""
    return {
        "name": span.name,
        "kind": span.span_kind,
        "service": span.service,
        "status": span.status,
        "duration_s": span.duration_s,
        "attributes": span.attributes,
        "resource": span.resource,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "start_unix_nano": span.start_unix_nano,
        "end_unix_nano": span.end_unix_nano,
    }


def values_read(paths: tuple[Path, ...], facts: Facts) -> dict[str, JsonValue]:
    """Return what is there of the fields that expressions mention, by dotted path."""
    found: dict[str, JsonValue] = {}
    for root, *steps in paths:
        value: object = facts.params if root == "params" else facts.seen
        for step in steps:
            # Facts are dicts nearly always, and the other test is slow.
            is_map = type(value) is dict or isinstance(value, Mapping)
            value = value.get(step) if is_map else None  # type: ignore[attr-defined]
        if value is not None:
            found[dotted((root, *steps))] = _kept(value)
    return found


def _kept(value: object) -> JsonValue:
    """Return what an observation keeps of a value: of a map its keys, of text and
    lists the beginning; the whole stands in the evidence.
    """
    if isinstance(value, str):
        return value[:_LONGEST_VALUE]
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return sorted(value)
    if isinstance(value, list):
        return [_kept(item) for item in value[:_LONGEST_VALUE]]
    return str(value)[:_LONGEST_VALUE]
