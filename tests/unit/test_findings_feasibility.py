"""Before the plan is locked: what a goal can show, how likely, after how many units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from sandbox.errors import InputError
from sandbox.findings import check_plan, feasibility, harm_outlook, outlook
from sandbox.findings.proportions import two_stages_of
from sandbox.findings.sequential import bernoulli_interval
from sandbox.model.application import Harm, Hypothesis, TrialPlan
from workflows.cli import command_for

PAPER = Path("experiments/ride_dispatch/application.yaml")
ARMS = {"by": "span.attributes.arm", "treated": "new", "control": "old"}
MEAN = {
    "mean": "span.duration_s",
    "of": "r",
    "claim": "at_most",
    "least": 0,
    "most": 10,
}


def goal(**changes: Any) -> Hypothesis:
    values: dict[str, Any] = {
        "goal": "g",
        "claim": "c",
        "unit": "request",
        "estimand": {"proportion": "satisfied", "of": "r"},
        "threshold": 0.9,
        "alpha": 0.05,
        "design": "confidence-sequence",
        "minimum_units": 60,
        "missing": "count-both-ways",
    }
    return Hypothesis.model_validate({**values, **changes})


def stages(**changes: Any) -> Hypothesis:
    return goal(
        **{
            "design": "two-stage",
            "threshold": 0.7,
            "alpha": 0.1,
            "stages": {"p1": 0.9, "beta": 0.1},
            **changes,
        }
    )


def plan(*goals: Hypothesis) -> TrialPlan:
    order = tuple(item.goal for item in goals)
    return TrialPlan(goals=goals, order_of_analysis=order, settling_time="PT5S")


def test_chances_at_the_end_are_those_of_the_judge() -> None:
    """Added up over every count, with the interval that will be used."""
    found = outlook(goal(), units=80, values=(0.97, 0.9, 0.7))
    for item in found.chances:
        met = not_met = 0.0
        for count in range(81):
            lower, upper = bernoulli_interval(
                successes=count, n=80, alpha=0.05, t_opt=60
            )
            weight = stats.binom.pmf(count, 80, item.value)
            met += weight * (lower >= 0.9)
            not_met += weight * (upper < 0.9)
        assert item.met == pytest.approx(met)
        assert item.not_met == pytest.approx(not_met)
        assert item.met + item.not_met + item.inconclusive == pytest.approx(1)


@pytest.mark.parametrize(
    "chosen",
    [
        goal(),
        goal(design="one-sided-sequence"),
        goal(design="fixed"),
        stages(),
        goal(design="one-sided-sequence", estimand=MEAN, threshold=3),
        goal(estimand={"proportion": "violated", "of": "r"}, threshold=0.1),
        stages(
            estimand={"proportion": "violated", "of": "r"},
            threshold=0.3,
            stages={"p1": 0.1, "beta": 0.1},
        ),
    ],
)
def test_no_design_shows_a_claim_that_just_fails(chosen: Hypothesis) -> None:
    """At the threshold `met` has at most the chance alpha; and better is likelier."""
    found = outlook(chosen, units=200)
    met = [item.met for item in found.chances]
    assert met == sorted(met, reverse=True)
    (edge,) = (item for item in found.chances if item.value == chosen.threshold)
    assert edge.met <= chosen.alpha
    assert found.chances[0].met > 0.9
    assert found.chances[-1].not_met > 0.9


def test_thirty_customers_cannot_show_one_per_cent() -> None:
    """Whatever the truth, nothing comes of it; and it is said how many it takes."""
    chosen = goal(threshold=0.99, minimum_units=30)
    found = outlook(chosen, units=30)
    assert {item.met for item in found.chances} == {0.0}
    assert "cannot be met" in feasibility(chosen).sentence()
    assert feasibility(chosen).units_needed > 299


def test_fewer_units_than_planned_decide_nothing() -> None:
    """A trial that ends before its least number of units is inconclusive for sure."""
    for chosen in (goal(), goal(design="fixed"), stages()):
        for item in outlook(chosen, units=5).chances:
            assert (item.inconclusive, item.most_units) == (1, None)


def test_a_first_stage_alone_can_stop_but_not_succeed() -> None:
    """With units for the first stage only, a claim can be refuted and not shown."""
    chosen = stages()
    design = two_stages_of(chosen)
    (item,) = outlook(chosen, units=design.n1, values=(0.4,)).chances
    assert item.met == 0
    assert item.not_met == pytest.approx(design.stops_early(0.4))


def test_two_stages_ask_for_exactly_their_units() -> None:
    """Another least number of units is a defect, with the right one."""
    design = two_stages_of(stages())
    found = feasibility(stages())
    assert found.failures_allowed == design.n - design.r - 1
    early = f"at most {design.n1 - design.r1 - 1} of the first {design.n1};"
    assert early in found.sentence()
    (defect,) = check_plan(plan(stages(minimum_units=design.n + 1)))
    assert defect.code == "plan/not-the-units-of-its-stages"
    assert f"minimum_units: {design.n}" in defect.remedy
    assert not check_plan(plan(stages(minimum_units=design.n)))


def test_a_design_that_does_not_exist_is_a_defect() -> None:
    """Two proportions too near each other need more units than two stages may have."""
    near = stages(stages={"p1": 0.7001, "beta": 0.1})
    (defect,) = check_plan(plan(goal(), near), file="a.yaml")
    assert (defect.code, defect.field) == ("plan/no-such-design", "plan.goals.1.design")
    assert "more than 200 units" in defect.what


def test_of_two_arms_the_best_case_is_said() -> None:
    """All of one arm in order and none of the other: fewer pairs cannot do."""
    chosen = goal(design="two-arm", threshold=0, arms=ARMS, minimum_units=4)
    found = feasibility(chosen)
    assert found.failures_allowed is None
    enough = chosen.model_copy(update={"minimum_units": found.units_needed})
    assert feasibility(enough).failures_allowed == 0
    (defect,) = check_plan(plan(chosen))
    assert "all of the treated arm in order, none of the other" in defect.what
    assert defect.remedy == f"Set minimum_units to at least {found.units_needed}"


def harm(**signal: Any) -> Harm:
    values = {"design": "maxsprt", "alpha": 0.01, "min_events": 3, "horizon": 20}
    return Harm.model_validate(
        {
            "harm": "h",
            "of": "r",
            "baseline_rate": 0.02,
            "signal": {**values, **signal},
            "action": "stop",
        }
    )


@pytest.mark.parametrize(
    "chosen", [harm(), harm(design="grouped-maxsprt", looks_every=50)]
)
def test_of_each_harm_it_is_said_how_often_and_how_soon_it_is_signalled(
    chosen: Harm,
) -> None:
    """Whatever its design: falsely in at most alpha, and surer the worse it is."""
    found = harm_outlook(chosen, units=1000)
    assert [item.rate for item in found.chances] == pytest.approx(
        [0.02, 0.03, 0.04, 0.06, 0.1]
    )
    assert found.chances[0].signal == found.false_signal <= chosen.signal.alpha
    chances = [item.signal for item in found.chances]
    assert chances == sorted(chances)
    medians = [item.median_units for item in found.chances]
    assert medians[:2] == [None, None]
    assert medians[2:] == sorted((half or 0 for half in medians[2:]), reverse=True)
    assert f"{found.false_signal:.2%}" in found.sentence()


def test_a_single_look_signals_with_the_chance_of_the_binomial_law() -> None:
    """One group is one exact test: its chances are those of the count at its end."""
    found = harm_outlook(harm(design="grouped-maxsprt", looks_every=1000), units=1000)
    least = int(stats.binom.isf(0.01, 1000, 0.02)) + 1
    for item in found.chances:
        assert item.signal == pytest.approx(stats.binom.sf(least - 1, 1000, item.rate))
    assert found.soonest == 1000


def test_a_trial_shorter_than_a_group_never_signals() -> None:
    """And that is said; a rate that is no chance is left out."""
    chosen = harm(design="grouped-maxsprt", looks_every=50)
    found = harm_outlook(chosen, units=49)
    assert {item.signal for item in found.chances} == {0.0}
    assert "cannot signal within 49 units" in found.sentence()
    frequent = chosen.model_copy(update={"baseline_rate": 0.4})
    assert len(harm_outlook(frequent, units=50).chances) == 3


def run(*words: str) -> Any:
    return CliRunner().invoke(command_for(["trial"]), ["trial", "feasibility", *words])


def test_the_command_says_it_before_anything_is_filed(tmp_path: Path) -> None:
    """Table, picture and JSON, of an application whose other parts are unfinished."""
    picture = tmp_path / "oc.svg"
    ran = run(str(PAPER), "--plot", str(picture))
    assert ran.exit_code == 0, ran.output
    assert "at most 500 units (one for each participant)" in ran.output
    assert "90 % *" in ran.output
    assert picture.read_text().startswith("<svg")
    data = json.loads(run(str(PAPER), "--per-minute", "120", "-o", "json").stdout)
    assert (data[0]["goal"], data[0]["units"]) == ("offers-in-time", 300)
    assert data[0]["best"]["units_needed"] == 58
    assert (data[1]["subject"], data[1]["looks_every"]) == ("slow-offers", 1)
    assert data[1]["chances"][0]["signal"] < data[1]["false_signal"] <= 0.01
    assert run(str(PAPER), "-o", "name").stdout == "offers-in-time\nslow-offers\n"


def test_the_command_says_how_soon_a_harm_is_signalled(tmp_path: Path) -> None:
    """For groups too, with a word on units past the horizon; settings are checked."""
    data = yaml.safe_load(PAPER.read_text())
    signal = data["plan"]["harms"][0]["signal"]
    signal |= {"design": "grouped-maxsprt", "looks_every": 50}
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(data))
    ran = run(str(file), "--units", "1001")
    assert "slow-offers is looked at after each 50 units" in ran.output
    assert "Past unit 1000" in ran.output
    signal["looks_every"] = 1001
    file.write_text(yaml.safe_dump(data))
    ran = run(str(file))
    assert isinstance(ran.exception, InputError)
    assert "plan.harms.0.signal.looks_every" in ran.exception.diagnosis
    del signal["looks_every"]
    file.write_text(yaml.safe_dump(data))
    ran = run(str(file))
    assert isinstance(ran.exception, InputError)
    assert "needs `looks_every`" in ran.exception.diagnosis


def test_the_command_fails_where_the_plan_cannot_be_kept() -> None:
    """Too few units for what the plan asks for: said, with what to do."""
    ran = run(str(PAPER), "--units", "30")
    assert ran.exit_code == 1
    assert "let it see at most 30" in ran.output


def test_a_design_that_does_not_exist_has_no_table(tmp_path: Path) -> None:
    """What cannot be designed is said with its place, and nothing is computed."""
    data = yaml.safe_load(PAPER.read_text())
    data["plan"]["goals"][0] |= {
        "design": "two-stage",
        "stages": {"p1": 0.9001, "beta": 0.1},
    }
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(data))
    ran = run(str(file))
    assert isinstance(ran.exception, InputError)
    assert "plan.goals.0.design" in ran.exception.diagnosis


def test_a_plan_without_its_numbers_is_refused_with_every_place(tmp_path: Path) -> None:
    """Threshold, alpha and unit missing: three defects, each at its goal."""
    data = yaml.safe_load(PAPER.read_text())
    for name in ("threshold", "alpha", "unit"):
        del data["plan"]["goals"][0][name]
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(data))
    ran = run(str(file))
    assert ran.exit_code != 0
    for name in ("threshold", "alpha", "unit"):
        assert f"plan.goals.0.{name}: `{name}` is missing" in str(ran.exception)
