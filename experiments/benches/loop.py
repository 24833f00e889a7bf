"""How long the whole loop takes, step by step, against its bars.

Runs `sandbox experiment run ride-dispatch` in a new state directory that shares the
cached servers. Wall-clock times of one run each; `n` says how many runs. Freezing is
counted from the breach's entry to the last pod gone and the token revoked. Memory is
resident memory of every process that was started, after the first load, without pods.
The worker's processor time is that of the first load, with a monitoring window of two
seconds and an inspection of the environment as often as the regime says, made an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.settings import Settings

BARS: dict[str, tuple[float, Callable[[dict[str, Any]], float]]] = {
    "servers_ready_s": (15.0, lambda run: run["timings"]["servers"]),
    "environment_ready_s": (8.0, lambda run: run["environment"]["ready_s"]),
    "freeze_s": (3.0, lambda run: run["guardrail"]["frozen_after_s"]),
    "whole_s": (240.0, lambda run: sum(run["timings"].values())),
    "resident_mib": (2560.0, lambda run: run["memory"]["resident_mib"]),
}
"""Figure → (bar, how it is read from a run's result)."""


def main() -> None:
    """Run the experiment `--runs` times and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    runs = [_run() for _ in range(parser.parse_args().runs)]
    figures = {
        name: _figure([read(run) for run in runs], bar)
        for name, (bar, read) in BARS.items()
    }
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    worker = [run["worker"]["processor_s_per_trial_hour"] for run in runs]
    result = {
        "n": len(runs),
        "machine": machine,
        "figures": figures,
        "worker_processor_s_per_trial_hour": worker,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _figure(values: list[float], bar: float) -> dict[str, Any]:
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
        "bar": bar,
        "holds": max(values) <= bar,
    }


def _run() -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix="rsbx-bench-"))
    cache = Settings().home / "servers"
    cache.mkdir(parents=True, exist_ok=True)
    (home / "servers").symlink_to(cache)
    sandbox = [sys.executable, "-m", "workflows.cli"]
    run = [*sandbox, "experiment", "run", "ride-dispatch", "-o", "json"]
    there = ["--home", str(home)]
    try:
        ended = subprocess.run(
            [*run, *there], stdout=subprocess.PIPE, check=True, timeout=900
        )
        found: dict[str, Any] = json.loads(ended.stdout)
        return found
    finally:
        # Also when the run was killed: what it started is known only from its home.
        subprocess.run([*sandbox, "local", "down", *there], check=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
