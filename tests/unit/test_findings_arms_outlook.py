"""Two arms before the trial: how likely each verdict is, from drawn trials."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from sandbox.errors import InputError, JudgementError
from sandbox.findings import feasibility, outlook
from sandbox.findings.arms import read_arms
from sandbox.findings.arms_outlook import outcomes_of, true_differences
from sandbox.findings.evalues import ArmCounts, two_arm_log_value, two_arm_paths
from sandbox.findings.reading import Seen, counted
from sandbox.model.application import Hypothesis
from sandbox.model.observation import Observation
from workflows.cli import command_for

PAPER = Path("experiments/ride_dispatch/application.yaml")
T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
ARMS = {"by": "span.attributes.arm", "treated": "new", "control": "old"}
BLOCKS = [(1, 1), (1, 2), (3, 2)]


def goal(**changes: Any) -> Hypothesis:
    values: dict[str, Any] = {
        "goal": "g",
        "claim": "c",
        "unit": "request",
        "estimand": {"proportion": "satisfied", "of": "r"},
        "threshold": 0,
        "alpha": 0.05,
        "design": "two-arm",
        "arms": ARMS,
        "minimum_units": 20,
        "missing": "count-both-ways",
    }
    return Hypothesis.model_validate({**values, **changes})


def in_blocks(treated: int, control: int, **changes: Any) -> Hypothesis:
    arms = ARMS | {"block_treated": treated, "block_control": control}
    return goal(arms=arms, **changes)


def block_units(counts: ArmCounts) -> list[tuple[str, bool]]:
    """The units of a block, each with its arm and whether it is satisfied."""
    return [
        (arm, place < events)
        for arm, events, size in (("new", *counts[:2]), ("old", *counts[2:]))
        for place in range(size)
    ]


def observed(units: list[tuple[str, bool]]) -> list[Observation]:
    return [
        Observation(
            trial_id="t",
            rule="r",
            result="satisfied" if is_satisfied else "violated",
            rulebook_version=3,
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            started_at=T0 + timedelta(seconds=number),
            duration_s=1.0,
            values={"span.attributes.arm": arm},
            segment=1,
            frame=number,
        )
        for number, (arm, is_satisfied) in enumerate(units)
    ]


def judged(chosen: Hypothesis, blocks: list[ArmCounts]) -> tuple[str, int]:
    """The judge's verdict at the end, and the first block at which there is one."""
    seen: list[tuple[str, bool]] = []
    verdict, first = "inconclusive", 0
    for number, block in enumerate(blocks, start=1):
        seen += block_units(block)
        units = observed(seen)
        verdict = read_arms(chosen, Seen(units, counted(units))).verdict
        if verdict != "inconclusive" and not first:
            first = number
    return verdict, first


@pytest.mark.parametrize(("treated", "control"), BLOCKS)
def test_each_drawn_trial_ends_as_the_judge_says(treated: int, control: int) -> None:
    """Fed through the judge one by one, unit by unit, with every verdict among them."""
    chosen = in_blocks(treated, control, alpha=0.3)
    draws = np.random.default_rng(20210607)
    chances = np.repeat([0.8, 0.5, 0.2], 6)[:, None]
    a = draws.binomial(treated, chances, size=(18, 14)).astype(float)
    b = draws.binomial(control, 1 - chances, size=(18, 14)).astype(float)
    found, verdicts = outcomes_of(chosen, a, b), set()
    for trial, (met, not_met, first) in enumerate(zip(*found, strict=True)):
        blocks = [
            ArmCounts(int(x), treated, int(y), control)
            for x, y in zip(a[trial], b[trial], strict=True)
        ]
        verdict, at = judged(chosen, blocks)
        assert (met, not_met) == (verdict == "met", verdict == "not_met")
        assert first == at
        verdicts.add(verdict)
    assert verdicts == {"met", "not_met", "inconclusive"}


