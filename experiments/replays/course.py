"""From spans to findings, by the rules, guardrails and judge of any trial.

Rules of this module:

* Nothing is judged here: observations are those of `sandbox.monitor`, signals those of
  its guardrails, findings those of `sandbox.findings`.
* Ids and times of the spans follow from the number of the row, so that the same data
  give the same observations and digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from pydantic import JsonValue

from experiments.replays.papers import Papers
from sandbox.findings import Judgement, TrialEvidence, judge_evidence, units_of
from sandbox.model.application import Harm
from sandbox.model.observation import Breach, Observation, Span
from sandbox.monitor import advance, start
from sandbox.monitor.observe import observation_of, span_start
from sandbox.rules import compile_rules, guardrail_of

_BETWEEN = timedelta(minutes=1)
"""Between the starts of two rows; chosen, not recorded."""


class JudgedRows(NamedTuple):
    """What came of judging recorded rows."""

    papers: Papers
    spans: tuple[Span, ...]
    observations: tuple[Observation, ...]
    breaches: tuple[Breach, ...]
    judgement: Judgement

    def units(self, rule: str) -> list[Observation]:
        """Return the units of one rule, in order."""
        return units_of(rule, self.observations)


def row_span(
    papers: Papers,
    row: int,
    name: str,
    attributes: Mapping[str, JsonValue],
    *,
    lasting: timedelta = timedelta(0),
) -> Span:
    """Return a row of recorded data as a span.

    Args:
        papers: For the beginning of the temporary rule, where time starts.
        row: Number of the row, from 0.
        name: What the row is a record of.
        attributes: What the rules may read.
        lasting: From its start to its end.
    """
    trace_id = hashlib.sha256(f"{papers.trial_id}/{row}".encode()).hexdigest()[:32]
    started_at = papers.temporary_rule.in_force.start + row * _BETWEEN
    begin = int(started_at.timestamp()) * 1_000_000_000
    return Span(
        trace_id=trace_id,
        span_id=trace_id[:16],
        name=name,
        span_kind="internal",
        service=papers.trial_id,
        start_unix_nano=begin,
        end_unix_nano=begin + int(lasting.total_seconds()) * 1_000_000_000,
        attributes=dict(attributes),
    )


def replay(papers: Papers, spans: Iterable[Span]) -> JudgedRows:
    """Judge spans under the temporary rule of a replay."""
    spans = tuple(spans)
    rules = compile_rules(papers.rulebook, papers.temporary_rule)
    observations = tuple(
        observation_of(outcome, span, (papers.trial_id, 0, row))
        for row, span in enumerate(spans)
        for outcome in rules.judge(span, at=span_start(span).date())
    )
    breaches = tuple(
        breach
        for harm in papers.plan.harms
        for breach in _watch(harm, observations, papers.trial_id)
    )
    evidence = TrialEvidence(
        papers.trial_id,
        observations,
        breaches,
        papers.temporary_rule.of,
        limits=papers.limits,
    )
    judgement = judge_evidence(papers.plan, evidence)
    return JudgedRows(papers, spans, observations, breaches, judgement)


def _watch(
    harm: Harm, observations: Sequence[Observation], trial_id: str
) -> list[Breach]:
    """Watch as a running trial does, after every observation."""
    state, breaches = start(guardrail_of(harm)), []
    for item in observations:
        state, breach = advance(state, item, trial_id=trial_id, at=item.started_at)
        if breach is not None:
            breaches.append(breach)
    return breaches
