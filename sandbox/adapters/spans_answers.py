"""What every engine's answer has in common."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.adapters.spans_files import Derived
from sandbox.errors import EvidenceError
from sandbox.model.trace import RecordedSpan, SpanAnswer


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


def trace_bytes(trace_id: str) -> bytes:
    """Return the bytes of a trace id.

    Raises:
        EvidenceError: It is not a trace id.
    """
    if len(trace_id) != 32 or set(trace_id) - set("0123456789abcdef"):
        raise EvidenceError(
            f"{trace_id!r} is not a trace id; give 32 lower-case hexadecimal digits"
        )
    return bytes.fromhex(trace_id)
