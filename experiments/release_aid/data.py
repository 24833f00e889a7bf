"""The rows of the data set as spans: one follow-up for each released person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from pydantic import JsonValue

from experiments.replays.bundled import Bundled, read_bundled
from experiments.replays.course import row_span
from experiments.replays.papers import Papers
from sandbox.model.observation import Span


def read_rossi() -> Bundled:
    """Return the data set `rossi` of lifelines.

    Raises:
        LocalError: It is not installed.
    """
    return read_bundled("lifelines", "lifelines/datasets/rossi.csv")


def spans_of(data: Bundled, papers: Papers) -> Iterator[Span]:
    """Yield one span for each person: the k-th of each arm together, by their rows.

    The data have no dates, and a block of the plan compares persons of one time.

    Attributes: `arm` is `aid` or `none`; `arrest.week` is there if the person was
    arrested. The span lasts as long as the person was followed.
    """
    for number, row in enumerate(_paired(data.rows)):
        week = int(row["week"])
        attributes: dict[str, JsonValue] = {
            "arm": "aid" if row["fin"] == "1" else "none"
        }
        if row["arrest"] == "1":
            attributes["arrest.week"] = week
        yield row_span(
            papers, number, "follow-up", attributes, lasting=timedelta(weeks=week)
        )


def _paired(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    seen: Counter[str] = Counter()
    places = []
    for row in rows:
        places.append(seen[row["fin"]])
        seen[row["fin"]] += 1
    return [row for _, row in sorted(zip(places, rows, strict=True), key=_place)]


def _place(item: tuple[int, Mapping[str, str]]) -> int:
    return item[0]
