"""Operating characteristics: exact, and what peeking does to designs of one look."""

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from sandbox.errors import JudgementError
from sandbox.findings.sequential import (
    GoalDesign,
    TwoStageDesign,
    anytime_design,
    bernoulli_interval,
    clopper_pearson,
    ever_chances,
    exact_p_value,
    fixed_design,
    jeffreys_design,
    jeffreys_posterior,
    one_sided_design,
    operating_characteristics,
    simon_two_stage,
    two_stage_design,
)


@pytest.mark.parametrize(
    ("units", "share"), [(50, 0.072), (100, 0.115), (200, 0.165), (500, 0.227)]
)
def test_peeking_at_a_fixed_test_calls_an_unsafe_system_safe(
    units: int, share: float
) -> None:
    """10 % violated against a limit of 10 %: looking after every unit errs far more."""
    peeked = fixed_design(
        claim="at_most", threshold=0.1, alpha=0.05, looks=range(1, units + 1)
    )
    assert ever_chances(peeked, rate=0.1).met == pytest.approx(share, abs=5e-4)
    once = fixed_design(claim="at_most", threshold=0.1, alpha=0.05, looks=[units])
    assert ever_chances(once, rate=0.1).met <= 0.05


AT_MOST_5 = {"claim": "at_most", "threshold": 0.05, "alpha": 0.05}
EVERY = range(50, 1001)
DOCUMENTED: list[tuple[GoalDesign, float, float, int]] = [
    (anytime_design(**AT_MOST_5, t_opt=200, looks=EVERY), 0.022, 0.993, 322),
    (one_sided_design(**AT_MOST_5, t_opt=200, looks=EVERY), 0.035, 0.996, 280),
    (fixed_design(**AT_MOST_5, looks=[1000]), 0.043, 1.0, 1000),
    (fixed_design(**AT_MOST_5, looks=EVERY), 0.231, 0.999, 143),
    (
        jeffreys_design(claim="at_most", region=(0.05, 0.05), level=0.95, looks=EVERY),
        0.304,
        0.998,
        114,
    ),
]


@pytest.mark.parametrize(
    "row", DOCUMENTED, ids=["two", "one", "once", "peek", "belief"]
)
def test_the_table_of_designs_in_the_documents(
    row: tuple[GoalDesign, float, float, int],
) -> None:
    """Error at the boundary, power and mean units are those of docs/judging.md."""
    design, wrong, power, units = row
    assert ever_chances(design, rate=0.05).met == pytest.approx(wrong, abs=6e-4)
    found = operating_characteristics(design, rate=0.02)
    assert found.met == pytest.approx(power, abs=6e-4)
    assert found.stopping.mean() == pytest.approx(units, abs=0.5)


@pytest.mark.parametrize(
    ("threshold", "units"), [(0.1, (29, 34, 36)), (0.02, (149, 180, 193))]
)
def test_what_looking_at_any_time_costs_when_nothing_goes_wrong(
    threshold: float, units: tuple[int, int, int]
) -> None:
    """Clean units that show a rate: fixed test, one-sided limit, interval."""
    tuned = units[0]
    fixed = fixed_design(
        claim="at_most", threshold=threshold, alpha=0.05, looks=range(1, 300)
    )
    found = [fixed] + [
        design(
            claim="at_most",
            threshold=threshold,
            alpha=0.05,
            t_opt=tuned,
            looks=range(1, 300),
        )
        for design in (one_sided_design, anytime_design)
    ]
    first = [operating_characteristics(item, rate=0).stopping for item in found]
    assert tuple(item.quantile(1) for item in first) == units


RUNS = 4000


@cache
def verdict(successes: int, n: int) -> str:
    """The judge's own rule, on one count."""
    lower, upper = bernoulli_interval(successes=successes, n=n, alpha=0.1, t_opt=30)
    return "met" if lower >= 0.7 else "not met" if upper < 0.7 else ""


def simulated(looks: list[int], rate: float, seed: int) -> tuple[float, float]:
    """Share of trials met, and mean units, judged at the looks by the interval."""
    rng, met, units = np.random.default_rng(seed), 0, 0
    for _ in range(RUNS):
        counts = np.cumsum(rng.random(looks[-1]) < rate)
        for look in looks:
            said = verdict(int(counts[look - 1]), look)
            if said:
                met += said == "met"
                break
        units += look
    return met / RUNS, units / RUNS


def test_characteristics_are_those_of_the_judge_itself() -> None:
    """Trials that are really drawn and judged by the interval agree with the table."""
    looks = list(range(10, 61, 5))
    design = anytime_design(
        claim="at_least", threshold=0.7, alpha=0.1, t_opt=30, looks=looks
    )
    found = operating_characteristics(design, rate=0.85)
    met, units = simulated(looks, 0.85, seed=11)
    assert met == pytest.approx(found.met, abs=4 * math.sqrt(0.25 / RUNS))
    assert units == pytest.approx(found.stopping.mean(), abs=4 * 18 / math.sqrt(RUNS))
    assert found.met + found.not_met + found.inconclusive == pytest.approx(1)


