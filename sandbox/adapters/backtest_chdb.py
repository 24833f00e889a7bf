"""Spans counted by chDB."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sandbox.adapters.backtest_engine import Case, SpanPlace
from sandbox.adapters.spans_chdb import check_path, engine_name
from sandbox.adapters.spans_chdb_process import TIME_LIMIT_S, ChdbProcess
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.query.clickhouse import source_of
from sandbox.query.dialects import ClickHouseSql


class ChdbCounting:
    """Counts and finds spans with chDB, in a process of its own.

    Args:
        memory_mib: Memory one question may use.
        threads: Threads one question may use; 0 is one for each core.
    """

    dialect = ClickHouseSql()

    def __init__(self, *, memory_mib: int = 1024, threads: int = 0) -> None:
        self._memory_mib = memory_mib
        self._threads = threads
        self._guard = threading.Lock()
        self._process: ChdbProcess | None = None

    @property
    def name(self) -> str:
        """Its name and version."""
        return engine_name()

    def count(self, cases: Sequence[Case]) -> Counter[int]:
        """Return how often each number is given, in all files."""
        parts = [
            f"SELECT toUInt8({sql}) AS given FROM {_source(file)}"
            for file, sql in cases
        ]
        rows = self.rows(
            f"SELECT given, count() FROM ({' UNION ALL '.join(parts)}) GROUP BY given"
        )
        return Counter({int(given): int(count) for given, count in rows})

    def find(self, cases: Sequence[Case], given: int, most: int) -> list[SpanPlace]:
        """Return the first spans for which a number is given, in order of place."""
        parts = [
            "SELECT segment, frame, number, lower(hex(trace_id)), lower(hex(span_id)) "
            f"FROM {_source(file)} WHERE {sql} = {given}"
            for file, sql in cases
        ]
        rows = self.rows(
            f"SELECT * FROM ({' UNION ALL '.join(parts)}) "
            f"ORDER BY segment, frame, number LIMIT {most}"
        )
        return [SpanPlace(*row) for row in rows]

    def close(self) -> None:
        """End the engine's process; it is started again when it is asked."""
        with self._guard:
            if self._process is not None:
                self._process.close()
            self._process = None

    def source(self, file: DerivedFile) -> str:
        """Return what reads a file, to stand behind FROM."""
        return source_of(file.path, file.origin)

    def rows(self, statement: str) -> list[list[Any]]:
        """Return the rows of a statement.

        Raises:
            EvidenceError: The engine cannot answer.
        """
        with self._guard:
            if self._process is None or not self._process.is_running:
                self._process = ChdbProcess(
                    memory_mib=self._memory_mib,
                    threads=self._threads,
                    time_limit_s=TIME_LIMIT_S,
                )
        data = self._process.run(statement, "JSONCompactEachRow")
        return [json.loads(line) for line in data.splitlines()]


def _source(file: DerivedFile) -> str:
    check_path(file.path)
    return source_of(file.path, file.origin)
