"""Runs the suite and says what passes, and what does not and why.

Rules of this module:

* Every test of the suite is run and counted; none is left out.
* What differs is named test by test, with what the engine said.
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from experiments.cel_conformance.engine import difference
from experiments.cel_conformance.sql import ask_engines
from experiments.cel_conformance.suite import Suite, load_suite

RESULTS = Path(__file__).parent / "results" / "per-span.json"
_ENGINE = "cel-expr-python"


class Report(NamedTuple):
    """What came of one run."""

    suite: str
    """Version of the module `cel.dev/expr`."""
    engine: str
    tests: dict[str, int]
    """Test file → number of its tests."""
    differences: dict[str, str]
    """Test → what the engine does instead."""
    in_sql: dict[str, int]
    """Test file → tests whose expression is put into SQL, and gives the answer with
    both engines."""
    sql_differences: dict[str, str]
    """Engine and test → what its SQL gives instead."""

    def passed(self, file: str) -> int:
        """Return how many tests of a file pass."""
        return self.tests[file] - sum(
            name.startswith(f"{file}/") for name in self.differences
        )


def run() -> Report:
    """Fetch the pinned suite and run all of it."""
    return run_suite(load_suite())


def run_suite(suite: Suite) -> Report:
    """Run all tests of a suite."""
    found = ((case.id, difference(case, suite.pool)) for case in suite.cases)
    asked = ask_engines(suite.cases)
    agree = set.intersection(*(set(item.agree) for item in asked.values()))
    in_sql = Counter(name.partition("/")[0] for name in agree)
    return Report(
        suite.version,
        f"{_ENGINE} {version(_ENGINE)}",
        dict(Counter(case.file for case in suite.cases)),
        {name: said for name, said in found if said},
        dict(sorted(in_sql.items())),
        {
            f"{engine}: {name}": said
            for engine, item in asked.items()
            for name, said in item.differences.items()
        },
    )


def recorded() -> Report:
    """Return the report that is committed."""
    return Report(**json.loads(RESULTS.read_text()))


def record(report: Report) -> None:
    """Write a report as the one that is committed."""
    RESULTS.parent.mkdir(exist_ok=True)
    text = json.dumps(report._asdict(), indent=1, ensure_ascii=False)
    RESULTS.write_text(text + "\n")


def table(report: Report) -> str:
    """Return the counts as a table in Markdown."""
    rows = [
        f"| {file} | {count} | {report.passed(file)} | {report.in_sql.get(file, 0)} |"
        for file, count in report.tests.items()
    ]
    total = sum(report.tests.values())
    passed, in_sql = total - len(report.differences), sum(report.in_sql.values())
    rows.append(f"| **all** | **{total}** | **{passed}** | **{in_sql}** |")
    head = "| test file | tests | agree | agree in SQL |", "|---|---|---|---|"
    return "\n".join((*head, *rows))
