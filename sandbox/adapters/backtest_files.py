"""The derived files of a trial, as rules are asked of them.

Rules of this module:

* What SQL cannot tell is judged from the rows of a file, as spans were judged while the
  trial ran.
* Files may be replaced while they are asked; then the question is asked once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import pyarrow.parquet as pq

from sandbox.adapters.backtest_engine import CODES, SpanPlace
from sandbox.adapters.spans_files import Derived
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.model.backtest import BacktestEvidence
from sandbox.model.trace import RecordedSpan
from sandbox.monitor.observe import span_start
from sandbox.query import recorded_span
from sandbox.query.verdicts import NOT_UNDER
from sandbox.rules import CompiledRules, Known, judge_tracks
from sandbox.rules.facts import span_facts

_BATCH_ROWS = 8192
_PLACE = ("segment", "frame", "number")
_Answer = TypeVar("_Answer")


class CurrentFiles(Protocol):
    """Gives the derived files of a trial: `DerivedFiles`."""

    def current(self, trial_id: str) -> Derived:
        """Return what may be searched now, made first where it is missing."""
        ...


def ask_current(
    files: CurrentFiles, trial_id: str, ask: Callable[[Derived], _Answer]
) -> _Answer:
    """Ask something of the derived files of a trial.

    Raises:
        EvidenceError: They cannot be read, or made.
        OSError: The same.
    """
    derived = files.current(trial_id)
    try:
        return ask(derived)
    except (EvidenceError, OSError):
        # Another process may have replaced files meanwhile: asked again, once.
        now = files.current(trial_id)
        if [file.path for file in now.files] == [file.path for file in derived.files]:
            raise
        return ask(now)


def evidence_of(trial_id: str, derived: Derived) -> BacktestEvidence:
    """Return what is read of a trial."""
    return BacktestEvidence(
        trial_id=trial_id,
        segments=derived.evidence,
        unsealed=derived.unsealed,
        erased=derived.erased,
    )


def judge_file(
    file: DerivedFile,
    rules: CompiledRules,
    is_meant: Callable[[tuple[Any, ...]], bool],
) -> Iterator[tuple[SpanPlace, int]]:
    """Judge spans of a derived file one by one.

    Args:
        file: The file.
        rules: One rule; or none, under which no span is.
        is_meant: Told segment, frame and number of a span: is it to be judged?
    """
    with pq.ParquetFile(file.path) as opened:
        for batch in opened.iter_batches(_BATCH_ROWS):
            columns = (batch[name].to_pylist() for name in _PLACE)
            for row, place in enumerate(zip(*columns, strict=True)):
                if is_meant(place):
                    [values] = batch.slice(row, 1).to_pylist()
                    found = recorded_span(values, own=file.origin.own)
                    yield _judge_span(found, rules)


def judge_together(
    files: Sequence[DerivedFile], rules: CompiledRules, known: Known
) -> list[tuple[SpanPlace, int]]:
    """Judge all spans of a trial together, and return what is said of its units."""
    spans = [item for file in files for item in _spans(file)]
    facts = [span_facts(item.span) for item in spans]
    return [
        (_place(spans[place]), CODES[outcome.result])
        for place, outcome in judge_tracks(rules, facts, known=known)
    ]


def _judge_span(recorded: RecordedSpan, rules: CompiledRules) -> tuple[SpanPlace, int]:
    span = recorded.span
    judged = rules.judge(span, at=span_start(span).date())
    return _place(recorded), CODES[judged[0].result] if judged else NOT_UNDER


def _spans(file: DerivedFile) -> list[RecordedSpan]:
    with pq.ParquetFile(file.path) as opened:
        rows: list[dict[str, Any]] = [
            row
            for batch in opened.iter_batches(_BATCH_ROWS)
            for row in batch.to_pylist()
        ]
    return [recorded_span(row, own=file.origin.own) for row in rows]


def _place(recorded: RecordedSpan) -> SpanPlace:
    span = recorded.span
    return SpanPlace(
        recorded.segment,
        recorded.frame,
        recorded.number,
        span.trace_id,
        span.span_id,
    )