@pytest.mark.parametrize(("treated", "control"), BLOCKS)
def test_the_path_of_a_trial_is_its_value_after_every_block(
    treated: int, control: int
) -> None:
    """Of many trials at once, also where they share one arm; both claims."""
    draws = np.random.default_rng(7)
    a = draws.integers(0, treated, size=(4, 5, 20), endpoint=True).astype(float)
    b = draws.integers(0, control, size=(5, 20), endpoint=True).astype(float)
    paths = two_arm_paths(a, b, units=(treated, control))
    for rate, trial, number in product(range(4), range(5), range(20)):
        blocks = [
            ArmCounts(int(x), treated, int(y), control)
            for x, y in zip(a[rate, trial], b[trial], strict=True)
        ][: number + 1]
        for claim, path in (("a", paths.a), ("b", paths.b)):
            value = two_arm_log_value(blocks, claim=claim)
            assert path[rate, trial, number] == pytest.approx(value, abs=1e-12)


def test_the_evidence_is_no_function_of_the_counts() -> None:
    """After eight pairs there are 81 pairs of counts, and 4,951 with their evidence."""
    paths = np.arange(4**8)[:, None]
    a, b = ((paths >> np.arange(start, 16, 2)) & 1 for start in (0, 1))
    path = two_arm_paths(a.astype(float), b.astype(float), units=(1, 1)).a[:, -1]
    states = {*zip(a.sum(axis=1), b.sum(axis=1), path.round(9), strict=True)}
    assert len({state[:2] for state in states}) == 81
    assert len(states) == 4951


def test_drawn_chances_are_those_of_all_paths() -> None:
    """Of six pairs, every path with its chance, to four standard errors."""
    chosen, rate = goal(alpha=0.3, minimum_units=8), 0.3
    found = outlook(chosen, units=12, values=(0.5, 0.0), control_rate=rate)
    assert found.drawn is not None
    within = 4 * found.drawn.standard_error
    for item in found.chances:
        chances = [1 - rate - item.value, rate + item.value, 1 - rate, rate]
        met = not_met = mean = 0.0
        for path in product(product((0, 1), repeat=2), repeat=6):
            blocks = [ArmCounts(a, 1, b, 1) for a, b in path]
            weight = math.prod(chances[a] * chances[2 + b] for a, b in path)
            verdict, first = by_value(chosen, blocks)
            met += weight * (verdict == "met")
            not_met += weight * (verdict == "not_met")
            mean += weight * 2 * (first or 6)
        assert item.met == pytest.approx(met, abs=within)
        assert item.not_met == pytest.approx(not_met, abs=within)
        assert item.mean_units == pytest.approx(mean, abs=12 * within)
        assert item.met + item.not_met + item.inconclusive == pytest.approx(1)


def by_value(chosen: Hypothesis, blocks: list[ArmCounts]) -> tuple[str, int]:
    """Verdict and first block, from the e-values alone; blocks are pairs."""
    verdict, first, enough = "inconclusive", 0, math.log(1 / chosen.alpha)
    for number in range(chosen.minimum_units // 2, len(blocks) + 1):
        better, worse = (
            two_arm_log_value(blocks[:number], claim=claim) >= enough
            for claim in ("a", "b")
        )
        verdict = "met" if better else "not_met" if worse else "inconclusive"
        first = first or (number if better or worse else 0)
    return verdict, first


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.85])
@pytest.mark.parametrize(("treated", "control"), [(1, 1), (10, 20)])
def test_a_better_arm_is_found_more_often_and_sooner(
    rate: float, treated: int, control: int
) -> None:
    """From the best true difference to the worst; a far one is found for sure."""
    chosen = in_blocks(treated, control)
    found = outlook(chosen, units=400, control_rate=rate)
    assert [item.value for item in found.chances] == list(true_differences(rate))
    met = [item.met for item in found.chances]
    assert met == sorted(met, reverse=True)
    not_met = [item.not_met for item in found.chances]
    assert not_met == sorted(not_met)
    assert {0.0} < {item.value for item in found.chances}
    far = outlook(chosen, units=1000, control_rate=rate, values=(0.1, 0.05, 0.0))
    times = [item.mean_units for item in far.chances]
    assert times == sorted(times)
    widest = outlook(chosen, units=1000, control_rate=0.5, values=(0.4, -0.4))
    assert (widest.chances[0].met, widest.chances[1].not_met) == (1, 1)


