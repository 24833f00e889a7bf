"""Questions about spans, answered by DuckDB from derived files.

Rules of this module:

* A question is answered in two steps: which spans, from the few columns that are asked
  about; then those spans whole. So the width of a span costs nothing for the others.
* A trace is read from the rows between which its index says it lies.
* Files that cannot hold an answer, by what they say of themselves, are not opened.
* A file that another process has replaced in between is looked up again, once.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb

from sandbox.adapters.spans_answers import answer_of, rows_of, trace_bytes
from sandbox.adapters.spans_duckdb_sql import DURATION, quoted, run_statement
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.model.trace import RecordedSpan, SpanAnswer, SpanQuestion, SqlAnswer
from sandbox.query import condition, recorded_span
from sandbox.query.columns import ORDER, Place
from sandbox.query.conditions import FALSE
from sandbox.query.rows import COLUMNS, answer_order

T = TypeVar("T")
ENGINE = f"duckdb {duckdb.__version__}"
_ORDER = ", ".join(ORDER)


class DuckDialect:
    """Writes conditions for DuckDB; values are bound, in order of appearance."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def name(self, column: str) -> str:
        """Return a column's name, quoted."""
        return quoted(column)

    def value(self, value: str | int | float | bool | bytes) -> str:
        """Return the place of a bound value."""
        self.values.append(value)
        return "?"

    def duration(self) -> str:
        """Return a span's duration in seconds, exact to the nanosecond."""
        return DURATION

    def has(self, column: str, key: str) -> str:
        """Return whether a map has a key."""
        return f"{column}[{self.value(key)}] IS NOT NULL"

    def holds(self, column: str, key: str, value: Any) -> str:
        """Return whether a map has a key with that value."""
        return f"{column}[{self.value(key)}] = {self.value(value)}"


class _Candidate(NamedTuple):
    """A file that may hold answers, and under which condition."""

    starts: int
    path: Path
    where: str
    values: tuple[Any, ...]


class _Hit(NamedTuple):
    """Where a span that was found lies."""

    order: tuple[Any, ...]
    path: str
    row: int


