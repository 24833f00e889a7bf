"""The replay from end to end: from the recorded rows to its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.release_aid.arms import (
    Looking,
    Question,
    arrests,
    looks,
    question_of,
)
from experiments.release_aid.chances import (
    block_sizes,
    chances,
    other_orders,
    week_chances,
)
from experiments.release_aid.data import read_rossi, spans_of
from experiments.release_aid.picture import picture
from experiments.release_aid.weeks import Followed, ever_in_a_week, week_looks
from experiments.release_aid.words import summary
from experiments.replays.course import JudgedRows, replay
from experiments.replays.papers import read_papers, read_question
from experiments.replays.results import Experiment, Results, results_of

_PACKAGE = "experiments.release_aid"


def results() -> Results:
    """Judge the recorded persons under the documents of this folder.

    Raises:
        LocalError: The data are not installed.
    """
    data, papers = read_rossi(), read_papers(_PACKAGE)
    looking = read_question(_PACKAGE, "looking.yaml", Looking)
    done = replay(papers, spans_of(data, papers))
    return results_of(done, data, _figures(done, question_of(papers.plan, looking)))


def _figures(done: JudgedRows, question: Question) -> dict[str, Any]:
    arms, units = question.arms, done.units(question.goal.estimand.of)
    a, b = (arrests(question, units, arm) for arm in (arms.treated, arms.control))
    followed = Followed(_weeks(done, arms.treated), _weeks(done, arms.control))
    return {
        "looking": question.looking.model_dump(mode="json"),
        "alpha": question.goal.alpha,
        "enough": question.enough,
        "looks": looks(question, a, b),
        "block_sizes": block_sizes(question, a, b),
        "orders": other_orders(question, a, b),
        "chances": chances(question, a, b),
        "weeks": week_looks(question, followed),
        "ever_in_a_week": ever_in_a_week(question, followed),
        "week_chances": week_chances(question, followed),
    }


def _weeks(done: JudgedRows, arm: str) -> Any:
    weeks = [
        span.attributes.get("arrest.week", 0)
        for span in done.spans
        if span.attributes["arm"] == arm
    ]
    return np.asarray(weeks, dtype=float)


EXPERIMENT = Experiment(Path(__file__).parent, results, summary, picture)
