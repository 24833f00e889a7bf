"""The error guarantee: looked at after every unit up to 500, exactly, at the boundary.

Every number is a sum over all trials of that length (`ever_chances`), not a simulation.
A design that breaks its promise fails the same check, so the check can fail. What takes
longer stands in `tests/guarantee`.
"""

from collections.abc import Callable

import pytest

from sandbox.findings.sequential import (
    Claim,
    GoalDesign,
    anytime_design,
    ever_chances,
    fixed_design,
    mean_design,
    one_sided_design,
    operating_characteristics,
    signal_stopping,
    simon_two_stage,
    two_stage_design,
    unit_threshold,
)

EVERY_UNIT = range(1, 501)
ANYTIME = [anytime_design, one_sided_design, mean_design]


def keeps_alpha(design: GoalDesign, *, boundary: float, alpha: float) -> bool:
    """Whether neither verdict is wrong with more than alpha at the boundary."""
    wrong = ever_chances(design, rate=boundary)
    return max(wrong) <= alpha


@pytest.mark.parametrize("claim", ["at_least", "at_most"])
@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("design", ANYTIME, ids=lambda it: str(it.__name__))
def test_false_verdicts_stay_within_alpha_after_every_unit(
    design: Callable[..., GoalDesign], claim: Claim, threshold: float, alpha: float
) -> None:
    """A system exactly at the threshold is called safe in at most alpha of trials."""
    for t_opt in (1, 100):
        planned = design(
            claim=claim,
            threshold=threshold,
            alpha=alpha,
            t_opt=t_opt,
            looks=EVERY_UNIT,
        )
        assert keeps_alpha(planned, boundary=threshold, alpha=alpha)


def test_a_fixed_test_looked_at_after_every_unit_does_not_pass_this_check() -> None:
    """The same check refuses the wrong design, and accepts it with its one look."""
    peeked = fixed_design(claim="at_most", threshold=0.1, alpha=0.05, looks=EVERY_UNIT)
    assert not keeps_alpha(peeked, boundary=0.1, alpha=0.05)
    once = fixed_design(claim="at_most", threshold=0.1, alpha=0.05, looks=[500])
    assert keeps_alpha(once, boundary=0.1, alpha=0.05)


def test_an_unsafe_system_is_called_safe_less_often_the_worse_it_is() -> None:
    """Beyond the boundary the chance falls: the boundary is the worst case."""
    for design in ANYTIME:
        planned = design(
            claim="at_least", threshold=0.8, alpha=0.05, t_opt=100, looks=EVERY_UNIT
        )
        wrong = [ever_chances(planned, rate=p).met for p in (0.8, 0.79, 0.7, 0.5)]
        assert wrong == sorted(wrong, reverse=True)
        assert wrong[-1] < wrong[0]


@pytest.mark.parametrize(("p0", "p1"), [(0.05, 0.25), (0.3, 0.5), (0.7, 0.85)])
def test_two_stage_designs_keep_alpha(p0: float, p1: float) -> None:
    """At the rate of no interest the claim is shown with at most alpha."""
    for design in simon_two_stage(p0=p0, p1=p1, alpha=0.05, beta=0.2):
        # To stop early is part of the design: whoever goes on breaks it.
        wrong = operating_characteristics(two_stage_design(design), rate=p0)
        assert 0 < wrong.met <= 0.05 + 1e-12


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("min_events", [1, 3])
def test_guardrails_keep_alpha_when_looked_at_after_every_unit(
    rate: float, alpha: float, min_events: int
) -> None:
    """A system at its baseline rate of harm is stopped in at most alpha of trials."""
    threshold = unit_threshold(
        baseline_rate=rate, horizon=500 * rate, alpha=alpha, min_events=min_events
    )
    at_baseline, doubled = (
        signal_stopping(
            threshold=threshold,
            baseline_rate=rate,
            units=500,
            rate=true,
            min_events=min_events,
        )
        for true in (rate, 2 * rate)
    )
    assert 0 < at_baseline.high.sum() <= alpha < doubled.high.sum()
    assert doubled.mean() < at_baseline.mean()
