"""How fast the recorder takes spans in, durably: every answer follows its fdatasync.

One process takes spans in over OTLP/HTTP; another, written in Go, sends them over
loopback; both share the machine with whatever else runs there (`load_average`). Figures
are of the time after one second of warming up. `processor_us_per_request` and
`spans_per_s_per_core` count the processor time of the receiving process alone. After
each run what was answered 200 is compared with what is in the files.

`--collector` does the same to the OpenTelemetry Collector. `--minutes N` sends at a
bounded rate and prints the memory of the recorder every ten seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import linear_regression
from typing import Any

from experiments.benches.ingesting.sending import Sent, Shape, sending, sent_by
from experiments.benches.ingesting.subjects import (
    Collector,
    Kept,
    Recorder,
    Subject,
    ended,
)

SHAPES = (Shape(500, 8), Shape(10, 64))
SMALL = SHAPES[1]
KILLS = 3
SAMPLE_S = 10.0
_WARM_S = 1.0

Make = Callable[[Path], Subject]


def main() -> None:
    """Run what was asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--collector", action="store_true", help="compare with it")
    parser.add_argument("--minutes", type=float, default=0.0, help="watch the memory")
    parser.add_argument("--rate", type=float, default=1000.0, help="with --minutes")
    given = parser.parse_args()
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    said: dict[str, Any] = {"machine": machine, "load_average": [os.getloadavg()[0]]}
    if given.minutes:
        said["steady"] = _steady(60 * given.minutes, given.rate)
    else:
        said |= {"seconds_each": given.seconds, "kills": KILLS}
        for name, make in _subjects(given.collector).items():
            said[name] = _all_of(make, given.seconds)
    said["load_average"].append(os.getloadavg()[0])
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _subjects(collector: bool) -> dict[str, Make]:
    if not collector:
        return {"recorder": Recorder}
    return {
        "recorder": Recorder,
        "collector": partial(Collector, batches=False),
        "collector_batching": partial(Collector, batches=True),
    }


def _all_of(make: Make, seconds: float) -> dict[str, Any]:
    figures = {shape.name: _measured(make, shape, seconds) for shape in SHAPES}
    half = SMALL._replace(rate=figures[SMALL.name]["requests_per_s"] / 2)
    figures[f"{SMALL.name}_half_load"] = _measured(make, half, seconds)
    lost = [_lost_when_killed(make, SMALL) for _ in range(KILLS)]
    return figures | {"killed": lost}


@contextlib.contextmanager
def _made(make: Make) -> Iterator[Subject]:
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        yield make(Path(folder))


def _measured(make: Make, shape: Shape, seconds: float) -> dict[str, Any]:
    with _made(make) as subject:
        with ended(subject) as process:
            warm = sent_by(sending(shape, subject.target, seconds=_WARM_S))
            before = process.cpu_times()
            sent = sent_by(sending(shape, subject.target, seconds=seconds))
            after = process.cpu_times()
            resident = process.memory_info().rss
            subject.stop()
        used = after.user + after.system - before.user - before.system
        figures = _figures(shape, sent, used)
        missing = _missing(shape, (warm, sent), subject.kept())
        return figures | {"resident_mib": resident >> 20} | missing


def _figures(shape: Shape, sent: Sent, used_s: float) -> dict[str, Any]:
    spans = sent.answered * shape.spans
    return {
        "requests": sent.answered,
        "requests_per_s": round(sent.answered / sent.seconds),
        "spans_per_s": round(spans / sent.seconds),
        "processor_us_per_request": round(1e6 * used_s / max(1, sent.answered), 1),
        "spans_per_s_per_core": round(spans / used_s),
        "cores_used": round(used_s / sent.seconds, 2),
        "answer_ms": sent.answer_ms,
        "refused_requests": sent.refused,
    }


def _missing(shape: Shape, sent: tuple[Sent, ...], kept: Kept) -> dict[str, Any]:
    acknowledged = shape.spans * sum(one.answered for one in sent)
    return {
        "bytes_per_span": round(kept.size / max(1, kept.spans), 1),
        "acknowledged_spans_missing": max(0, acknowledged - kept.spans),
    }


def _lost_when_killed(make: Make, shape: Shape) -> dict[str, int]:
    with _made(make) as subject:
        with ended(subject):
            sender = sending(shape, subject.target, seconds=30)
            time.sleep(3)
            subject.kill()
            sent = sent_by(sender)
        kept = subject.kept()
    acknowledged = sent.answered * shape.spans
    missing = max(0, acknowledged - kept.spans)
    return {"acknowledged_spans": acknowledged, "missing_spans": missing}


def _steady(seconds: float, rate: float) -> dict[str, Any]:
    shape = SMALL._replace(rate=rate)
    samples: list[tuple[float, float]] = []
    with _made(Recorder) as subject, ended(subject) as process:
        begun = time.monotonic()
        sender = sending(shape, subject.target, seconds=seconds)
        while sender.poll() is None:
            time.sleep(min(SAMPLE_S, seconds / 10))
            resident = process.memory_info().rss / 2**20
            samples.append((time.monotonic() - begun, resident))
            sys.stderr.write(f"{samples[-1][0]:6.0f} s {resident:8.1f} MiB\n")
        sent = sent_by(sender)
    # The first tenth is warming up: caches fill, and the allocator takes its share.
    settled = samples[len(samples) // 10 :]
    slope = linear_regression(*zip(*settled, strict=True)).slope
    return {
        "rate": rate,
        "requests_per_s": round(sent.answered / sent.seconds),
        "answer_ms": sent.answer_ms,
        "resident_mib": [round(resident, 1) for _, resident in samples],
        "slope_mib_per_minute": round(60 * slope, 3),
    }


if __name__ == "__main__":
    main()
