"""Numbers for spans, with the real SDK: what its queue drops leaves holes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from sandbox.adapters.clock import SystemClock
from sandbox.model.segment import ProducerCompleteness, Signal
from sandbox.recorder import Expected, Frame, assess
from sandbox.recorder import producer as producer_file
from sandbox.recorder.producer import INSTANCE, SEQUENCE, SequenceSpanProcessor

PRODUCED = 100


class HeldExporter(SpanExporter):
    """Sends nothing until it is let go; keeps each request as OTLP bytes."""

    def __init__(self) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.requests: list[bytes] = []
        self.received = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        assert self.let_go.wait(60)
        self.requests.append(encode_spans(spans).SerializeToString())
        self.received += len(spans)
        return SpanExportResult.SUCCESS


class NamedSampler(Sampler):
    """Records all spans, exports those that are not called `unseen`."""

    def should_sample(self, *args: object, **more: object) -> SamplingResult:
        unseen = "unseen" in (*args, *more.values())
        kept = Decision.RECORD_ONLY if unseen else Decision.RECORD_AND_SAMPLE
        return SamplingResult(kept)

    def get_description(self) -> str:
        return "named"


def provider(exporting: SpanExporter, **more: object) -> TracerProvider:
    made = TracerProvider(shutdown_on_exit=False, **more)  # type: ignore[arg-type]
    made.add_span_processor(SequenceSpanProcessor(SimpleSpanProcessor(exporting)))
    return made


def numbers(spans: Sequence[ReadableSpan]) -> list[int]:
    return [int(str((span.attributes or {})[SEQUENCE])) for span in spans]


def recorded(*requests: tuple[Signal, bytes]) -> ProducerCompleteness:
    """What is known of one producer once these requests were recorded."""
    now = SystemClock().now()
    frames = [
        Frame(index, 0, signal, "p", now, payload, index + 1)
        for index, (signal, payload) in enumerate(requests)
    ]
    expected = Expected(now - timedelta(minutes=10), now, settling_s=60)
    (found,) = assess("t", lambda: [frames], expected).producers
    return found


@pytest.fixture(name="reader")
def _reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    return InMemoryMetricReader()


def test_what_a_full_queue_drops_is_counted_to_the_span(
    reader: InMemoryMetricReader,
) -> None:
    """Holes, the SDK's own counter and what did not come are the same number."""
    exporter, meters = HeldExporter(), MeterProvider(metric_readers=[reader])
    batch = BatchSpanProcessor(
        exporter, max_queue_size=8, max_export_batch_size=4, meter_provider=meters
    )
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(SequenceSpanProcessor(batch))
    tracer = traces.get_tracer("test")
    for _ in range(4):
        tracer.start_span("first").end()
    assert exporter.entered.wait(60)
    for _ in range(PRODUCED - 4):
        tracer.start_span("unit").end()
    exporter.let_go.set()
    traces.force_flush()
    read = reader.get_metrics_data()
    assert read is not None
    traces.shutdown()
    meters.shutdown()
    found = recorded(
        *(("traces", request) for request in exporter.requests),
        ("metrics", encode_metrics(read).SerializeToString()),
    )
    lost = PRODUCED - exporter.received
    assert lost > 80
    assert (found.spans, found.numbered) == (exporter.received, exporter.received)
    assert (found.instances, found.exact) == (1, True)
    assert (found.holes, found.dropped, found.lost) == (lost, lost, lost)


def test_threads_share_one_row_of_numbers() -> None:
    """Every number once, none left out, whichever thread ended the span."""
    exporter = InMemorySpanExporter()
    tracer = provider(exporter).get_tracer("test")

    def work() -> None:
        for _ in range(200):
            tracer.start_span("unit").end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(exporter.get_finished_spans())) == list(range(1, 1601))


def test_spans_that_are_not_exported_take_no_number() -> None:
    """A span that is sampled out is no loss."""
    exporter = InMemorySpanExporter()
    tracer = provider(exporter, sampler=NamedSampler()).get_tracer("test")
    for name in ("seen", "unseen", "seen"):
        tracer.start_span(name).end()
    assert numbers(exporter.get_finished_spans()) == [1, 2]


def test_all_else_of_a_span_stays_as_it_was() -> None:
    """Attributes, status, and what the SDK dropped by its own limits."""
    exporter = InMemorySpanExporter()
    limited = provider(exporter, span_limits=SpanLimits(max_span_attributes=2))
    span = limited.get_tracer("test").start_span("unit", attributes={"a": 1, "b": 2})
    span.set_attribute("c", 3)
    span.end()
    (ended,) = exporter.get_finished_spans()
    attributes = dict(ended.attributes or {})
    assert len(str(attributes.pop(INSTANCE))) == 32
    assert attributes == {"b": 2, "c": 3, SEQUENCE: 1}
    assert (ended.name, ended.dropped_attributes) == ("unit", 1)
    assert ended.context == span.get_span_context()


def test_a_forked_process_is_an_instance_of_its_own() -> None:
    """The child begins at 1 under another id; the parent goes on where it was."""
    script = """
import json, os
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandbox.recorder.producer import INSTANCE, SEQUENCE, SequenceSpanProcessor

def end(count):
    exporter.clear()
    for _ in range(count):
        tracer.start_span("unit").end()
    return [[s.attributes[INSTANCE], s.attributes[SEQUENCE]]
            for s in exporter.get_finished_spans()]

exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
processor = SequenceSpanProcessor(SimpleSpanProcessor(exporter))
provider.add_span_processor(processor)
tracer = provider.get_tracer("test")
before = end(2)
reading, writing = os.pipe()
# The lock is held by whoever forks, as another thread might have held it.
with processor._lock:
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(end(2)).encode())
        os._exit(0)
os.waitpid(child, 0)
print(json.dumps([before, json.loads(os.read(reading, 65536)), end(1)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=True
    )
    before, child, after = json.loads(done.stdout)
    parent_id, child_id = before[0][0], child[0][0]
    assert parent_id != child_id
    assert before == [[parent_id, 1], [parent_id, 2]]
    assert child == [[child_id, 1], [child_id, 2]]
    assert after == [[parent_id, 3]]


def test_the_file_works_alone(tmp_path: Path) -> None:
    """Copied into a system under trial it needs nothing else of this product."""
    copy = tmp_path / "numbering.py"
    copy.write_bytes(Path(str(producer_file.__file__)).read_bytes())
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numbering;"
        "print(sorted({n.split('.')[0] for n in sys.modules}"
        " & {'sandbox', 'pydantic', 'google', 'google_crc32c', 'grpc'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.decode().strip() == "[]"
