"""Plans before they are locked: their digest, and what they can show."""

from typing import Any

import pytest

from sandbox.findings import check_plan, feasibility, plan_digest
from sandbox.findings.sequential import bernoulli_interval
from sandbox.model.application import Estimand, Harm, Hypothesis, SignalRule, TrialPlan


def goal(**changes: Any) -> Hypothesis:
    values: dict[str, Any] = {
        "goal": "offers-in-time",
        "claim": "At least 95 % in time.",
        "unit": "request",
        "estimand": Estimand(proportion="satisfied", of="r"),
        "threshold": 0.95,
        "alpha": 0.05,
        "design": "confidence-sequence",
        "minimum_units": 200,
        "missing": "count-both-ways",
    }
    return Hypothesis(**{**values, **changes})


def plan(*goals: Hypothesis, harms: tuple[Harm, ...] = ()) -> TrialPlan:
    return TrialPlan(
        goals=goals,
        harms=harms,
        order_of_analysis=tuple(item.goal for item in goals),
        settling_time="PT5S",
    )


def test_a_plan_with_any_other_number_is_another_plan() -> None:
    """The digest covers every field."""
    assert plan_digest(plan(goal())) == plan_digest(plan(goal()))
    assert plan_digest(plan(goal())) != plan_digest(plan(goal(alpha=0.04)))


def test_thirty_customers_cannot_show_a_rate_of_one_per_cent() -> None:
    """The innovator is told before filing, with the number it would take."""
    hopeless = goal(threshold=0.99, minimum_units=30)
    (defect,) = check_plan(plan(goal(), hopeless), file="application.yaml")
    assert defect.code == "plan/goal-cannot-be-met"
    assert defect.field == "plan.goals.1.minimum_units"
    needed = feasibility(hopeless).units_needed
    assert str(needed) in defect.remedy
    assert needed > 299  # what even a fixed test without peeking would take


@pytest.mark.parametrize("proportion", ["satisfied", "violated"])
@pytest.mark.parametrize("minimum", [60, 200, 900])
def test_feasibility_agrees_with_the_interval_it_speaks_of(
    proportion: str, minimum: int
) -> None:
    """The failures allowed are the most with which the goal is still met."""
    estimand = Estimand.model_validate({"proportion": proportion, "of": "r"})
    threshold = 0.9 if proportion == "satisfied" else 0.1
    chosen = goal(estimand=estimand, threshold=threshold, minimum_units=minimum)
    found = feasibility(chosen)

    def met(units: int, failures: int) -> bool:
        lower, _ = bernoulli_interval(
            successes=units - failures, n=units, alpha=0.05, t_opt=minimum
        )
        return lower >= 0.9

    assert found.failures_allowed is not None
    assert met(minimum, found.failures_allowed)
    assert not met(minimum, found.failures_allowed + 1)
    assert met(found.units_needed, 0)
    assert not met(found.units_needed - 1, 0)


def test_more_units_than_the_trial_can_see_are_a_defect() -> None:
    """Caps and length bound what a plan may ask for."""
    (defect,) = check_plan(plan(goal()), most_units=150)
    assert defect.code == "plan/too-few-units"
    assert not check_plan(plan(goal()), most_units=200)


def test_a_harm_that_can_never_signal_is_a_defect() -> None:
    """Ten events within one expected event are too many to ask for."""
    harm = Harm(
        harm="h",
        of="r",
        baseline_rate=0.01,
        signal=SignalRule(design="maxsprt", alpha=0.05, min_events=10, horizon=1),
        action="stop",
    )
    (defect,) = check_plan(plan(goal(), harms=(harm,)), file="a.yaml")
    assert defect.code == "plan/harm-cannot-signal"
    assert defect.sentence().startswith("a.yaml plan.harms.0.signal: the harm h")


def harm(**signal: Any) -> Harm:
    limits = {"design": "grouped-maxsprt", "alpha": 0.05, "horizon": 1, **signal}
    return Harm(
        harm="h",
        of="r",
        baseline_rate=0.01,
        signal=SignalRule.model_validate(limits),
        action="stop",
    )


def test_a_group_that_is_never_full_is_a_defect() -> None:
    """Groups of 101 units, and 100 units until the horizon ends: said at its key."""
    wrong = plan(goal(), harms=(harm(looks_every=101),))
    (defect,) = check_plan(wrong, file="a.yaml")
    assert (defect.code, defect.field) == (
        "plan/group-never-full",
        "plan.harms.0.signal.looks_every",
    )
    assert "looked at after each 101 units, and its horizon ends after 100" in (
        defect.what
    )
    assert not check_plan(plan(goal(), harms=(harm(looks_every=100),)))


@pytest.mark.parametrize(
    "signal",
    [
        {"looks_every": 50, "min_events": 10},
        {"looks_every": 2, "horizon": 0.02, "alpha": 0.00001},
        {"design": "maxsprt", "horizon": 0.02, "alpha": 0.00001},
    ],
)
def test_a_guardrail_that_is_silent_whatever_happens_is_a_defect(
    signal: dict[str, Any],
) -> None:
    """So many events asked for, or so few units: no threshold can be reached."""
    (defect,) = check_plan(plan(goal(), harms=(harm(**signal),)))
    assert defect.code == "plan/harm-cannot-signal"


def test_a_trial_too_short_for_a_signal_is_told_before_filing() -> None:
    """Where the most units are known, the first look must come in time."""
    planned = plan(goal(minimum_units=60, threshold=0.9), harms=(harm(looks_every=90),))
    (defect,) = check_plan(planned, most_units=89)
    assert defect.code == "plan/harm-too-few-units"
    assert not check_plan(planned, most_units=90)


def test_of_harms_too_everything_wrong_is_said_at_once() -> None:
    """Three harms, three defects; settings that do not fit are the procedure's."""
    wrong = (harm(looks_every=101), harm(looks_every=5, min_events=30), harm())
    found = check_plan(plan(goal(), harms=wrong))
    assert [item.code for item in found] == [
        "plan/group-never-full",
        "plan/harm-cannot-signal",
    ]


def test_harms_of_before_keep_their_digest() -> None:
    """A signal without groups is written without the key, so plans stay the same."""
    data = harm(design="maxsprt").model_dump(mode="json")
    assert set(data["signal"]) == {"design", "alpha", "min_events", "horizon"}
    assert plan_digest(plan(goal(), harms=(harm(design="maxsprt"),))) == (
        "sha256:85097be0466caf0462126d6754c40bfba1c8e319d44d58dacc9e341ce87087bf"
    )


def test_plans_of_before_keep_their_digest() -> None:
    """What a plan does not use is not part of it, so older plans are the same plans."""
    data = plan(goal()).model_dump(mode="json", by_alias=True)
    assert set(data["goals"][0]) == {
        "goal",
        "claim",
        "unit",
        "estimand",
        "design",
        "threshold",
        "alpha",
        "minimum_units",
        "missing",
    }
    assert set(data["goals"][0]["estimand"]) == {"proportion", "of"}
    assert plan_digest(TrialPlan.model_validate(data)) == plan_digest(plan(goal()))
    assert plan_digest(plan(goal())) == (
        "sha256:2a7b7db2ce9b90aea96135a64f22773dc316d664d9437219c275d467d9a3f3c3"
    )
