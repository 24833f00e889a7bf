"""How fast a rule about the order of spans is asked of recorded spans.

The spans and files are those of `backtest`: traces of six spans, one of each service.
The rule is a bounded response: every span of one service must be followed within a time
by one of another in the same trace. Its time is about what two of them take, so that it
is satisfied and violated. What is measured is a whole question, redeliveries looked for
and the ends of traces included; `cold` is the first answer of a new process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from experiments.benches.backtest import (
    BAR_MIB,
    ENGINES,
    TRIAL,
    Files,
    Task,
    apart,
    make,
    peak_mib,
)
from experiments.benches.query import SERVICES
from sandbox.adapters.backtest import SqlBacktests
from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.adapters.backtest_engine import CountingEngine
from sandbox.model.backtest import Backtest
from sandbox.model.rule import Rulebook

RUNS = 5
BAR_S_FOR_10_M = 6.0


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
        apart(make, task)
        said = {
            "spans": task.spans * task.times,
            "pattern": PATTERN,
            "machine": {"cores": os.cpu_count(), "system": platform.platform()},
            "load_average": os.getloadavg(),
            "engines": {name: apart(_ask, task, name) for name in ENGINES},
        }
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


PATTERN = {
    "every": f'span.service == "{SERVICES[0]}"',
    "followed_by": f'span.service == "{SERVICES[1]}"',
    "within": "params.max_s",
}


def _book() -> Rulebook:
    value = {"value": 0.0001, "reference": "r"}
    rule = {
        "rule": "dispatch/answer",
        "text": "…",
        "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "parameters": {
            "max_s": {"unit": "s", "looser": "higher", "values": {"2024-01-01": value}}
        },
        "applies": 'span.kind == "server"',
        "pattern": PATTERN,
        "severity": "major",
        "waivable": True,
    }
    book = {
        "rulebook": "bench",
        "version": 1,
        "title": "B",
        "owner": "o",
        "in_force_from": "2024-01-01",
        "rules": [rule],
    }
    return Rulebook.model_validate(book)


def _ask(task: Task, name: str) -> dict[str, Any]:
    chdb = ChdbCounting(memory_mib=BAR_MIB)
    engine: CountingEngine = (
        chdb if name == "chdb" else DuckCounting(memory_mib=BAR_MIB)
    )
    backtests = SqlBacktests(Files(task), engine)
    asked = Backtest(rulebook=_book(), trials=(TRIAL,))
    taken = []
    for _ in range(1 + RUNS):
        begun = time.monotonic()
        answer = backtests.backtest(asked)
        taken.append(time.monotonic() - begun)
    chdb.close()
    cold, *warm = taken
    p50, peak = median(warm), peak_mib()
    return {
        "cold_s": round(cold, 3),
        "p50_s": round(p50, 3),
        "max_s": round(max(warm), 3),
        "s_for_10_million": round(p50 * 10**7 / (task.spans * task.times), 3),
        "bar_s": BAR_S_FOR_10_M,
        "peak_mib": peak,
        "counts": answer.counts[0].model_dump(exclude={"trial_id", "rule", "reasons"}),
    }


if __name__ == "__main__":
    main()
