"""`python -m sandbox.incluster.expiry`: no environment outlives its expiry.

A CronJob of the cluster starts it every minute (`manifests/platform/69-…`). It sweeps
at once and then looks ahead for longer than a minute, so runs overlap: a deadline
between two full minutes is met on time, and a run that fails to start is made up for by
the one before it.

Exit codes: 0 nothing is left that should not be, 1 something is (the log says what).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment.keeping import Keeper
from sandbox.errors import ClusterError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: Of the command line; those of the process when None.
    """
    asked = _parser().parse_args(arguments)
    try:
        cluster = KubernetesCluster.from_service_account()
    except ClusterError as error:
        tell(error.diagnosis)
        return 1
    keeper = Keeper(cluster, clock=SystemClock(), pause=time.sleep, tell=tell)
    wrong = keeper.watch(asked.watch)
    return 1 if wrong else 0


def tell(sentence: str) -> None:
    """Write a sentence to the pod's log, with the instant."""
    now = SystemClock().now().isoformat(timespec="milliseconds")
    sys.stdout.write(f"{now} {sentence}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.incluster.expiry")
    parser.add_argument(
        "--watch",
        type=float,
        default=90.0,
        metavar="SECONDS",
        help="how long to look ahead (default: 90)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
