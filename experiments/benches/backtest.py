"""How fast one rule is asked of recorded spans, and how fast span by span.

Derived files are made without frames: a table of spans (six services, 24 operations, 11
attributes of a thousand values each and one that the rule reads, every attribute in a
column of its own, as `arrange` gives it), written as the product writes it, 400,000
spans a file. With --times N the files are read N times over, for the largest questions.
Files are in the page cache. Making them is not measured. Each engine runs in a process
of its own, so that its memory is its own; `cold` is the first answer of a new process.
Span by span, what is measured is CPU time of one core from decoded spans to results; an
evaluation is one expression of one span. The peer, cel-python, is given the same spans
and the same expressions in the same run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import celpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from celpy.adapter import json_to_cel
from pydantic import JsonValue

from experiments.benches.processes import apart, peak_mib
from experiments.benches.query import SERVICES, TRACE_NS
from sandbox.adapters.backtest import SqlBacktests
from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.adapters.backtest_engine import CountingEngine
from sandbox.adapters.spans_files import Derived
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.adapters.spans_parquet import to_parquet
from sandbox.model.backtest import Backtest
from sandbox.model.observation import Span
from sandbox.model.rule import Rulebook
from sandbox.query import (
    Origin,
    Place,
    Source,
    core_schema,
    origin_of,
    read_origin,
    read_traces,
)
from sandbox.query.arrange import Arranged
from sandbox.query.columns import KINDS, PLAIN, SCOPES, map_name
from sandbox.rules import RuleOutcome, compile_rules
from sandbox.rules.facts import span_facts
from sandbox.testing.rules import rulebook_of

TRIAL = "bench-1"
FILE_SPANS = 400_000
RUNS = 7
ENGINES = ("duckdb", "chdb")
BAR_S_FOR_10_M, BAR_MIB, BAR_EVALUATIONS, BAR_RATIO = 2.0, 2048, 150_000, 50
_T0 = 1_775_001_600 * 10**9
_ZONE = "dispatch.zone"
_KEYS = (*(f"attribute.{number}" for number in range(11)), _ZONE)
_SINGLY, _PEER = 100_000, 2_000


class Task(NamedTuple):
    """What is measured."""

    folder: Path
    spans: int
    times: int


def main() -> None:
    """Make the files, ask, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="kept, and used again if it is there"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        task = Task(asked.folder or Path(folder), asked.spans, asked.times)
        said = _measure(task)
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _measure(task: Task) -> dict[str, Any]:
    apart(make, task)
    return {
        "spans": task.spans * task.times,
        "rule": [BOOK.rules[0].applies, BOOK.rules[0].requires],
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "load_average": os.getloadavg(),
        "engines": {name: apart(_ask, task, name) for name in ENGINES},
        "span_by_span": apart(_singly),
    }


def book_of(rule: str, **asks: Any) -> Rulebook:
    """Return a rulebook of one rule with the parameter `max_s`, 0.9 seconds."""
    value = {"value": asks.pop("max_s", 0.9), "reference": "r"}
    dated = {"unit": "s", "looser": "higher", "values": {"1970-01-01": value}}
    return rulebook_of(rule, {"parameters": {"max_s": dated}, **asks})


BOOK = book_of(
    "dispatch/zone-and-time",
    applies='span.kind == "server"',
    requires=f'span.attributes["{_ZONE}"] != "zone-13" && '
    '(span.service != "dispatch" || span.duration_s <= params.max_s)',
)


def make(task: Task) -> None:
    """Write the files of a task that are not there."""
    task.folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, task.spans, FILE_SPANS)):
        path = task.folder / f"{number}.parquet"
        if not path.exists():
            count = min(FILE_SPANS, task.spans - first)
            path.write_bytes(to_parquet(*_arranged(first, count)))


