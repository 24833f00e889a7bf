"""Clients that others wrote are served: the OpenTelemetry SDK and telemetrygen.

Rules of this module:

* telemetrygen is built once from the module pinned beside this file (Go checks every
  module against `go.sum`) and kept in the cache of SANDBOX_HOME.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sandbox.recorder import Frame, spans_in
from sandbox.testing.recorder import TOKEN, RecorderProcess

HEADERS = {"authorization": f"Bearer {TOKEN}"}
PINS = Path(__file__).parent / "telemetrygen"
GENERATOR = "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen"


@pytest.fixture(name="recorder", scope="module")
def _recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecorderProcess]:
    with RecorderProcess(tmp_path_factory.mktemp("clients") / "state") as recorder:
        yield recorder


def over_http(recorder: RecorderProcess, signal: str, squeezed: bool) -> Any:
    """Return the SDK's HTTP exporter of a signal."""
    kinds = {
        "traces": http_traces.OTLPSpanExporter,
        "metrics": http_metrics.OTLPMetricExporter,
        "logs": http_logs.OTLPLogExporter,
    }
    return kinds[signal](
        endpoint=f"http://{recorder.http_target}/v1/{signal}",
        headers=HEADERS,
        timeout=20,
        compression=Compression.Gzip if squeezed else Compression.NoCompression,
    )


def over_grpc(recorder: RecorderProcess, signal: str, squeezed: bool) -> Any:
    """Return the SDK's gRPC exporter of a signal."""
    kinds = {
        "traces": grpc_traces.OTLPSpanExporter,
        "metrics": grpc_metrics.OTLPMetricExporter,
        "logs": grpc_logs.OTLPLogExporter,
    }
    squeezing = grpc.Compression.Gzip if squeezed else grpc.Compression.NoCompression
    return kinds[signal](
        endpoint=recorder.grpc_target,
        insecure=True,
        headers=HEADERS,
        timeout=20,
        compression=squeezing,
    )


def send_span(exporter: Any, name: str) -> None:
    """Export one span of that name."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("t").start_span(name).end()
    provider.shutdown()


def send_metric(exporter: Any, name: str) -> None:
    """Export one counter of that name, at 3."""
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter(name).add(3)
    provider.shutdown()


def send_log(exporter: Any, name: str) -> None:
    """Export one log record with that body."""
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("l").emit(body=name)
    provider.shutdown()


def names_in(frames: list[Frame], signal: str) -> list[str]:
    """Return the names of what frames hold of a signal; of logs, the bodies."""
    chosen = [frame for frame in frames if frame.signal == signal]
    payloads = [frame.payload for frame in chosen]
    if signal == "traces":
        return [span.name for frame in chosen for span in spans_in(frame)]
    if signal == "metrics":
        requests = map(ExportMetricsServiceRequest.FromString, payloads)
        batches = [batch for item in requests for batch in item.resource_metrics]
        scopes = [scope for batch in batches for scope in batch.scope_metrics]
        return [metric.name for scope in scopes for metric in scope.metrics]
    requests = map(ExportLogsServiceRequest.FromString, payloads)
    batches = [batch for item in requests for batch in item.resource_logs]
    logs = [scope for batch in batches for scope in batch.scope_logs]
    return [item.body.string_value for scope in logs for item in scope.log_records]


@pytest.mark.parametrize("squeezed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("exporter", [over_http, over_grpc])
@pytest.mark.parametrize(
    ("signal", "send"),
    [("traces", send_span), ("metrics", send_metric), ("logs", send_log)],
)
def test_the_sdk_delivers_every_signal_over_both_protocols(
    recorder: RecorderProcess,
    signal: str,
    send: Callable[[Any, str], None],
    exporter: Callable[..., Any],
    squeezed: bool,
) -> None:
    """What the SDK exports once is recorded once."""
    before = len(recorder.frames())
    send(exporter(recorder, signal, squeezed), "once")
    assert names_in(recorder.frames()[before:], signal) == ["once"]


@pytest.mark.parametrize("exporter", [over_http, over_grpc])
def test_the_sdk_sends_again_what_could_not_be_written(
    tmp_path: Path, exporter: Callable[..., Any]
) -> None:
    """OTLP Failures: a span refused as retryable is there once the disk is back."""
    with RecorderProcess(tmp_path / "state") as recorder:
        recorder.folder.write_text("in the way")
        sending = exporter(recorder, "traces", False)
        sender = threading.Thread(target=send_span, args=(sending, "patient"))
        sender.start()
        while not recorder.refused().get("unavailable"):
            assert sender.is_alive()
        recorder.folder.unlink()
        sender.join(timeout=60)
        assert not sender.is_alive()
        assert recorder.span_names() == ["patient"]


@pytest.fixture(name="telemetrygen", scope="module")
def _telemetrygen(built: Callable[..., Path]) -> Path:
    return built(PINS, "telemetrygen", GENERATOR)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_telemetrygen_loses_nothing(
    recorder: RecorderProcess, telemetrygen: Path, signal: str, protocol: str
) -> None:
    """Of 4 workers sending 50 items each, every item is recorded."""
    before = len(recorder.frames())
    argv = [str(telemetrygen), signal, "--otlp-insecure", "--workers=4", "--rate=0"]
    argv += [f"--{signal}=50", f'--otlp-header=authorization="Bearer {TOKEN}"']
    if protocol == "http":
        path = f"--otlp-http-url-path=/v1/{signal}"
        argv += ["--otlp-http", path, f"--otlp-endpoint={recorder.http_target}"]
    else:
        argv += [f"--otlp-endpoint={recorder.grpc_target}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # Each trace is one span and one child.
    items = 4 * 50 * (2 if signal == "traces" else 1)
    assert len(names_in(recorder.frames()[before:], signal)) == items
