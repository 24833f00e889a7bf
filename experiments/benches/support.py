"""How long labels of support take: 20 candidate values over recorded spans.

Spans are those of the bench `query`, through real frames, sealing and derivation. With
--times N the derived files are read N times over, for the largest questions. Every
engine runs in a process of its own, so that its memory is its own. Files are in the
page cache; generating and deriving are not measured. `impact` is one comparison of a
rule under two versions over the same spans, which an impact statement asks twice of
each trial and rule.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benches import query
from experiments.benches.backtest import book_of
from experiments.benches.processes import apart, peak_mib
from sandbox.adapters.backtest import SqlBacktests
from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.adapters.backtest_engine import CountingEngine
from sandbox.adapters.comparison import SqlComparisons
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.model.comparison import Comparison, Side
from sandbox.model.record import Interval
from sandbox.model.rule import Scope, TemporaryRule, Waiver
from sandbox.revision import Recorded, label_support
from sandbox.rules import reference, with_values

RULE, PARAMETER = "dispatch/time", "max_s"
CANDIDATES = [round(0.05 * number, 2) for number in range(1, 21)]
ENGINES = ("duckdb", "chdb")
BAR_S_FOR_10_M = 60.0


class Task(NamedTuple):
    """What is measured."""

    home: Path
    spans: int
    times: int


class Repeated(DerivedFiles):
    """Derived files that are read several times over."""

    times = 1

    def current(self, trial_id: str) -> Derived:
        """Return the files of a trial, so many times."""
        found = super().current(trial_id)
        return found._replace(files=found.files * self.times)


def main() -> None:
    """Generate, derive, label, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--home", type=Path, help="kept, and used again if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        task = Task(asked.home or Path(folder), asked.spans, asked.times)
        said = _measure(task)
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _measure(task: Task) -> dict[str, Any]:
    query.prepare(query.Task(task.home, task.spans, 20_000))
    return {
        "spans": task.spans * task.times,
        "candidates": len(CANDIDATES),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "load_average": os.getloadavg(),
        "engines": {name: apart(_ask, task, name) for name in ENGINES},
    }


def _ask(task: Task, name: str) -> dict[str, Any]:
    files = query.files(query.Task(task.home, task.spans, 20_000), Repeated)
    files.times = task.times
    engine: CountingEngine = ChdbCounting() if name == "chdb" else DuckCounting()
    files.current(query.TRIAL)
    begun = time.monotonic()
    found = label_support(
        PARAMETER,
        CANDIDATES,
        rule=RULE,
        recorded=Recorded(BOOK, (TEMPORARY,)),
        backtests=SqlBacktests(files, engine),
    )
    seconds = time.monotonic() - begun
    begun = time.monotonic()
    SqlComparisons(files, engine).compare(_comparison())
    impact = time.monotonic() - begun
    if isinstance(engine, ChdbCounting):
        engine.close()
    spans = task.spans * task.times
    bar = BAR_S_FOR_10_M * spans / 10_000_000
    return {
        "support_s": round(seconds, 2),
        "bar_s": bar,
        "holds": seconds <= bar,
        "units": found.labels[0].units,
        "labels": {x.value: x.label for x in found.labels},
        "impact_s": round(impact, 2),
        "resident_mib": peak_mib(),
    }


def _comparison() -> Comparison:
    return Comparison(
        trial_id=query.TRIAL,
        before=Side(rulebook=BOOK, overlay=TEMPORARY),
        after=Side(rulebook=with_values(BOOK, RULE, {PARAMETER: 0.7})),
        rules=(RULE,),
    )


BOOK = book_of(
    RULE,
    applies='span.kind == "server"',
    requires=f"span.duration_s <= params.{PARAMETER}",
)
TEMPORARY = TemporaryRule(
    temporary_rule=f"trial/{query.TRIAL}",
    trial_id=query.TRIAL,
    of=reference(BOOK),
    in_force=Interval(start=query.BEGUN, end=datetime(2100, 1, 1, tzinfo=UTC)),
    scope=Scope(participants="p", area="a"),
    overlays=(
        Waiver(
            label="stricter",
            exception_to=RULE,
            kind="modification",
            set={PARAMETER: 0.5},
        ),
    ),
    guardrails=(),
    plan_digest="sha256:" + "0" * 64,
)


if __name__ == "__main__":
    main()
