"""Every design of a goal, judged: its verdicts, its missing units, its e-value."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from scipy import stats

from sandbox.findings import TrialEvidence, judge_evidence, look_at_goal
from sandbox.findings.designs import read
from sandbox.findings.evalues import ArmCounts, two_arm_log_value
from sandbox.findings.reading import Reading, Seen, counted
from sandbox.findings.sequential import (
    bernoulli_log_value,
    fixed_design,
    jeffreys_posterior,
    mean_log_value,
    one_sided_design,
    operating_characteristics,
    simon_two_stage,
)
from sandbox.findings.sequential.mean import mean_limit
from sandbox.model.application import Hypothesis, TrialPlan
from sandbox.model.finding import Finding
from sandbox.model.observation import Observation
from sandbox.model.record import canonical_json
from sandbox.model.rule import RulebookRef, RuleResult
from sandbox.report.charts import confidence_chart

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
REF = RulebookRef(rulebook="transport", version=3, digest="sha256:" + "0" * 64)
RULE = "dispatch/offer-time"
NAMES: dict[str, RuleResult] = {
    "s": "satisfied",
    "v": "violated",
    "n": "not_evaluable",
}


def goal(**changes: Any) -> Hypothesis:
    values: dict[str, Any] = {
        "goal": "g",
        "claim": "c",
        "unit": "request",
        "estimand": {"proportion": "satisfied", "of": RULE},
        "threshold": 0.9,
        "alpha": 0.05,
        "design": "one-sided-sequence",
        "minimum_units": 50,
        "missing": "count-both-ways",
    }
    return Hypothesis.model_validate({**values, **changes})


def units(
    results: str, values: list[dict[str, Any]] | None = None
) -> tuple[Observation, ...]:
    return tuple(
        Observation(
            trial_id="t",
            rule=RULE,
            result=NAMES[letter],
            rulebook_version=3,
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            started_at=T0 + timedelta(seconds=number),
            duration_s=1.0,
            values=values[number] if values else {},
            segment=1,
            frame=number,
        )
        for number, letter in enumerate(results)
    )


def found(chosen: Hypothesis, seen: tuple[Observation, ...], **more: Any) -> Finding:
    plan = TrialPlan(
        goals=(chosen,), order_of_analysis=(chosen.goal,), settling_time="PT5S"
    )
    evidence = TrialEvidence("t", seen, (), REF)._replace(**more)
    return judge_evidence(plan, evidence).findings[0]


def shuffled(good: int, bad: int, seed: int = 1) -> str:
    letters = list("s" * good + "v" * bad)
    random.Random(seed).shuffle(letters)
    return "".join(letters)


@pytest.mark.parametrize("proportion", ["satisfied", "violated"])
def test_one_sided_limits_give_the_verdict_of_the_exact_table(proportion: str) -> None:
    """The table whose error chances are computed and the judge agree on every count."""
    at_least = proportion == "satisfied"
    chosen = goal(
        estimand={"proportion": proportion, "of": RULE},
        threshold=0.9 if at_least else 0.1,
    )
    design = one_sided_design(
        claim="at_least" if at_least else "at_most",
        threshold=chosen.threshold,
        alpha=0.05,
        t_opt=50,
        looks=[80],
    )
    low, high = int(design.boundaries.low[0]), int(design.boundaries.high[0])
    for count in (low, low + 1, high - 1, high):
        good = count if at_least else 80 - count
        finding = found(chosen, units(shuffled(good, 80 - good)))
        above, below = count >= high, count <= low
        met, not_met = (above, below) if at_least else (below, above)
        expected = "met" if met else "not_met" if not_met else "inconclusive"
        assert finding.verdict == expected, count


def test_one_side_needs_fewer_units_than_two() -> None:
    """What a two-sided interval leaves open, the limit for the claim alone shows."""
    lower = []
    for design in ("one-sided-sequence", "confidence-sequence"):
        bounds = found(goal(design=design), units(shuffled(70, 2))).bounds
        assert bounds is not None
        lower.append(bounds.lower)
    assert lower[0] > lower[1] + 0.005
    between = goal(threshold=sum(lower) / 2)
    assert found(between, units(shuffled(70, 2))).verdict == "met"
    wider = between.model_copy(update={"design": "confidence-sequence"})
    assert found(wider, units(shuffled(70, 2))).verdict == "inconclusive"


def test_a_fixed_design_says_nothing_before_its_end() -> None:
    """Looks before the end are no findings; after it, later units change nothing."""
    chosen = goal(design="fixed")
    early = found(chosen, units("s" * 49))
    assert (early.verdict, early.bounds, early.looks) == ("inconclusive", None, 0)
    assert "49 were seen" in early.statement
    at_end = found(chosen, units("s" * 50))
    later = found(chosen, units("s" * 50 + "v" * 30))
    assert (at_end.verdict, later.verdict) == ("met", "met")
    assert later.estimate == 1
    assert later.posterior == at_end.posterior
    assert "error chance would not hold" in later.statement
    look = look_at_goal(chosen, units("s" * 10), trial_id="t", number=1, at=T0)
    assert look.bounds is None


def test_a_fixed_design_that_ended_early_keeps_its_bad_evidence() -> None:
    """Else who stops when it goes badly would count with an e-value of 1."""
    early = found(goal(design="fixed"), units("v" * 20))
    sequence = found(goal(), units("v" * 20))
    assert early.verdict == "inconclusive"
    assert early.log_evalue == sequence.log_evalue
    assert early.log_evalue is not None
    assert early.log_evalue < 0


def test_a_fixed_design_is_the_exact_binomial_test() -> None:
    """Verdicts and error chance are those of the binomial law."""
    chosen = goal(design="fixed")
    design = fixed_design(claim="at_least", threshold=0.9, alpha=0.05, looks=[50])
    chance = 0.0
    for good in range(40, 51):
        verdict = found(chosen, units(shuffled(good, 50 - good))).verdict
        p_value = stats.binom.sf(good - 1, 50, 0.9)
        assert (verdict == "met") == (p_value <= 0.05)
        chance += stats.binom.pmf(good, 50, 0.9) * (verdict == "met")
    exact = operating_characteristics(design, rate=0.9).met
    assert chance == pytest.approx(exact)
    assert exact <= 0.05


def two_stage(**changes: Any) -> Hypothesis:
    values = {"design": "two-stage", "threshold": 0.7, "alpha": 0.1}
    values |= {"stages": {"p1": 0.9, "beta": 0.1}, "minimum_units": N}
    return goal(**{**values, **changes})


R1, N1, R, N = simon_two_stage(p0=0.7, p1=0.9, alpha=0.1, beta=0.1).optimal


@pytest.mark.parametrize(
    ("results", "verdict", "said"),
    [
        ("s" * (N1 - 1), "inconclusive", "The first stage has"),
        ("s" * R1 + "v" * (N1 - R1), "not_met", f"after the first {N1} units"),
        ("s" * R1 + "v" * (N1 - R1) + "s" * 50, "not_met", "It stopped"),
        ("s" * (N - 1), "inconclusive", "The second stage has"),
        ("s" * (R + 1) + "v" * (N - R - 1), "met", f"More than {R} of {N}"),
        ("s" * R + "v" * (N - R), "not_met", f"More than {R} of {N}"),
        ("s" * (R1 + 1) + "v" * (N1 - R1 - 1), "inconclusive", "The second stage has"),
    ],
)
def test_two_stages_stop_where_simon_stops(
    results: str, verdict: str, said: str
) -> None:
    """At the end of each stage, and nowhere else."""
    finding = found(two_stage(), units(results))
    assert finding.verdict == verdict
    assert said in finding.statement


def test_two_stages_have_the_error_chances_of_their_plan() -> None:
    """Over every pair of counts, the chance of `met` at p0 and p1 is the design's."""
    design = simon_two_stage(p0=0.7, p1=0.9, alpha=0.1, beta=0.1).optimal
    for p in (0.7, 0.9):
        met = 0.0
        for first, second in product(range(N1 + 1), range(N - N1 + 1)):
            order = "s" * first + "v" * (N1 - first)
            order += "s" * second + "v" * (N - N1 - second)
            weight = stats.binom.pmf(first, N1, p) * stats.binom.pmf(second, N - N1, p)
            met += weight * (reading_of(order).verdict == "met")
        assert met == pytest.approx(design.shown(p))


