"""The replay from end to end: from the recorded rows to its results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from experiments.credit_explanations.data import (
    TRAINING,
    read_german_credit,
    runs,
    spans_of,
)
from experiments.credit_explanations.disparity import Disparity, looks
from experiments.credit_explanations.picture import picture
from experiments.credit_explanations.scoring import CUTOFF, train
from experiments.credit_explanations.words import summary
from experiments.replays.course import JudgedRows, replay
from experiments.replays.papers import read_papers, read_question
from experiments.replays.results import Experiment, Results, results_of
from sandbox.model.record import digest_of
from sandbox.revision import Recorded, label_support
from sandbox.testing.backtest import FakeBacktests
from sandbox.testing.listed import ListedSpans

_PACKAGE = "experiments.credit_explanations"
_SHARES = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Candidates for the share that the reasons must carry."""


def results() -> Results:
    """Let the model decide on the recorded applications, and judge what it did.

    Raises:
        LocalError: The data are not installed.
    """
    data, papers = read_german_credit(), read_papers(_PACKAGE)
    question = read_question(_PACKAGE, "disparity.yaml", Disparity)
    model = train(data.rows[:TRAINING])
    done = replay(papers, spans_of(data.rows, model, papers))
    figures = _figures(done, question) | {"runs_of_sex": runs(data, _SEX)}
    return results_of(done, data, figures)


_SEX = "personal_status_and_sex"


def _figures(done: JudgedRows, question: Disparity) -> dict[str, Any]:
    rules = (question.groups.a, question.groups.b)
    units = [item for item in done.observations if item.rule in rules]
    return {
        "training_rows": TRAINING,
        "cutoff": CUTOFF,
        "decisions": dict(_decisions(done)),
        "not_scored": [
            {"row": TRAINING + number, "reason": _reason(done, span.span_id)}
            for number, span in enumerate(done.spans)
            if "decision" not in span.attributes
        ],
        "disparity": question.model_dump(mode="json"),
        "disparity_digest": digest_of(question),
        "looks": looks(question, units),
        "support": _support(done),
        "reasons": _most_told(done),
    }


def _decisions(done: JudgedRows) -> Counter[str]:
    return Counter(str(span.attributes.get("decision", "none")) for span in done.spans)


def _reason(done: JudgedRows, span_id: str) -> str:
    """Return why a rule on refusals could not be evaluated of a span."""
    return next(
        item.reason
        for item in done.units("credit/refusal-explained")
        if item.span_id == span_id
    )


def _support(done: JudgedRows) -> list[dict[str, Any]]:
    spans = ListedSpans({done.papers.trial_id: done.spans})
    found = label_support(
        "min_share",
        _SHARES,
        rule="credit/reasons-carry-the-refusal",
        recorded=Recorded(done.papers.rulebook, (done.papers.temporary_rule,)),
        backtests=FakeBacktests(spans),
    )
    return [label.model_dump(mode="json") for label in found.labels]


def _most_told(done: JudgedRows) -> dict[str, int]:
    told: Counter[str] = Counter()
    for span in done.spans:
        reasons = span.attributes.get("reasons")
        told.update(map(str, reasons if isinstance(reasons, list) else []))
    return dict(sorted(told.items(), key=lambda item: (-item[1], item[0])))


EXPERIMENT = Experiment(Path(__file__).parent, results, summary, picture)
