"""Whether a file of telemetry may become evidence."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import InputError, ProcedureError
from sandbox.query.imports import (
    check_new,
    check_open,
    check_producer,
    earlier_imports,
)
from sandbox.testing.trial import RecordedTrial

DIGESTS = ["sha256:" + letter * 64 for letter in "ab"]


def begun(trial: RecordedTrial, attempt: str, **other: Any) -> None:
    """Record the beginning of an import, or with `act="end"` its end."""
    body = {
        "act": "begin",
        "trial_id": trial.trial_id,
        "attempt": attempt,
        "file": "a.jsonl",
        "file_digest": DIGESTS[0],
        "file_size": 1,
        "form": "otlp",
        "producer": "lab",
        "signal": "traces",
        "requests": 1,
        "spans": 1,
        "by": "someone",
        **other,
    }
    trial.add("import", f"import/{attempt}/{body['act']}", **body)


@pytest.mark.parametrize("name", ["@recorder", "", "a b", "é" * 33, "a\nb", "a\x7f"])
def test_names_no_producer_can_have(name: str) -> None:
    """Nobody imports as the recorder, or under a name that cannot be recorded."""
    with pytest.raises(InputError, match="--producer"):
        check_producer(name)


@pytest.mark.parametrize("name", ["lab", "Crash-test/7", "é" * 32])
def test_names_of_producers(name: str) -> None:
    """Any other short name without spaces will do."""
    check_producer(name)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], "no trial"),
        (["submitted"], "is submitted"),
        (["approved"], "is approved"),
        (["running", "closing"], "is closing"),
        (["running", "closing", "closed"], "is closed"),
        (["failed"], "is failed"),
    ],
)
def test_only_a_trial_with_an_environment_takes_telemetry(
    states: list[str], said: str
) -> None:
    """Before and after there is nothing to observe."""
    trial = RecordedTrial()
    for version, state in enumerate(states, start=1):
        trial.move("before", state, version)
    with pytest.raises(ProcedureError, match=said):
        check_open(trial.log.entries(trial.trial_id), trial.trial_id)


@pytest.mark.parametrize("state", ["provisioning", "running", "paused"])
def test_a_trial_under_way_takes_telemetry(state: str) -> None:
    """While its environment exists, it may be observed by others too."""
    trial = RecordedTrial()
    trial.move("approved", state, 1)
    check_open(trial.log.entries(trial.trial_id), trial.trial_id)


def test_the_same_content_is_found_with_how_it_ended() -> None:
    """Other content is not; an import without an end is said to have none."""
    trial = RecordedTrial()
    begun(trial, "one")
    begun(trial, "one", act="end")
    begun(trial, "other", file_digest=DIGESTS[1])
    begun(trial, "two", producer="field")
    earlier = earlier_imports(trial.log.entries(), DIGESTS[0])
    assert [(item.record.attempt, item.is_whole) for item in earlier] == [
        ("one", True),
        ("two", False),
    ]
    with pytest.raises(ProcedureError, match=r"without an end.*producer field.*again"):
        check_new(earlier, "b.jsonl")
    with pytest.raises(ProcedureError, match="was imported at 2026-01-01"):
        check_new(earlier[:1], "b.jsonl")
    check_new([], "b.jsonl")
