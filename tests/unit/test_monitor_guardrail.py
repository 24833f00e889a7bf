"""The guardrail as a state machine: once per unit, once per period, never blind."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.model.observation import Breach, Observation
from sandbox.model.rule import Guardrail, HarmLimit, RuleResult
from sandbox.monitor import GuardrailState, advance, rearm, start

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
RESULTS: tuple[RuleResult, ...] = ("satisfied", "violated", "not_evaluable")


def guardrail(**harm: object) -> Guardrail:
    limit = {
        "baseline_rate": 0.02,
        "design": "maxsprt",
        "alpha": 0.01,
        "min_events": 3,
        "horizon": 20.0,
        **harm,
    }
    return Guardrail(
        id="slow-offers",
        watches="dispatch/offer-time",
        harm=HarmLimit.model_validate(limit),
        action="pause",
    )


def unit(
    number: int, result: RuleResult, rule: str = "dispatch/offer-time"
) -> Observation:
    return Observation(
        trial_id="t",
        rule=rule,
        result=result,
        rulebook_version=1,
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        started_at=T0 + timedelta(seconds=number),
        duration_s=1.0,
        segment=1,
        frame=number,
    )


def feed(
    state: GuardrailState, units: list[Observation]
) -> tuple[GuardrailState, list[Breach]]:
    breaches = []
    for item in units:
        state, breach = advance(state, item, trial_id="t", at=item.started_at)
        if breach is not None:
            breaches.append(breach)
    return state, breaches


def test_it_signals_at_the_first_unit_that_reaches_the_threshold() -> None:
    """After fifty good units, a run of bad ones signals at once and not before."""
    units = [unit(n, "satisfied") for n in range(50)]
    units += [unit(n, "violated") for n in range(50, 60)]
    state, (breach,) = feed(start(guardrail()), units)
    assert breach.llr >= breach.threshold == state.threshold
    before, early = feed(start(guardrail()), units[: breach.units - 1])
    assert not early
    assert before.llr < before.threshold
    assert breach.first_signal == units[breach.units - 1]
    assert breach.expected == pytest.approx(0.02 * breach.units)


def test_fewer_than_the_least_events_never_signal() -> None:
    """Two events at the very start are not enough when three are asked for."""
    state, breaches = feed(
        start(guardrail()), [unit(0, "violated"), unit(1, "violated")]
    )
    assert not breaches
    assert state.llr > state.threshold


def test_it_signals_once_and_afresh_after_being_armed_again() -> None:
    """More harm after the signal gives no second one until the watch begins anew."""
    bad = [unit(n, "violated") for n in range(20)]
    state, breaches = feed(start(guardrail()), bad)
    assert len(breaches) == 1
    again = rearm(state, since=T0 + timedelta(seconds=100))
    assert (again.period, again.events, again.units) == (2, 0, 0)
    _, later = feed(again, [unit(n, "violated") for n in range(100, 120)])
    assert len(later) == 1


def test_units_of_the_period_before_are_not_counted_after_arming() -> None:
    """A late span of the old version does not burden the new one."""
    state = rearm(start(guardrail()), since=T0 + timedelta(seconds=100))
    state, breaches = feed(state, [unit(n, "violated") for n in range(100)])
    assert not breaches
    assert state.units == 0


def test_a_redelivered_unit_is_counted_once_also_across_periods() -> None:
    """The same span again changes nothing."""
    units = [unit(n, "satisfied") for n in range(30)]
    once, _ = feed(start(guardrail()), units)
    twice, _ = feed(once, units)
    assert twice == once
    again = rearm(once, since=T0)
    assert feed(again, units)[0].units == 0


def test_memory_of_seen_units_is_bounded() -> None:
    """The state stays small enough to ride a heartbeat."""
    state, _ = feed(start(guardrail()), [unit(n, "satisfied") for n in range(3000)])
    assert state.units == 3000
    assert len(state.seen) <= 1024
    assert len(state.model_dump_json()) < 64 * 1024


def test_units_that_cannot_be_evaluated_are_counted_apart() -> None:
    """They neither signal nor dilute, and the worst case is said."""
    units = [unit(n, "satisfied") for n in range(20)]
    units += [unit(n, "not_evaluable") for n in range(20, 40)]
    state, breaches = feed(start(guardrail()), units)
    assert not breaches
    assert (state.units, state.not_evaluable) == (20, 20)
    assert state.expected == pytest.approx(0.4)
    assert state.llr == 0
    assert state.worst_llr > state.threshold


def test_past_its_horizon_it_still_signals_and_says_so() -> None:
    """The promised error chance ends at the horizon; the watch does not."""
    harmless = [unit(n, "satisfied") for n in range(60)]
    state, _ = feed(start(guardrail(horizon=1.0)), harmless)
    assert state.is_past_horizon
    _, breaches = feed(state, [unit(n, "violated") for n in range(60, 90)])
    assert len(breaches) == 1


GROUPED = {"design": "grouped-maxsprt", "looks_every": 10}


def test_a_grouped_guardrail_signals_only_when_a_group_is_full() -> None:
    """Nine bad units are far past the threshold; the tenth, a good one, signals."""
    bad = [unit(n, "violated") for n in range(9)]
    state, breaches = feed(start(guardrail(**GROUPED)), bad)
    assert not breaches
    assert state.llr > state.threshold
    assert (state.is_at_look, state.looked_llr) == (False, None)
    state, (breach,) = feed(state, [unit(9, "satisfied")])
    assert (breach.events, breach.units, breach.first_signal.frame) == (9, 10, 9)
    assert state.looked_llr == breach.llr
    state, again = feed(state, [unit(10, "violated")])
    assert not again
    # After the signal there is nothing left to test, and the statistic may be seen.
    assert state.looked_llr == state.llr


def test_neither_redelivered_nor_not_evaluable_units_fill_a_group() -> None:
    """Only what the statistic counts brings the next look nearer."""
    bad = [unit(n, "violated") for n in range(9)]
    unclear = [unit(n, "not_evaluable") for n in range(9, 30)]
    state, breaches = feed(start(guardrail(**GROUPED)), [*bad, *unclear, *bad])
    assert not breaches
    assert state.units == 9
    _, breaches = feed(state, [unit(30, "violated")])
    assert [breach.units for breach in breaches] == [10]


def test_a_group_under_way_ends_with_its_period() -> None:
    """After a pause the next look is a whole group away."""
    state, _ = feed(
        start(guardrail(**GROUPED)), [unit(n, "violated") for n in range(9)]
    )
    state = rearm(state, since=T0 + timedelta(seconds=100))
    state, breaches = feed(state, [unit(n, "violated") for n in range(100, 109)])
    assert not breaches
    _, breaches = feed(state, [unit(109, "satisfied")])
    assert [(breach.events, breach.units) for breach in breaches] == [(9, 10)]


def test_observations_of_other_rules_change_nothing() -> None:
    """Only the watched rule is counted."""
    state = start(guardrail())
    assert feed(state, [unit(1, "violated", "dispatch/other")])[0] == state


@settings(deadline=None, max_examples=60)
@given(
    results=st.lists(st.sampled_from(RESULTS), max_size=60),
    cut=st.integers(0, 60),
    design=st.sampled_from([{}, GROUPED]),
)
def test_a_stored_state_resumes_as_if_never_stored(
    results: list[RuleResult], cut: int, design: dict[str, object]
) -> None:
    """Serialising in the middle changes neither state nor signals."""
    units = [unit(n, result) for n, result in enumerate(results)]
    whole, all_breaches = feed(start(guardrail(**design)), units)
    half, first = feed(start(guardrail(**design)), units[:cut])
    restored = GuardrailState.model_validate_json(half.model_dump_json())
    rest, second = feed(restored, units[cut:])
    assert rest == whole
    assert first + second == all_breaches
    assert whole.units + whole.not_evaluable == len(units)