def reading_of(order: str) -> Reading:
    seen = units(order)
    return read(two_stage(), Seen(seen, counted(seen)))


def test_two_stages_for_few_events_count_those_that_were_spared() -> None:
    """A claim of at most 30 % violated is that of at least 70 % spared."""
    chosen = two_stage(
        estimand={"proportion": "violated", "of": RULE},
        threshold=0.3,
        stages={"p1": 0.1, "beta": 0.1},
    )
    good = found(chosen, units("s" * (R + 1) + "v" * (N - R - 1)))
    bad = found(chosen, units("s" * R + "v" * (N - R)))
    assert (good.verdict, bad.verdict) == ("met", "not_met")


@pytest.mark.parametrize("design", ["one-sided-sequence", "fixed", "two-stage"])
@pytest.mark.parametrize("lost", [False, True])
def test_missing_units_count_both_ways_in_every_design(design: str, lost: bool) -> None:
    """A verdict that would turn with them is none; one that would not, stands."""
    chosen = two_stage() if design == "two-stage" else goal(design=design)
    n = chosen.minimum_units
    few, many = 1, n // 2
    for missing, verdict in ((few, "met"), (many, "inconclusive")):
        letters = "s" * (2 * n)
        if lost:
            finding = found(chosen, units(letters), missing={RULE: missing})
        else:
            letters = "n" * missing + "s" * (2 * n - missing)
            finding = found(chosen, units(letters))
        assert finding.verdict == verdict, missing


