"""How long one look at a long trial takes, and the critical values of a new design.

A look is all that a goal and a harm ask of the statistics at one moment: interval, both
limits, e-value, posterior and test statistic from the counts of a trial; bets read its
values. `look_at_goal` is the judge's own, with its observations and their digest.
Every run of a design asks for another alpha, a little below 5 %, so that nothing
remembered is measured. All runs are in one process and on one thread;
`processor_p50` is processor time, which other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, get_args

import numpy as np

from experiments.benches.proving.clocks import Clocks, spread
from sandbox.findings import look_at_goal
from sandbox.findings.sequential import (
    Claim,
    GoalDesign,
    anytime_design,
    bernoulli_interval,
    bernoulli_limit,
    bernoulli_log_value,
    betting_interval,
    binomial_maxsprt_threshold,
    jeffreys_posterior,
    mean_design,
    mean_interval,
    one_sided_design,
    operating_characteristics,
    poisson_maxsprt_group_threshold,
    poisson_maxsprt_llr,
    poisson_maxsprt_threshold,
    simon_two_stage,
    unit_threshold,
)
from sandbox.model.application import Estimand, Hypothesis
from sandbox.model.observation import Observation

UNITS = 10_000
LOOK_BAR_MS = 50
DESIGN_BAR_MS = 2000
AT = datetime(2026, 1, 1, tzinfo=UTC)
RULE = "dispatch/offer-time"

Act = Callable[[float], object]
"""What is measured, with an alpha that no run before it had."""


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=7, help="of each, after a first one"
    )
    asked = parser.parse_args()
    said = {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": os.getloadavg()[0],
        },
        "look": {
            "units": UNITS,
            "bar_ms": LOOK_BAR_MS,
            "milliseconds": {name: _spread(act, asked.runs) for name, act in _looks()},
        },
        "design": {
            "bar_ms": DESIGN_BAR_MS,
            "milliseconds": {
                name: _spread(act, asked.runs) for name, act in _designs()
            },
        },
    }
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _spread(act: Act, runs: int) -> dict[str, Any]:
    act(0.04)  # loads what all others find loaded
    return spread(_clocks(act, 0.05 - number * 1e-6) for number in range(runs))


def _clocks(act: Act, alpha: float) -> Clocks:
    begun = Clocks.read()
    act(alpha)
    return begun.until_now()


def _looks() -> Iterator[tuple[str, Act]]:
    values = np.random.default_rng(1).random(UNITS)
    goal, units = _goal(), _units()
    yield "counts", _counts
    yield "bets", lambda alpha: betting_interval(values=values.tolist(), alpha=alpha)
    yield (
        "look_at_goal",
        lambda _: look_at_goal(goal, units, trial_id="bench-1", number=1, at=AT),
    )


def _counts(alpha: float) -> None:
    kept = UNITS - 400
    bernoulli_interval(successes=kept, n=UNITS, alpha=alpha, t_opt=1000)
    for claim in get_args(Claim):
        bernoulli_limit(successes=kept, n=UNITS, alpha=alpha, t_opt=1000, claim=claim)
    bernoulli_log_value(
        successes=kept, n=UNITS, threshold=0.95, claim="at_least", t_opt=1000
    )
    jeffreys_posterior(successes=kept, n=UNITS, least=0.94, most=0.96)
    mean_interval(total=kept, n=UNITS, alpha=alpha, t_opt=1000)
    poisson_maxsprt_llr(events=400, expected=0.03 * UNITS)


def _designs() -> Iterator[tuple[str, Act]]:
    every = range(1, 1001)
    yield (
        "poisson, 1,000 expected events",
        lambda alpha: poisson_maxsprt_threshold(horizon=1000, alpha=alpha),
    )
    yield (
        "poisson, 10,000 units at 2 %",
        lambda alpha: unit_threshold(baseline_rate=0.02, horizon=200, alpha=alpha),
    )
    yield (
        "poisson, 1,000 groups",
        lambda alpha: poisson_maxsprt_group_threshold(looks=every, alpha=alpha),
    )
    yield (
        "cases and controls, 1,000 events",
        lambda alpha: binomial_maxsprt_threshold(looks=every, alpha=alpha, ratio=1.0),
    )
    yield (
        "two stages, 20 % against 40 %",
        lambda alpha: simon_two_stage(p0=0.2, p1=0.4, alpha=alpha, beta=0.1),
    )
    yield "interval, every unit to 5,000", partial(_characteristics, anytime_design)
    yield "limits, every unit to 5,000", partial(_characteristics, one_sided_design)
    yield "sums, every unit to 5,000", partial(_characteristics, mean_design)


def _characteristics(design: Callable[..., GoalDesign], alpha: float) -> None:
    planned = design(
        claim="at_least", threshold=0.9, alpha=alpha, t_opt=500, looks=range(1, 5001)
    )
    operating_characteristics(planned, rate=0.93)


def _goal() -> Hypothesis:
    return Hypothesis(
        goal="offers-in-time",
        claim="At least 95 % in time.",
        unit="request",
        estimand=Estimand(proportion="satisfied", of=RULE),
        threshold=0.95,
        alpha=0.05,
        design="confidence-sequence",
        minimum_units=1000,
        missing="count-both-ways",
    )


def _units() -> list[Observation]:
    return [
        Observation(
            trial_id="bench-1",
            rule=RULE,
            result="violated" if number % 25 == 0 else "satisfied",
            rulebook_version=1,
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            started_at=AT + timedelta(seconds=number),
            duration_s=0.5,
            values={"span.duration_s": 0.5, "offer_limit": 30.0},
            segment=0,
            frame=number,
        )
        for number in range(UNITS)
    ]


if __name__ == "__main__":
    main()
