"""What a limit means: its looks, its threshold, how often and how soon it signals."""

from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np
import pytest

from sandbox.errors import JudgementError
from sandbox.model.observation import Observation
from sandbox.model.rule import Guardrail, HarmLimit
from sandbox.monitor import advance, start, unit_threshold
from sandbox.monitor.grouped import signal_stopping
from sandbox.monitor.limit import (
    group_of,
    horizon_units,
    limit_threshold,
    median_units,
    signal_chance,
)
from sandbox.monitor.maxsprt import UnitWatch, unit_signal_chance

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def limit(**changes: Any) -> HarmLimit:
    values: dict[str, Any] = {
        "baseline_rate": 0.02,
        "design": "maxsprt",
        "alpha": 0.01,
        "min_events": 3,
        "horizon": 20.0,
    }
    return HarmLimit.model_validate({**values, **changes})


def grouped(group: int, **changes: Any) -> HarmLimit:
    return limit(design="grouped-maxsprt", looks_every=group, **changes)


def units(results: tuple[bool, ...]) -> list[Observation]:
    return [
        Observation(
            trial_id="t",
            rule="r",
            result="violated" if harmful else "satisfied",
            rulebook_version=1,
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            started_at=NOW,
            duration_s=1.0,
            segment=1,
            frame=number,
        )
        for number, harmful in enumerate(results)
    ]


def signals(limit: HarmLimit, results: tuple[bool, ...]) -> bool:
    """Whether the live guardrail signals on a sequence of units."""
    state = start(Guardrail(id="g", watches="r", harm=limit, action="stop"))
    for unit in units(results):
        state, breach = advance(state, unit, trial_id="t", at=NOW)
        if breach is not None:
            return True
    return False


@pytest.mark.parametrize(
    "chosen",
    [
        grouped(3, baseline_rate=0.2, horizon=1.8, alpha=0.05, min_events=1),
        grouped(4, baseline_rate=0.25, horizon=2.25, alpha=0.1, min_events=2),
        grouped(9, baseline_rate=0.3, horizon=2.7, alpha=0.05, min_events=1),
        limit(baseline_rate=0.2, horizon=1.8, alpha=0.05, min_events=1),
    ],
)
def test_chances_are_those_of_the_live_guardrail(chosen: HarmLimit) -> None:
    """Every sequence of nine units, fed to the guardrail and added up by its chance."""
    stopped = [
        sum(results)
        for results in product((False, True), repeat=9)
        if signals(chosen, results)
    ]
    assert horizon_units(chosen) == 9
    for rate in (chosen.baseline_rate, 0.6, 1.0):
        added = sum(rate**count * (1 - rate) ** (9 - count) for count in stopped)
        found = signal_chance(chosen, rate=rate, units=9)
        assert found == pytest.approx(added, abs=1e-12)


@pytest.mark.parametrize("group", [2, 7, 50, 1000])
@pytest.mark.parametrize("min_events", [1, 3])
def test_no_lower_threshold_of_a_group_keeps_alpha(group: int, min_events: int) -> None:
    """The threshold is the least: alpha is kept, and just below it is not."""
    chosen = grouped(group, min_events=min_events)
    threshold = limit_threshold(chosen)
    watch = UnitWatch(0.02, 1000, min_events, group)
    at, below = (
        unit_signal_chance(watch, threshold=value, rate=0.02)
        for value in (threshold, threshold - 2e-9)
    )
    assert 0 < at <= 0.01 < below


def test_fewer_looks_signal_on_less() -> None:
    """Every second unit, every fiftieth, once: the threshold falls, the power rises."""
    chosen = [grouped(group) for group in (2, 50, 1000)]
    thresholds = [limit_threshold(item) for item in (limit(), *chosen)]
    assert thresholds == sorted(thresholds, reverse=True)
    power = [signal_chance(item, rate=0.04, units=1000) for item in (limit(), *chosen)]
    assert power == sorted(power)


def test_the_continuous_design_keeps_its_threshold() -> None:
    """A limit of before signals where it always did."""
    assert group_of(limit()) == 1
    assert limit_threshold(limit()) == unit_threshold(
        baseline_rate=0.02, horizon=20.0, alpha=0.01, min_events=3
    )


@pytest.mark.parametrize("rate", [0.03, 0.04, 0.1, 1.0])
def test_the_median_is_that_of_the_watch_unit_by_unit(rate: float) -> None:
    """Found by halving, it is the unit by which half of all watches have stopped."""
    stopped = signal_stopping(
        threshold=limit_threshold(limit()),
        baseline_rate=0.02,
        units=1000,
        rate=rate,
        min_events=3,
    )
    by_then = np.cumsum(stopped.high)
    half = int(np.argmax(by_then >= 0.5)) + 1 if by_then[-1] >= 0.5 else None
    assert median_units(limit(), rate=rate, units=1000) == half


def test_a_grouped_signal_comes_with_a_full_group_or_never() -> None:
    """The median is a multiple of the group, and none where the trial is shorter."""
    chosen = grouped(50)
    assert median_units(chosen, rate=1.0, units=1000) == 50
    assert median_units(chosen, rate=0.06, units=1020) == 200
    assert median_units(chosen, rate=1.0, units=49) is None
    assert signal_chance(chosen, rate=1.0, units=49) == 0
    by_99, by_50 = (signal_chance(chosen, rate=0.06, units=n) for n in (99, 50))
    assert by_99 == by_50


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (grouped(1001), "never full: the horizon ends after 1000"),
        (grouped(10, min_events=50), "on 50 or more events with a chance below"),
        (grouped(2, baseline_rate=0.5, horizon=1, min_events=1), "can never signal"),
        (limit(design="grouped-maxsprt"), "does not say of how many units"),
    ],
)
def test_a_limit_that_cannot_signal_is_refused(chosen: HarmLimit, words: str) -> None:
    """With what would have to change."""
    with pytest.raises(JudgementError, match=words):
        limit_threshold(chosen)


def test_limits_of_before_are_written_as_before() -> None:
    """What a limit does not use is not part of it, so its digest is what it was."""
    assert set(limit().model_dump(mode="json")) == {
        "baseline_rate",
        "design",
        "alpha",
        "min_events",
        "horizon",
    }
    assert grouped(50).model_dump(mode="json")["looks_every"] == 50