def _arranged(first: int, count: int) -> tuple[pa.Table, Origin]:
    chance = np.random.default_rng(first)
    columns = {**_core(first, count, chance), **_maps(count)}
    own = tuple(Place("attributes", "string", key) for key in _KEYS)
    for place in own:
        word, values = ("zone", 500) if place.key == _ZONE else ("value", 1000)
        columns[place.column] = _words(
            word, values, chance.integers(values, size=count)
        )
    promoted = tuple(Place(s, k, _ZONE) for s in SCOPES for k in PLAIN)
    names = core_schema(()).names + [place.column for place in own]
    table = pa.table({name: columns[name] for name in names})
    keys: dict[str, list[str] | None] = {
        map_name(scope, kind): [] for scope in SCOPES for kind in KINDS
    }
    keys["attributes_string"] = sorted(_KEYS)
    keys["resource_string"] = ["service.name"]
    arranged = Arranged(table, tuple(p for p in promoted if p in own), own, keys)
    sources = [Source(first // FILE_SPANS + 1, "sha256:" + "0" * 64)]
    return table, origin_of(arranged, sources=sources, rules_digest="", rules=())


def _core(first: int, count: int, chance: np.random.Generator) -> dict[str, pa.Array]:
    traces = np.arange(first, first + count) // len(SERVICES)
    service = np.arange(count) % len(SERVICES)
    start = (_T0 + traces * TRACE_NS + chance.integers(10**6, size=count)).astype("u8")
    empty = pa.array([""] * count)
    operations = [f"/{name}/{number}" for name in SERVICES for number in range(4)]
    plain = dict.fromkeys(core_schema(()).names, empty)
    return plain | {
        "trace_id": pa.array([b"%016d" % number for number in traces], pa.binary()),
        "span_id": pa.array([b"%08d" % number for number in range(count)], pa.binary()),
        "parent_span_id": pa.array([b""] * count, pa.binary()),
        "name": _taken(operations, service * 4 + chance.integers(4, size=count)),
        "kind": pa.array(["server"] * count),
        "service": _taken(list(SERVICES), service),
        "status": pa.array(["unset"] * count),
        "flags": pa.array(np.zeros(count, "u4")),
        "start_ns": pa.array(start),
        "end_ns": pa.array(start + chance.integers(10**9, size=count).astype("u8")),
        "received_at": pa.array(start.astype("i8") // 1000, pa.timestamp("us")),
        "segment": pa.array(np.full(count, first // FILE_SPANS + 1, "i4")),
        "frame": pa.array((np.arange(count) // 500).astype("i4")),
        "number": pa.array((np.arange(count) % 500).astype("i4")),
    }


def _words(word: str, values: int, which: Any) -> pa.Array:
    return _taken([f"{word}-{number}" for number in range(values)], which)


def _taken(words: list[str], which: Any) -> pa.Array:
    return pa.array(words).take(pa.array(which))


def _maps(count: int) -> dict[str, pa.Array]:
    schema = core_schema(())
    return {
        map_name(scope, kind): pa.array(
            [{}] * count, schema.field(map_name(scope, kind)).type
        )
        for scope in SCOPES
        for kind in KINDS
    }


class Files:
    """The files that were made, as the derived files of a trial."""

    def __init__(self, task: Task) -> None:
        paths = [task.folder / f"{n}.parquet" for n in range(_count(task.spans))]
        files = [_file(path) for path in paths]
        if sum(file.origin.spans for file in files) != task.spans:
            raise SystemExit(f"{task.folder} holds other files; remove it")
        self._derived = Derived(tuple(files * task.times), (), {}, 0, 0)

    def current(self, trial_id: str) -> Derived:
        """Return the files, whatever the trial."""
        return self._derived


def _count(spans: int) -> int:
    return math.ceil(spans / FILE_SPANS)


def _file(path: Path) -> DerivedFile:
    metadata = pq.read_metadata(path).metadata
    return DerivedFile(path, read_origin(metadata), read_traces(metadata))


def ask(task: Task, name: str, book: Rulebook, runs: int) -> dict[str, Any]:
    """Ask one engine a rulebook of one rule, and return how long each answer took.

    Args:
        task: What is asked.
        name: The engine.
        book: The rulebook.
        runs: How often it is asked after the first time.
    """
    chdb = ChdbCounting(memory_mib=BAR_MIB)
    engine: CountingEngine = (
        chdb if name == "chdb" else DuckCounting(memory_mib=BAR_MIB)
    )
    backtests = SqlBacktests(Files(task), engine)
    asked = Backtest(rulebook=book, trials=(TRIAL,))
    taken = []
    for _ in range(1 + runs):
        begun = time.monotonic()
        answer = backtests.backtest(asked)
        taken.append(time.monotonic() - begun)
    chdb.close()
    cold, *warm = taken
    spans, p50 = task.spans * task.times, median(warm)
    return {
        "cold_s": round(cold, 3),
        "p50_s": round(p50, 3),
        "max_s": round(max(warm), 3),
        "spans_per_s": round(spans / p50),
        "s_for_10_million": round(p50 * 10**7 / spans, 3),
        "peak_mib": peak_mib(),
        "counts": answer.counts[0].model_dump(exclude={"trial_id", "rule", "reasons"}),
    }


def _ask(task: Task, name: str) -> dict[str, Any]:
    said = ask(task, name, BOOK, RUNS)
    fast, small = (
        said["s_for_10_million"] <= BAR_S_FOR_10_M,
        said["peak_mib"] <= BAR_MIB,
    )
    bars = {"bar_s": BAR_S_FOR_10_M, "bar_mib": BAR_MIB}
    return {**said, **bars, "holds": fast and small}


def _singly() -> dict[str, Any]:
    spans = [_span(number) for number in range(_SINGLY)]
    rules, day = compile_rules(BOOK), date(2026, 4, 1)
    ours, results = _timed(spans, lambda span: _word(rules.judge(span, at=day)))
    peer, others = _timed(spans[:_PEER], _peer())
    if results[:_PEER] != others:
        raise SystemExit("cel-python says something else")
    return {
        "evaluations_per_s_per_core": round(ours),
        "bar": BAR_EVALUATIONS,
        "cel_python_evaluations_per_s": round(peer),
        "ratio": round(ours / peer, 1),
        "bar_ratio": BAR_RATIO,
        "holds": ours >= BAR_EVALUATIONS and ours >= BAR_RATIO * peer,
    }


def _timed(spans: list[Span], judge: Callable[[Span], str]) -> tuple[float, list[str]]:
    """Return the best of three in evaluations a second, and the results."""
    best, results = math.inf, []
    for _ in range(3):
        begun = time.process_time()
        results = [judge(span) for span in spans]
        best = min(best, time.process_time() - begun)
    # One expression where the rule does not apply, else two.
    evaluations = sum(1 + bool(word) for word in results)
    return evaluations / best, results


def _word(outcomes: list[RuleOutcome]) -> str:
    return outcomes[0].result if outcomes else ""


def _peer() -> Callable[[Span], str]:
    """Return the same judging by cel-python."""
    environment = celpy.Environment()
    rule = BOOK.rules[0]
    applies, requires = (
        environment.program(environment.compile(text))
        for text in (rule.applies, rule.requires)
    )
    params = json_to_cel({"max_s": 0.9})

    def judge(span: Span) -> str:
        seen = {"span": json_to_cel(span_facts(span)), "params": params}
        if not applies.evaluate(seen):
            return ""
        return "satisfied" if requires.evaluate(seen) else "violated"

    return judge


def _span(number: int) -> Span:
    start = _T0 + number * TRACE_NS
    attributes: dict[str, JsonValue] = {
        key: f"value-{number * 7919 % 1000}" for key in _KEYS
    }
    attributes[_ZONE] = f"zone-{number % 500}"
    return Span.model_construct(
        trace_id=f"{number // 6:032x}",
        span_id=f"{number:016x}",
        parent_span_id="",
        name="/dispatch/1",
        span_kind="server",
        service=SERVICES[number % len(SERVICES)],
        start_unix_nano=start,
        end_unix_nano=start + number * 7_919_000 % 10**9,
        status="unset",
        attributes=attributes,
        resource={"service.name": "dispatch"},
    )


if __name__ == "__main__":
    main()
