"""Watching on fakes: workers that die, segments that cannot be read."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from sandbox.errors import RecorderError
from sandbox.model.application import Harm
from sandbox.model.finding import Counts
from sandbox.recorder.producer import INSTANCE
from sandbox.rules import guardrail_of
from workflows.activities.observe import ObserveActivities
from workflows.messages import BreachReport, MonitorState, WindowResult
from workflows.monitor import MonitorWorkflow

from .conftest import T0, frame

HARM = Harm.model_validate(
    {
        "harm": "slow",
        "of": "calls/time",
        "baseline_rate": 0.01,
        "signal": {"design": "maxsprt", "alpha": 0.01, "min_events": 3},
        "action": "pause",
    }
)


@pytest.fixture(name="watched")
def _watched(case):
    """The case with a guardrail, armed, and units that it signals at."""
    plan = case.application.plan.model_copy(update={"harms": (HARM,)})
    asked = case.application.model_copy(update={"plan": plan})
    case.lock(asked, guardrail_of(HARM))
    case.record(list(range(1, 41)), slow=20)
    return case


def armed(case) -> MonitorState:
    """Return the state in which a window begins."""
    state = MonitorState(trial_id="t", window_s=30.0)
    return ActivityEnvironment().run(ObserveActivities(case.ledger).start_watch, state)


def entries(case, kind: str) -> list[str]:
    return [
        item.entry.entry_id
        for item in case.ledger.log.entries("t")
        if item.entry.kind == kind
    ]


def test_a_breach_is_recorded_before_its_frame_counts_as_read(watched) -> None:
    """No heartbeat lets a worker that replaces this one begin behind the breach."""
    environment, beats = ActivityEnvironment(), []
    environment.on_heartbeat = lambda *details: beats.append(details[0])
    activities = ObserveActivities(watched.ledger)
    result = environment.run(activities.watch_window, armed(watched))
    assert result.breach is not None
    assert entries(watched, "breach") == [result.breach.breach_id]
    assert beats == []


def test_a_grouped_guardrail_is_looked_at_when_a_group_is_full(case) -> None:
    """20 of 40 units are slow, the last: the signal waits for the group of 32."""
    signal = HARM.signal.model_copy(
        update={"design": "grouped-maxsprt", "looks_every": 16}
    )
    harm = HARM.model_copy(update={"signal": signal})
    case.lock(case.application, guardrail_of(harm))
    case.record(list(range(1, 32)), slow=11)
    before = watch(case, short(case))[0]
    assert before.breach is None
    # The same 31 units again, and nine more.
    case.receive(list(range(1, 41)), number=2, slow=20)
    after = watch(case, before.state)[0]
    assert after.breach is not None
    looks = [
        (item.entry.body["llr"], item.entry.body["signalled"])
        for item in case.ledger.log.entries("t")
        if item.entry.kind == "look"
    ]
    # 31 units are no full group, so nothing was tested and no statistic is shown.
    assert looks[0] == (None, False)
    assert looks[1][0] is not None
    assert looks[1][1]
    (breach,) = [
        item.entry.body
        for item in case.ledger.log.entries("t")
        if item.entry.kind == "breach"
    ]
    assert (breach["units"], breach["events"]) == (32, 12)


def test_what_was_recorded_first_counts(watched) -> None:
    """Breach and looks found again at another time stay as they are in the log."""
    activities, state = ObserveActivities(watched.ledger), armed(watched)
    first = ActivityEnvironment().run(activities.watch_window, state)
    before = watched.ledger.log.entries()
    watched.ledger.clock.set(watched.ledger.clock.now() + timedelta(seconds=7))
    again = ActivityEnvironment().run(activities.watch_window, state)
    assert again.breach == first.breach
    assert watched.ledger.log.entries() == before


def test_of_two_that_record_at_once_the_first_counts(watched, monkeypatch) -> None:
    """Who comes second learns what is recorded, also if it saw nothing before."""
    ledger, append_all = watched.ledger, watched.ledger.log.append_all

    def after_the_other(entries):
        other = entries[0].model_copy(update={"body": {"satisfied": 1}})
        append_all([other])
        return append_all(entries)

    monkeypatch.setattr(ledger.log, "append_all", after_the_other)
    recorded = ledger.write_once("incident", "i/t/1", "t", Counts(satisfied=2))
    assert recorded == {"satisfied": 1}


def watch(case, state: MonitorState) -> tuple[WindowResult, list[MonitorState]]:
    """Return what a window came to, and the state of each heartbeat."""
    environment, beats = ActivityEnvironment(), []
    environment.on_heartbeat = lambda *details: beats.append(
        MonitorState.model_validate(details[0])
    )
    result = environment.run(ObserveActivities(case.ledger).watch_window, state)
    return result, beats


def short(case) -> MonitorState:
    return armed(case).model_copy(update={"window_s": 0.3})


def test_what_is_closed_is_read_once_and_each_segment_is_a_heartbeat(
    case, monkeypatch
) -> None:
    """The cursor goes past it, and later polls look only at what comes after."""
    case.record([1], number=1)
    case.receive([2], number=2)
    case.segments.receive("t", frame([3], number=3, late=()))
    reads, read = [], case.segments.read
    looks, files = [], case.segments.files

    def counted(trial_id, number, *, offset=0):
        reads.append(number)
        return read(trial_id, number, offset=offset)

    def looked(trial_id, *, since=1):
        looks.append(since)
        return files(trial_id, since=since)

    monkeypatch.setattr(case.segments, "read", counted)
    monkeypatch.setattr(case.segments, "files", looked)
    result, beats = watch(case, short(case))
    assert reads[:3] == [1, 2, 3]
    assert len(reads) > 3
    assert set(reads[3:]) == {3}
    assert looks[0] == 1
    assert set(looks[1:]) == {3}
    assert [item.cursor.segment for item in beats[:3]] == [2, 3, 3]
    assert result.state.counts["calls/time"] == Counts(satisfied=3)


def test_a_damaged_segment_pauses_the_trial_which_goes_on_without_it(case) -> None:
    """The incident is recorded once; what can be read again by then is judged."""
    for number in (1, 2, 3):
        case.receive([number], number=number)
    cut = RecorderError("it was cut", retryable=False)
    case.segments.damage("t", 2, cut)
    paused, _ = watch(case, short(case))
    assert paused.breach is not None
    assert (paused.breach.action, paused.breach.cause) == ("pause", "it was cut")
    assert entries(case, "incident") == [paused.breach.breach_id]
    resumed, _ = watch(case, paused.state)
    assert resumed.breach is None
    assert resumed.state.counts["calls/time"] == Counts(satisfied=2)
    case.segments.restore("t", 2)
    restored, _ = watch(case, paused.state)
    assert restored.state.counts["calls/time"] == Counts(satisfied=3)


def test_a_segment_that_cannot_be_read_for_too_long_is_an_outage(case) -> None:
    """Until then the window goes on, as it does while the recorder is off."""
    case.receive([1])
    case.segments.damage("t", 1, RecorderError("input/output error"))
    result, beats = watch(case, short(case))
    assert result.breach is None
    since = result.state.recorder_off_since
    assert beats and since is not None
    case.ledger.clock.set(since + timedelta(minutes=6))
    result, _ = watch(case, result.state)
    assert result.breach is not None
    assert "input/output error" in result.breach.cause


@pytest.mark.parametrize(
    ("paused", "stopping", "told"),
    [(False, False, 2), (True, False, 0), (False, True, 0)],
)
def test_damage_that_sealing_finds_pauses_once(
    monkeypatch, paused, stopping, told
) -> None:
    """Environment and trial are told of the first; no later sealing tells again."""
    messages = []

    async def tell(workflow_id, signal, message):
        messages.append((workflow_id, signal))

    monkeypatch.setattr("workflows.monitor._tell", tell)
    monitor = MonitorWorkflow(MonitorState(trial_id="t", window_s=1))
    monitor._paused, monitor._stopping = paused, stopping
    damaged = tuple(
        BreachReport(
            breach_id=f"incident/t/segments-whole/{number}",
            guardrail="segments-whole",
            action="pause",
            detected_at=T0,
            cause="it was cut",
            segment=number,
        )
        for number in (2, 3)
    )
    for _ in range(2):
        asyncio.run(monitor._act_on_damage(damaged))
    expected = [("environment/t", "freeze_now"), ("trial/t", "breach_reported")]
    assert messages == expected[:told]
    assert monitor._paused == (paused or bool(told))


SPREAD = {"at_most": 20, "of": "true", "per": "1s", "same": [f"attributes.{INSTANCE}"]}


def spread(case):
    """Put a rule about the order of spans in force that 20 of 40 units break."""
    case.add(pattern=SPREAD)
    harm = HARM.model_copy(update={"of": "calls/order"})
    case.lock(case.application, guardrail_of(harm))
    case.record(list(range(1, 41)))
    return case


def test_a_rule_about_the_order_of_spans_is_watched(case) -> None:
    """Its guardrail signals when the time of the units is over."""
    activities = ObserveActivities(spread(case).ledger)
    state = armed(case).model_copy(update={"window_s": 0.3})
    early = ActivityEnvironment().run(activities.watch_window, state)
    assert (early.breach, early.state.counts.get("calls/order")) == (None, None)
    case.ledger.clock.set(T0 + timedelta(minutes=6))
    later = ActivityEnvironment().run(activities.watch_window, early.state)
    assert later.breach is not None
    assert later.state.counts["calls/order"] == Counts(satisfied=20, violated=20)


def test_another_worker_watches_on(case) -> None:
    """It reads again what was recorded, and comes to the same state."""
    first = ObserveActivities(spread(case).ledger)
    state = armed(case).model_copy(update={"window_s": 0.3})
    between = ActivityEnvironment().run(first.watch_window, state).state
    case.receive(list(range(41, 61)), number=2)
    case.ledger.clock.set(T0 + timedelta(minutes=6))
    second = ObserveActivities(case.ledger)
    results = [
        ActivityEnvironment().run(worker.watch_window, between)
        for worker in (first, second)
    ]
    assert results[0].state.data_digest == results[1].state.data_digest
    assert results[0] == results[1]


def begun(case) -> MonitorState:
    """Return the state after a window in which the order of spans was watched."""
    case.ledger.clock.set(T0 + timedelta(minutes=3))
    result, _ = watch(case, short(spread(case)))
    return result.state


def test_reading_again_is_told_by_heartbeats(case, monkeypatch) -> None:
    """A worker that goes on in a long trial is not taken for dead meanwhile."""
    state = begun(case)
    case.receive([51], number=2)
    state = watch(case, state)[0].state
    happened, read = [], case.segments.read

    def told(trial_id, number, *, offset=0):
        happened.append(number)
        return read(trial_id, number, offset=offset)

    monkeypatch.setattr(case.segments, "read", told)
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda state: happened.append("beat")
    environment.run(ObserveActivities(case.ledger).watch_window, state)
    assert happened[:4] == ["beat", 1, "beat", 2]


def test_what_cannot_be_read_again_is_an_outage_or_an_incident(case) -> None:
    """As what cannot be read the first time."""
    state = begun(case)
    case.segments.damage("t", 1, RecorderError("input/output error"))
    off, _ = watch(case, state)
    assert off.breach is None
    assert off.state.recorder_off_since is not None
    case.segments.damage("t", 1, RecorderError("it was cut", retryable=False))
    paused, _ = watch(case, state)
    assert paused.breach is not None
    assert (paused.breach.action, paused.breach.cause) == ("pause", "it was cut")
    resumed, _ = watch(case, paused.state)
    assert resumed.breach is None


def test_no_unit_is_told_while_something_recorded_cannot_be_read(case) -> None:
    """What would decide may lie there, and must not look as if it had never come."""
    activities = ObserveActivities(spread(case).ledger)

    def window(state: MonitorState) -> MonitorState:
        return ActivityEnvironment().run(activities.watch_window, state).state

    state = window(short(case))
    case.receive([51], number=2)
    case.segments.damage("t", 2, RecorderError("input/output error"))
    case.ledger.clock.set(T0 + timedelta(minutes=6))
    unread = window(state)
    assert "calls/order" not in unread.counts
    case.segments.restore("t", 2)
    assert window(unread).counts["calls/order"].units == 40
