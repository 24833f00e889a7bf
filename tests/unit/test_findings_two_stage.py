"""Two-stage designs: the published ones, complete search, exact error chances."""

import math
from itertools import product

import numpy as np
import pytest

from sandbox.errors import JudgementError
from sandbox.findings.sequential import TwoStageDesign, simon_two_stage

# Simon, "Optimal two-stage designs for phase II clinical trials", Controlled Clinical
# Trials 10 (1989), tables 1 and 2: question, optimal and minimax design, each with its
# expected number of units at p0 to one decimal.
PUBLISHED = [
    ((0.05, 0.25, 0.10, 0.10), (0, 9, 2, 24), 14.5, (0, 13, 2, 20), 16.4),
    ((0.05, 0.25, 0.05, 0.20), (0, 9, 2, 17), 12.0, (0, 12, 2, 16), 13.8),
    ((0.10, 0.30, 0.10, 0.10), (1, 12, 5, 35), 19.8, (1, 16, 4, 25), 20.4),
    ((0.10, 0.30, 0.05, 0.20), (1, 10, 5, 29), 15.0, (1, 15, 5, 25), 19.5),
    ((0.10, 0.30, 0.05, 0.10), (2, 18, 6, 35), 22.5, (2, 22, 6, 33), 26.2),
    ((0.20, 0.40, 0.10, 0.10), (3, 17, 10, 37), 26.0, (3, 19, 10, 36), 28.3),
    ((0.20, 0.40, 0.05, 0.20), (3, 13, 12, 43), 20.6, (4, 18, 10, 33), 22.3),
    ((0.20, 0.40, 0.05, 0.10), (4, 19, 15, 54), 30.4, (5, 24, 13, 45), 31.2),
    ((0.30, 0.50, 0.05, 0.20), (5, 15, 18, 46), 23.6, (6, 19, 16, 39), 25.7),
    ((0.05, 0.20, 0.05, 0.20), (0, 10, 3, 29), 17.6, (0, 13, 3, 27), 19.8),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: str(row[0]))
def test_published_designs(row: tuple[tuple[float, ...], ...]) -> None:
    """The search finds the designs of Simon's tables, with their expected units."""
    (p0, p1, alpha, beta), optimal, fewest, minimax, usual = row
    found = simon_two_stage(p0=p0, p1=p1, alpha=alpha, beta=beta)
    assert found.optimal == optimal
    assert found.minimax == minimax
    # Printed figures round halves either way: 14.55 stands as 14.5.
    assert found.optimal.expected_units(p0) == pytest.approx(fewest, abs=0.051)
    assert found.minimax.expected_units(p0) == pytest.approx(usual, abs=0.051)


def chance(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def shown(design: TwoStageDesign, p: float) -> float:
    """Add up every outcome that calls the claim shown, one by one."""
    r1, n1, r, n = design
    return sum(
        chance(n1, first, p) * chance(n - n1, second, p)
        for first in range(r1 + 1, n1 + 1)
        for second in range(n - n1 + 1)
        if first + second > r
    )


@pytest.mark.parametrize(
    ("p0", "p1", "alpha", "beta"), [(0.2, 0.6, 0.1, 0.2), (0.1, 0.5, 0.1, 0.1)]
)
def test_no_better_design(p0: float, p1: float, alpha: float, beta: float) -> None:
    """Trying every design of up to 22 units, one by one, finds none that is better."""
    found = simon_two_stage(p0=p0, p1=p1, alpha=alpha, beta=beta)
    allowed = [
        design
        for n in range(2, 23)
        for n1, r in product(range(1, n), range(n))
        for r1 in range(min(n1, r + 1))
        if shown(design := TwoStageDesign(r1, n1, r, n), p0) <= alpha
        and shown(design, p1) >= 1 - beta
    ]
    units = [(design.expected_units(p0), design) for design in allowed]
    assert min(units)[0] == pytest.approx(found.optimal.expected_units(p0))
    least = min(design.n for design in allowed)
    assert found.minimax.n == least
    usual = min(mean for mean, design in units if design.n == least)
    assert found.minimax.expected_units(p0) == pytest.approx(usual)


@pytest.mark.parametrize("p", [0.0, 0.05, 0.3, 0.9, 1.0])
def test_chances_are_exact(p: float) -> None:
    """The chance of a claim shown is its sum over all outcomes."""
    design = TwoStageDesign(2, 18, 6, 35)
    assert design.shown(p) == pytest.approx(shown(design, p))
    early = sum(chance(18, first, p) for first in range(3))
    assert design.stops_early(p) == pytest.approx(early)


def test_error_chances_are_kept() -> None:
    """Both designs keep alpha at p0 and beta at p1, for questions of many kinds."""
    for p0, difference in product(np.arange(0.05, 0.8, 0.15), (0.15, 0.2)):
        p1 = p0 + difference
        for design in simon_two_stage(p0=p0, p1=p1, alpha=0.05, beta=0.2):
            assert design.shown(p0) <= 0.05 + 1e-9
            assert design.shown(p1) >= 0.8 - 1e-9


def test_every_wrong_argument_is_named() -> None:
    """All that is wrong is said at once."""
    with pytest.raises(JudgementError) as caught:
        simon_two_stage(p0=0.4, p1=0.3, alpha=0.0, beta=2.0)
    for name in ("p0 < p1", "alpha", "beta"):
        assert name in caught.value.diagnosis


def test_a_tiny_difference_is_refused() -> None:
    """What two stages are not for is said, with what to do instead."""
    with pytest.raises(JudgementError, match="confidence sequence"):
        simon_two_stage(p0=0.5, p1=0.505, alpha=0.01, beta=0.01)


def test_a_question_for_a_large_trial_is_refused_before_the_search() -> None:
    """A complete search for some 500 units would hold up whoever files or judges."""
    with pytest.raises(JudgementError, match="more than 200 units"):
        simon_two_stage(p0=0.9, p1=0.93, alpha=0.05, beta=0.2)