def test_a_claim_that_fails_either_way_is_not_met() -> None:
    """Whether it should have stopped early is open, but not what comes of it."""
    order = "s" * R1 + "n" + "v" * (N - R1 - 1)
    finding = found(two_stage(), units(order))
    assert finding.verdict == "not_met"
    assert found(two_stage(), units(order[:N1])).verdict == "inconclusive"


def arm_units(outcomes: list[tuple[str, str]]) -> tuple[Observation, ...]:
    """One unit for each (arm, result letter), in order."""
    return units(
        "".join(result for _, result in outcomes),
        [{"span.attributes.arm": arm} if arm else {} for arm, _ in outcomes],
    )


def arms_goal(**changes: Any) -> Hypothesis:
    arms = {"by": "span.attributes.arm", "treated": "aid", "control": "none"}
    return goal(**{"design": "two-arm", "threshold": 0, "arms": arms, **changes})


def paired(pairs: int, treated: str, control: str) -> list[tuple[str, str]]:
    found = []
    for number in range(pairs):
        found.append(("aid", treated[number % len(treated)]))
        found.append(("none", control[number % len(control)]))
    return found


@pytest.mark.parametrize(
    ("treated", "control", "verdict"),
    [
        ("sssv", "svvv", "met"),
        ("svvv", "sssv", "not_met"),
        ("sv", "vs", "inconclusive"),
    ],
)
def test_two_arms_are_compared_in_the_claimed_direction(
    treated: str, control: str, verdict: str
) -> None:
    """Better, worse, or neither; the e-value is that for better."""
    pairs = paired(40, treated, control)
    finding = found(arms_goal(), arm_units(pairs))
    assert finding.verdict == verdict
    assert (finding.bounds, finding.measure) == (None, "difference")
    assert finding.log_evalue is not None
    assert (finding.log_evalue >= math.log(20)) == (verdict == "met")
    violated = {"proportion": "violated", "of": RULE}
    same = found(arms_goal(estimand=violated), arm_units(pairs))
    assert (same.verdict, same.estimate) == (verdict, finding.estimate)
    assert finding.estimate == pytest.approx(
        {"met": 0.5, "not_met": -0.5, "inconclusive": 0}[verdict]
    )


