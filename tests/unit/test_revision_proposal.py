"""Proposals: from what was tried to words, expressions and support, for any rule."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sandbox.errors import RuleError
from sandbox.model.finding import Counts, Finding
from sandbox.model.observation import Span
from sandbox.model.pattern import Pattern
from sandbox.model.record import Interval
from sandbox.model.rule import (
    Guardrail,
    HarmLimit,
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
    TrialGrounds,
    apply_amendments,
    propose,
    redline_html,
    redline_markdown,
    redline_rows,
)
from sandbox.revision.redline import cell
from sandbox.revision.redraft import Compensation, Entry, with_exception
from sandbox.rules import check_rulebook, compile_rules, reference

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
LATER = date(2026, 12, 1)
DIGEST = "sha256:" + "0" * 64


def parameter(value: float, looser: str = "higher") -> Parameter:
    dated = {date(2024, 1, 1): ParameterValue(value=value, reference="Annex")}
    return Parameter.model_validate({"unit": "s", "looser": looser, "values": dated})


def rule(name: str, **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "rule": name,
        "text": "A pharmacist shall check every prescription within {limit} seconds.",
        "source": RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        "goal": "safe",
        "mechanism": "regulation",
        "parameters": {"limit": parameter(60)},
        "applies": 'span.name == "/dispense"',
        "requires": 'span.attributes["checked_by"] != "" && params.limit > 0.0',
        "severity": "major",
        "waivable": True,
    }
    return Rule(**{**values, **changes})


CHECK = rule("dispense/check")
SCREEN = rule(
    "dispense/screen",
    text="A prescription shall be screened within {limit} s with a score of {score}.",
    parameters={"limit": parameter(9), "score": parameter(0.7, looser="lower")},
    requires="span.duration_s <= params.limit && "
    'span.attributes["score"] >= params["score"]',
)
BOOK = Rulebook(
    rulebook="pharmacy",
    version=6,
    title="t",
    owner="health",
    in_force_from=date(2024, 1, 1),
    rules=(CHECK, SCREEN),
)


def waiver(**changes: Any) -> Waiver:
    values: dict[str, Any] = {
        "label": "waive-check",
        "exception_to": "dispense/check",
        "kind": "waiver",
        "compensates": ("dispense/screen",),
    }
    return Waiver(**{**values, **changes})


def tightened(**values: float) -> Waiver:
    return Waiver(
        label="tighten-screen",
        exception_to="dispense/screen",
        kind="modification",
        set=values or {"limit": 5, "score": 0.9},
    )


def finding(verdict: str = "met", **changes: Any) -> Finding:
    values = {
        "finding": "F-1",
        "trial_id": "t",
        "subject": "screened",
        "purpose": "goal",
        "rule": "dispense/screen",
        "verdict": verdict,
        "statement": "400 of 401.",
        "limits": (),
        "counts": Counts(satisfied=400, violated=1),
        "estimate": 0.99,
        "bounds": None,
        "alpha": 0.05,
        "threshold": 0.95,
        "looks": 3,
        "plan_digest": DIGEST,
        "data_digest": DIGEST,
        "rulebook": reference(BOOK),
    }
    return Finding.model_validate({**values, **changes})


def temporary(*overlays: Waiver, trial: str = "t") -> TemporaryRule:
    return TemporaryRule(
        temporary_rule=f"trial/{trial}",
        trial_id=trial,
        of=reference(BOOK),
        in_force=Interval(start=T0, end=T0 + timedelta(hours=1)),
        scope=Scope(participants="c", area="a"),
        overlays=overlays or (waiver(), tightened()),
        guardrails=(),
        plan_digest=DIGEST,
    )


def grounds(
    *overlays: Waiver, findings: tuple[Finding, ...] = (finding(),), trial: str = "t"
) -> TrialGrounds:
    return TrialGrounds(temporary(*overlays, trial=trial), findings)


def span(number: int, *, took_s: float, score: float | None, **attributes: str) -> Span:
    start = int(T0.timestamp()) * 10**9
    return Span(
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        name="/dispense",
        span_kind="server",
        service="s",
        start_unix_nano=start,
        end_unix_nano=start + int(took_s * 1e9),
        attributes=attributes if score is None else {"score": score, **attributes},
    )


def draft(*trials: TrialGrounds, book: Rulebook = BOOK) -> Any:
    return propose(
        book,
        trials or (grounds(),),
        proposal="P-1",
        in_force_from=LATER,
        at=T0 + timedelta(days=1),
    )


def results(book: Rulebook, item: Span) -> dict[str, str]:
    judged = compile_rules(book).judge(item, at=LATER)
    return {seen.rule: seen.result for seen in judged}


def test_a_shown_waiver_becomes_an_exception_for_units_that_keep_its_compensation() -> (
    None
):
    """Fast and well scored needs no pharmacist; slower or worse scored still does."""
    amended = apply_amendments(BOOK, draft().amendments)
    assert check_rulebook(amended) == ()
    assert (amended.version, amended.in_force_from) == (7, LATER)
    good = span(1, took_s=4.9, score=0.91)
    slow = span(2, took_s=5.1, score=0.99, checked_by="P. Ito")
    weak = span(3, took_s=1.0, score=0.89)
    assert "dispense/check" not in results(amended, good)
    assert results(amended, slow)["dispense/check"] == "satisfied"
    assert results(amended, weak)["dispense/check"] == "not_evaluable"


def test_leaving_out_the_attribute_does_not_earn_the_exception() -> None:
    """What cannot be evaluated is not exempt."""
    amended = apply_amendments(BOOK, draft().amendments)
    silent = span(4, took_s=1.0, score=None)
    assert results(amended, silent)["dispense/check"] == "not_evaluable"


def test_parameters_that_clash_are_renamed_in_words_and_expressions() -> None:
    """Both rules have a `limit`; each keeps its own meaning."""
    (amendment,) = draft().amendments
    assert amendment.new is not None
    assert set(amendment.new.parameters) == {"limit", "screen_limit", "score"}
    assert amendment.new.parameters["limit"] == CHECK.parameters["limit"]
    assert amendment.new.parameters["screen_limit"].values[LATER].value == 5
    (row,) = redline_rows(BOOK, [amendment], T0.date())
    assert "within 60 seconds." in row.now
    assert "screened within 5 s with a score of 0.9." in row.proposed
    assert row.proposed.endswith("[from 2026-12-01]")
    assert "t/F-1" in row.because


def test_the_condition_under_which_a_waiver_held_is_kept() -> None:
    """Outside of what was tried nothing changes."""
    narrow = waiver(under='"channel" in span.attributes')
    amended = apply_amendments(BOOK, draft(grounds(narrow, tightened())).amendments)
    inside = span(1, took_s=1, score=0.95, channel="app")
    outside = span(2, took_s=1, score=0.95)
    assert "dispense/check" not in results(amended, inside)
    assert results(amended, outside)["dispense/check"] == "not_evaluable"


def test_a_modification_of_its_own_becomes_a_dated_value() -> None:
    """The old value stays in force until the day of entry."""
    (amendment,) = draft(grounds(tightened(limit=5))).amendments
    assert amendment.new is not None
    values = amendment.new.parameters["limit"].values
    assert {day: item.value for day, item in values.items()} == {
        date(2024, 1, 1): 9,
        LATER: 5,
    }
    assert "t/F-1" in values[LATER].reference


def test_a_modification_for_some_units_leaves_the_others_alone() -> None:
    """A narrower `under` gives a value for just those units."""
    some = tightened(limit=2).model_copy(
        update={"under": '"channel" in span.attributes'}
    )
    amended = apply_amendments(BOOK, draft(grounds(some)).amendments)
    assert check_rulebook(amended) == ()
    inside = span(1, took_s=5, score=0.95, channel="app")
    outside = span(2, took_s=5, score=0.95)
    assert results(amended, inside)["dispense/screen"] == "violated"
    assert results(amended, outside)["dispense/screen"] == "satisfied"


@pytest.mark.parametrize("verdict", ["not_met", "inconclusive", "invalid"])
def test_anything_but_a_met_goal_proposes_no_change_and_says_why(verdict: str) -> None:
    """No change is a proposal too, and its reasons cite the finding."""
    proposal = draft(grounds(findings=(finding(verdict),)))
    assert proposal.amendments == ()
    assert proposal.redline == ()
    assert any("t/F-1" in reason for reason in proposal.reasons)
    assert "no-change" not in {item.mechanism for item in proposal.alternatives}


def test_without_a_planned_goal_on_it_nothing_changes() -> None:
    """An exploratory finding, or one on another rule, is no ground."""
    for lone in (finding(exploratory=True), finding(rule="dispense/other")):
        proposal = draft(grounds(findings=(lone,)))
        assert proposal.amendments == ()
        assert "no planned goal" in proposal.reasons[0]


def test_one_trial_that_fails_stops_what_another_showed() -> None:
    """All trials of the version count, not the best of them."""
    failed = grounds(findings=(finding("not_met", trial_id="u"),), trial="u")
    assert draft(grounds(), failed).amendments == ()


def test_where_trials_differ_the_strictest_values_are_proposed() -> None:
    """For a limit the lower, for a score the higher."""
    other = grounds(
        waiver(),
        tightened(limit=3, score=0.8),
        findings=(finding(trial_id="u"),),
        trial="u",
    )
    (amendment,) = draft(grounds(), other).amendments
    assert amendment.new is not None
    taken = amendment.new.parameters
    assert taken["screen_limit"].values[LATER].value == 3
    assert taken["score"].values[LATER].value == 0.9
    assert amendment.grounds == ("t/F-1", "u/F-1")


def test_without_a_direction_no_value_is_the_strictest() -> None:
    """Trials that tried different values of such a parameter propose nothing."""
    unknown = {
        **SCREEN.parameters,
        "limit": SCREEN.parameters["limit"].model_copy(update={"looser": "unknown"}),
    }
    screen = SCREEN.model_copy(update={"parameters": unknown})
    book = BOOK.model_copy(update={"rules": (CHECK, screen)})
    trials = [
        TrialGrounds(
            temporary(
                waiver(), tightened(limit=limit, score=0.9), trial=name
            ).model_copy(update={"of": reference(book)}),
            (finding(trial_id=name),),
        )
        for name, limit in (("t", 5), ("u", 3))
    ]
    proposal = draft(*trials, book=book)
    assert proposal.amendments == ()
    assert "which is the stricter is not declared" in proposal.reasons[0]
    assert len(draft(trials[0], book=book).amendments) == 1


def test_a_signalled_harm_is_said_and_shapes_the_exception() -> None:
    """The goal was met over all units; the harmful ones stay under the old rule."""
    harm = finding("harm", finding="F-2", purpose="harm")
    proposal = draft(grounds(findings=(finding(), harm)))
    assert len(proposal.amendments) == 1
    assert any("why the rule is not repealed" in line for line in proposal.reasons)
    assert proposal.grounds == ("t/F-1", "t/F-2")


def test_all_five_mechanisms_are_laid_beside_the_proposal() -> None:
    """The answer is not always a change of the regulation."""
    listed = draft().alternatives
    repeal = next(item for item in listed if item.mechanism == "regulation")
    assert repeal.description.startswith("Repeal dispense/check without")
    mechanisms = {item.mechanism for item in listed}
    assert mechanisms == {
        "regulation",
        "corporate-governance",
        "infrastructure",
        "market",
        "social-norm",
        "no-change",
    }


def test_alternatives_fit_what_was_tried() -> None:
    """Nothing is said of waivers or guardrails where there were none."""
    waived = {item.mechanism: item for item in draft().alternatives}
    modified = {
        item.mechanism: item for item in draft(grounds(tightened(limit=5))).alternatives
    }
    assert modified["regulation"].description.startswith("Set other values in dispense")
    assert "compensated" not in modified["regulation"].reasons
    assert "no guardrail was tried" in waived["infrastructure"].reasons
    guarded = grounds()
    limit = HarmLimit(
        baseline_rate=0.02, design="maxsprt", alpha=0.01, min_events=3, horizon=50
    )
    guardrail = Guardrail(
        id="slow", watches="dispense/screen", harm=limit, action="pause"
    )
    rule = guarded.temporary_rule.model_copy(update={"guardrails": (guardrail,)})
    watched = draft(guarded._replace(temporary_rule=rule)).alternatives
    assert "recorder and guardrail of the trial" in watched[2].description


def test_a_trial_of_another_version_is_refused_by_name() -> None:
    """Findings speak of the version they were made under."""
    newer = BOOK.model_copy(update={"version": 7})
    with pytest.raises(RuleError, match=r"trial/t ran under pharmacy v6"):
        draft(grounds(), book=newer)


def test_values_taken_over_stay_apart() -> None:
    """A value gets another name where its own is taken, and that of no other value."""
    values = {"limit": parameter(9), "screen_limit": parameter(4)}
    screen = SCREEN.model_copy(
        update={
            "parameters": values,
            "requires": "span.duration_s <= params.limit + params.screen_limit",
        }
    )
    entry = Entry(LATER, "proposal P-1")
    new = with_exception(CHECK, waiver(), by=[Compensation(screen, {})], entry=entry)
    taken = {name: item for name, item in new.parameters.items() if name != "limit"}
    assert sorted(taken.values(), key=str) == sorted(values.values(), key=str)
    for name in taken:
        assert f"params.{name}" in new.applies


def test_text_of_others_is_no_markup_in_a_cell() -> None:
    """Nor is it struck out, nor another text than was written."""
    assert cell("~~no~~ &lt;b> | [x](y)\n`z`") == (
        r"\~\~no\~\~ \&lt;b> \| \[x](y) \`z\`"
    )


def test_the_redline_marks_words_and_escapes_what_it_shows() -> None:
    """Nothing in a rule's text reaches the page as markup."""
    changed = CHECK.model_copy(
        update={"text": "A pharmacist <b>may</b> | check within {limit} seconds."}
    )
    (amendment,) = draft().amendments
    rows = redline_rows(
        BOOK, [amendment.model_copy(update={"new": changed})], T0.date()
    )
    html = redline_html(rows)
    assert "<b>" not in html
    assert "<ins>&lt;b&gt;may&lt;/b&gt;" in html
    assert "<del>shall</del>" in html
    table = redline_markdown(rows).splitlines()
    assert table[2].count(" | ") == 3
    assert "\\|" in table[2]


def test_order_cannot_become_a_condition_on_one_span() -> None:
    """Where a rule about order compensated, a person is asked to draft the change."""
    ordered = SCREEN.model_copy(
        update={"requires": "", "pattern": Pattern(never='span.name == "x"')}
    )
    book = BOOK.model_copy(update={"rules": (CHECK, ordered)})
    trial = grounds()
    rule_over = trial.temporary_rule.model_copy(update={"of": reference(book)})
    proposed = propose(
        book,
        [trial._replace(temporary_rule=rule_over)],
        proposal="P-1",
        in_force_from=LATER,
        at=T0,
    )
    assert proposed.amendments == ()
    assert "dispense/screen asks for the order of spans" in proposed.reasons[0]
