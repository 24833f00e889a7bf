"""What rules read of spans, beside what they say."""

from __future__ import annotations

from datetime import date

import pytest

from sandbox.errors import EvidenceError
from sandbox.model.rule import Parameter, ParameterValue, Rule, Rulebook, RuleSource
from sandbox.model.trace import RecordedSpan, SpanAnswer
from sandbox.report import RuleReading, read_rules
from sandbox.rules import compile_rules
from sandbox.testing.traces import recorded_span, verdict

DAY = date(2024, 1, 1)
SOURCE = RuleSource(instrument="i", provision="1", as_of=DAY)
LONGEST = Parameter(
    unit="s", looser="higher", values={DAY: ParameterValue(value=2.0, reference="r")}
)
RULE = Rule(
    rule="calls/time",
    text="Within {max_s} seconds.",
    source=SOURCE,
    goal="quick",
    mechanism="regulation",
    parameters={"max_s": LONGEST},
    applies="true",
    requires="span.duration_s <= params.max_s",
    severity="major",
    waivable=True,
)
RULEBOOK = Rulebook(
    rulebook="calls", version=1, title="t", owner="o", in_force_from=DAY, rules=(RULE,)
)
RULES = compile_rules(RULEBOOK)


def answer(*spans: RecordedSpan) -> SpanAnswer:
    """Return an answer with these spans."""
    return SpanAnswer(trial_id="r", spans=spans, more=False, evidence=(), engine="e 1")


def test_what_a_rule_read_is_found() -> None:
    """The words with their figure, and the values of the span and of the rule."""
    slow = recorded_span(
        "1", ms=(0, 2500), verdicts=(verdict("calls/time", "violated"),)
    )
    assert read_rules(answer(slow), RULES, RULEBOOK) == {
        ("1/0/0", "calls/time"): RuleReading(
            text="Within 2 seconds.",
            values={"span.duration_s": 2.5, "params.max_s": 2.0},
        )
    }


def test_a_day_before_the_rule_has_no_figures() -> None:
    """A span whose start was never set is shown with the words as they stand."""
    early = recorded_span("1", start_unix_nano=0, end_unix_nano=10**9)
    said = RULES.judge(early.span, at=date(1970, 1, 1))
    assert [one.result for one in said] == ["not_evaluable"]
    early = early.model_copy(
        update={"verdicts": (verdict("calls/time", said[0].result),)}
    )
    (reading,) = read_rules(answer(early), RULES, RULEBOOK).values()
    assert reading.text == "Within {max_s} seconds."


def test_spans_without_verdicts_are_not_read() -> None:
    """Nothing is said where the answer says nothing."""
    assert read_rules(answer(recorded_span("1")), RULES, RULEBOOK) == {}


def test_an_answer_that_contradicts_the_rules_is_refused() -> None:
    """What was derived and is no longer true is not shown."""
    said = verdict("calls/time", "satisfied")
    wrong = recorded_span("1", ms=(0, 2500), verdicts=(said,))
    with pytest.raises(EvidenceError, match=r"1/0/0.*violated.*made again"):
        read_rules(answer(wrong), RULES, RULEBOOK)
