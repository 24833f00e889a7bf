"""Verdicts: what the data say of goals and harms, and what they do not."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import __version__
from sandbox.errors import JudgementError
from sandbox.findings import (
    Judgement,
    TrialEvidence,
    judge,
    judge_evidence,
    look_at_goal,
    plan_digest,
    units_of,
)
from sandbox.model.application import Estimand, Harm, Hypothesis, SignalRule, TrialPlan
from sandbox.model.observation import Breach, Observation
from sandbox.model.rule import RulebookRef, RuleResult
from sandbox.model.trial import Pause

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
REF = RulebookRef(rulebook="transport", version=3, digest="sha256:" + "0" * 64)
RULE = "dispatch/offer-time"


def goal(name: str = "offers-in-time", **changes: Any) -> Hypothesis:
    values: dict[str, Any] = {
        "goal": name,
        "claim": "At least 95 % in time.",
        "unit": "dispatch request",
        "estimand": Estimand(proportion="satisfied", of=RULE),
        "threshold": 0.95,
        "alpha": 0.05,
        "design": "confidence-sequence",
        "minimum_units": 200,
        "missing": "count-both-ways",
    }
    return Hypothesis(**{**values, **changes})


HARM = Harm(
    harm="slow-offers",
    of=RULE,
    baseline_rate=0.02,
    signal=SignalRule(design="maxsprt", alpha=0.01, min_events=3),
    action="pause",
)


def plan(*goals: Hypothesis, harms: tuple[Harm, ...] = (HARM,)) -> TrialPlan:
    chosen = goals or (goal(),)
    return TrialPlan(
        goals=chosen,
        harms=harms,
        order_of_analysis=tuple(item.goal for item in chosen),
        settling_time="PT5S",
    )


def units(results: str, *, rule: str = RULE, first: int = 0) -> list[Observation]:
    """One unit per letter: s satisfied, v violated, n not evaluable."""
    names: dict[str, RuleResult] = {
        "s": "satisfied",
        "v": "violated",
        "n": "not_evaluable",
    }
    return [
        Observation(
            trial_id="t",
            rule=rule,
            result=names[letter],
            rulebook_version=3,
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            started_at=T0 + timedelta(seconds=number),
            duration_s=1.0,
            segment=1,
            frame=number,
        )
        for number, letter in enumerate(results, start=first)
    ]


def judged(results: str, chosen: TrialPlan | None = None, **more: Any) -> Judgement:
    evidence = TrialEvidence("t", tuple(units(results)), (), REF)
    return judge_evidence(chosen or plan(), evidence._replace(**more))


def breach(unit: Observation) -> Breach:
    return Breach(
        trial_id="t",
        guardrail="slow-offers",
        action="pause",
        events=9,
        units=309,
        expected=6.2,
        llr=6.0,
        threshold=5.2,
        first_signal=unit,
        detected_at=unit.started_at,
    )


def test_a_goal_is_met_when_the_lower_limit_reaches_the_threshold() -> None:
    """400 of 402 in order shows at least 95 %."""
    finding = judged("s" * 200 + "v" + "s" * 200 + "v").findings[0]
    assert finding.verdict == "met"
    assert finding.bounds is not None
    assert finding.bounds.lower >= 0.95
    assert "400 of 402 units (dispatch request)" in finding.statement
    assert finding.plan_digest == plan_digest(plan())


def test_a_goal_is_not_met_when_the_upper_limit_is_below_the_threshold() -> None:
    """Four of five in order is plainly under 95 %."""
    finding = judged("ssssv" * 80).findings[0]
    assert finding.verdict == "not_met"


def test_too_few_units_are_inconclusive_however_good_they_are() -> None:
    """The plan's least number of units holds also for a perfect start."""
    finding = judged("s" * 199).findings[0]
    assert finding.verdict == "inconclusive"
    assert "asks for 200 units; 199 were seen" in finding.statement


def test_an_interval_across_the_threshold_is_inconclusive() -> None:
    """95.5 % of 400 does not show at least 95 %."""
    results = ("s" * 21 + "v") * 18
    assert judged(results).findings[0].verdict == "inconclusive"


