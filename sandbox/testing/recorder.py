"""A recorder in a process of its own, for tests that fill, break and kill it.

Rules of this module:

* What runs is the real recorder on loopback; its tokens are fakes, unless those of the
  installation's database are asked for.
* A preamble may prepare the process, for example limit it or make its disk slow; it
  runs before anything of the recorder is imported.
* Every process started is ended when the `with` block is left.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import RecorderError
from sandbox.model.segment import RecorderHealth
from sandbox.recorder import RECORDER, Frame, decode_frames, spans_in
from sandbox.settings import Settings

TRIAL = "ride-1"
TOKEN = "a-good-token"
PROTOBUF = "application/x-protobuf"
_START_S = 120
_HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": PROTOBUF}
_FAKE_TOKENS = f"""
from sandbox.testing.records import FakeTokens

tokens = FakeTokens()
tokens.issue({TRIAL!r}, "hotrod", {TOKEN!r})
"""
_SQL_TOKENS = """
from sandbox.adapters.database import open_database
from sandbox.adapters.tokens import SqlTokens

tokens = SqlTokens(open_database(settings))
"""
_SETTINGS = """
import sys
from sandbox.settings import Settings

settings = Settings.model_validate_json(sys.argv[1])
"""
_RUN = """
from sandbox.adapters.clock import SystemClock
from sandbox.adapters.otlp import run

run(settings, tokens, SystemClock(), hosts=sys.argv[2:])
"""


class HttpAnswer(NamedTuple):
    """What the recorder answered over HTTP."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


class RecorderProcess:
    """The recorder of one evidence folder; may be started again after its end.

    Args:
        home: State directory.
        hosts: Further addresses to listen on.
        preamble: Python run in the process before the recorder is imported.
        sql_tokens: Whether tokens are those of the installation's database.
        changes: Settings to change.
    """

    def __init__(
        self,
        home: Path,
        *,
        hosts: Sequence[str] = (),
        preamble: str = "",
        sql_tokens: bool = False,
        **changes: object,
    ) -> None:
        ports = _free_ports(3)
        self.settings = Settings(
            home=home,
            recorder_http_port=ports[0],
            recorder_grpc_port=ports[1],
            recorder_admin_port=ports[2],
            segment_seconds=600,
        ).model_copy(update=changes)
        self.preamble = preamble
        self.log = home.with_name(f"{home.name}-recorder-{ports[0]}.log")
        self._hosts = hosts
        self._tokens = _SQL_TOKENS if sql_tokens else _FAKE_TOKENS
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RecorderProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def grpc_target(self) -> str:
        """HOST:PORT of OTLP/gRPC."""
        return f"127.0.0.1:{self.settings.recorder_grpc_port}"

    @property
    def http_target(self) -> str:
        """HOST:PORT of OTLP/HTTP."""
        return f"127.0.0.1:{self.settings.recorder_http_port}"

    @property
    def folder(self) -> Path:
        """Where the trial's segments lie."""
        return self.settings.evidence_dir / TRIAL

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._running().pid

    def resident_bytes(self) -> int:
        """Return how much memory its process holds."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def processor_s(self) -> float:
        """Return how many seconds of processors its process has used."""
        used = psutil.Process(self.pid).cpu_times()
        return float(used.user + used.system)

    def start(self) -> None:
        """Start the process and wait until it listens.

        Raises:
            RecorderError: It ended, or does not listen in time; says what it printed.
        """
        self.launch()
        deadline = time.monotonic() + _START_S
        while "recorder ready:" not in self.log.read_text():
            ended = self._running().poll() is not None
            if ended or time.monotonic() > deadline:
                self.kill()
                raise RecorderError(f"it did not start: {self.log.read_text()}")
            time.sleep(0.02)

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        program = self.preamble + _SETTINGS + self._tokens + _RUN
        argv = [sys.executable, "-c", program, self.settings.model_dump_json()]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([*argv, *self._hosts], stderr=log)

    def wait(self) -> int:
        """Wait for the end of the process; return its exit code, -N for signal N."""
        return self._running().wait(timeout=_START_S)

    def stop(self) -> int:
        """End it as an operator does, with SIGTERM; return its exit code."""
        self._running().send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RecorderError("the recorder was not started", retryable=False)
        return self._process

    def post(
        self, body: bytes, *, path: str = "/v1/traces", **headers: str
    ) -> HttpAnswer:
        """Send one request of the enrolled producer.

        Args:
            body: The body as it goes over the wire.
            path: Where to.
            headers: To add or change; `_` stands for `-`.
        """
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.ask("POST", path, body, _HEADERS | named)

    def ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> HttpAnswer:
        """Send one HTTP request exactly as given."""
        return _ask(self.http_target, method, path, headers=headers, body=body)

    def frames(self) -> list[Frame]:
        """Return what producers sent, in order; the recorder's own notes left out.

        Raises:
            EvidenceError: A segment is damaged.
        """
        found: list[Frame] = []
        for path in sorted(self.folder.glob("*.open")) + self.closed():
            found += decode_frames(path.read_bytes())[0]
        found.sort(key=lambda frame: frame.sequence)
        return [frame for frame in found if frame.producer != RECORDER]

    def closed(self) -> list[Path]:
        """Return the raw files of closed segments, in order."""
        return sorted(self.folder.glob("*.closed"))

    def span_names(self) -> list[str]:
        """Return the names of all recorded spans, in order."""
        return [span.name for frame in self.frames() for span in spans_in(frame)]

    def refused(self) -> dict[str, int]:
        """Return how often each reason for a refusal came since the start."""
        return dict(self.status()["refused"])

    def status(self) -> dict[str, Any]:
        """Return what it counted since the start."""
        return dict(json.loads(self._admin("GET", "/status").body))

    def health(self) -> RecorderHealth:
        """Return what it says of itself to the trial's monitor."""
        answer = self._admin("GET", f"/trials/{TRIAL}/health")
        return RecorderHealth.model_validate_json(answer.body)

    def roll(self) -> None:
        """Close the open segment.

        Raises:
            RecorderError: It was not closed.
        """
        answer = self._admin("POST", f"/trials/{TRIAL}/roll")
        if answer.status != 200:
            raise RecorderError(f"it did not roll: {answer.body!r}")

    def _admin(self, method: str, path: str) -> HttpAnswer:
        token = (self.settings.home / "recorder-admin.token").read_text()
        target = f"127.0.0.1:{self.settings.recorder_admin_port}"
        return _ask(target, method, path, headers={"authorization": f"Bearer {token}"})


def _ask(
    target: str,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> HttpAnswer:
    client = http.client.HTTPConnection(target, timeout=_START_S)
    try:
        client.request(method, path, body, dict(headers))
        answer = client.getresponse()
        found = {key.lower(): value for key, value in answer.getheaders()}
        return HttpAnswer(answer.status, found, answer.read())
    finally:
        client.close()


def trace_request(names: Sequence[str] = ("dispatch",)) -> bytes:
    """Return a traces request with one span of each name."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, name in enumerate(names, start=1):
        identity = number.to_bytes(16, "big")
        scope.spans.add(trace_id=identity, span_id=b"12345678", name=name)
    return request.SerializeToString()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [item.getsockname()[1] for item in held]
    for item in held:
        item.close()
    return ports
