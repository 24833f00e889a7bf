"""How fast the recorder takes spans in, durably: every answer follows its fdatasync.

One recorder process on loopback; clients in another process keep one request each in
flight over OTLP/HTTP in protobuf, uncompressed. Spans carry 11 attributes. Afterwards
the frames on disk are counted against the answers. `per_core` divides by the processor
time of the recorder, not by the cores of the machine. The clients share the machine;
tokens are looked up in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.adapters.segments import LocalSegments
from sandbox.recorder import count_spans, decode_frames
from sandbox.settings import Settings
from sandbox.testing.recorder import TOKEN, TRIAL, RecorderProcess

_ANSWER_END = b"\r\n\r\n"


class Shape(NamedTuple):
    """One way of sending."""

    spans: int
    clients: int


class Load(NamedTuple):
    """What was sent, and what the recorder spent on it."""

    warm: int
    """Requests answered before measuring began."""
    taken: list[float]
    """Seconds until each answer."""
    used_s: float
    """Processor time of the recorder while measuring."""
    seconds: float


SHAPES = {
    "500_spans_8_clients": Shape(500, 8),
    "10_spans_64_clients": Shape(10, 64),
}


def main() -> None:
    """Run every shape for `--seconds` each and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    figures = {name: _measure(shape, seconds) for name, shape in SHAPES.items()}
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    said = {"seconds_each": seconds, "machine": machine, "figures": figures}
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _measure(shape: Shape, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        recorder = RecorderProcess(Path(folder) / "state")
        with recorder:
            process = psutil.Process(recorder.pid)
            port = recorder.settings.recorder_http_port
            load = _load(shape, seconds, (port, process))
            resident = process.memory_info().rss
            recorder.stop()
        return _figures(shape, load, (*_recorded(recorder.settings), resident))


def _load(shape: Shape, seconds: float, target: tuple[int, psutil.Process]) -> Load:
    port, process = target
    request = _request(shape.spans)
    warm = asyncio.run(_send(port, [request] * shape.clients, 1.0))
    before = process.cpu_times()
    taken = asyncio.run(_send(port, [request] * shape.clients, seconds))
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return Load(len(warm), taken, used, seconds)


async def _send(port: int, requests: list[bytes], seconds: float) -> list[float]:
    until = time.monotonic() + seconds
    sent = [_client(port, request, until) for request in requests]
    return [taken for one in await asyncio.gather(*sent) for taken in one]


async def _client(port: int, request: bytes, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    while (begun := time.monotonic()) < until:
        writer.write(request)
        answer = await reader.readuntil(_ANSWER_END)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the recorder answered {answer[:80]!r}")
        taken.append(time.monotonic() - begun)
    writer.close()
    return taken


def _request(spans: int) -> bytes:
    chance = random.Random(7)
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(spans):
        span = scope.spans.add(
            trace_id=chance.randbytes(16),
            span_id=chance.randbytes(8),
            name="/dispatch",
            kind=2,
            start_time_unix_nano=1_790_000_000_000_000_000 + chance.randrange(10**9),
        )
        span.end_time_unix_nano = span.start_time_unix_nano + chance.randrange(10**9)
        for number in range(11):
            item = span.attributes.add(key=f"attribute.{number}")
            item.value.string_value = f"value-{chance.randrange(1000)}"
    body = request.SerializeToString()
    head = (
        "POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"authorization: Bearer {TOKEN}\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _recorded(settings: Settings) -> tuple[int, int]:
    segments = LocalSegments.of(settings)
    spans = size = 0
    for item in segments.files(TRIAL):
        raw = segments.read(TRIAL, item.number)
        frames, consumed = decode_frames(raw)
        if consumed != len(raw):
            raise SystemExit(f"segment {item.number} ends in the middle of a frame")
        spans += sum(count_spans(frame) for frame in frames)
        size += len(raw)
    return spans, size


def _figures(shape: Shape, load: Load, left: tuple[int, int, int]) -> dict[str, Any]:
    recorded, size, resident = left
    taken, seconds = load.taken, load.seconds
    spans = len(taken) * shape.spans
    acknowledged = spans + load.warm * shape.spans
    cuts = [1000 * cut for cut in quantiles(taken, n=100)]
    return {
        "requests": len(taken),
        "requests_per_s": round(len(taken) / seconds),
        "spans_per_s": round(spans / seconds),
        "spans_per_s_per_core": round(spans / load.used_s),
        "answer_ms": {
            "p50": round(cuts[49], 2),
            "p95": round(cuts[94], 2),
            "p99": round(cuts[98], 2),
            "max": round(1000 * max(taken), 2),
        },
        "resident_mib": round(resident / 2**20),
        "raw_bytes_per_span": round(size / recorded, 1),
        "acknowledged_spans_missing": max(0, acknowledged - recorded),
    }


if __name__ == "__main__":
    main()
