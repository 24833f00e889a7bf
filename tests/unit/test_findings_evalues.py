"""E-values: their mean under the null, and what may be concluded from many."""

import math
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import JudgementError
from sandbox.findings.evalues import (
    ArmCounts,
    combined,
    e_bh,
    e_holm,
    two_arm_log_value,
)
from sandbox.findings.sequential import bernoulli_log_value

ALPHA = 0.05
LOGS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.floats(-50, 50), min_size=1, max_size=8
)


def mean_e_value(chance: float, sizes: list[tuple[int, int]]) -> float:
    """Add up the e-value over every outcome of the blocks, each with its chance."""
    total = 0.0
    counts = [
        list(product(range(a_units + 1), range(b_units + 1)))
        for a_units, b_units in sizes
    ]
    for outcome in product(*counts):
        blocks, weight = [], 1.0
        for (a, b), (a_units, b_units) in zip(outcome, sizes, strict=True):
            blocks.append(ArmCounts(a, a_units, b, b_units))
            for events, units in ((a, a_units), (b, b_units)):
                weight *= math.comb(units, events) * chance**events
                weight *= (1 - chance) ** (units - events)
        total += weight * math.exp(two_arm_log_value(blocks))
    return total


@pytest.mark.parametrize("chance", [0.01, 0.2, 0.5, 0.87])
@pytest.mark.parametrize(
    "sizes", [[(1, 1)] * 4, [(1, 3), (2, 1), (1, 1)], [(5, 5), (3, 8)]]
)
def test_mean_is_at_most_one(chance: float, sizes: list[tuple[int, int]]) -> None:
    """If both arms have the same chance, the e-value's exact mean is at most 1."""
    assert mean_e_value(chance, sizes) <= 1 + 1e-12


def test_false_signals_when_looking_after_every_pair() -> None:
    """The chance ever to reach 1 / alpha within eight pairs is within alpha, exactly.

    Every outcome of every pair is followed with its chance until it signals.
    """
    chance, alpha, reached = 0.3, 0.4, 0.0
    alive: list[tuple[list[ArmCounts], float]] = [([], 1.0)]
    for _ in range(8):
        following = []
        for (blocks, mass), a, b in product(alive, (0, 1), (0, 1)):
            weight = mass * (chance if a else 1 - chance)
            weight *= chance if b else 1 - chance
            more = [*blocks, ArmCounts(a, 1, b, 1)]
            if two_arm_log_value(more) >= math.log(1 / alpha):
                reached += weight
            else:
                following.append((more, weight))
        alive = following
    assert 0 < reached <= alpha


def test_a_real_difference_is_found() -> None:
    """With 10 % against 50 % in 100 pairs, the evidence is strong."""
    blocks = [ArmCounts(int(k % 10 == 0), 1, int(k % 2 == 0), 1) for k in range(100)]
    assert two_arm_log_value(blocks) > math.log(1000)


def test_all_registered_trials_count() -> None:
    """Trials multiply; one that has not reported adds nothing, but must be named."""
    values = {"trial-1": math.log(8), "trial-2": math.log(0.5), "trial-3": None}
    assert combined(values) == pytest.approx(math.log(4))
    with pytest.raises(JudgementError, match="register"):
        combined({})


@pytest.mark.parametrize("rate", [0.8, 0.7])
def test_a_second_trial_begun_because_of_the_first_adds_up(rate: float) -> None:
    """The claim "at least 80 %", in two trials of 25 units, the second if it may help.

    Exact, over all counts: the claim is shown by the first trial alone or by both
    together in at most alpha, at the boundary and beyond.
    """
    units, threshold = 25, 0.8

    def log_value(successes: int) -> float:
        return bernoulli_log_value(
            successes=successes,
            n=units,
            threshold=threshold,
            claim="at_least",
            t_opt=units,
        )

    chance = [
        math.comb(units, k) * rate**k * (1 - rate) ** (units - k)
        for k in range(units + 1)
    ]
    shown, enough = 0.0, math.log(1 / ALPHA)
    for first, second in product(range(units + 1), repeat=2):
        alone = log_value(first)
        goes_on = 0 < alone < enough
        both = combined({"first": alone, "second": log_value(second)})
        if alone >= enough or (goes_on and both >= enough):
            shown += chance[first] * chance[second]
    assert 0 < shown <= ALPHA


def test_holm_on_three_goals() -> None:
    """Thresholds 3 / alpha, 2 / alpha, 1 / alpha, until the first that is missed."""
    values = {"a": math.log(61), "b": math.log(39), "c": math.log(21)}
    assert e_holm(values, alpha=ALPHA) == ("a",)
    assert e_holm({**values, "b": math.log(41)}, alpha=ALPHA) == ("a", "b", "c")
    assert e_holm({"a": math.log(59), "b": 9.0, "c": 9.0}, alpha=ALPHA)[-1] == "a"


def test_bh_on_three_goals() -> None:
    """Three e-values of 21 are all rejected together, and none of them by Holm."""
    values = dict.fromkeys("abc", math.log(21))
    assert e_bh(values, alpha=ALPHA) == ("a", "b", "c")
    assert e_holm(values, alpha=ALPHA) == ()


@given(LOGS)
def test_bh_rejects_what_holm_does(values: dict[str, float]) -> None:
    """The weaker promise never rejects less, and both take the strongest first."""
    strict, loose = e_holm(values, alpha=ALPHA), e_bh(values, alpha=ALPHA)
    assert loose[: len(strict)] == strict


@given(LOGS)
def test_holm_is_the_closed_test(values: dict[str, float]) -> None:
    """A null is rejected if and only if every intersection it is part of is.

    An intersection of k nulls is rejected when its largest e-value reaches k / alpha.
    """
    rejected = {
        name
        for name in values
        if all(
            max(values[item] for item in group) >= math.log(size / ALPHA)
            for size in range(1, len(values) + 1)
            for group in combinations(values, size)
            if name in group
        )
    }
    assert set(e_holm(values, alpha=ALPHA)) == rejected


@pytest.mark.parametrize(
    "block", [ArmCounts(2, 1, 0, 1), ArmCounts(0, 0, 0, 1), ArmCounts(-1, 1, 0, 1)]
)
def test_impossible_blocks(block: ArmCounts) -> None:
    """A block that cannot be is named by its number."""
    with pytest.raises(JudgementError, match="Block 2"):
        two_arm_log_value([ArmCounts(0, 1, 0, 1), block])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_none(value: float) -> None:
    """What is not a number is refused, by the name of its null."""
    with pytest.raises(JudgementError, match="offers"):
        e_holm({"offers": value}, alpha=ALPHA)
    with pytest.raises(JudgementError, match="alpha"):
        e_bh({"offers": 1.0}, alpha=1.0)
