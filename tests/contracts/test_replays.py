"""Replays of recorded data give what is recorded of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

import experiments.credit_explanations.script as credit_explanations
import experiments.credit_explanations.words as credit_words
import experiments.release_aid.script as release_aid
import experiments.release_aid.words as release_words
from experiments.replays.results import Results, differences, recorded_in
from sandbox.errors import LocalError

REPLAYS = {
    "release_aid": (release_aid, release_words),
    "credit_explanations": (credit_explanations, credit_words),
}


def fresh(results: Callable[[], Results]) -> Results:
    """Run a replay; what it gives as it comes back from JSON."""
    try:
        return dict(json.loads(json.dumps(results(), allow_nan=False)))
    except LocalError as error:
        pytest.skip(f"NOT TESTED: replays of recorded data; {error}")


@pytest.mark.parametrize("name", REPLAYS)
def test_results(name: str) -> None:
    """A replay run anew gives the committed results, all numbers to 1e-9."""
    script, _ = REPLAYS[name]
    assert not list(differences(recorded_in(script.FOLDER), fresh(script.results)))


@pytest.mark.parametrize("name", REPLAYS)
def test_summary(name: str) -> None:
    """The committed summary is made from the committed results."""
    script, words = REPLAYS[name]
    text = (script.FOLDER / "results" / "summary.md").read_text()
    assert words.summary(recorded_in(script.FOLDER)) == text


@pytest.mark.parametrize("name", REPLAYS)
def test_readme(name: str) -> None:
    """Every decimal figure that a README says was found stands in the summary."""
    folder = REPLAYS[name][0].FOLDER
    readme = (folder / "README.md").read_text()
    found = readme.partition("## What was found")[2].partition("\n## ")[0]
    figures = set(re.findall(r"\d+\.\d+", found))
    summary = (folder / "results" / "summary.md").read_text()
    assert figures
    assert figures <= set(re.findall(r"\d+\.\d+", summary))
