"""How often, and how soon, a guardrail signals, before its plan is locked.

Rules of this module:

* Chances and units are exact, at the very looks and threshold of the live guardrail.
* They speak of the units that the trial can see. A guardrail goes on past its horizon;
  the chance of a false signal that `alpha` bounds is that within the horizon, and is
  said apart.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.model.application import Harm
from sandbox.model.rule import HarmDesign, HarmLimit
from sandbox.monitor.limit import (
    group_of,
    horizon_units,
    limit_threshold,
    median_units,
    signal_chance,
)
from sandbox.rules import guardrail_of

_TIMES = (1.0, 1.5, 2.0, 3.0, 5.0)
"""True rates, as multiples of the baseline rate; those that are no chance are left
out."""


class SignalChance(NamedTuple):
    """What is to be expected of a guardrail if the true rate of harm is this one."""

    rate: float
    """Chance of the harmful event per unit."""
    signal: float
    """Chance that it signals while the trial runs."""
    median_units: int | None
    """By then half of all trials have had one; None where not so many ever have."""


class HarmOutlook(NamedTuple):
    """What a guardrail can be expected to do in a trial with so many units."""

    harm: str
    design: HarmDesign
    baseline_rate: float
    looks_every: int
    """Units from look to look."""
    threshold: float
    """Log-likelihood ratio at which it signals."""
    units: int
    """The most units the trial can see."""
    horizon_units: int
    """Units up to which the chance of a false signal is bounded."""
    false_signal: float
    """Exact chance of a signal within the horizon, at the baseline rate."""
    soonest: int | None
    """Units until the signal if every unit is harmful; None where none would come."""
    chances: tuple[SignalChance, ...]
    """At the baseline rate first, then at raised ones."""

    def sentence(self) -> str:
        """Return in words what does not depend on the true rate."""
        looks = "every unit"
        if self.looks_every > 1:
            looks = f"each {self.looks_every} units"
        soonest = f"cannot signal within {self.units} units"
        if self.soonest is not None:
            soonest = f"signals at the soonest after unit {self.soonest}"
        return (
            f"The guardrail of {self.harm} is looked at after {looks} and {soonest};"
            f" the chance of a false signal is {self.false_signal:.2%} within the"
            f" {self.horizon_units} units of its horizon."
        )


def harm_outlook(harm: Harm, *, units: int) -> HarmOutlook:
    """Compute how likely and how soon a signal is, for several true rates of harm.

    Args:
        harm: From the plan.
        units: The most units that caps and length let the trial see.

    Raises:
        JudgementError: No threshold meets the limits of its guardrail.
    """
    limit = guardrail_of(harm).harm
    whole, baseline = horizon_units(limit), harm.baseline_rate
    return HarmOutlook(
        harm=harm.harm,
        design=limit.design,
        baseline_rate=baseline,
        looks_every=group_of(limit),
        threshold=limit_threshold(limit),
        units=units,
        horizon_units=whole,
        false_signal=signal_chance(limit, rate=baseline, units=whole),
        soonest=median_units(limit, rate=1.0, units=units),
        chances=tuple(
            _chance(limit, baseline * times, units)
            for times in _TIMES
            if baseline * times < 1
        ),
    )


def _chance(limit: HarmLimit, rate: float, units: int) -> SignalChance:
    return SignalChance(
        rate,
        signal_chance(limit, rate=rate, units=units),
        median_units(limit, rate=rate, units=units),
    )
