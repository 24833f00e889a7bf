"""Spans counted by DuckDB."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import duckdb

from sandbox.adapters.backtest_engine import Case, SpanPlace
from sandbox.adapters.spans_duckdb import ENGINE, engine_config, parquet
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.query.dialects import DuckSql

_MOST_SPILLED = "32GiB"


class DuckCounting:
    """Counts and finds spans with DuckDB.

    Args:
        memory_mib: Memory one question may use.
        threads: Threads one question may use; 0 is one for each core.
    """

    name = ENGINE
    dialect = DuckSql()

    def __init__(self, *, memory_mib: int = 1024, threads: int = 0) -> None:
        self._config = engine_config(memory_mib, threads) | {
            "max_temp_directory_size": _MOST_SPILLED,
            "preserve_insertion_order": False,
        }
        self._guard = threading.Lock()
        self._engine: duckdb.DuckDBPyConnection | None = None

    def count(self, cases: Sequence[Case]) -> Counter[int]:
        """Return how often each number is given, in all files."""
        parts = [
            f"SELECT {sql} AS given FROM {parquet(paths)}"
            for sql, paths in _grouped(cases)
        ]
        rows = self.rows(
            f"SELECT given, count(*) FROM ({' UNION ALL '.join(parts)}) GROUP BY given"
        )
        return Counter({int(given): count for given, count in rows})

    def find(self, cases: Sequence[Case], given: int, most: int) -> list[SpanPlace]:
        """Return the first spans for which a number is given, in order of place."""
        parts = [
            "SELECT segment, frame, number, lower(hex(trace_id)) AS trace_id, "
            f"lower(hex(span_id)) AS span_id FROM {parquet(paths)} "
            f"WHERE {sql} = {given}"
            for sql, paths in _grouped(cases)
        ]
        rows = self.rows(
            f"{' UNION ALL '.join(parts)} ORDER BY segment, frame, number LIMIT {most}"
        )
        return [SpanPlace(*row) for row in rows]

    def source(self, file: DerivedFile) -> str:
        """Return what reads a file, to stand behind FROM."""
        return parquet([file.path])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement.

        Raises:
            EvidenceError: The engine cannot answer.
        """
        try:
            return self._cursor().execute(statement).fetchall()
        except duckdb.Error as error:
            raise EvidenceError(f"DuckDB cannot answer: {error}") from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._guard:
            if self._engine is None:
                # Rules about the order of spans sort all of them: what has no room in
                # memory is written here, and goes with this object.
                folder = mkdtemp(prefix="rsbx-backtest-")
                weakref.finalize(self, rmtree, folder, ignore_errors=True)
                config = {**self._config, "temp_directory": folder}
                self._engine = duckdb.connect(":memory:", config=config)
                self._engine.execute("SET parquet_metadata_cache = true")
            return self._engine.cursor()


def _grouped(cases: Sequence[Case]) -> Iterator[tuple[str, list[Path]]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for file, sql in cases:
        groups[sql].append(file.path)
    yield from groups.items()
