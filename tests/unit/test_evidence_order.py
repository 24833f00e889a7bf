"""A story begins with its application, and where it ends is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.verify import verify_bundle
from sandbox.testing.custody import ended_trial
from sandbox.testing.insider import edit_lines, resign
from sandbox.testing.trial import RecordedTrial


def written(trial: RecordedTrial, folder: Path) -> Path:
    write_bundle(folder / "b", trial_id=trial.trial_id, source=trial.source())
    return folder / "b"


def leave(bundle: Path, trial: RecordedTrial, kept: slice) -> None:
    """Leave these entries only, and sign that with the log's key."""

    def cut(lines: list[object]) -> None:
        lines[:] = lines[kept]

    edit_lines(bundle / "entries.jsonl", cut)
    resign(bundle, trial.signer)


@pytest.mark.parametrize("kept", [slice(0, 0), slice(1, None)])
def test_a_story_without_its_application_fails(tmp_path: Path, kept: slice) -> None:
    """Without any entry, or with all but the first, though signed by the log's key."""
    trial = RecordedTrial()
    trial.move("submitted", "refused", 1)
    bundle = written(trial, tmp_path)
    leave(bundle, trial, kept)
    result = verify_bundle(bundle)
    assert not result.ok
    assert "the application of trial ride-1 is missing" in result.steps[-1].detail


def test_where_the_story_ends_is_said(tmp_path: Path) -> None:
    """A tail that was cut off leaves no trace but an earlier end."""
    trial = ended_trial()
    bundle = written(trial, tmp_path)
    assert ends(bundle) == "2 transitions in order; the story ends in state closed"
    leave(bundle, trial, slice(0, -1))
    assert ends(bundle) == "1 transitions in order; the story ends in state closing"
    bundle = written(RecordedTrial(), tmp_path)
    assert ends(bundle) == "0 transitions in order; the story ends before the first"


def ends(bundle: Path) -> str:
    result = verify_bundle(bundle)
    assert result.ok, result.steps[-1]
    (found,) = [step for step in result.steps if "one unbroken" in step.step]
    return found.detail
