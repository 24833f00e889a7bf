"""DuckDB and chDB say of rules and spans what the per-span engine says."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sandbox.adapters.spans_chdb_process import ChdbProcess
from sandbox.adapters.spans_parquet import to_parquet
from sandbox.query import Origin
from sandbox.query.clickhouse import source_of
from sandbox.query.dialects import ClickHouseSql, DuckSql
from sandbox.testing.differential import differences


def test_every_answer_agrees(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Of 100,000 random rules and spans for each engine, no answer differs, and each of
    true, false and not evaluable is given thousands of times.
    """
    pairs = pytestconfig.getoption("pairs") or 100_000
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")

    def write(table: pa.Table, origin: Origin) -> Path:
        path = tmp_path / "spans.parquet"
        path.write_bytes(to_parquet(table, origin))
        return path

    with ChdbProcess(memory_mib=4096, threads=2, time_limit_s=60) as process:

        def ask(columns: str, path: Path, origin: Origin) -> list[list[Any]]:
            statement = f"SELECT {columns} FROM {source_of(path, origin)}"
            lines = process.run(statement, "JSONCompactEachRow").splitlines()
            return [json.loads(line) for line in lines]

        duck, chdb = differences(
            random.Random(seed),
            pairs,
            write=write,
            asking=[(DuckSql(), _ask_duckdb), (ClickHouseSql(), ask)],
        )
    assert not duck.differences, (seed, duck.differences[:3])
    assert not chdb.differences, (seed, chdb.differences[:3])
    for tally in (duck, chdb):
        assert tally.unsure < tally.pairs / 4
        assert all(tally.answers[answer] > pairs / 50 for answer in (True, False, None))


def _ask_duckdb(columns: str, path: Path, _: Origin) -> Sequence[Sequence[Any]]:
    with duckdb.connect(":memory:") as engine:
        return engine.execute(f"SELECT {columns} FROM '{path}'").fetchall()
