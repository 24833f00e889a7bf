"""Support: what the recorded units of one version can say of a candidate value."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sandbox.errors import RuleError
from sandbox.model.observation import Span
from sandbox.model.pattern import Pattern
from sandbox.model.proposal import RevisionProposal, SupportLabel
from sandbox.model.record import Interval
from sandbox.model.rule import (
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    RuleSource,
    Scope,
    TemporaryRule,
    Waiver,
)
from sandbox.revision import (
    Recorded,
    candidates_of,
    compare_support,
    label_support,
    with_support,
)
from sandbox.rules import reference
from sandbox.testing.backtest import FakeBacktests
from sandbox.testing.listed import ListedSpans

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
START = int(T0.timestamp()) * 10**9
DIGEST = "sha256:" + "0" * 64


def parameter(value: float, looser: str = "higher") -> Parameter:
    dated = {date(2024, 1, 1): ParameterValue(value=value, reference="Annex")}
    return Parameter.model_validate({"unit": "s", "looser": looser, "values": dated})


def book(version: int = 6, **parameters: Parameter) -> Rulebook:
    rule = Rule(
        rule="screen",
        text="Within {limit} s with a score of {score}.",
        source=RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        goal="safe",
        mechanism="regulation",
        parameters={
            "limit": parameter(9),
            "score": parameter(0.7, looser="lower"),
            **parameters,
        },
        applies='span.name == "/dispense"',
        requires="span.duration_s <= params.limit && "
        'span.attributes["score"] >= params["score"]',
        severity="major",
        waivable=True,
    )
    return Rulebook(
        rulebook="pharmacy",
        version=version,
        title="t",
        owner="health",
        in_force_from=date(2024, 1, 1),
        rules=(rule,),
    )


def under(rulebook: Rulebook, trial: str = "t", **values: float) -> TemporaryRule:
    tightened = Waiver(
        label="tighten",
        exception_to="screen",
        kind="modification",
        set=values or {"limit": 5, "score": 0.9},
    )
    return TemporaryRule(
        temporary_rule=f"trial/{trial}",
        trial_id=trial,
        of=reference(rulebook),
        in_force=Interval(start=T0, end=T0 + timedelta(hours=1)),
        scope=Scope(participants="c", area="a"),
        overlays=(tightened,),
        guardrails=(),
        plan_digest=DIGEST,
    )


def spans(number: int = 30, after_s: int = 0, **attributes: Any) -> list[Span]:
    """Spans that take 1 to 6 seconds in turn, with a score of 0.95."""
    start = START + after_s * 10**9
    return [
        Span(
            trace_id=f"{n:032x}",
            span_id=f"{n:016x}",
            name="/dispense",
            span_kind="server",
            service="s",
            start_unix_nano=start,
            end_unix_nano=start + (1 + n % 6) * 10**9,
            attributes={"score": 0.95, **attributes},
        )
        for n in range(number)
    ]


def labels(
    values: Sequence[float],
    *trials: TemporaryRule,
    of: str = "limit",
    rulebook: Rulebook | None = None,
    recorded: ListedSpans | None = None,
) -> tuple[SupportLabel, ...]:
    version = rulebook or book()
    return label_support(
        of,
        values,
        rule="screen",
        recorded=Recorded(version, trials or (under(version),)),
        backtests=FakeBacktests(recorded or ListedSpans({"t": spans()})),
    ).labels


def test_support_is_labelled_by_what_was_in_force() -> None:
    """Tried is supported, tighter extrapolated, looser censored; counts are redone."""
    found = labels([3, 5, 9])
    assert [item.label for item in found] == ["extrapolated", "supported", "censored"]
    assert [item.counts.satisfied for item in found] == [15, 25, 30]
    assert {item.units for item in found} == {30}
    assert "Judged anew with 3, 15 of 30 would keep the rule." in found[0].reason


def test_for_a_lower_is_looser_parameter_the_sides_are_swapped() -> None:
    """A lower score is the looser rule."""
    found = labels([0.8, 0.95], of="score")
    assert [item.label for item in found] == ["censored", "extrapolated"]


def test_without_a_direction_no_label_is_claimed() -> None:
    """The units are judged anew all the same, and the reason says what is missing."""
    rulebook = book(limit=parameter(9, looser="unknown"))
    (found,) = labels([5], under(rulebook), rulebook=rulebook)
    assert found.label is None
    assert found.counts.satisfied == 25
    assert "is looser is not declared" in found.reason


def test_without_recorded_units_no_label_is_claimed() -> None:
    """Nothing was seen, so nothing is said."""
    (found,) = labels([5], recorded=ListedSpans({}))
    assert (found.label, found.units) == (None, 0)
    assert found.reason == "No unit was recorded with a value of limit in force."


def test_between_two_tried_values_is_supported() -> None:
    """Something at least that loose and something at least that tight was seen."""
    trials = under(book()), under(book(), "u", limit=3, score=0.9)
    recorded = ListedSpans({"t": spans(), "u": spans()})
    (found,) = labels([4], *trials, recorded=recorded)
    assert (found.label, found.units) == ("supported", 60)
    stratum = Recorded(book(), trials)
    assert candidates_of("screen", "limit", [stratum], on=T0.date()) == [3, 5, 9, 15]


def test_a_value_that_judged_no_unit_was_not_in_force() -> None:
    """An exception that had ended before the first unit supports nothing."""
    late = ListedSpans({"t": spans(after_s=3600)})
    found = labels([5, 9], recorded=late)
    assert [item.label for item in found] == ["extrapolated", "supported"]


def test_only_the_parameter_is_another() -> None:
    """Another value the trial had in force stays in force beside the candidate."""
    weak = ListedSpans({"t": spans(score=0.8)})
    (found,) = labels([9], recorded=weak)
    assert (found.counts.satisfied, found.counts.violated) == (0, 30)


def test_a_missing_attribute_is_not_evaluable() -> None:
    """Units of which nothing can be said are counted, and said."""
    unscored = ListedSpans({"t": spans(6, score=None)})
    (found,) = labels([9], recorded=unscored)
    assert found.counts.not_evaluable == 6
    assert "6 could not be evaluated" in found.reason


def ordered(**asks: Any) -> Rulebook:
    (screen,) = book().rules
    values = {**dict(screen), "requires": "", "pattern": Pattern.model_validate(asks)}
    return book().model_copy(update={"rules": (Rule(**values),)})


def test_values_of_a_rule_about_the_order_of_spans_are_labelled() -> None:
    """Its units are judged together with the candidate as their time."""
    rules = ordered(
        every="span.attributes.first",
        followed_by="!span.attributes.first",
        within="params.limit",
    )
    pairs = [
        item.model_copy(update={"trace_id": f"{number:032x}"})
        for number, after_s in enumerate((2, 4, 6, 8))
        for item in (
            *spans(1, first=True),
            spans(2, after_s=after_s, first=False)[1],
        )
    ]
    found = labels(
        [3, 5, 9], under(rules), rulebook=rules, recorded=ListedSpans({"t": pairs})
    )
    assert [item.label for item in found] == ["extrapolated", "supported", "censored"]
    assert [item.counts.satisfied for item in found] == [1, 2, 4]
    assert {item.units for item in found} == {4}


def test_of_a_rule_about_spans_between_others_nothing_is_claimed() -> None:
    """Which spans are its units does not follow from one, and the reason says so."""
    rules = ordered(never="false", between={"from": "true", "to": "false"})
    (found,) = labels([5], under(rules), rulebook=rules)
    assert (found.label, found.units, found.source) == (None, 0, None)
    assert "about spans between others" in found.reason


def test_support_of_an_unknown_parameter_is_refused() -> None:
    """The parameters of the rule are named."""
    with pytest.raises(RuleError, match="no parameter speed; name one of limit, score"):
        labels([1], of="speed")


def proposal() -> RevisionProposal:
    return RevisionProposal(
        proposal="P-1",
        amends=reference(book()),
        amendments=(),
        reasons=("r",),
        grounds=(),
        alternatives=(),
        redline=(),
        proposed_at=T0 + timedelta(days=1),
    )


def supported(recorded: ListedSpans, *strata: Recorded) -> RevisionProposal:
    return with_support(proposal(), recorded=strata, backtests=FakeBacktests(recorded))


def test_units_of_two_versions_are_never_counted_together() -> None:
    """Each version has labels of its own, and says which version it is."""
    old = book(5, limit=parameter(20))
    strata = (
        Recorded(old, (under(old, "u", limit=15),)),
        Recorded(book(), (under(book()),)),
    )
    found = supported(ListedSpans({"t": spans(), "u": spans(12)}), *strata)
    at_nine = {
        item.source.stratum.version: (item.units, item.label)
        for item in found.support
        if item.source and (item.parameter, item.value) == ("limit", 9)
    }
    assert at_nine == {5: (12, "extrapolated"), 6: (30, "censored")}


def test_labels_are_found_again() -> None:
    """The same evidence gives the same labels; a changed one is found by its name, and
    so are other evidence and a question that was tampered with.
    """
    stratum = Recorded(book(), (under(book()),))
    found = supported(ListedSpans({"t": spans()}), stratum)
    assert found.support
    assert all(item.same for item in compare_support(found, found))
    changed = found.support[0].model_copy(update={"units": 31})
    tampered = found.model_copy(update={"support": (changed, *found.support[1:])})
    differs = [item for item in compare_support(tampered, found) if not item.same]
    assert len(differs) == 1
    assert "31 units" in differs[0].was
    assert "30 units" in differs[0].now
    other = supported(ListedSpans({"t": spans(31)}), stratum)
    assert all("Other evidence" in str(x.said) for x in compare_support(found, other))
    bare = found.support[0].model_copy(update={"source": None})
    stripped = found.model_copy(update={"support": (bare, *found.support[1:])})
    assert not all(item.same for item in compare_support(stripped, found))
    forged = found.model_copy(update={"queries": dict.fromkeys(found.queries, "x")})
    said = [item.said for item in compare_support(forged, found)]
    assert said[0] == ("The text of its question is another than its digest says.",)
