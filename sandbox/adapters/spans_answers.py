"""What every engine's answer, or refusal to answer, has in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, NamedTuple

from pydantic import JsonValue

from sandbox.adapters.spans_files import Derived
from sandbox.errors import EvidenceError
from sandbox.model.trace import RecordedSpan, SpanAnswer, SqlAnswer, is_trace_id

NOT_READING = (
    "only one statement that reads (SELECT …) can be asked; nothing is written, set, "
    "loaded or attached here"
)
NO_MEMORY = (
    "the statement needs more memory than a question may use; ask for less, or raise "
    "SANDBOX_QUERY_MEMORY_MIB"
)
_SPANS_ALONE = "a statement reads the view `spans` and nothing else"


class Found(NamedTuple):
    """Rows of a statement."""

    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    more: bool


def answer_of(
    trial_id: str,
    spans: Iterable[RecordedSpan],
    *,
    derived: Derived,
    engine: str,
    more: bool = False,
) -> SpanAnswer:
    """Return an answer with the evidence it was drawn from."""
    return SpanAnswer(
        trial_id=trial_id,
        spans=tuple(spans),
        more=more,
        evidence=derived.evidence,
        unsealed=derived.unsealed,
        erased=derived.erased,
        engine=engine,
    )


def rows_of(
    trial_id: str, statement: str, *, found: Found, derived: Derived, engine: str
) -> SqlAnswer:
    """Return the rows of a statement with the evidence they were drawn from."""
    return SqlAnswer(
        trial_id=trial_id,
        statement=statement,
        columns=found.columns,
        rows=found.rows,
        more=found.more,
        evidence=derived.evidence,
        unsealed=derived.unsealed,
        erased=derived.erased,
        engine=engine,
    )


def as_json(value: Any) -> JsonValue:
    """Return a value of a result as JSON can write it: bytes as hexadecimal digits,
    times as ISO 8601, what JSON has no number for as text.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    # Decimals, intervals, UUIDs: as DuckDB's values write themselves.
    return str(value)


def trace_bytes(trace_id: str) -> bytes:
    """Return the bytes of a trace id.

    Raises:
        EvidenceError: It is not a trace id.
    """
    if not is_trace_id(trace_id):
        raise EvidenceError(
            f"{trace_id!r} is not a trace id; give 32 lower-case hexadecimal digits"
        )
    return bytes.fromhex(trace_id)


def nodes_of(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a statement that an engine's parser wrote as JSON."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def no_table(name: str) -> EvidenceError:
    """Return the refusal of a table."""
    return EvidenceError(f"there is no table `{name}`: {_SPANS_ALONE}")


def no_reading(what: str) -> EvidenceError:
    """Return the refusal of what reads something else than the spans."""
    return EvidenceError(f"`{what}` may not be asked: {_SPANS_ALONE}")


def no_function(name: str) -> EvidenceError:
    """Return the refusal of a function that asks chance, the clock or the machine."""
    return EvidenceError(
        f"`{name}` may not be asked: its answer does not depend on the spans alone; "
        "choose another name if it is yours"
    )


def too_long(seconds: float) -> str:
    """Return why a statement was stopped."""
    return f"the statement took longer than {seconds:g} s; ask for less"
