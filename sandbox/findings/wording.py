"""Findings in sentences: what was found, with its figures, and what it does not show.

Rules of this module:

* A statement begins with the verdict, gives counts before percentages, and says how
  sure and under which looking the figures hold.
* Percentages are rounded so that no claim grows: lower limits down, upper limits up.
* Every limit that follows from the data themselves is said without being asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sandbox.findings.evidence import Stratum, TrialEvidence
from sandbox.findings.harm import HarmJudgement
from sandbox.findings.tally import busiest_minute
from sandbox.model.application import Harm
from sandbox.model.finding import Verdict
from sandbox.model.observation import Observation

_SPACE = "\u00a0"
"""No line break between a number and its sign."""

VERDICT_WORDS: dict[Verdict, str] = {
    "met": "Met",
    "not_met": "Not met",
    "harm": "Harm",
    "inconclusive": "Inconclusive",
    "invalid": "Invalid",
}


def percent(value: float) -> str:
    """Return a proportion as per cent with one decimal."""
    return f"{value * 100:.1f}{_SPACE}%"


def chance(value: float) -> str:
    """Return a chance that was chosen, such as 95 %, without needless decimals."""
    return f"{round(value * 100, 6):g}{_SPACE}%"


def percent_down(value: float) -> str:
    """Return a lower limit as per cent, rounded down."""
    return f"{math.floor(value * 1000 + 1e-9) / 10:.1f}{_SPACE}%"


def percent_up(value: float) -> str:
    """Return an upper limit as per cent, rounded up."""
    return f"{math.ceil(value * 1000 - 1e-9) / 10:.1f}{_SPACE}%"


def harm_statement(harm: Harm, found: HarmJudgement) -> str:
    """Return the finding on a harm in words."""
    counts = found.counts
    evaluable = counts.satisfied + counts.violated
    parts = [
        f"{VERDICT_WORDS[found.verdict]}: {counts.violated} of {evaluable} units"
        f" violated {harm.of}; at the normal rate of {chance(harm.baseline_rate)}"
        f" about {evaluable * harm.baseline_rate:.1f} would.",
        _signal_sentence(harm, found),
        f"With {chance(1 - harm.signal.alpha)} confidence the rate over the whole"
        f" trial lies between {percent_down(found.bounds.lower)} and"
        f" {percent_up(found.bounds.upper)}.",
        found.reason,
        missing_sentence(counts.violated, counts.not_evaluable, counts.units),
        lost_sentence(found.missing),
    ]
    return " ".join(part for part in parts if part)


def limits_of(
    units: Sequence[Observation], strata: Sequence[Stratum], evidence: TrialEvidence
) -> tuple[str, ...]:
    """Return what the units of a finding do not show."""
    if not units:
        return (
            "Nothing was observed under this rule: no span fell under it, so nothing is"
            " shown either way.",
            *evidence.limits,
        )
    first, last = units[0].started_at, units[-1].started_at
    rare = 1 - 0.05 ** (1 / len(units))
    said = [
        f"Other times: all units lie between {first:%Y-%m-%d %H:%M:%S} and"
        f" {last:%Y-%m-%d %H:%M:%S} UTC.",
        f"Heavier use: at most {busiest_minute(units)} units began within one minute.",
        f"Rare events: one that strikes fewer than 1 in {math.ceil(1 / rare)} units had"
        " more than a 5\u00a0% chance to stay unseen.",
    ]
    if len(strata) > 1:
        said.append(_strata_sentence(strata))
    return (*said, *evidence.limits)


def missing_sentence(named: int, missing: int, units: int) -> str:
    """Say what units that could not be evaluated may have been."""
    if not missing:
        return ""
    return (
        f"{missing} further units could not be evaluated; counted both ways the"
        f" proportion is {percent(named / units)} to"
        f" {percent((named + missing) / units)}, and the limits allow for either."
    )


def lost_sentence(missing: int) -> str:
    """Say that units may have been lost on the way."""
    if not missing:
        return ""
    return (
        f"Spans are known to have been lost on the way, and up to {missing} of them may"
        " have been units; the limits allow for any result of each."
    )


def _signal_sentence(harm: Harm, found: HarmJudgement) -> str:
    odds = f"the chance of a false signal was at most {chance(harm.signal.alpha)}"
    signals = found.live or found.replayed
    if not signals:
        return (
            f"The guardrail{_looks_phrase(harm)} gave no signal; {odds} per period of"
            " watching."
        )
    first = signals[0]
    sentence = (
        f"The guardrail{_looks_phrase(harm)} signalled with {first.events} events among"
        f" {first.units} units, where {first.expected:.1f} were expected"
        f" (log-likelihood ratio {first.llr:.2f} against {first.threshold:.2f}; {odds}"
        " per period of watching)."
    )
    if not found.replayed:
        sentence += (
            " Replayed in order of time it does not signal; it had arrived live."
        )
    if not found.live:
        sentence += " It was found in the replay only; live it had not arrived in time."
    if len(signals) > 1:
        sentence += f" It signalled {len(signals)} times in all."
    return sentence


def _looks_phrase(harm: Harm) -> str:
    if harm.signal.design == "maxsprt":
        return ""
    return f", looked at after each {harm.signal.looks_every} units,"


def _strata_sentence(strata: Sequence[Stratum]) -> str:
    shares = []
    for number, stratum in enumerate(strata, start=1):
        kept = sum(unit.result == "satisfied" for unit in stratum.units)
        signal = ", in which a guardrail signalled" if stratum.signalled else ""
        shares.append(
            f"stretch {number}{signal}: {kept} of {len(stratum.units)} in order"
        )
    return (
        "One unchanging system: the trial was interrupted, and the verdict speaks of"
        f" the average over all units, as planned ({'; '.join(shares)})."
    )