def test_a_difference_is_hardest_to_show_in_the_middle() -> None:
    """Ten points within 300 pairs: the chances that the documentation names."""
    for rate, said in ((0.4, 0.23), (0.5, 0.23), (0.7, 0.37), (0.8, 0.63)):
        found = outlook(goal(), units=600, values=(0.1,), control_rate=rate)
        assert found.chances[0].met == pytest.approx(said, abs=0.015)


def test_evidence_can_be_lost_again() -> None:
    """More trials reach a verdict on the way than end with one."""
    draws = np.random.default_rng(12)
    a, b = ((draws.random((500, 300)) < rate).astype(float) for rate in (0.6, 0.5))
    met, not_met, first = outcomes_of(goal(), a, b)
    assert np.all(first[met | not_met] > 0)
    assert (first > 0).mean() > (met | not_met).mean() + 0.05


def test_the_figures_are_the_same_at_each_run() -> None:
    """The seed is fixed, and said with the number of trials and their error."""
    first, again = (outlook(goal(), units=100) for _ in range(2))
    assert first == again
    assert first.drawn is not None
    assert (first.drawn.trials, first.drawn.standard_error) == (10_000, 0.005)
    assert (
        first.drawn.words() == "drawn, 10,000 trials, standard error at most 0.5 points"
    )
    assert first.control_rate == 0.5


@pytest.mark.parametrize(("treated", "control"), BLOCKS)
def test_perfect_arms_meet_at_the_least_number_of_units(
    treated: int, control: int
) -> None:
    """Drawn with an arm that hardly ever is satisfied against one that always is."""
    chosen = in_blocks(treated, control, minimum_units=1)
    needed = feasibility(chosen).units_needed
    for units, met in ((needed, 1.0), (needed - 1, 0.0)):
        found = outlook(chosen, units=units, values=(1 - 1e-9,), control_rate=1e-9)
        (item,) = found.chances
        assert (item.met, item.mean_units) == (met, units)
        assert item.most_units == (needed if met else None)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_a_control_arm_that_can_only_change_one_way_is_refused(rate: float) -> None:
    """With a sentence, by the room and by the command."""
    with pytest.raises(JudgementError, match="must lie between 0 and 1"):
        outlook(goal(), units=100, control_rate=rate)
    with pytest.raises(JudgementError, match="must lie between 0 and 1"):
        outlook(goal(), units=100, control_rate=rate, values=(0.0,))
    ran = run(str(PAPER), f"--control-rate={rate}")
    assert isinstance(ran.exception, InputError)
    assert "--control-rate" in ran.exception.diagnosis
    assert "Write a number between 0 and 1" in ran.exception.diagnosis


def test_a_difference_that_makes_no_chance_is_refused() -> None:
    """The treated arm cannot be satisfied in more than all units."""
    with pytest.raises(JudgementError, match="would make 1.1 of the treated arm"):
        outlook(goal(), units=100, values=(0.2,), control_rate=0.9)


@pytest.mark.parametrize("units", [0, 1, 19, 59, 61])
def test_a_trial_shorter_than_its_least_units_is_never_concluded(units: int) -> None:
    """Only units that fill a block are judged; and what is certain is not drawn."""
    chosen = in_blocks(4, 3, minimum_units=62)
    found = outlook(chosen, units=units)
    assert {item.inconclusive for item in found.chances} == {1.0}
    assert {item.most_units for item in found.chances} == {None}
    assert {item.mean_units for item in found.chances} == {float(units)}
    assert found.drawn is None


def test_nothing_is_concluded_before_the_least_number_of_units() -> None:
    """However clear it is: the first verdict comes with the block that reaches it."""
    found = outlook(
        goal(minimum_units=41), units=100, values=(0.98,), control_rate=0.01
    )
    (item,) = found.chances
    assert (item.mean_units, item.most_units) == (42, 42)


