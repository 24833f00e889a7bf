"""Refused requests in the log: counted together, bounded, and never twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.evidence.order import check_order
from sandbox.evidence.refusals import MANY, MOST_LISTED, refusal_entries
from sandbox.model.log import LogEntry
from sandbox.model.segment import RecorderRefusal, RefusalWindow
from sandbox.recorder import RECORDER

AT = datetime(2026, 1, 1, tzinfo=UTC)


def refusal(peer: str, *, count: int = 1, trial: str = "") -> RecorderRefusal:
    """Return refusals of one peer."""
    return RecorderRefusal(
        reason="unauthenticated",
        peer=peer,
        trial_id=trial,
        count=count,
        first_at=AT,
        last_at=AT + timedelta(seconds=count),
    )


def entries(*refusals: RecorderRefusal, name: str = "w1") -> list[LogEntry]:
    """Return the entries of a window with these refusals."""
    window = RefusalWindow(name=name, refusals=refusals)
    return refusal_entries(window, recorded_at=AT)


def test_each_owner_has_its_own() -> None:
    """What a token named belongs to its trial, what none named to the recorder."""
    found = entries(refusal("a"), refusal("b", trial="ride-1"))
    assert [(item.trial_id, item.body["peer"]) for item in found] == [
        (RECORDER, "a"),
        ("ride-1", "b"),
    ]
    assert {item.kind for item in found} == {"refusal"}


def test_nobody_fills_the_log() -> None:
    """A thousand peers are the most frequent ones and one entry; every one counts."""
    peers = [refusal(f"10.0.0.{number}", count=number + 1) for number in range(1000)]
    found = entries(*peers)
    assert len(found) == MOST_LISTED + 1
    assert [item.body["peer"] for item in found][-1] == MANY
    counts = [int(str(item.body["count"])) for item in found]
    assert counts[0] == 1000
    assert sum(counts) == sum(item.count for item in peers)
    assert found[-1].body["last_at"] == "2026-01-01T00:16:20Z"


def test_the_same_window_gives_the_same_entries() -> None:
    """In whatever order it counted, and whenever it is entered; another one others."""
    one, other = refusal("a", count=3), refusal("b", trial="ride-1")
    assert entries(one, other) == entries(other, one)
    first = {item.entry_id for item in entries(one, other)}
    assert first.isdisjoint({item.entry_id for item in entries(one, name="w2")})


def test_a_trial_with_refusals_is_in_order() -> None:
    """Entries of refused requests do not break the order of a procedure."""
    logged = [item.model_dump(mode="json") for item in entries(refusal("a", trial="t"))]
    filed = {"kind": "application", "entry_id": "submit", "trial_id": "t"}
    assert check_order([filed, *logged], "t").startswith("0 transitions in order")
