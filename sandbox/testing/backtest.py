"""The obvious reference for backtests: every recorded span judged by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sandbox.model.backtest import (
    Backtest,
    BacktestAnswer,
    BacktestCount,
    BacktestEvidence,
    EvidenceTimes,
    ViolatingSpan,
)
from sandbox.model.record import digest_of
from sandbox.model.trace import RecordedSpan, SpanQuestion
from sandbox.ports import Spans
from sandbox.query import verdicts_of
from sandbox.query.verdicts import asked_rules
from sandbox.rules import CompiledRules, Known, judge_tracks, span_facts

ENGINE = "fake"
_ALL = 10_000


class FakeBacktests:
    """Judges every span that an engine of questions gives, up to ten thousand.

    Args:
        spans: Answers questions.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def backtest(self, asked: Backtest) -> BacktestAnswer:
        """Return what the rules say of every recorded span of the trials."""
        counts: list[BacktestCount] = []
        violations: list[ViolatingSpan] = []
        evidence: list[BacktestEvidence] = []
        digests = {}
        for trial_id in asked.trials:
            rules = asked_rules(asked, trial_id)
            digests[trial_id] = rules.digest
            answer = self._spans.search(trial_id, SpanQuestion(limit=_ALL))
            evidence.append(
                BacktestEvidence(
                    trial_id=trial_id,
                    segments=answer.evidence,
                    unsealed=answer.unsealed,
                    erased=answer.erased,
                )
            )
            times = asked.times.get(trial_id)
            for name, judged in _judged(answer.spans, rules, times):
                counts.append(_count(trial_id, name, judged))
                violations += _violating(trial_id, name, judged)[: asked.violations]
        return BacktestAnswer(
            counts=tuple(counts),
            violations=tuple(violations),
            rulebook_digest=digest_of(asked.rulebook),
            rules_digests=digests,
            evidence=tuple(evidence),
            data_digest=digest_of([item.model_dump(mode="json") for item in evidence]),
            statements=(),
            engine=ENGINE,
        )


_Judged = list[tuple[RecordedSpan, str]]


def _judged(
    spans: tuple[RecordedSpan, ...], rules: CompiledRules, times: EvidenceTimes | None
) -> Iterator[tuple[str, _Judged]]:
    """Yield each rule with what it says of every span."""
    results = [
        {one.rule: one.result for one in verdicts_of(item.span, rules)}
        for item in spans
    ]
    for rule in rules.rules:
        name = rule.rule.rule
        if rule.pattern is None:
            said = (found.get(name, "not_under") for found in results)
            yield name, list(zip(spans, said, strict=True))
        else:
            yield name, _together(spans, rules.only([name]), times)


def results_of(
    spans: tuple[RecordedSpan, ...], rules: CompiledRules, times: EvidenceTimes | None
) -> list[Any]:
    """Return what one rule says of each span; none says nothing of any."""
    judged = [told for _, told in _judged(spans, rules, times)]
    return [result for _, result in judged[0]] if judged else ["not_under"] * len(spans)


def _together(
    spans: tuple[RecordedSpan, ...], rules: CompiledRules, times: EvidenceTimes | None
) -> _Judged:
    starts = [item.span.start_unix_nano for item in spans]
    known = Known(max(starts, default=0) + 1, 0)
    if times is not None:
        known = Known(times.until_ns, times.settling_ns, times.gaps)
    facts = [span_facts(item.span) for item in spans]
    told = {x.place: x.outcome.result for x in judge_tracks(rules, facts, known=known)}
    return [(x, told.get(place, "not_under")) for place, x in enumerate(spans)]


def _count(trial_id: str, name: str, judged: _Judged) -> BacktestCount:
    counted = Counter(result for _, result in judged)
    return BacktestCount(trial_id=trial_id, rule=name, singly=len(judged), **counted)


def _violating(trial_id: str, name: str, judged: _Judged) -> list[ViolatingSpan]:
    found = [
        ViolatingSpan(
            trial_id=trial_id,
            rule=name,
            trace_id=item.span.trace_id,
            span_id=item.span.span_id,
            segment=item.segment,
            frame=item.frame,
            number=item.number,
        )
        for item, result in judged
        if result == "violated"
    ]
    return sorted(found, key=lambda item: (item.segment, item.frame, item.number))