def test_two_arms_that_change_together_do_not_differ() -> None:
    """Not even where one of them had few units before the change."""
    bad = [("aid", "v"), *[("none", "v")] * 9] * 20
    good = [("aid", "s"), ("none", "s")] * 90
    finding = found(arms_goal(), arm_units(bad + good))
    assert finding.verdict == "inconclusive"
    assert finding.log_evalue is not None
    assert finding.log_evalue < 1


def test_of_the_arm_that_waits_the_latest_units_fill_the_block() -> None:
    """Four controls came before the treated unit; the last of them is its partner."""
    block = [("none", "v"), ("none", "v"), ("none", "v"), ("none", "s"), ("aid", "s")]
    many, few = arm_units(block * 40), arm_units([block[3], block[4]] * 40)
    assert found(arms_goal(), many).log_evalue == found(arms_goal(), few).log_evalue


def test_a_unit_without_an_arm_leaves_a_comparison_open() -> None:
    """It could belong to either; so could one that was lost."""
    pairs = paired(40, "s", "v")
    assert found(arms_goal(), arm_units(pairs)).verdict == "met"
    unknown = found(arms_goal(), arm_units([*pairs, ("", "s")]))
    assert unknown.verdict == "inconclusive"
    assert "not known to which arm" in unknown.statement
    lost = found(arms_goal(), arm_units(pairs), missing={RULE: 1})
    assert lost.verdict == "inconclusive"


def test_a_unit_that_cannot_be_evaluated_counts_against_its_arm() -> None:
    """In the treated arm as violated, in the control arm as satisfied."""
    finding = found(arms_goal(), arm_units(paired(40, "sssn", "nvvv")))
    worst = found(arms_goal(), arm_units(paired(40, "sssv", "svvv")))
    assert finding.log_evalue == worst.log_evalue


def test_claiming_the_larger_chance_keeps_its_error_when_it_is_smaller() -> None:
    """The mean of the one-sided e-value is at most 1 wherever the claim is false."""
    sizes = [(1, 1), (2, 1), (1, 2)]
    for a, b in ((0.3, 0.3), (0.2, 0.6), (0.5, 0.55), (0.0, 0.9)):
        total = 0.0
        counts = [list(product(range(x + 1), range(y + 1))) for x, y in sizes]
        for outcome in product(*counts):
            blocks, weight = [], 1.0
            for (one, two), (x, y) in zip(outcome, sizes, strict=True):
                blocks.append(ArmCounts(one, x, two, y))
                weight *= stats.binom.pmf(one, x, a) * stats.binom.pmf(two, y, b)
            total += weight * math.exp(two_arm_log_value(blocks, claim="a"))
            mirrored = [ArmCounts(k.events_b, k.units_b, *k[:2]) for k in blocks]
            assert two_arm_log_value(mirrored, claim="b") == pytest.approx(
                two_arm_log_value(blocks, claim="a")
            )
        assert total <= 1 + 1e-12


def mean_goal(**changes: Any) -> Hypothesis:
    estimand = {"mean": "span.attributes.s", "of": RULE, "claim": "at_most"}
    estimand |= {"least": 0, "most": 10}
    return goal(**{"estimand": estimand, "threshold": 3, **changes})


def valued(*numbers: Any) -> tuple[Observation, ...]:
    values = [{} if n is None else {"span.attributes.s": n} for n in numbers]
    return units("s" * len(numbers), values)


def test_a_mean_is_judged_in_its_own_unit() -> None:
    """Bounds and estimate are seconds, not shares; the claim has a direction."""
    low = found(mean_goal(), valued(*[1, 2] * 100))
    assert (low.verdict, low.estimate, low.measure) == ("met", 1.5, "mean")
    assert low.bounds is not None
    assert 0 <= low.bounds.lower < 1.5 < low.bounds.upper <= 3
    assert low.posterior is None
    assert found(mean_goal(), valued(*[5, 6] * 100)).verdict == "not_met"
    assert found(mean_goal(), valued(*[2, 4] * 100)).verdict == "inconclusive"
    high = mean_goal(
        estimand={**mean_goal().estimand.model_dump(), "claim": "at_least"}
    )
    assert found(high, valued(*[5, 6] * 100)).verdict == "met"