def test_missing_units_count_both_ways() -> None:
    """Enough of them turn a met goal into an open one, and they are named."""
    good = "s" * 400
    assert judged(good + "n").findings[0].verdict == "met"
    open_ = judged("s" * 380 + "n" * 40).findings[0]
    assert open_.verdict == "inconclusive"
    assert open_.bounds is not None
    assert open_.bounds.upper == 1.0
    assert "40 further units could not be evaluated" in open_.statement
    assert open_.counts.not_evaluable == 40


def test_units_lost_on_the_way_count_both_ways() -> None:
    """As those that could not be evaluated do, though nothing is known of them."""
    whole = judged("s" * 400, missing={RULE: 1}).findings[0]
    assert (whole.verdict, whole.missing, whole.counts.units) == ("met", 1, 400)
    lost = judged("s" * 380, missing={RULE: 40}).findings[0]
    same = judged("s" * 380 + "n" * 40).findings[0]
    assert (lost.verdict, lost.bounds) == ("inconclusive", same.bounds)
    assert "up to 40 of them may have been units" in lost.statement
    assert judged("s" * 380, missing={"another/rule": 40}).findings[0].missing == 0


def test_lost_units_refute_no_claim_either() -> None:
    """What plainly failed may not have, had all come."""
    assert judged("ssssv" * 80).findings[0].verdict == "not_met"
    lost = judged("ssssv" * 80, missing={RULE: 2000}).findings[0]
    assert lost.verdict == "inconclusive"


def test_lost_units_are_not_units_seen() -> None:
    """The least number of units is asked of those that came."""
    finding = judged("s" * 199, missing={RULE: 5}).findings[0]
    assert "asks for 200 units; 199 were seen" in finding.statement


def test_any_number_of_lost_units_can_be_judged() -> None:
    """The interval widens to nearly everything, and nothing breaks."""
    for missing in (10**5, 10**7):
        for results in ("s", "v", "s" * 300, "v" * 300):
            finding = judged(results, missing={RULE: missing}).findings[0]
            assert finding.verdict == "inconclusive"
            assert finding.bounds is not None
            assert finding.bounds.lower < 0.01
            assert finding.bounds.upper > 0.99


def test_a_harm_is_not_excluded_by_units_that_were_lost() -> None:
    """They may all have been harmful; without them the rate was shown to be low."""
    rare = HARM.model_copy(update={"baseline_rate": 0.05})
    chosen = plan(harms=(rare,))
    assert judged("s" * 900, chosen).findings[1].verdict == "met"
    lost = judged("s" * 900, chosen, missing={RULE: 100}).findings[1]
    assert (lost.verdict, lost.missing) == ("inconclusive", 100)


def test_a_goal_on_violations_is_met_from_above() -> None:
    """`violated` with threshold 5 % is a claim that violations stay below it."""
    low = goal(estimand=Estimand(proportion="violated", of=RULE), threshold=0.05)
    assert judged("s" * 400, plan(low)).findings[0].verdict == "met"
    assert judged("sv" * 200, plan(low)).findings[0].verdict == "not_met"
    assert judged("s" * 380 + "n" * 40, plan(low)).findings[0].verdict == "inconclusive"


def test_a_change_nobody_noticed_makes_the_verdict_invalid() -> None:
    """500 good units, then every third bad: no single rate fits, and nothing
    signalled.
    """
    finding = judged("s" * 500 + "ssv" * 60, plan(harms=())).findings[0]
    assert finding.verdict == "invalid"
    assert "no single rate fits" in finding.statement


def test_a_change_that_was_signalled_leaves_the_planned_verdict_standing() -> None:
    """All units count, also those of the version that was rolled back."""
    seen = units("s" * 400 + "v" * 16 + "s" * 600)
    signal = seen[404]
    pause = Pause(
        reason="signal",
        paused_at=seen[415].started_at,
        resumed_at=seen[416].started_at,
    )
    evidence = TrialEvidence("t", tuple(seen), (breach(signal),), REF, pauses=(pause,))
    goal_, harm = judge_evidence(plan(), evidence).findings
    assert goal_.verdict == "met"
    assert (goal_.counts.satisfied, goal_.counts.violated) == (1000, 16)
    strata = " ".join(goal_.limits)
    assert "stretch 1, in which a guardrail signalled: 400 of 416 in order" in strata
    assert "stretch 2: 600 of 600 in order" in strata
    assert harm.verdict == "harm"
    silent = evidence._replace(breaches=())
    assert judge_evidence(plan(harms=()), silent).findings[0].verdict == "invalid"