def test_a_long_trial_is_drawn_less_often_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fewer trials, a larger standard error; beyond a length nothing is drawn."""
    monkeypatch.setattr("sandbox.findings.arms_outlook._BETS", 3_000_000)
    values = (0.1, 0.0, -0.1)
    short = outlook(goal(), units=100, values=values)
    long = outlook(goal(), units=10_000, values=values)
    assert short.drawn is not None
    assert long.drawn is not None
    assert (short.drawn.trials, long.drawn.trials) == (10_000, 200)
    assert long.drawn.standard_error == 0.5 / math.sqrt(200)
    assert (long.chances[0].met, long.chances[2].not_met) == (1, 1)
    for chosen, most in ((goal(), 200_000), (in_blocks(1000, 1000), 2_000_000)):
        assert outlook(chosen, units=most + 2000, values=values).chances == ()


def run(*words: str) -> Any:
    return CliRunner().invoke(command_for(["trial"]), ["trial", "feasibility", *words])


@pytest.fixture(name="paper")
def _paper(tmp_path: Path) -> Path:
    """An application whose first goal compares two arms, and whose second does not."""
    data = yaml.safe_load(PAPER.read_text())
    (first,) = data["plan"]["goals"]
    arms = {"goal": "arms-differ", "design": "two-arm", "threshold": 0, "arms": ARMS}
    data["plan"]["goals"] = [deepcopy(first) | arms, first]
    data["plan"]["order_of_analysis"] = ["arms-differ", first["goal"]]
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def test_the_command_tells_drawn_figures_from_exact_ones(paper: Path) -> None:
    """In the table, in JSON and in YAML, each time with what was taken as given."""
    ran = run(str(paper), "--control-rate", "0.7")
    assert ran.exit_code == 0, ran.output
    drawn, exact = ran.output.split("\noffers-in-time: ")
    assert "of the control arm 70 % are satisfied (--control-rate)" in drawn
    assert "true (drawn)" in drawn
    assert "≈ drawn, 10,000 trials, standard error at most 0.5 points" in drawn
    assert "77.5 % (+7.5)" in drawn
    assert "70 % (+0) *" in drawn
    assert "drawn" not in exact
    assert "≈" not in exact
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        rows = read(run(str(paper), "--control-rate", "0.7", "-o", form).stdout)
        assert rows[0]["drawn"]["trials"] == 10_000
        assert rows[0]["drawn"]["standard_error"] == 0.005
        assert (rows[0]["control_rate"], rows[0]["measure"]) == (0.7, "difference")
        assert len(rows[0]["chances"]) == len(true_differences(0.7))
        assert (rows[1]["drawn"], rows[1]["control_rate"]) == (None, None)


def test_the_picture_tells_drawn_figures_from_exact_ones(
    paper: Path, tmp_path: Path
) -> None:
    """The title has trials and standard error, both axes say drawn; exact ones not."""
    picture = tmp_path / "oc.svg"
    assert run(str(paper), "--plot", str(picture)).exit_code == 0
    text = picture.read_text()
    assert "standard error at most 0.5 points; control arm at 50 %" in text
    assert "chance at the end of the trial (drawn)" in text
    assert "units until a verdict (drawn)" in text
    assert "true difference" in text
    assert run(str(PAPER), "--plot", str(picture)).exit_code == 0
    assert "drawn" not in picture.read_text()


def test_a_control_rate_that_nothing_reads_is_said() -> None:
    """A plan without two arms has no use for it."""
    ran = run(str(PAPER), "--control-rate", "0.7")
    assert ran.exit_code == 0
    assert "no goal compares two arms" in ran.output


def test_a_trial_too_long_to_draw_is_said(paper: Path, tmp_path: Path) -> None:
    """The best case stays, and other goals have their figures and their picture."""
    picture = tmp_path / "oc.svg"
    ran = run(str(paper), "--units", "300000", "--plot", str(picture))
    assert ran.exit_code == 0
    assert "is not drawn, and its chances are not known exactly" in ran.output
    assert "arms-differ" not in picture.read_text()
