"""Units in order: which observations count, how many of each result, and their digest.

Rules of this module:

* One unit per span: the first observation of a span by a rule counts, later ones are
  redeliveries. Order is that of span start, ties by trace and span id.
* A digest covers the observations so far, one canonical JSON line each, so that a look
  can be repeated on exactly the data it saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sandbox.findings.lines import canonical_line
from sandbox.model.finding import Counts
from sandbox.model.observation import Observation


class Tally(NamedTuple):
    """Counts and digest after some number of units."""

    counts: Counts
    digest: str
    until: datetime | None
    """Start of the last unit counted; None before the first."""


def units_of(rule: str, observations: Iterable[Observation]) -> list[Observation]:
    """Return the units of a rule: its observations, each span once, in order."""
    of_rule = (item for item in observations if item.rule == rule)
    seen: set[tuple[str, str]] = set()
    units = []
    for item in sorted(of_rule, key=_order):
        key = (item.trace_id, item.span_id)
        if key not in seen:
            seen.add(key)
            units.append(item)
    return units


def tallies(units: Sequence[Observation]) -> Iterator[Tally]:
    """Yield the tally after each unit, the first being that of none."""
    running = _Running()
    yield running.tally()
    for unit in units:
        running.add(unit)
        yield running.tally()


def tally(units: Sequence[Observation]) -> Tally:
    """Return the tally of all units."""
    running = _Running()
    for unit in units:
        running.add(unit)
    return running.tally()


class _Running:
    """Counts and digest of the units so far."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._results = {"satisfied": 0, "violated": 0, "not_evaluable": 0}
        self._until: datetime | None = None

    def add(self, unit: Observation) -> None:
        self._hasher.update(canonical_line(unit) + b"\n")
        self._results[unit.result] += 1
        self._until = unit.started_at

    def tally(self) -> Tally:
        digest = _digest(self._hasher.hexdigest())
        return Tally(Counts(**self._results), digest, self._until)


def look_points(units: int) -> frozenset[int]:
    """Return the numbers of units at which the judge looks.

    They lie evenly on a logarithmic scale from 10 on, and end with all units. Intervals
    that hold at every unit hold at these; the spacing only keeps the record short.
    """
    points, point = {units} - {0}, 10.0
    while point < units:
        points.add(int(point))
        point *= 1.2
    return frozenset(points)


def busiest_minute(units: Sequence[Observation]) -> int:
    """Return the most units that started within any sixty seconds."""
    starts = [unit.started_at.timestamp() for unit in units]
    most = first = 0
    for last, start in enumerate(starts):
        while start - starts[first] >= 60:
            first += 1
        most = max(most, last - first + 1)
    return most


def _order(item: Observation) -> tuple[datetime, str, str]:
    return item.started_at, item.trace_id, item.span_id


def _digest(hexadecimal: str) -> str:
    return f"sha256:{hexadecimal}"
