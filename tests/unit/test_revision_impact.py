"""Impact: what would have been different, figures found again, running trials."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.errors import EvidenceError
from sandbox.model.application import Estimand, Hypothesis, TrialPlan
from sandbox.model.backtest import EvidenceTimes
from sandbox.model.comparison import Comparison, ComparisonAnswer
from sandbox.model.impact import ImpactFigure, ImpactStatement
from sandbox.model.observation import Span
from sandbox.model.pattern import Pattern
from sandbox.model.proposal import RevisionProposal
from sandbox.model.record import Interval
from sandbox.model.rule import (
    Amendment,
    ObjectMatch,
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
    RunningTrial,
    apply_amendments,
    compare_impact,
    impact_of,
    preview,
)
from sandbox.rules import reference
from sandbox.testing.comparison import FakeComparisons
from sandbox.testing.listed import ListedSpans

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
START = int(T0.timestamp()) * 10**9
ENTRY = date(2027, 1, 1)
DIGEST = "sha256:" + "0" * 64


def limits(**dated: float) -> dict[str, Parameter]:
    values = {
        date.fromisoformat(f"{day[1:]}-01-01"): ParameterValue(
            value=value, reference="r"
        )
        for day, value in dated.items()
    }
    return {"limit": Parameter(unit="s", looser="higher", values=values)}


def rule(name: str, **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "rule": name,
        "text": "Within {limit} s.",
        "source": RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        "goal": "safe",
        "mechanism": "regulation",
        "parameters": limits(y2024=4),
        "applies": "true",
        "requires": "span.duration_s <= params.limit",
        "severity": "major",
        "waivable": True,
    }
    return Rule(**{**values, **changes})


OBJECTS: dict[str, Any] = {
    "text": "Named.",
    "about": "object",
    "objects": ObjectMatch(api_groups=("",), resources=("pods",)),
    "requires": "true",
    "parameters": {},
}
CHECK = rule("check", requires='span.attributes["checked"] == true')
SPEED = rule("speed")


def book(version: int = 2, **speed: Any) -> Rulebook:
    return Rulebook(
        rulebook="pharmacy",
        version=version,
        title="t",
        owner="health",
        in_force_from=date(2024, 1, 1),
        rules=(CHECK, SPEED.model_copy(update=speed)),
    )


def under(rulebook: Rulebook, trial: str = "t") -> TemporaryRule:
    waived = Waiver(
        label="waive", exception_to="check", kind="waiver", compensates=("speed",)
    )
    tightened = Waiver(
        label="tighten", exception_to="speed", kind="modification", set={"limit": 2}
    )
    return TemporaryRule(
        temporary_rule=f"trial/{trial}",
        trial_id=trial,
        of=reference(rulebook),
        in_force=Interval(start=T0, end=T0 + timedelta(hours=1)),
        scope=Scope(participants="c", area="a"),
        overlays=(waived, tightened),
        guardrails=(),
        plan_digest=DIGEST,
    )


def span(number: int, took_s: float) -> Span:
    return Span(
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        name="/dispense",
        span_kind="server",
        service="s",
        start_unix_nano=START,
        end_unix_nano=START + int(took_s * 1e9),
    )


SPANS = [span(number, took_s) for number, took_s in enumerate((1, 1, 3, 3, 3, 6))]


def replaced(new: Rule, **changes: Any) -> Amendment:
    values: dict[str, Any] = {
        "operation": "replace",
        "rule": new.rule,
        "new": new,
        "why": "shown",
        "in_force_from": ENTRY,
    }
    return Amendment(**{**values, **changes})


LOOSER = replaced(rule("speed", parameters=limits(y2024=4, y2027=7)))
REPEALED = Amendment(
    operation="repeal", rule="check", why="not needed", in_force_from=ENTRY
)


def proposal(*amendments: Amendment) -> RevisionProposal:
    return RevisionProposal(
        proposal="P-1",
        amends=reference(book()),
        amendments=amendments,
        reasons=("r",),
        grounds=(),
        alternatives=(),
        redline=(),
        proposed_at=T0 + timedelta(days=1),
    )


def stated(
    *amendments: Amendment, recorded: Any = None, **spans: Any
) -> ImpactStatement:
    found = ListedSpans({"t": SPANS, **spans})
    return impact_of(
        proposal(*amendments),
        rulebook=book(),
        recorded=recorded or [Recorded(book(), (under(book()),))],
        comparisons=FakeComparisons(found),
    )


def shifts(figure: ImpactFigure) -> dict[tuple[str, str], int]:
    return {(item.before, item.after): item.units for item in figure.shifts}


def test_a_looser_value_is_asked_as_if_it_had_always_been_in_force() -> None:
    """Compared with what judged the trial, and with the text everyone else is under."""
    recorded, in_force = stated(LOOSER).figures
    assert recorded.compared_with == "as-recorded"
    assert shifts(recorded) == {
        ("satisfied", "satisfied"): 2,
        ("violated", "satisfied"): 4,
    }
    assert shifts(in_force) == {
        ("satisfied", "satisfied"): 5,
        ("violated", "satisfied"): 1,
    }


def test_every_unit_is_counted_once() -> None:
    """Waived units and those that cannot be evaluated are among them."""
    recorded, in_force = stated(REPEALED).figures
    assert shifts(recorded) == {("not_under", "not_under"): 6}
    assert shifts(in_force) == {("not_evaluable", "not_under"): 6}


def test_each_figure_names_its_question_its_evidence_and_its_rules() -> None:
    """It can be run again from what stands in the record."""
    statement = stated(LOOSER, REPEALED)
    assert [item.figure for item in statement.figures] == ["I-1", "I-2", "I-3", "I-4"]
    assert statement.proposed
    assert statement.proposed.version == 3
    for figure in statement.figures:
        assert figure.source.query in statement.queries
        assert figure.source.stratum == reference(book())
        assert (figure.source.trials, figure.source.segments) == (("t",), 1)


def test_a_rule_about_the_order_of_spans_is_asked_of_all_together() -> None:
    """Each unit is counted once, as what it is among the others."""
    one = [item.model_copy(update={"trace_id": "0" * 31 + "9"}) for item in SPANS]
    limit = Pattern(of="true", at_most="params.limit", per="1h")
    changed = rule(
        "speed",
        requires="",
        pattern=limit,
        parameters={
            "limit": limits(y2024=4)["limit"].model_copy(update={"unit": "count"})
        },
    )
    recorded, in_force = stated(replaced(changed), t=one).figures
    assert shifts(recorded) == {
        ("satisfied", "satisfied"): 2,
        ("violated", "satisfied"): 2,
        ("violated", "violated"): 2,
    }
    assert shifts(in_force) == {
        ("satisfied", "satisfied"): 4,
        ("satisfied", "violated"): 1,
        ("violated", "violated"): 1,
    }


def test_the_time_of_which_all_spans_are_known_is_asked_with() -> None:
    """A trace that may go on is not evaluable; without such a time none goes on."""
    followed = Pattern(every="true", followed_by='span.name == "told"', within="5s")
    ordered = rule("speed", text="Soon.", requires="", pattern=followed, parameters={})
    known = EvidenceTimes(until_ns=START + 1, settling_ns=10**10)
    for times, expected in (({}, "violated"), ({"t": known}, "not_evaluable")):
        strata = [Recorded(book(), (under(book()),), times)]
        _, in_force = stated(replaced(ordered), recorded=strata).figures
        assert {after for _, after in shifts(in_force)} == {expected}


def test_a_rule_about_other_things_than_spans_has_no_figures_and_that_is_said() -> None:
    """Recorded units say nothing of objects."""
    about = rule("check", **OBJECTS)
    statement = stated(replaced(about), LOOSER)
    assert {item.rule for item in statement.figures} == {"speed"}
    assert statement.limits[0].startswith("check is not about spans")
    assert stated(replaced(about)).figures == ()
    found = previewed(replaced(about))
    assert found.figures == ()
    exception, changed = found.touched
    assert exception == "The exception waive is about check, which changes."
    assert changed.startswith("check changes. check is not about spans")


def test_trials_of_two_versions_have_figures_of_their_own() -> None:
    """Each says under which version its units were recorded."""
    old = book(1, parameters=limits(y2024=9))
    strata = [
        Recorded(old, (under(old, "u"),)),
        Recorded(book(), (under(book()),)),
    ]
    found = stated(LOOSER, recorded=strata, u=SPANS[:3]).figures
    assert [(x.trial_id, x.source.stratum.version) for x in found] == [
        ("u", 1),
        ("u", 1),
        ("t", 2),
        ("t", 2),
    ]


def test_no_change_has_no_figures_and_says_so() -> None:
    """A proposal of no change is stated all the same."""
    statement = stated()
    assert (statement.figures, statement.proposed) == ((), None)
    assert "nothing would have been different" in statement.limits[0]


def test_what_the_figures_do_not_show_is_said() -> None:
    """Behaviour under another text, and trials without evidence."""
    strata = [Recorded(book(), (under(book()), under(book(), "empty")))]
    said = " ".join(stated(LOOSER, recorded=strata).limits)
    assert "may have acted otherwise" in said
    assert "Nothing is recorded of empty." in said


def test_figures_are_found_again() -> None:
    """From the same record every figure is the same."""
    found = compare_impact(stated(LOOSER), stated(LOOSER))
    assert len(found) == 3
    assert all(item.same and not item.said for item in found)


def test_a_tampered_figure_is_found() -> None:
    """A figure that was changed after it was made differs, by name and by number."""
    statement = stated(LOOSER)
    first, second = statement.figures
    forged = first.shifts[0].model_copy(update={"units": 3})
    changed = first.model_copy(update={"shifts": (forged, *first.shifts[1:])})
    tampered = statement.model_copy(update={"figures": (changed, second)})
    differs = [x for x in compare_impact(tampered, statement) if not x.same]
    assert len(differs) == 1
    assert differs[0].figure == "I-1: speed in t, as-recorded, pharmacy v2"
    assert differs[0].was.startswith("satisfied to satisfied: 3;")
    assert differs[0].now.startswith("satisfied to satisfied: 2;")


def test_a_figure_too_many_or_too_few_is_found() -> None:
    """What was left out, and what was added, is said."""
    statement = stated(LOOSER)
    fewer = statement.model_copy(update={"figures": statement.figures[:1]})
    (added,) = [x for x in compare_impact(fewer, statement) if not x.same]
    assert (added.was, added.said) == ("", ("The proposal has no such figure.",))
    (lost,) = [x for x in compare_impact(statement, fewer) if not x.same]
    assert (lost.now, lost.said) == ("", ("The record gives no such figure today.",))


def test_a_second_figure_of_one_name_does_not_hide_behind_the_first() -> None:
    """Wherever it stands, and so does a source that says other segments."""
    statement = stated(LOOSER)
    first = statement.figures[0]
    shift = first.shifts[0].model_copy(update={"units": 9})
    forged = first.model_copy(update={"shifts": (shift,)})
    twice = statement.model_copy(update={"figures": (forged, *statement.figures)})
    assert [x.same for x in compare_impact(twice, statement)].count(False) == 2
    source = first.source.model_copy(update={"segments": 7})
    lied = first.model_copy(update={"source": source})
    boasting = statement.model_copy(update={"figures": (lied, *statement.figures[1:])})
    (differs,) = [x for x in compare_impact(boasting, statement) if not x.same]
    assert differs.said == ("What it says of its version and its segments is not so.",)


def test_other_evidence_and_other_rules_are_named() -> None:
    """Numbers that stay the same do not hide them."""
    moved = [
        span(number + 9, took_s) for number, took_s in enumerate((1, 1, 3, 3, 3, 6))
    ]
    again = compare_impact(stated(LOOSER), stated(LOOSER, t=moved))
    assert [item.same for item in again] == [True, False, False]
    assert again[1].was == again[1].now
    assert "Other evidence: 1 segments" in again[1].said[0]
    renamed = stated(
        replaced(rule("speed", parameters=LOOSER.new.parameters, text="x"))
    )
    told = compare_impact(stated(LOOSER), renamed)
    assert not told[0].same
    assert "Other rules" in told[1].said[0]


def test_another_engine_is_named_and_changes_nothing() -> None:
    """The same numbers by another engine are the same figure."""
    statement = stated(LOOSER)
    other = [
        x.model_copy(
            update={"source": x.source.model_copy(update={"engine": "other 1"})}
        )
        for x in statement.figures
    ]
    again = statement.model_copy(update={"figures": tuple(other)})
    told = compare_impact(statement, again)
    assert all(item.same for item in told)
    assert told[1].said == ("Another engine: fake then, other 1 now.",)


def running() -> RunningTrial:
    goal = Hypothesis(
        goal="fast",
        claim="c",
        unit="dispense",
        estimand=Estimand(proportion="satisfied", of="speed"),
        threshold=0.9,
        alpha=0.05,
        design="confidence-sequence",
        minimum_units=10,
        missing="count-both-ways",
    )
    plan = TrialPlan(goals=(goal,), order_of_analysis=("fast",), settling_time="PT1M")
    return RunningTrial(book(), under(book()), plan)


def previewed(*amendments: Amendment) -> Any:
    proposed = apply_amendments(book(), amendments)
    port = FakeComparisons(ListedSpans({"t": SPANS}))
    return preview(running(), proposed, comparisons=port)


def test_a_trial_whose_exceptions_still_fit_would_comply() -> None:
    """Its own stricter value stays, and what changes is named."""
    found = previewed(LOOSER)
    assert found.would_comply
    assert found.touched == (
        "The goal fast is about speed, which changes.",
        "The exception tighten is about speed, which changes.",
    )
    assert found.figures[0].source.segments == 1


def test_an_exception_to_a_rule_that_is_repealed_no_longer_fits() -> None:
    """The temporary rule could not stand over the new version."""
    found = previewed(REPEALED)
    assert not found.would_comply
    assert found.unfit == ("pharmacy v3 has no rule `check`.",)


def test_a_rule_that_becomes_a_red_line_makes_waived_units_violations() -> None:
    """Units recorded under the waiver are counted."""
    strict = rule("check", waivable=False, requires="span.duration_s <= 2.0")
    found = previewed(replaced(strict))
    assert found.unfit == ("`waive` is an exception to `check`, a red line.",)
    assert found.violations == 4


def test_parameters_and_compensations_that_are_gone_are_named() -> None:
    """Each with its exception."""
    bare = rule("speed", parameters={}, text="Soon.", requires="span.duration_s < 9.0")
    assert previewed(replaced(bare)).unfit == (
        "`tighten` sets limit, which `speed` has not.",
    )
    gone = Amendment(operation="repeal", rule="speed", why="w", in_force_from=ENTRY)
    assert previewed(gone).unfit == (
        "`waive` is compensated for by `speed`, which is repealed.",
        "pharmacy v3 has no rule `speed`.",
    )


def test_a_change_that_recorded_units_are_not_asked_of_is_said() -> None:
    """Also where nothing in the trial's plan reads that rule."""
    objects = rule("image", **OBJECTS)
    inserted = Amendment(
        operation="insert", rule="image", new=objects, why="w", in_force_from=ENTRY
    )
    found = previewed(inserted)
    assert not found.figures
    (said,) = found.touched
    assert said.startswith("image changes. image is not about spans")


def test_evidence_that_cannot_be_read_is_no_compliance() -> None:
    """The preview says so, and holds nothing up."""

    class Damaged:
        def compare(self, asked: Comparison) -> ComparisonAnswer:
            raise EvidenceError(f"segment 3 of {asked.trial_id} is damaged")

    proposed = apply_amendments(book(), (LOOSER,))
    found = preview(running(), proposed, comparisons=Damaged())
    assert not found.would_comply
    assert found.unfit == (
        "What was recorded cannot be read: segment 3 of t is damaged.",
    )
