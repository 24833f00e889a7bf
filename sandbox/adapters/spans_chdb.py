"""Questions about spans, answered by chDB (ClickHouse in a process) from derived files.

Rules of this module:

* It is the second opinion: it reads every file whose spans may answer, whole, without
  the index of traces and without DuckDB's short cuts, so that a mistake in those shows
  as a difference.
* A question is answered in two steps: which spans; then those spans whole.
* Types are pinned (`sandbox.query.clickhouse`), never inferred.
* ClickHouse takes a file that is not there for an empty one. So files are looked for
  after the answer; where one was replaced meanwhile, the question is asked again, once.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa

from sandbox.adapters.spans_answers import answer_of, rows_of, trace_bytes
from sandbox.adapters.spans_chdb_process import TIME_LIMIT_S, ChdbProcess
from sandbox.adapters.spans_chdb_sql import run_statement
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.model.trace import RecordedSpan, SpanAnswer, SpanQuestion, SqlAnswer
from sandbox.query import condition, core_schema, recorded_span
from sandbox.query.clickhouse import ClickHouseDialect, quoted, source_of
from sandbox.query.columns import ORDER, TYPES
from sandbox.query.conditions import FALSE
from sandbox.query.rows import COLUMNS, answer_order

T = TypeVar("T")
_ORDER = ", ".join(ORDER)
_GLOBS = frozenset("*?{}")


class _Place(NamedTuple):
    """Where a span lies: number of the derived file, then its place in the evidence."""

    file: int
    segment: int
    frame: int
    number: int


class ChdbSpans:
    """Answers questions with chDB; for use by several threads, one at a time.

    Args:
        files: The derived files of every trial.
        memory_mib: Memory one question may use.
        threads: Threads one question may use; 0 is one for each core.
    """

    def __init__(
        self, files: DerivedFiles, *, memory_mib: int = 1024, threads: int = 0
    ) -> None:
        self._files = files
        self._memory_mib = memory_mib
        self._threads = threads
        self._guard = threading.Lock()
        self._process: ChdbProcess | None = None

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans for which everything asked holds, by start."""

        def run(derived: Derived) -> SpanAnswer:
            places = self._find(derived.files, question, question.limit + 1)
            spans = self._fetch(places[: question.limit], derived.files)
            more = len(places) > question.limit
            return answer_of(
                trial_id, spans, derived=derived, engine=engine_name(), more=more
            )

        return self._with_files(trial_id, run)

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return every recorded span of one trace."""
        wanted = trace_bytes(trace_id)

        def run(derived: Derived) -> SpanAnswer:
            question = SpanQuestion(trace_id=wanted.hex())
            places = self._find(derived.files, question, None)
            spans = self._fetch(places, derived.files)
            return answer_of(trial_id, spans, derived=derived, engine=engine_name())

        return self._with_files(trial_id, run)

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Run one reading statement over the view `spans` of the trial."""

        def run(derived: Derived) -> SqlAnswer:
            with self._new_process() as process:
                found = run_statement(
                    statement, derived=derived, limit=limit, process=process
                )
            return rows_of(
                trial_id, statement, found=found, derived=derived, engine=engine_name()
            )

        return self._with_files(trial_id, run)

    def close(self) -> None:
        """End the engine's process; it is started again when it is asked."""
        with self._guard:
            if self._process is not None:
                self._process.close()
            self._process = None

    def _with_files(self, trial_id: str, run: Callable[[Derived], T]) -> T:
        for _ in range(2):
            derived = self._files.current(trial_id)
            for file in derived.files:
                check_path(file.path)
            try:
                answer = run(derived)
            except EvidenceError:
                if _are_there(derived):
                    raise
            else:
                if _are_there(derived):
                    return answer
        raise EvidenceError(
            f"derived files of trial {trial_id} were replaced while they were read; "
            "ask again",
            retryable=True,
        )

    def _find(
        self, files: Sequence[DerivedFile], question: SpanQuestion, most: int | None
    ) -> list[_Place]:
        parts = list(_parts(files, question))
        if not parts:
            return []
        limit = "" if most is None else f" LIMIT {most}"
        found = self._table(
            f"SELECT file, segment, frame, number FROM ({' UNION ALL '.join(parts)}) "
            f"ORDER BY {_ORDER}{limit}"
        )
        return [_Place(**row) for row in found.to_pylist()]

    def _fetch(
        self, places: Sequence[_Place], files: Sequence[DerivedFile]
    ) -> list[RecordedSpan]:
        by_file: dict[int, list[_Place]] = defaultdict(list)
        for place in places:
            by_file[place.file].append(place)
        spans = [
            span
            for number, some in by_file.items()
            for span in self._read(files[number], some)
        ]
        if len(spans) != len(places):
            raise EvidenceError(
                f"chDB found {len(places)} spans and could read {len(spans)} of them; "
                "remove the folder of derived files, they are made again"
            )
        return sorted(spans, key=answer_order)

    def _read(
        self, file: DerivedFile, places: Iterable[_Place]
    ) -> Iterator[RecordedSpan]:
        own = file.origin.own
        schema = pa.schema(
            [core_schema(()).field(name) for name in COLUMNS]
            + [pa.field(place.column, TYPES[place.kind]) for place in own]
        )
        wanted = ", ".join(f"({p.segment}, {p.frame}, {p.number})" for p in places)
        source = source_of(file.path, file.origin)
        table = self._table(
            f"SELECT {', '.join(map(quoted, schema.names))} FROM {source} "
            f"WHERE (segment, frame, number) IN ({wanted})"
        )
        for row in table.cast(schema).to_pylist():
            yield recorded_span(row, own=own)

    def _table(self, statement: str) -> pa.Table:
        data = self._running().run(statement, "ArrowStream")
        return pa.ipc.open_stream(data).read_all()

    def _running(self) -> ChdbProcess:
        with self._guard:
            if self._process is not None and not self._process.is_running:
                self._process.close()
                self._process = None
            if self._process is None:
                self._process = self._new_process()
            return self._process

    def _new_process(self) -> ChdbProcess:
        return ChdbProcess(
            memory_mib=self._memory_mib,
            threads=self._threads,
            time_limit_s=TIME_LIMIT_S,
        )


def engine_name() -> str:
    """Return name and version of the engine, as answers carry them."""
    return f"chdb {metadata.version('chdb')}"


def _parts(files: Sequence[DerivedFile], question: SpanQuestion) -> Iterator[str]:
    for number, file in enumerate(files):
        where = condition(question, origin=file.origin, dialect=ClickHouseDialect())
        if file.origin.spans and where != FALSE:
            source = source_of(file.path, file.origin)
            yield (
                f"SELECT {_ORDER}, toInt32({number}) AS file FROM {source} "
                f"WHERE {where}"
            )


def check_path(path: Path) -> None:
    """Refuse a path that the engine takes for a pattern.

    Raises:
        EvidenceError: It has a sign of one in it.
    """
    if _GLOBS & set(str(path)):
        raise EvidenceError(
            f"chDB takes {path} for a pattern of names; choose a SANDBOX_HOME without "
            "any of * ? { }, or ask --engine duckdb"
        )


def _are_there(derived: Derived) -> bool:
    return all(file.path.exists() for file in derived.files)