def test_a_live_signal_is_harm_even_if_the_replay_gives_none() -> None:
    """What was signalled while the trial ran is never unmade afterwards."""
    seen = units("s" * 300)
    evidence = TrialEvidence("t", tuple(seen), (breach(seen[299]),), REF)
    harm = judge_evidence(plan(), evidence).findings[1]
    assert harm.verdict == "harm"
    assert "Replayed in order of time it does not signal" in harm.statement


def test_a_signal_found_only_in_the_replay_is_harm_too() -> None:
    """Late evidence counts, and the finding says that it came late."""
    harm = judged("s" * 100 + "v" * 12).findings[1]
    assert harm.verdict == "harm"
    assert "found in the replay only" in harm.statement


def test_the_absence_of_a_signal_is_not_called_safe() -> None:
    """Few units without harm are inconclusive; very many show the rate to be normal."""
    few = judged("s" * 300).findings[1]
    assert few.verdict == "inconclusive"
    assert "not shown either" in few.statement
    assert judged("s" * 1500).findings[1].verdict == "met"


def test_the_replay_begins_afresh_after_a_pause() -> None:
    """Harm before and after a roll-back is two signals, each with its own look."""
    seen = units("s" * 50 + "v" * 10 + "s" * 50 + "v" * 10)
    pause = Pause(
        reason="signal", paused_at=seen[58].started_at, resumed_at=seen[60].started_at
    )
    evidence = TrialEvidence("t", tuple(seen), (), REF, pauses=(pause,))
    result = judge_evidence(plan(), evidence)
    assert "signalled 2 times" in result.findings[1].statement
    looks = [look for look in result.looks if look.purpose == "harm"]
    signalled = [look.signalled for look in looks]
    assert sum(b and not a for a, b in itertools.pairwise([False, *signalled])) == 2


GROUPED = HARM.model_copy(
    update={
        "signal": SignalRule(
            design="grouped-maxsprt", looks_every=50, alpha=0.01, min_events=3
        )
    }
)


def test_a_grouped_guardrail_is_replayed_at_its_own_looks() -> None:
    """The signal comes with a full group, and between groups no statistic is shown."""
    found = judged("s" * 201 + "v" * 30 + "s" * 39, plan(harms=(GROUPED,)))
    finding = found.findings[1]
    assert finding.verdict == "harm"
    assert "The guardrail, looked at after each 50 units, signalled with 30" in (
        finding.statement
    )
    looks = [item for item in found.looks if item.purpose == "harm"]
    (first, *_) = [item for item in looks if item.signalled]
    assert (first.counts.units, first.counts.violated) == (250, 30)
    before = looks[: looks.index(first)]
    assert before
    assert all((item.llr is None) == (item.counts.units % 50 > 0) for item in before)


def test_a_last_group_that_is_not_full_gives_no_signal() -> None:
    """Looked at after every unit it would; and that is not called safe."""
    results = "s" * 200 + "v" * 30
    grouped, continuous = (
        judged(results, plan(harms=(harm,))).findings[1] for harm in (GROUPED, HARM)
    )
    assert continuous.verdict == "harm"
    assert grouped.verdict == "not_met"
    assert "looked at after each 50 units, gave no signal" in grouped.statement


def test_broken_evidence_makes_goals_invalid_but_not_harm_undone() -> None:
    """Nothing can be shown with it; a signal still stands."""
    why = "Segment 3 does not verify."
    good = judged("s" * 500, integrity=(why,))
    assert [item.verdict for item in good.findings] == ["invalid", "invalid"]
    assert why in good.findings[0].statement
    bad = judged("v" * 20, integrity=(why,))
    assert [item.verdict for item in bad.findings] == ["invalid", "harm"]


def test_goals_after_one_not_met_are_exploratory() -> None:
    """The order of analysis is a gate."""
    first = goal("hard", threshold=0.999)
    result = judged("s" * 400, plan(first, goal("easy")))
    assert [item.exploratory for item in result.findings[:2]] == [False, True]
    assert result.findings[1].verdict == "met"
    assert "exploratory" in result.findings[1].limits[0]


