"""Replays of recorded data give what is recorded of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from experiments.credit_explanations.script import EXPERIMENT as CREDIT_EXPLANATIONS
from experiments.release_aid.script import EXPERIMENT as RELEASE_AID
from experiments.replays.results import Experiment, Results, differences, recorded_in
from experiments.ride_dispatch import recorded as ride_dispatch
from sandbox.errors import LocalError

REPLAYS = pytest.mark.parametrize(
    "replay",
    [RELEASE_AID, CREDIT_EXPLANATIONS],
    ids=lambda replay: replay.folder.name,
)


def fresh(results: Callable[[], Results]) -> Results:
    """Run a replay; what it gives as it comes back from JSON."""
    try:
        return dict(json.loads(json.dumps(results(), allow_nan=False)))
    except LocalError as error:
        pytest.skip(f"NOT TESTED: replays of recorded data; {error}")


@REPLAYS
def test_results(replay: Experiment) -> None:
    """A replay run anew gives the committed results, all numbers to 1e-9."""
    assert not list(differences(recorded_in(replay.folder), fresh(replay.results)))


@REPLAYS
def test_summary(replay: Experiment) -> None:
    """The committed summary is made from the committed results."""
    text = (replay.folder / "results" / "summary.md").read_text()
    assert replay.summary(recorded_in(replay.folder)) == text


@REPLAYS
def test_picture(replay: Experiment) -> None:
    """The picture can be drawn from the committed results, with its title."""
    drawn = replay.picture(recorded_in(replay.folder))
    kept = (replay.folder / "results" / "picture.svg").read_text()
    title = re.search(r">(Line: [^<]*)<", drawn)
    assert title is not None
    assert title[1] in kept


@REPLAYS
def test_readme(replay: Experiment) -> None:
    """Every decimal figure that a README says was found stands in the summary."""
    readme = (replay.folder / "README.md").read_text()
    found = readme.partition("## What was found")[2].partition("\n## ")[0]
    figures = set(re.findall(r"\d+\.\d+", found))
    summary = (replay.folder / "results" / "summary.md").read_text()
    assert figures
    assert figures <= set(re.findall(r"\d+\.\d+", summary))


def test_the_judge_reads_the_same_evidence() -> None:
    """The e-value after all pairs is the one the judge gives the comparison."""
    found = recorded_in(RELEASE_AID.folder)
    looked = found["figures"]["looks"][-1]["log_e_value"]
    judged = [
        item["log_evalue"]
        for item in found["findings"]
        if item["subject"] == found["figures"]["looking"]["goal"]
    ]
    assert judged == [pytest.approx(looked, abs=1e-9)]


def test_the_recorded_run_judged_again() -> None:
    """The bundle of the recorded run verifies, and gives the committed figures."""
    fresh_figures = json.loads(json.dumps(ride_dispatch.results()))
    assert not list(differences(ride_dispatch.recorded(), fresh_figures))
    text = (ride_dispatch.FOLDER / "recorded.md").read_text()
    assert ride_dispatch.summary(ride_dispatch.recorded()) == text


def test_a_changed_figure_of_the_recorded_run_is_found() -> None:
    """Another count than the one that follows from the bundle is named."""
    changed = ride_dispatch.recorded()
    changed["findings"][0]["counts"]["satisfied"] += 1
    (found,) = differences(changed, json.loads(json.dumps(ride_dispatch.results())))
    assert found.startswith("findings.0.counts.satisfied")
