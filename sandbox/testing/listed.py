"""Spans of trials in lists, as if they had been recorded and sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sandbox.errors import EvidenceError
from sandbox.model.observation import Span
from sandbox.model.record import digest_of
from sandbox.model.trace import (
    RecordedSpan,
    SegmentDigest,
    SpanAnswer,
    SpanQuestion,
    SqlAnswer,
)

ENGINE = "listed"
_AT = datetime(2026, 1, 1, tzinfo=UTC)


class ListedSpans:
    """Answers with every span of a trial; nothing else is asked of it.

    Args:
        spans: The spans of each trial; a trial that is not there has none.
    """

    def __init__(self, spans: Mapping[str, Sequence[Span]]) -> None:
        self._spans = dict(spans)

    def put(self, trial_id: str, spans: Sequence[Span]) -> None:
        """Replace the spans of a trial."""
        self._spans[trial_id] = spans

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return every span of the trial, in one segment."""
        spans = self._spans.get(trial_id, ())
        raw = digest_of([item.model_dump(mode="json") for item in spans])
        return SpanAnswer(
            trial_id=trial_id,
            spans=tuple(
                RecordedSpan(
                    span=span,
                    producer="system",
                    received_at=_AT,
                    segment=1,
                    frame=0,
                    number=number,
                )
                for number, span in enumerate(spans[: question.limit])
            ),
            more=len(spans) > question.limit,
            evidence=(SegmentDigest(number=1, raw_digest=raw),) if spans else (),
            engine=ENGINE,
        )

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Refuse; a list is not asked for traces."""
        raise EvidenceError(f"{trial_id} is a list, and {trace_id} is not looked for")

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Refuse; a list takes no SQL."""
        raise EvidenceError(f"{trial_id} is a list, which takes no SQL: {statement}")
