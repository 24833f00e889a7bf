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
from pathlib import Path
from typing import Any

from experiments.benches.backtest import ENGINES, Task, ask, book_of, make
from experiments.benches.processes import apart
from experiments.benches.query import SERVICES
from sandbox.errors import EvidenceError

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


BOOK = book_of(
    "dispatch/answer",
    applies='span.kind == "server"',
    pattern=PATTERN,
    max_s=0.0001,
)


def _ask(task: Task, name: str) -> dict[str, Any]:
    try:
        said = ask(task, name, BOOK, RUNS)
    except EvidenceError as error:
        return {"cannot": error.diagnosis, "bar_s": BAR_S_FOR_10_M, "holds": False}
    holds = said["s_for_10_million"] <= BAR_S_FOR_10_M
    return {**said, "bar_s": BAR_S_FOR_10_M, "holds": holds}


if __name__ == "__main__":
    main()
