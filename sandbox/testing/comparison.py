"""The obvious reference for comparisons: every span judged by itself, twice."""

from __future__ import annotations

from collections import Counter

from sandbox.model.backtest import BacktestEvidence
from sandbox.model.comparison import (
    Comparison,
    ComparisonAnswer,
    RuleShifts,
    shifts_of,
)
from sandbox.model.record import digest_of
from sandbox.model.trace import SpanQuestion
from sandbox.ports import Spans
from sandbox.query.comparison import compiled_sides
from sandbox.testing.backtest import ENGINE, results_of

_ALL = 10_000


class FakeComparisons:
    """Judges every span that an engine of questions gives, up to ten thousand.

    Args:
        spans: Answers questions.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def compare(self, asked: Comparison) -> ComparisonAnswer:
        """Return every recorded span of the trial, by what both versions say of it."""
        sides = compiled_sides(asked)
        answer = self._spans.search(asked.trial_id, SpanQuestion(limit=_ALL))
        evidence = BacktestEvidence(
            trial_id=asked.trial_id,
            segments=answer.evidence,
            unsealed=answer.unsealed,
            erased=answer.erased,
        )
        found = []
        for name in asked.rules:
            before, after = (
                results_of(answer.spans, side.only([name]), asked.times)
                for side in sides
            )
            counted = Counter(zip(before, after, strict=True))
            found.append(
                RuleShifts(
                    rule=name, shifts=shifts_of(counted), singly=len(answer.spans)
                )
            )
        return ComparisonAnswer(
            rules=tuple(found),
            before_digest=sides.before.digest,
            after_digest=sides.after.digest,
            evidence=evidence,
            data_digest=digest_of([evidence.model_dump(mode="json")]),
            engine=ENGINE,
        )