class DuckSpans:
    """Answers questions with DuckDB; for use by several threads.

    Args:
        files: The derived files of every trial.
        memory_mib: Memory one question may use.
        threads: Threads one question may use; 0 is one for each core.
    """

    def __init__(
        self, files: DerivedFiles, *, memory_mib: int = 1024, threads: int = 0
    ) -> None:
        self._files = files
        self._config = engine_config(memory_mib, threads)
        self._guard = threading.Lock()
        self._engine: duckdb.DuckDBPyConnection | None = None

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans for which everything asked holds, by start."""

        def run(derived: Derived) -> SpanAnswer:
            spans, more = self._found(derived, question)
            return answer_of(trial_id, spans, derived=derived, engine=ENGINE, more=more)

        return self._with_files(trial_id, run)

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return every recorded span of one trace."""
        wanted = trace_bytes(trace_id)

        def run(derived: Derived) -> SpanAnswer:
            spans = self._of_trace(derived.files, wanted)
            return answer_of(trial_id, spans, derived=derived, engine=ENGINE)

        return self._with_files(trial_id, run)

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Run one reading statement over the view `spans` of the trial."""

        def run(derived: Derived) -> SqlAnswer:
            found = run_statement(
                statement, derived=derived, limit=limit, config=self._config
            )
            return rows_of(
                trial_id, statement, found=found, derived=derived, engine=ENGINE
            )

        return self._with_files(trial_id, run)

    def _found(
        self, derived: Derived, question: SpanQuestion
    ) -> tuple[list[RecordedSpan], bool]:
        hits = self._find(derived.files, question)
        spans = self._fetch(hits[: question.limit], derived.files)
        return spans, len(hits) > question.limit

    def _with_files(self, trial_id: str, run: Callable[[Derived], T]) -> T:
        try:
            try:
                return run(self._files.current(trial_id))
            except duckdb.IOException:
                return run(self._files.current(trial_id))
        except duckdb.Error as error:
            raise EvidenceError(f"DuckDB cannot answer: {error}") from error

    def _find(self, files: Iterable[DerivedFile], question: SpanQuestion) -> list[_Hit]:
        """Return where the first spans lie, one more than the limit where there are.

        Files are asked in order of their spans, ever more at a time, until no later
        file can hold an earlier span.
        """
        waiting = sorted(_candidates(files, question), key=lambda item: item.starts)
        hits: list[_Hit] = []
        count, most = 1, question.limit + 1
        while waiting:
            some, waiting = waiting[:count], waiting[count:]
            hits = sorted([*hits, *self._hits(some, most)])[:most]
            if len(hits) == most and waiting and hits[-1].order[0] < waiting[0].starts:
                break
            count *= 4
        return hits

    def _hits(self, some: Sequence[_Candidate], most: int) -> list[_Hit]:
        groups: dict[tuple[str, tuple[Any, ...]], list[Path]] = defaultdict(list)
        for item in some:
            groups[item.where, item.values].append(item.path)
        parts = [
            f"SELECT {_ORDER}, filename, file_row_number "
            f"FROM {parquet(paths)} WHERE {where}"
            for (where, _), paths in groups.items()
        ]
        text = f"{' UNION ALL '.join(parts)} ORDER BY {_ORDER} LIMIT {most}"
        values = [value for _, bound in groups for value in bound]
        found = self._cursor().execute(text, values).fetchall()
        return [_Hit(tuple(order), path, row) for *order, path, row in found]

    def _fetch(
        self, hits: Sequence[_Hit], files: Iterable[DerivedFile]
    ) -> list[RecordedSpan]:
        own = {str(file.path): file.origin.own for file in files}
        by_file: dict[str, list[int]] = defaultdict(list)
        for hit in hits:
            by_file[hit.path].append(hit.row)
        found: dict[tuple[str, int], RecordedSpan] = {}
        for path, rows in by_file.items():
            where = f"file_row_number IN ({', '.join(map(str, sorted(rows)))})"
            for row, span in self._read(path, own[path], where):
                found[path, row] = span
        return [found[hit.path, hit.row] for hit in hits]

    def _of_trace(
        self, files: Iterable[DerivedFile], trace_id: bytes
    ) -> list[RecordedSpan]:
        found: list[RecordedSpan] = []
        for file in files:
            rows = file.traces.rows(trace_id)
            if rows is not None:
                where = f"file_row_number BETWEEN {rows[0]} AND {rows[1]}"
                whole = f"{where} AND trace_id = unhex('{trace_id.hex()}')"
                read = self._read(str(file.path), file.origin.own, whole)
                found += [span for _, span in read]
        return sorted(found, key=answer_order)

    def _read(
        self, path: str, own: Sequence[Place], where: str
    ) -> Iterator[tuple[int, RecordedSpan]]:
        names = (*COLUMNS, *(place.column for place in own))
        text = (
            f"SELECT file_row_number, {', '.join(map(quoted, names))} "
            f"FROM {parquet([Path(path)])} WHERE {where}"
        )
        for row, *values in self._cursor().execute(text).fetchall():
            yield row, recorded_span(dict(zip(names, values, strict=True)), own=own)

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._guard:
            if self._engine is None:
                self._engine = duckdb.connect(":memory:", config=self._config)
                self._engine.execute("SET parquet_metadata_cache = true")
            return self._engine.cursor()


def _candidates(
    files: Iterable[DerivedFile], question: SpanQuestion
) -> Iterator[_Candidate]:
    trace_id = bytes.fromhex(question.trace_id)
    for file in files:
        dialect = DuckDialect()
        where = condition(question, origin=file.origin, dialect=dialect)
        absent = trace_id and file.traces.rows(trace_id) is None
        if file.origin.spans and where != FALSE and not absent:
            starts = file.origin.first_start_ns
            yield _Candidate(starts, file.path, where, tuple(dialect.values))


def engine_config(memory_mib: int, threads: int) -> dict[str, Any]:
    """Return how DuckDB is opened: in memory, without anything from outside."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_mib}MiB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": "",
    }
    if threads:
        config["threads"] = threads
    return config


def parquet(paths: Iterable[Path]) -> str:
    """Return the table function that reads derived files."""
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"read_parquet([{names}], file_row_number = true, filename = true)"
