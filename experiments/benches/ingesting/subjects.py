"""What spans are sent to: the recorder, and the OpenTelemetry Collector.

Rules of this module:

* Each is one process on loopback with a folder of its own on the same disk.
* The Collector is the one of its Go modules, with the OTLP receiver, the file exporter
  in protobuf, and its batch processor or none; nothing of it is tuned. It answers when
  the pipeline took the spans, not when they are on disk: it has no setting for that.
* Spans are counted in the files, after the end, by parsing them.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from experiments.benches.ingesting.programs import program
from sandbox.adapters.segments import LocalSegments
from sandbox.recorder import count_spans, decode_frames
from sandbox.testing.recorder import TRIAL, RecorderProcess

_START_S = 30.0


class Kept(NamedTuple):
    """What lies on disk."""

    spans: int
    size: int
    """Bytes of the files, uncompressed."""


class Subject(Protocol):
    """A process that takes spans in and writes them down."""

    @property
    def target(self) -> str:
        """HOST:PORT of OTLP/HTTP."""
        ...

    @property
    def pid(self) -> int:
        """Number of its process."""
        ...

    def stop(self) -> object:
        """End it as an operator does, and wait."""
        ...

    def kill(self) -> object:
        """End it at once, with SIGKILL."""
        ...

    def kept(self) -> Kept:
        """Count what it left behind."""
        ...


class Recorder:
    """The recorder, as tests run it: its tokens are looked up in memory."""

    def __init__(self, folder: Path) -> None:
        self._process = RecorderProcess(folder / "state")
        self._process.start()
        self.target = self._process.http_target
        self.pid = self._process.pid
        self.stop = self._process.stop
        self.kill = self._process.kill

    def kept(self) -> Kept:
        """Count the spans in its segments; a torn last frame was never acknowledged."""
        segments = LocalSegments.of(self._process.settings)
        spans = size = 0
        for item in segments.files(TRIAL):
            raw = segments.read(TRIAL, item.number)
            frames, _ = decode_frames(raw)
            spans += sum(count_spans(frame) for frame in frames)
            size += len(raw)
        return Kept(spans, size)


class Collector:
    """The OpenTelemetry Collector, with or without its batch processor."""

    def __init__(self, folder: Path, *, batches: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.target = f"127.0.0.1:{held.getsockname()[1]}"
        self._file = folder / "spans.pb"
        config = folder / "collector.yaml"
        config.write_text(yaml.safe_dump(self._config(batches)))
        with (folder / "collector.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(program("collector")), "--config", str(config)], stderr=log
            )
        self.pid = self._process.pid
        self._wait(folder / "collector.log")

    def _config(self, batches: bool) -> dict[str, object]:
        http = {"endpoint": self.target}
        pipeline = {"receivers": ["otlp"], "exporters": ["file"]}
        processors = {"processors": ["batch"]} if batches else {}
        quiet = {"metrics": {"level": "none"}, "logs": {"level": "warn"}}
        return {
            "receivers": {"otlp": {"protocols": {"http": http}}},
            "exporters": {"file": {"path": str(self._file), "format": "proto"}},
            "processors": {"batch": {}} if batches else {},
            "service": {
                "telemetry": quiet,
                "pipelines": {"traces": pipeline | processors},
            },
        }

    def _wait(self, log: Path) -> None:
        host, port = self.target.split(":")
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            time.sleep(0.05)
        self.kill()
        raise SystemExit(f"the Collector did not start: {log.read_text()[-400:]}")

    def stop(self) -> int:
        """End it with SIGTERM; it writes what it still holds."""
        self._process.terminate()
        return self._process.wait(timeout=_START_S)

    def kill(self) -> int:
        """End it with SIGKILL."""
        self._process.kill()
        return self._process.wait()

    def kept(self) -> Kept:
        """Count the spans of whole messages: 4 bytes of length, then the message."""
        data, spans, place = self._file.read_bytes(), 0, 0
        while place + 4 <= len(data):
            end = place + 4 + int.from_bytes(data[place : place + 4], "big")
            if end > len(data):
                break
            message = ExportTraceServiceRequest.FromString(data[place + 4 : end])
            spans += sum(
                len(scope.spans)
                for batch in message.resource_spans
                for scope in batch.scope_spans
            )
            place = end
        return Kept(spans, len(data))


@contextlib.contextmanager
def ended(subject: Subject) -> Iterator[psutil.Process]:
    """Give the process of a subject, which does not outlive the block."""
    try:
        yield psutil.Process(subject.pid)
    finally:
        subject.kill()
