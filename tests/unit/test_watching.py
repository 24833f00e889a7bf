"""Watching on fakes: workers that die, and segments that are read once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from sandbox.model.application import Harm
from sandbox.model.finding import Counts
from sandbox.rules import guardrail_of
from workflows.activities.observe import ObserveActivities
from workflows.messages import MonitorState, WindowResult

from .conftest import frame

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
    recorded = ledger.write_once("look", "look/t/1", "t", Counts(satisfied=2))
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
    case.segments.receive("t", frame([3], number=3, slow=0))
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
