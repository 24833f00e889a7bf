"""What an engine must do so that rules can be asked of recorded spans with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.query.dialects import SqlDialect
from sandbox.query.verdicts import NOT_EVALUABLE, SATISFIED, VIOLATED

CODES = {
    "satisfied": SATISFIED,
    "violated": VIOLATED,
    "not_evaluable": NOT_EVALUABLE,
}
"""Result → the number that SQL gives for it."""


class Case(NamedTuple):
    """A derived file, and SQL that gives a number for each of its spans."""

    file: DerivedFile
    sql: str


class SpanPlace(NamedTuple):
    """Where a span lies, and its name."""

    segment: int
    frame: int
    number: int
    trace_id: str
    span_id: str


class CountingEngine(Protocol):
    """An engine that counts and finds spans by what SQL gives of them."""

    @property
    def name(self) -> str:
        """Its name and version."""
        ...

    @property
    def dialect(self) -> SqlDialect:
        """How it writes expressions."""
        ...

    def count(self, cases: Sequence[Case]) -> Counter[int]:
        """Return how often each number is given, in all files."""
        ...

    def find(self, cases: Sequence[Case], given: int, most: int) -> list[SpanPlace]:
        """Return the first spans for which a number is given, in order of place."""
        ...

    def source(self, file: DerivedFile) -> str:
        """Return what reads a file, to stand behind FROM."""
        ...

    def rows(self, statement: str) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement."""
        ...


def check_whole(counted: int, cases: Sequence[Case]) -> None:
    """Refuse figures that do not speak of every span: a file may be gone, which
    ClickHouse takes for an empty one.
    """
    spans = sum(case.file.origin.spans for case in cases)
    if counted != spans:
        raise EvidenceError(
            f"{counted} of {spans} spans were counted; remove the folder of derived "
            "files, they are made again"
        )
