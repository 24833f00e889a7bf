"""Goals about a proportion: sequences, two stages, and one fixed look.

Rules of this module:

* Of `named` units with the result in question, at least those count that surely have
  it, at most also those that are missing. Each limit uses the number that is worse.
* Fixed designs judge the first units only, as many as were planned: which those are, a
  lost unit can change by at most one place each.
* The e-value is that of `bernoulli_log_value` for every design: it is valid whenever
  the units were looked at, so trials of different designs multiply.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.errors import JudgementError
from sandbox.findings.reading import (
    Reading,
    Seen,
    by_bounds,
    counted,
    kept_log,
    too_few,
)
from sandbox.findings.sequential import (
    Claim,
    TwoStageDesign,
    bernoulli_interval,
    bernoulli_limit,
    bernoulli_log_value,
    clopper_pearson,
    simon_two_stage,
)
from sandbox.model.application import Hypothesis
from sandbox.model.finding import Bounds, Counts, Verdict

_WHOLE = 1 - 1e-12


class _Named(NamedTuple):
    """Units with the result a goal speaks of."""

    least: int
    """As many surely have it."""
    most: int
    """As many may have it."""
    units: int
    """All, also those that are missing."""


def read_sequence(goal: Hypothesis, seen: Seen) -> Reading:
    """Read a confidence sequence, two-sided or one-sided, after any unit."""
    named = _named(goal, seen.counts, seen.missing)
    one_sided = goal.design == "one-sided-sequence"
    bounds = _limits(goal, named) if one_sided else _interval(goal, named)
    verdict, reason = by_bounds(goal, bounds)
    if seen.counts.units < goal.minimum_units:
        verdict = "inconclusive"
        reason = too_few(goal.minimum_units, seen.counts.units)
    return Reading(
        verdict,
        reason,
        proportion(goal, seen.counts),
        bounds,
        _log_evalue(goal, named),
    )


def read_fixed(goal: Hypothesis, seen: Seen) -> Reading:
    """Read an exact binomial test at its one look, and nothing before it."""
    units = goal.minimum_units
    counts = counted(seen.units[:units])
    estimate, named = proportion(goal, counts), _first(goal, counts, seen.missing)
    log_evalue = _log_evalue(goal, named)
    if counts.units < units:
        # That it ended early may be owed to what was seen, so the evidence counts.
        reason = f"{too_few(units, counts.units)} A fixed design says nothing earlier."
        return Reading("inconclusive", reason, estimate, None, log_evalue)
    alpha = min(2 * goal.alpha, _WHOLE)
    lower, _ = clopper_pearson(successes=named.least, n=units, alpha=alpha)
    _, upper = clopper_pearson(successes=named.most, n=units, alpha=alpha)
    bounds = Bounds(lower=lower, upper=upper)
    verdict, reason = by_bounds(goal, bounds)
    said = [reason] if reason else []
    said.append(
        f"It was judged once, on the first {units} units; had anyone decided on an"
        " earlier look, its error chance would not hold."
    )
    return Reading(verdict, " ".join(said), estimate, bounds, log_evalue)


def read_two_stages(goal: Hypothesis, seen: Seen) -> Reading:
    """Read a two-stage design at the end of its first and of its second stage."""
    design = two_stages_of(goal)
    first = _Stage(goal, seen, design.n1)
    if first.short:
        why = f"The first stage has {first.counts.units} of {design.n1} units."
        return first.reading("inconclusive", why)
    stop = f"It stopped after the first {design.n1} units, as planned."
    if first.successes.most <= design.r1:
        return first.reading("not_met", stop)
    both = _Stage(goal, seen, design.n)
    asked = f"More than {design.r} of {design.n} were asked for."
    if not both.short and both.successes.most <= design.r:
        return both.reading("not_met", asked)
    if first.successes.least <= design.r1:
        why = f"Whether it stops after {design.n1} units depends on missing ones."
        return both.reading("inconclusive", why)
    if both.short:
        why = f"The second stage has {both.counts.units} of {design.n} units in all."
        return both.reading("inconclusive", why)
    if both.successes.least > design.r:
        return both.reading("met", asked)
    why = f"{asked} Whether there are depends on missing units."
    return both.reading("inconclusive", why)


class _Stage:
    """The first units of a trial, up to the end of a stage."""

    def __init__(self, goal: Hypothesis, seen: Seen, units: int) -> None:
        self._goal = goal
        self.counts = counted(seen.units[:units])
        self.short = self.counts.units < units
        named = _first(goal, self.counts, seen.missing)
        self._named = named
        kept = named
        if goal.estimand.direction == "at_most":
            # Success is to be spared the event.
            units = named.units
            kept = _Named(units - named.most, units - named.least, units)
        self.successes = kept

    def reading(self, verdict: Verdict, reason: str) -> Reading:
        named = self._named
        bounds = _interval(self._goal, named)
        evalue = _log_evalue(self._goal, named)
        return Reading(
            verdict, reason, proportion(self._goal, self.counts), bounds, evalue
        )


def two_stages_of(goal: Hypothesis) -> TwoStageDesign:
    """Return the two-stage design a goal asks for; success is what is claimed.

    Raises:
        JudgementError: The plan does not say what must not be missed, or there is no
            such design.
    """
    stages = goal.stages
    if stages is None:
        raise JudgementError(
            f"The goal {goal.goal} has two stages, and its plan does not say `p1` and"
            " `beta`."
        )
    p0, p1 = goal.threshold, stages.p1
    if goal.estimand.direction == "at_most":
        p0, p1 = 1 - p0, 1 - p1
    designs = simon_two_stage(p0=p0, p1=p1, alpha=goal.alpha, beta=stages.beta)
    return designs.optimal if stages.choose == "optimal" else designs.minimax


def two_sided(goal: Hypothesis, counts: Counts) -> Bounds:
    """Return the two-sided anytime-valid interval, missing units counted both ways."""
    return _interval(goal, _named(goal, counts, 0))


def proportion(goal: Hypothesis, counts: Counts) -> float | None:
    """Return the proportion among evaluable units; None where there are none."""
    evaluable = counts.satisfied + counts.violated
    return with_result(goal, counts) / evaluable if evaluable else None


def with_result(goal: Hypothesis, counts: Counts) -> int:
    """Return the units with the result the goal speaks of."""
    satisfied = goal.estimand.proportion == "satisfied"
    return counts.satisfied if satisfied else counts.violated


def _named(goal: Hypothesis, counts: Counts, missing: int) -> _Named:
    least = with_result(goal, counts)
    return _Named(least, least + counts.not_evaluable + missing, counts.units + missing)


def _first(goal: Hypothesis, counts: Counts, missing: int) -> _Named:
    """Of the first units, where lost ones may have been among them."""
    least = with_result(goal, counts)
    most = least + counts.not_evaluable + missing
    return _Named(max(0, least - missing), min(counts.units, most), counts.units)


def _interval(goal: Hypothesis, named: _Named) -> Bounds:
    lower, upper = (
        bernoulli_interval(
            successes=successes,
            n=named.units,
            alpha=goal.alpha,
            t_opt=goal.minimum_units,
        )[side]
        for side, successes in enumerate((named.least, named.most))
    )
    return Bounds(lower=lower, upper=upper)


def _limits(goal: Hypothesis, named: _Named) -> Bounds:
    """Return one limit for the claim and one against it, each valid by itself."""

    def limit(successes: int, claim: Claim) -> float:
        return bernoulli_limit(
            successes=successes,
            n=named.units,
            alpha=goal.alpha,
            t_opt=goal.minimum_units,
            claim=claim,
        )

    return Bounds(
        lower=limit(named.least, "at_least"), upper=limit(named.most, "at_most")
    )


def _log_evalue(goal: Hypothesis, named: _Named) -> float:
    claim = goal.estimand.direction
    value = bernoulli_log_value(
        successes=named.least if claim == "at_least" else named.most,
        n=named.units,
        threshold=goal.threshold,
        claim=claim,
        t_opt=goal.minimum_units,
    )
    return kept_log(value)
