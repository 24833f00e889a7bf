"""Arms that do not differ are told apart in at most alpha of trials.

Evidence on two arms depends on its path and has no law of a count, so trials are drawn,
from seeds that are fixed; the tolerance is four standard errors.
"""

import math

import numpy as np
import pytest

from sandbox.findings import outlook
from sandbox.findings.evalues import two_arm_paths
from sandbox.model.application import Hypothesis

RUNS = 4000
UNITS = 600
BLOCKS = [(1, 1), (1, 2), (7, 3), (50, 50)]
RATES = [0.02, 0.3, 0.5, 0.9]


def goal(alpha: float, sizes: tuple[int, int]) -> Hypothesis:
    arms = {"by": "span.attributes.arm", "treated": "new", "control": "old"}
    blocks = {"block_treated": sizes[0], "block_control": sizes[1]}
    return Hypothesis.model_validate(
        {
            "goal": "g",
            "claim": "c",
            "unit": "request",
            "estimand": {"proportion": "satisfied", "of": "r"},
            "threshold": 0,
            "alpha": alpha,
            "design": "two-arm",
            "arms": arms | blocks,
            "minimum_units": 1,
            "missing": "count-both-ways",
        }
    )


def tolerated(alpha: float, trials: int) -> float:
    return alpha + 4 * math.sqrt(alpha * (1 - alpha) / trials)


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize("sizes", BLOCKS, ids=str)
@pytest.mark.parametrize("rate", RATES)
def test_an_outlook_promises_no_more_than_alpha_where_nothing_is_better(
    rate: float, sizes: tuple[int, int], alpha: float
) -> None:
    """At equal rates and where the treated arm is worse; and not_met the other way."""
    values = (0.01, 0.0, -0.01)
    found = outlook(goal(alpha, sizes), units=UNITS, values=values, control_rate=rate)
    assert found.drawn is not None
    most = tolerated(alpha, found.drawn.trials)
    for item in found.chances:
        assert item.value > 0 or item.met <= most
        assert item.value < 0 or item.not_met <= most


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize("sizes", BLOCKS, ids=str)
@pytest.mark.parametrize("rate", RATES)
def test_looking_after_every_block_claims_nothing_false_in_more_than_alpha(
    rate: float, sizes: tuple[int, int], alpha: float
) -> None:
    """Either claim, at any of the blocks, where both arms have the same chance."""
    draws, blocks = np.random.default_rng(21060269), UNITS // sum(sizes)
    a, b = (
        draws.binomial(size, rate, size=(RUNS, blocks)).astype(float) for size in sizes
    )
    for path in two_arm_paths(a, b, units=sizes):
        ever = (path.max(axis=1) >= math.log(1 / alpha)).mean()
        assert ever <= tolerated(alpha, RUNS)


def test_the_check_can_fail() -> None:
    """Units that are counted twice show a difference that is not there."""
    draws = np.random.default_rng(3)
    a, b = (
        np.repeat(draws.binomial(1, 0.5, size=(RUNS, 300)), 2, axis=1).astype(float)
        for _ in range(2)
    )
    path = two_arm_paths(a, b, units=(1, 1)).a
    ever = (path.max(axis=1) >= math.log(1 / 0.05)).mean()
    assert ever > tolerated(0.05, RUNS)
