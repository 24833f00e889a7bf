"""The error guarantee beyond 500 units: exact to 5,000, drawn where it must be.

A design of counts is exact at any length. Bets depend on the order of the values and
have no law of a count, so trials are drawn, from seeds that are fixed; the tolerance is
four standard errors.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sandbox.findings.sequential import (
    Claim,
    GoalDesign,
    anytime_design,
    betting_interval,
    binomial_maxsprt_boundaries,
    binomial_maxsprt_threshold,
    ever_chances,
    fixed_design,
    mean_design,
    mean_interval,
    one_sided_design,
    signal_stopping,
    unit_threshold,
)
from sandbox.monitor.crossing import binomial_law, stopping

ALPHA = 0.05
LONG = range(1, 5001)
RUNS = 800
UNITS = 3000

Draw = Callable[[np.random.Generator], NDArray[np.float64]]

LAWS: dict[str, tuple[float, Draw]] = {
    "uniform": (0.5, lambda rng: rng.random(UNITS)),
    "skewed": (0.1, lambda rng: rng.beta(0.5, 4.5, UNITS)),
    "rare": (0.02, lambda rng: (rng.random(UNITS) < 0.02).astype(float)),
    "three values": (
        0.6,
        lambda rng: rng.choice([0, 0.5, 1], UNITS, p=[0.3, 0.2, 0.5]),
    ),
}


@pytest.mark.parametrize("claim", ["at_least", "at_most"])
@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("t_opt", [30, 1000])
@pytest.mark.parametrize(
    "design",
    [anytime_design, one_sided_design, mean_design],
    ids=lambda it: it.__name__,
)
def test_false_verdicts_stay_within_alpha_up_to_5000_units(
    design: Callable[..., GoalDesign], claim: Claim, threshold: float, t_opt: float
) -> None:
    """Exactly: at the threshold, neither verdict is ever wrong in more than alpha."""
    planned = design(
        claim=claim, threshold=threshold, alpha=ALPHA, t_opt=t_opt, looks=LONG
    )
    assert max(ever_chances(planned, rate=threshold)) <= ALPHA


def test_a_fixed_test_errs_ever_more_the_longer_one_looks() -> None:
    """By 5,000 units the wrong design calls an unsafe system safe in over 30 %."""
    wrong = [
        ever_chances(
            fixed_design(
                claim="at_most", threshold=0.1, alpha=ALPHA, looks=range(1, units + 1)
            ),
            rate=0.1,
        ).met
        for units in (50, 500, 5000)
    ]
    assert wrong == sorted(wrong)
    assert wrong[-1] > 0.3


@pytest.mark.parametrize("rate", [0.002, 0.05])
def test_guardrails_keep_alpha_over_5000_units(rate: float) -> None:
    """A system at its baseline is stopped in at most alpha of trials, unit by unit."""
    threshold = unit_threshold(baseline_rate=rate, horizon=5000 * rate, alpha=ALPHA)
    found = signal_stopping(
        threshold=threshold, baseline_rate=rate, units=5000, rate=rate
    )
    assert 0 < found.high.sum() <= ALPHA


@pytest.mark.parametrize("ratio", [1.0, 5.0])
def test_cases_and_controls_keep_alpha_over_1000_events(ratio: float) -> None:
    """Looking after each of 1,000 events signals falsely in at most alpha."""
    looks = range(1, 1001)
    threshold = binomial_maxsprt_threshold(looks=looks, alpha=ALPHA, ratio=ratio)
    found = binomial_maxsprt_boundaries(looks=looks, threshold=threshold, ratio=ratio)
    chance = float(stopping(found, binomial_law(1 / (1 + ratio))).high.sum())
    assert 0 < chance <= ALPHA


def tolerated(alpha: float) -> float:
    """Largest share of trials in which the truth may be missed, drawn at random."""
    return alpha + 4 * math.sqrt(alpha * (1 - alpha) / RUNS)


def ordinary_interval_misses(values: NDArray[np.float64], mean: float) -> bool:
    """Whether an ordinary 95 % interval, looked at after each unit, misses the mean."""
    n = np.arange(1, len(values) + 1)
    centre = np.cumsum(values) / n
    spread = np.sqrt(np.maximum(np.cumsum(values**2) / n - centre**2, 1e-12) / n)
    return bool(np.any(np.abs(centre - mean)[30:] > 1.96 * spread[30:]))


@pytest.mark.parametrize("name", LAWS)
def test_intervals_for_means_hold_the_truth_over_3000_units(name: str) -> None:
    """Bets miss the mean at any unit in at most alpha; an ordinary one in more."""
    mean, draw = LAWS[name]
    rng = np.random.default_rng(20240211)
    missed, ordinary = 0, 0
    for _ in range(RUNS):
        values = draw(rng)
        limits = betting_interval(values=values, alpha=ALPHA).limits
        missed += limits is None or not limits[0] <= mean <= limits[1]
        ordinary += ordinary_interval_misses(values, mean)
    assert missed / RUNS <= tolerated(ALPHA)
    assert ordinary / RUNS > tolerated(ALPHA)


@pytest.mark.parametrize("name", LAWS)
def test_the_boundary_for_sums_holds_the_truth_over_3000_units(name: str) -> None:
    """So does the normal mixture, whose width depends on the number of units alone."""
    mean, draw = LAWS[name]
    radius = np.array(
        [
            mean_interval(total=n / 2, n=n, alpha=ALPHA, t_opt=500)[1] - 0.5
            for n in range(1, UNITS + 1)
        ]
    )
    # A radius of one half is a limit of the range, not of the data.
    radius[radius >= 0.5] = 1.0
    rng, missed = np.random.default_rng(7), 0
    for _ in range(RUNS):
        centre = np.cumsum(draw(rng)) / np.arange(1, UNITS + 1)
        missed += bool(np.any(np.abs(centre - mean) > radius))
    assert missed / RUNS <= tolerated(ALPHA)