def test_a_value_outside_the_bounds_of_the_plan_is_invalid() -> None:
    """The guarantee rests on the bounds, so nothing is shown with it."""
    finding = found(mean_goal(), valued(*[1] * 200, 11))
    assert (finding.verdict, finding.log_evalue) == ("invalid", None)
    assert "outside [0, 10]" in finding.statement


def test_missing_values_count_as_least_and_as_most() -> None:
    """Units without a value turn a met claim into an open one; so do lost ones."""
    assert found(mean_goal(), valued(*[1] * 200)).verdict == "met"
    absent = found(mean_goal(), valued(*[1] * 200, *[None] * 60))
    assert absent.verdict == "inconclusive"
    lost = found(mean_goal(), valued(*[1] * 200), missing={RULE: 60})
    assert (lost.verdict, lost.bounds) == ("inconclusive", absent.bounds)


def test_the_limit_of_a_mean_is_where_its_e_value_is_enough() -> None:
    """Just inside the limit the evidence suffices, just outside it does not."""
    for total, n, claim in ((70.0, 100, "at_least"), (5.0, 100, "at_most")):
        limit = mean_limit(total=total, n=n, alpha=0.05, t_opt=80, claim=claim)
        step = 1e-6 if claim == "at_most" else -1e-6
        inside, outside = (
            mean_log_value(total=total, n=n, threshold=at, claim=claim, t_opt=80)
            for at in (limit + step, limit - step)
        )
        assert inside > math.log(20) > outside
    assert mean_limit(total=0, n=0, alpha=0.05, t_opt=80, claim="at_least") == 0


@pytest.mark.parametrize("chosen", [goal(), goal(design="fixed"), mean_goal()])
def test_a_change_nobody_noticed_is_invalid_in_every_design(chosen: Hypothesis) -> None:
    """Good, then bad, without a signal: no value fits, and no evidence is claimed."""
    longer = chosen.model_copy(update={"minimum_units": 400})
    values = [{"span.attributes.s": 0 if n < 200 else 9} for n in range(400)]
    finding = found(longer, units("s" * 200 + "v" * 200, values))
    assert (finding.verdict, finding.log_evalue) == ("invalid", None)
    assert "no single rate fits" in finding.statement


def test_a_finding_carries_its_e_value_and_what_one_may_believe() -> None:
    """Missing units speak against the claim in it; the posterior decides nothing."""
    chosen = goal(equivalence={"least": 0.88, "most": 0.92})
    finding = found(chosen, units("s" * 95 + "v" * 3 + "n" * 2))
    assert finding.log_evalue == pytest.approx(
        bernoulli_log_value(
            successes=95, n=100, threshold=0.9, claim="at_least", t_opt=50
        )
    )
    believed = jeffreys_posterior(successes=95, n=98, least=0.88, most=0.92)
    assert finding.posterior is not None
    assert finding.posterior.above == believed.above
    assert finding.posterior.within == believed.within
    assert "never decided on" in finding.statement
    plain = found(goal(), units("s" * 95 + "v" * 3 + "n" * 2))
    assert plain.verdict == finding.verdict
    assert plain.posterior is not None
    assert plain.posterior.within == 0


def test_a_trial_that_went_badly_does_not_outweigh_all_others() -> None:
    """Its e-value is small and can be written down, but nowhere near nothing."""
    finding = found(goal(), units("v" * 5000))
    assert finding.log_evalue is not None
    assert -12 < finding.log_evalue < -5
    assert canonical_json(finding)


def test_the_chart_of_a_mean_is_in_its_own_unit() -> None:
    """No per cent where seconds are meant, and the page's table neither."""
    plan = TrialPlan(
        goals=(mean_goal(),), order_of_analysis=("g",), settling_time="PT5S"
    )
    evidence = TrialEvidence("t", valued(*[1, 2] * 100), (), REF)
    drawing = confidence_chart(judge_evidence(plan, evidence).looks)
    assert drawing is not None
    assert "The threshold is 3." in drawing.description
    assert "%" not in drawing.description
    assert drawing.rows[-1][4] == "1.5"
