"""Replays of recorded data give what is recorded of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.release_aid import script as release_aid
from experiments.replays.results import Results, differences, recorded_in
from sandbox.errors import LocalError

REPLAYS = {"release_aid": release_aid}


def fresh(results: Callable[[], Results]) -> Results:
    """Run a replay; what it gives as it comes back from JSON."""
    try:
        return dict(json.loads(json.dumps(results(), allow_nan=False)))
    except LocalError as error:
        pytest.skip(f"NOT TESTED: replays of recorded data; {error}")


@pytest.mark.parametrize("name", REPLAYS)
def test_results(name: str) -> None:
    """A replay run anew gives the committed results, all numbers to 1e-9."""
    replay = REPLAYS[name]
    assert not list(differences(recorded_in(replay.FOLDER), fresh(replay.results)))


@pytest.mark.parametrize("name", REPLAYS)
def test_summary(name: str) -> None:
    """The committed summary is made from the committed results."""
    folder: Path = REPLAYS[name].FOLDER
    text = (folder / "results" / "summary.md").read_text()
    assert REPLAYS[name].summary(recorded_in(folder)) == text