def test_a_goal_without_any_unit_is_open_and_says_so() -> None:
    """A rule that no span fell under shows nothing either way."""
    finding = judged("").findings[0]
    assert finding.verdict == "inconclusive"
    assert finding.estimate is None
    assert "Nothing was observed" in finding.limits[0]


def test_redelivered_and_foreign_observations_do_not_count() -> None:
    """Each span counts once, for its own rule."""
    seen = units("s" * 250)
    others = units("v" * 250, rule="dispatch/other")
    once = judge(plan(), trial_id="t", observations=seen, breaches=(), rulebook=REF)
    noisy = judge(
        plan(),
        trial_id="t",
        observations=[*others, *seen, *seen],
        breaches=(),
        rulebook=REF,
    )
    assert noisy == once


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), results=st.text("ssssssvn", max_size=120))
def test_findings_do_not_depend_on_the_order_of_delivery(
    seed: int, results: str
) -> None:
    """The same observations in any order give the same findings and looks."""
    seen = units(results)
    shuffled = random.Random(seed).sample(seen, len(seen))
    straight, mixed = (
        judge(plan(), trial_id="t", observations=items, breaches=(), rulebook=REF)
        for items in (seen, shuffled)
    )
    assert straight == mixed


def test_looks_can_be_repeated_on_exactly_their_data() -> None:
    """A look's digest is that of the units it saw, and changes with any of them."""
    seen = units("s" * 30 + "v" + "s" * 69)
    result = judge(plan(), trial_id="t", observations=seen, breaches=(), rulebook=REF)
    looks = [look for look in result.looks if look.purpose == "goal"]
    assert [look.number for look in looks] == list(range(1, len(looks) + 1))
    assert looks[-1].counts.units == 100
    for look in looks:
        part = seen[: look.counts.units]
        again = look_at_goal(
            goal(), part, trial_id="t", number=look.number, at=part[-1].started_at
        )
        assert again == look
        assert look.code_version == __version__
    altered = [seen[0].model_copy(update={"duration_s": 9.0}), *seen[1:]]
    other = look_at_goal(goal(), altered, trial_id="t", number=1, at=T0)
    assert other.data_digest != looks[-1].data_digest


def test_limits_say_what_the_data_cannot_show() -> None:
    """Times, load and rare events are named without being asked for."""
    finding = judged("s" * 300, limits=("Customers without the app.",)).findings[0]
    said = " ".join(finding.limits)
    assert "2026-04-01 09:00:00 and 2026-04-01 09:04:59" in said
    assert "at most 60 units began within one minute" in said
    assert "1 in 101 units" in said
    assert "Customers without the app." in said


def test_rounding_never_makes_a_claim_larger() -> None:
    """Lower limits are rounded down and upper limits up."""
    finding = judged("s" * 400 + "v").findings[0]
    assert finding.bounds is not None
    shown = [
        float(part.replace("\u00a0", " ").split(" %")[0].rsplit(" ", 1)[-1])
        for part in finding.statement.split("between ")[1].split(" and ", 1)
    ]
    assert shown[0] <= finding.bounds.lower * 100 < shown[0] + 0.1
    assert shown[1] - 0.1 < finding.bounds.upper * 100 <= shown[1]


def test_units_of_keeps_the_first_delivery_of_each_span() -> None:
    """Order is that of span start."""
    seen = units("sv")
    assert units_of(RULE, [seen[1], seen[0], seen[1]]) == seen


@pytest.mark.parametrize("share", [0.90, 0.95])
def test_at_the_boundary_few_trials_are_called_met(share: float) -> None:
    """With the true rate at or below the threshold, at most 5 % of trials are met."""
    rng = random.Random(7)
    runs = 60
    met = 0
    for _ in range(runs):
        letters = "".join("s" if rng.random() < share else "v" for _ in range(260))
        finding = judged(letters, plan(harms=())).findings[0]
        met += finding.verdict == "met"
    assert met <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


def test_units_of_two_versions_of_a_rulebook_are_never_counted_together() -> None:
    """What was recorded under another version is refused, with both versions."""
    later = [
        item.model_copy(update={"rulebook_version": 4}) for item in units("ss", first=9)
    ]
    with pytest.raises(
        JudgementError, match=r"under transport v3, and has units of v4"
    ):
        judge(
            plan(),
            trial_id="t",
            observations=[*units("sss"), *later],
            breaches=(),
            rulebook=REF,
        )