def test_claims_about_failures_mirror_those_about_successes() -> None:
    """The same trial told by what goes wrong has the same chances."""
    least, most = (
        one_sided_design(
            claim=claim, threshold=t, alpha=0.05, t_opt=50, looks=range(20, 201)
        )
        for claim, t in (("at_least", 0.9), ("at_most", 0.1))
    )
    one = operating_characteristics(least, rate=0.96)
    other = operating_characteristics(most, rate=0.04)
    assert one[:3] == pytest.approx(other[:3])
    assert one.stopping.quantile(0.5) == other.stopping.quantile(0.5)


def test_a_better_system_is_met_sooner_and_more_often() -> None:
    """Power rises with the true rate, and the mean number of units falls."""
    design = one_sided_design(
        claim="at_least", threshold=0.9, alpha=0.05, t_opt=100, looks=range(30, 301)
    )
    found = [operating_characteristics(design, rate=p) for p in (0.92, 0.95, 0.98, 1)]
    met = [item.met for item in found]
    units = [item.stopping.mean() for item in found]
    assert met == sorted(met) and met[0] < met[-1] == pytest.approx(1)
    assert units == sorted(units, reverse=True)


@pytest.mark.parametrize("p", [0.1, 0.2, 0.3])
def test_two_stage_designs_have_the_characteristics_simon_gives_them(p: float) -> None:
    """Chance of a claim shown and expected units are those of the design itself."""
    designs = simon_two_stage(p0=0.1, p1=0.3, alpha=0.05, beta=0.2)
    for design in (designs.optimal, TwoStageDesign(2, 18, 6, 35)):
        found = operating_characteristics(two_stage_design(design), rate=p)
        assert found.met == pytest.approx(design.shown(p))
        assert found.stopping.mean() == pytest.approx(design.expected_units(p))
        assert found.inconclusive == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 20, 137])
def test_fixed_methods_agree_with_scipy(n: int) -> None:
    """Clopper–Pearson limits and exact tests equal those of scipy.stats."""
    for successes in {0, 1, n // 3, n - 1, n}:
        test = stats.binomtest(successes, n, 0.2, alternative="greater")
        found = exact_p_value(successes=successes, n=n, threshold=0.2, claim="at_least")
        assert found == pytest.approx(test.pvalue)
        less = stats.binomtest(successes, n, 0.2, alternative="less").pvalue
        found = exact_p_value(successes=successes, n=n, threshold=0.2, claim="at_most")
        assert found == pytest.approx(less)
        limits = stats.binomtest(successes, n).proportion_ci(0.9, method="exact")
        found_limits = clopper_pearson(successes=successes, n=n, alpha=0.1)
        assert found_limits == pytest.approx((limits.low, limits.high))


def test_a_claim_without_a_violation_needs_the_units_of_the_rule_of_three() -> None:
    """A rate below 10, 5, 2, 1 % is shown once by 29, 59, 149, 299 clean units."""
    for threshold, units in ((0.1, 29), (0.05, 59), (0.02, 149), (0.01, 299)):
        for n, shown in ((units, True), (units - 1, False)):
            p_value = exact_p_value(
                successes=0, n=n, threshold=threshold, claim="at_most"
            )
            assert (p_value <= 0.05) == shown


def test_the_posterior_is_that_of_jeffreys() -> None:
    """0 of 30 leaves a chance of 0.92 that the rate is below 5 %."""
    found = jeffreys_posterior(successes=0, n=30, least=0.05, most=0.10)
    assert found.below == pytest.approx(0.92, abs=0.005)
    assert sum(found) == pytest.approx(1)
    law = stats.beta(0.5, 30.5)
    assert found.within == pytest.approx(law.cdf(0.10) - law.cdf(0.05))


def test_a_rule_on_the_posterior_does_not_keep_its_level() -> None:
    """95 % posterior chance, asked after each of 500 units, is wrong far over 5 %.

    That is why it is reported beside a verdict and never alone.
    """
    rule = jeffreys_design(
        claim="at_most", region=(0.1, 0.1), level=0.95, looks=range(1, 501)
    )
    assert ever_chances(rule, rate=0.1).met > 0.2
    wide = jeffreys_design(
        claim="at_most", region=(0.08, 0.12), level=0.95, looks=range(1, 501)
    )
    assert ever_chances(wide, rate=0.1).met < ever_chances(rule, rate=0.1).met


def test_what_is_out_of_range_is_refused() -> None:
    """Rates, looks, counts and regions are checked, with what is wrong."""
    design = fixed_design(claim="at_most", threshold=0.1, alpha=0.05, looks=[30])
    with pytest.raises(JudgementError, match="rate"):
        operating_characteristics(design, rate=1.1)
    for looks in ([], [0, 3], [5, 5], [2, 3.5]):
        with pytest.raises(JudgementError, match="Looks"):
            fixed_design(claim="at_most", threshold=0.1, alpha=0.05, looks=looks)
    with pytest.raises(JudgementError, match="region"):
        jeffreys_posterior(successes=1, n=3, least=0.5, most=0.4)
    with pytest.raises(JudgementError, match="alpha"):
        clopper_pearson(successes=1, n=3, alpha=0)
