"""What is to be expected of a goal before its trial, for several true values.

Rules of this module:

* Chances are exact, or they were drawn. Those that were drawn carry how, in `Drawn`,
  and whoever shows them shows that too.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.findings.sequential import Claim
from sandbox.model.finding import Measure

_BETTER = (1.0, 0.75, 0.5, 0.25, 0.1, 0.0, -0.25, -0.5, -1.0, -2.0)
"""True values, in distances from the threshold to its nearer end, best first."""


class Chances(NamedTuple):
    """What is to be expected if the true value is this one."""

    value: float
    """A proportion, the difference of two, or a mean in its own unit."""
    met: float
    not_met: float
    inconclusive: float
    """Of a trial that runs to its end; the three add up to 1."""
    mean_units: float
    """Until a verdict is first possible; where none is, all units count."""
    most_units: int | None
    """By then 9 of 10 trials have a verdict; None where not so many ever have one."""


class Drawn(NamedTuple):
    """How chances were found that no recursion gives: counted in drawn trials."""

    trials: int
    """So many for each true value; the same random numbers serve all values."""
    seed: int
    standard_error: float
    """Of a chance, at most; also of the mean units, as a share of all units."""

    def words(self) -> str:
        """Return it as it stands beside the figures."""
        error = f"{self.standard_error * 100:.1f} points"
        return f"drawn, {self.trials:,} trials, standard error at most {error}"


class Outlook(NamedTuple):
    """What a trial with so many units can be expected to show of one goal."""

    goal: str
    threshold: float
    measure: Measure
    units: int
    """The most units the trial can see."""
    chances: tuple[Chances, ...]
    """From the best true value to the worst; none where they would take too long."""
    control_rate: float | None = None
    """Of two arms: the chance assumed that a unit of the control arm is satisfied."""
    drawn: Drawn | None = None
    """None where the chances are exact."""


def values_around(
    threshold: float, bounds: tuple[float, float], *, claim: Claim
) -> tuple[float, ...]:
    """Return values on both sides of a threshold, best for the claim first.

    Args:
        threshold: Inside the bounds.
        bounds: The least and the largest value that is possible.
        claim: The side of the threshold that is claimed.
    """
    least, most = bounds
    step = min(threshold - least, most - threshold)
    if claim == "at_most":
        step = -step
    found = (threshold + share * step for share in _BETTER)
    inside = (min(max(value, least), most) for value in found)
    return tuple(dict.fromkeys(round(value, 12) for value in inside))
