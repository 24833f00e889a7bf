"""Sends one request again and again from a process of its own, written in Go.

Spans carry 11 attributes. Bodies are protobuf, uncompressed, always the same.
"""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from experiments.benches.ingesting.programs import program
from sandbox.testing.recorder import TOKEN


class Shape(NamedTuple):
    """One way of sending."""

    spans: int
    """In each request."""
    clients: int
    """Connections, each with one request in flight."""
    rate: float = 0
    """Requests per second over all clients; 0 is as fast as they are answered."""

    @property
    def name(self) -> str:
        """What the figures are called."""
        return f"{self.spans}_spans_{self.clients}_clients"


class Sent(NamedTuple):
    """What the sender saw."""

    answered: int
    """Requests answered 200."""
    refused: int
    broken: int
    """Connections that ended before the sending did."""
    seconds: float
    answer_ms: dict[str, float]


def sending(shape: Shape, target: str, *, seconds: float) -> subprocess.Popen[bytes]:
    """Start sending.

    Args:
        shape: How.
        target: HOST:PORT.
        seconds: How long.
    """
    command = [str(program("sender")), "-target", target]
    command += ["-clients", str(shape.clients), "-rate", str(shape.rate)]
    command += ["-seconds", str(seconds)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
    if process.stdin is not None:
        process.stdin.write(_request(shape.spans))
        process.stdin.close()
    return process


def sent_by(process: subprocess.Popen[bytes]) -> Sent:
    """Wait for the end and return what it saw."""
    said = process.stdout.read() if process.stdout is not None else b""
    if process.wait():
        raise SystemExit(f"the sender ended with {process.returncode}")
    found: dict[str, Any] = json.loads(said)
    return Sent(**found)


def _request(spans: int) -> bytes:
    body = export_request(spans)
    head = (
        "POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"authorization: Bearer {TOKEN}\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def export_request(spans: int, *, seed: int = 7) -> bytes:
    """Return an OTLP trace request in protobuf, of spans with 11 attributes each."""
    chance = random.Random(seed)
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
    return request.SerializeToString()
