"""Judging a harm: the guardrail replayed over the recorded units.

Rules of this module:

* The replay uses the very state machine that watched live, armed afresh at each
  resumption, on the units in order of their start.
* A live signal is never unmade by the replay; where the two differ, both are said.
* That no signal came is not proof of safety: without one, the verdict is *met* only if
  the interval shows the rate to be at or below its baseline, units that may have been
  lost on the way counted as harmful.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sandbox import __version__
from sandbox.findings.evidence import TrialEvidence
from sandbox.findings.sequential import bernoulli_interval
from sandbox.findings.tally import Tally, look_points, tallies, units_of
from sandbox.model.application import Harm
from sandbox.model.finding import Bounds, Counts, Look, Verdict
from sandbox.model.observation import Breach, Observation
from sandbox.monitor import GuardrailState, advance, rearm, start
from sandbox.rules import guardrail_of


class HarmJudgement(NamedTuple):
    """What the data say of one harm."""

    verdict: Verdict
    reason: str
    counts: Counts
    missing: int
    estimate: float | None
    bounds: Bounds
    data_digest: str
    looks: tuple[Look, ...]
    units: tuple[Observation, ...]
    live: tuple[Breach, ...]
    replayed: tuple[Breach, ...]


def judge_harm(harm: Harm, evidence: TrialEvidence) -> HarmJudgement:
    """Judge one harm on all units of its rule."""
    units = units_of(harm.of, evidence.observations)
    looks, replayed, final = _replay(harm, units, evidence)
    live = tuple(item for item in evidence.breaches if item.guardrail == harm.harm)
    missing = evidence.missing.get(harm.of, 0)
    bounds = _bounds(harm, final.counts, missing)
    evaluable = final.counts.satisfied + final.counts.violated
    verdict, reason = _verdict(harm, bounds, bool(live or replayed))
    if evidence.integrity and verdict != "harm":
        verdict, reason = "invalid", " ".join(evidence.integrity)
    return HarmJudgement(
        verdict,
        reason,
        final.counts,
        missing,
        final.counts.violated / evaluable if evaluable else None,
        bounds,
        final.digest,
        looks,
        tuple(units),
        live,
        replayed,
    )


def _verdict(harm: Harm, bounds: Bounds, signalled: bool) -> tuple[Verdict, str]:
    if signalled:
        return "harm", ""
    if bounds.upper <= harm.baseline_rate:
        return "met", ""
    if bounds.lower > harm.baseline_rate:
        return "not_met", ""
    return (
        "inconclusive",
        f"That the rate is at or below {harm.baseline_rate:.1%} is not shown either.",
    )


def _bounds(harm: Harm, counts: Counts, missing: int) -> Bounds:
    units = counts.units + missing
    tuned = harm.signal.horizon / harm.baseline_rate
    lower, _ = bernoulli_interval(
        successes=counts.violated,
        n=units,
        alpha=harm.signal.alpha,
        t_opt=tuned,
    )
    _, upper = bernoulli_interval(
        successes=counts.violated + counts.not_evaluable + missing,
        n=units,
        alpha=harm.signal.alpha,
        t_opt=tuned,
    )
    return Bounds(lower=lower, upper=upper)


def _replay(
    harm: Harm, units: Sequence[Observation], evidence: TrialEvidence
) -> tuple[tuple[Look, ...], tuple[Breach, ...], Tally]:
    state = start(guardrail_of(harm))
    resumed = sorted(item.resumed_at for item in evidence.pauses if item.resumed_at)
    points = look_points(len(units))
    looks: list[Look] = []
    breaches: list[Breach] = []
    is_due = False
    seen, *after = tallies(units)
    for number, (unit, seen) in enumerate(zip(units, after, strict=True), start=1):
        while resumed and unit.started_at >= resumed[0]:
            state = rearm(state, since=resumed.pop(0))
            is_due = False
        # A violation is shown at the look that follows it, until there is a signal.
        is_due = state.signalled_at is None and (is_due or unit.result == "violated")
        state, breach = advance(
            state, unit, trial_id=evidence.trial_id, at=unit.started_at
        )
        if breach is not None:
            breaches.append(breach)
        if number in points or (is_due and state.is_at_look):
            looks.append(_look(state, seen, evidence.trial_id, len(looks) + 1))
            is_due = is_due and not state.is_at_look
    return tuple(looks), tuple(breaches), seen


def _look(state: GuardrailState, seen: Tally, trial_id: str, number: int) -> Look:
    assert seen.until is not None
    return Look(
        trial_id=trial_id,
        number=number,
        subject=state.guardrail.id,
        purpose="harm",
        counts=Counts(
            satisfied=state.units - state.events,
            violated=state.events,
            not_evaluable=state.not_evaluable,
        ),
        estimate=state.events / state.units if state.units else None,
        llr=state.looked_llr,
        threshold=state.threshold,
        signalled=state.signalled_at is not None,
        data_digest=seen.digest,
        code_version=__version__,
        at=seen.until,
    )
