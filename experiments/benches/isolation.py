"""What isolation costs and how fast it acts, against its bars, on a node of its own.

`ready`: environments one after another. From nothing to ready holds the whole of
`apply_environment` (with its dry run and the check of the platform) and the isolation
proof; deployed adds one pod of agnhost until it is available; back to nothing holds
`tear_down` and a scan over every kind that finds nothing. Writes are requests that may
change something (PATCH, POST, PUT, DELETE), from nothing back to nothing.

`warm`: trials that claim an environment which was proven before, one after another; its
making and proof went before and are not counted.

`race`: pods whose first act is a forbidden connection, in new namespaces, 20 at once,
one control beside each 20. Packets are those of forbidden connections that were seen on
the wire between node and host, whether or not an answer came: all seen, less one of
each control.

`freeze`: from the call to the last answer a client outside gets over one connection
that it keeps open, while other environments are provisioned in threads.

`idle`: namespaces with all their objects and no pod. `rounds`: environments with a pod,
made and removed, four at once; then every namespace and every object in one, every
mount point and every network device of the node is compared with what was there before.

Percentiles are nearest-rank. Times are of the clock on the wall; load averages are said
because other work on the machine changes them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from experiments.benches.isolating.ground import Ground, ground, told
from experiments.benches.isolating.many import idle_figures, round_figures
from experiments.benches.isolating.trials import freeze_figures, ready_figures
from experiments.benches.isolating.warm import warm_figures
from experiments.benches.isolating.wire import watched
from sandbox.examination import count_first_packets, throwaway
from sandbox.model.isolation import FirstPackets


def main() -> None:
    """Measure the parts asked for and print the figures."""
    asked = _asked()
    parts = asked.only.split(",") if asked.only else list(PARTS)
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}; parts: {', '.join(PARTS)}")
    with ground() as here:
        said = {name: _measured(PARTS[name], here, asked) for name in parts}
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    sys.stdout.write(json.dumps({"machine": machine, **said}, indent=2) + "\n")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--trials", type=int, default=50, help="of `ready` and `warm`")
    parser.add_argument("--starts", type=int, default=1000, help="pods of `race`")
    parser.add_argument("--freezes", type=int, default=50)
    parser.add_argument("--backlog", type=int, default=2, help="threads; 0 for none")
    parser.add_argument("--idle", type=int, default=200, help="environments")
    parser.add_argument("--rounds", type=int, default=100)
    return parser.parse_args()


def _measured(
    part: Callable[[Ground, argparse.Namespace], dict[str, Any]],
    here: Ground,
    asked: argparse.Namespace,
) -> dict[str, Any]:
    before, begun = os.getloadavg()[0], time.monotonic()
    found = part(here, asked)
    load = {"before": round(before, 1), "after": round(os.getloadavg()[0], 1)}
    return {**found, "load_average": load, "took_s": round(time.monotonic() - begun)}


def _race(here: Ground, asked: argparse.Namespace) -> dict[str, Any]:
    host, port = here.servers.beacons["outside"]
    with watched(here.link(), host, port) as wire:
        found = [
            _hundred(here, first, asked.starts) for first in range(0, asked.starts, 100)
        ]
    counts = {
        name: sum(getattr(one, name) for one in found)
        for name in FirstPackets.model_fields
        if name not in ("kind", "seconds")
    }
    stray = len(wire.attempts) - counts["controls"]
    held = (
        counts["got_through"] == counts["unclear"] == stray == 0
        and counts["controls_through"] == counts["controls"] > 0
    )
    return {**counts, "packets_on_the_wire": stray, "bar": 0, "holds": held}


def _hundred(here: Ground, first: int, starts: int) -> FirstPackets:
    place, count = here.place(f"race-{first}"), min(100, starts - first)
    with throwaway(place):
        found = count_first_packets(
            place, here.servers.beacons["outside"], starts=count
        )
    told(f"{first + count} starts: {found.got_through} of {count} got through")
    return found


PARTS: dict[str, Callable[[Ground, argparse.Namespace], dict[str, Any]]] = {
    "ready": lambda here, asked: ready_figures(here, asked.trials),
    "warm": lambda here, asked: warm_figures(here, asked.trials),
    "freeze": lambda here, asked: freeze_figures(here, asked.freezes, asked.backlog),
    "race": _race,
    "idle": lambda here, asked: idle_figures(here, asked.idle),
    "rounds": lambda here, asked: round_figures(here, asked.rounds),
}


if __name__ == "__main__":
    main()
