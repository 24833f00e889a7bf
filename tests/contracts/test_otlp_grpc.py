"""OTLP/gRPC: one test for each MUST of the specification that a server has to keep.

Section names are those of docs/specification.md of opentelemetry-proto. Requests are
raw gRPC messages against a recorder process on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from sandbox.testing.recorder import TOKEN, RecorderProcess, trace_request

LIMIT = 20 * 1024 * 1024
GOOD = (("authorization", f"Bearer {TOKEN}"),)
RESPONSES = {
    "trace.v1.TraceService": ExportTraceServiceResponse,
    "metrics.v1.MetricsService": ExportMetricsServiceResponse,
    "logs.v1.LogsService": ExportLogsServiceResponse,
}
TRACE = "trace.v1.TraceService"


class Answer(NamedTuple):
    """What the recorder answered over gRPC."""

    code: grpc.StatusCode
    body: bytes
    status: Status
    """Of `grpc-status-details-bin`; empty when there was none."""


@pytest.fixture(name="recorder", scope="module")
def _recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecorderProcess]:
    with RecorderProcess(tmp_path_factory.mktemp("grpc") / "state") as recorder:
        yield recorder


@pytest.fixture(name="channel", scope="module")
def _channel(recorder: RecorderProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(recorder.grpc_target) as channel:
        yield channel


def export(
    channel: grpc.Channel, body: bytes, service: str = TRACE, **options: object
) -> Answer:
    """Send one message and return what came back, refused or not."""
    method = f"/opentelemetry.proto.collector.{service}/Export"
    call = channel.unary_unary(method)
    try:
        done = call(body, timeout=30, **{"metadata": GOOD, **options})
        return Answer(grpc.StatusCode.OK, done, Status())
    except grpc.RpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        details = Status.FromString(trailing.get("grpc-status-details-bin", b""))
        return Answer(error.code(), b"", details)


@pytest.mark.parametrize("service", RESPONSES)
def test_success_is_the_services_response_without_partial_success(
    recorder: RecorderProcess, channel: grpc.Channel, service: str
) -> None:
    """Full Success: MUST be Export*ServiceResponse, with partial_success unset."""
    before = len(recorder.frames())
    answer = export(channel, b"", service)
    assert answer.code is grpc.StatusCode.OK
    response = RESPONSES[service].FromString(answer.body)
    assert not response.HasField("partial_success")
    (frame,) = recorder.frames()[before:]
    assert frame.signal in service.replace("trace.", "traces.")


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip]
)
def test_plain_and_gzip_are_both_taken(
    recorder: RecorderProcess, channel: grpc.Channel, compression: grpc.Compression
) -> None:
    """Protocol Details: servers MUST support no compression and gzip."""
    body = trace_request(["same name"] * 100)
    answer = export(channel, body, compression=compression)
    assert answer.code is grpc.StatusCode.OK
    assert recorder.frames()[-1].payload == body


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip]
)
def test_a_message_is_limited_before_and_after_decompression(
    recorder: RecorderProcess, channel: grpc.Channel, compression: grpc.Compression
) -> None:
    """OTLP/gRPC Request: the server MUST enforce a size limit; not retryable.

    Failures: RESOURCE_EXHAUSTED is retryable only with RetryInfo, so it has none.
    """
    before = len(recorder.frames())
    answer = export(channel, b"\0" * (LIMIT + 1), compression=compression)
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not any(detail.Is(RetryInfo.DESCRIPTOR) for detail in answer.status.details)
    assert len(recorder.frames()) == before


def test_bad_data_is_not_retryable_and_says_what_is_wrong(
    recorder: RecorderProcess, channel: grpc.Channel
) -> None:
    """Failures: not-retryable errors are INVALID_ARGUMENT, with BadRequest."""
    before = len(recorder.frames())
    for body in (b"\xff\xff", trace_request()[:-1], b"\x07"):
        answer = export(channel, body)
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        (detail,) = answer.status.details
        assert detail.Is(BadRequest.DESCRIPTOR)
    assert len(recorder.frames()) == before


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer wrong"),), (("authorization", "Basic eA=="),)],
)
def test_without_a_known_token_nothing_is_recorded(
    recorder: RecorderProcess,
    channel: grpc.Channel,
    metadata: tuple[tuple[str, str], ...],
) -> None:
    """Failures: UNAUTHENTICATED is not retryable."""
    before = len(recorder.frames())
    answer = export(channel, trace_request(), metadata=metadata)
    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert len(recorder.frames()) == before


def test_no_part_of_a_request_is_accepted_alone(
    recorder: RecorderProcess, channel: grpc.Channel
) -> None:
    """Partial Success: a client must not send again after it, so it is never given."""
    before = len(recorder.frames())
    spoiled = trace_request(["good", "evil"]).replace(b"evil", b"\xff\xfe\xff\xfe")
    assert export(channel, spoiled).code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(recorder.frames()) == before


def test_what_a_newer_version_adds_is_kept(
    recorder: RecorderProcess, channel: grpc.Channel
) -> None:
    """Future Versions and Interoperability: unknown fields are no error."""
    newer = trace_request() + b"\xfa\x3f\x03new"
    assert export(channel, newer).code is grpc.StatusCode.OK
    assert recorder.frames()[-1].payload == newer


def test_an_unknown_service_or_method_is_unimplemented(channel: grpc.Channel) -> None:
    """Failures: UNIMPLEMENTED is not retryable."""
    for service in ("trace.v1.OtherService", "profiles.v1development.ProfilesService"):
        assert export(channel, b"", service).code is grpc.StatusCode.UNIMPLEMENTED


def test_calls_in_flight_at_once_are_all_served(
    recorder: RecorderProcess, channel: grpc.Channel
) -> None:
    """OTLP/gRPC Concurrent Requests: each call has its own answer, all are kept."""
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    call = channel.unary_unary(method)
    names = [f"in-flight-{number}" for number in range(100)]
    sent = [
        call.future(trace_request([name]), metadata=GOOD, timeout=30) for name in names
    ]
    assert {future.result() for future in sent} == {b""}
    assert set(names) <= set(recorder.span_names())


def test_what_may_be_sent_again_is_unavailable_with_a_delay(
    recorder: RecorderProcess, channel: grpc.Channel
) -> None:
    """Failures; OTLP/gRPC Throttling: retryable is UNAVAILABLE, with RetryInfo."""
    recorder.roll()
    aside = recorder.folder.with_name("aside")
    recorder.folder.rename(aside)
    recorder.kill()
    recorder.folder.write_text("in the way")
    recorder.start()
    try:
        answer = export(channel, trace_request(), wait_for_ready=True)
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        (detail,) = answer.status.details
        found = RetryInfo()
        assert detail.Unpack(found)
        assert found.retry_delay.ToTimedelta().total_seconds() > 0
    finally:
        recorder.folder.unlink()
        aside.rename(recorder.folder)
    assert export(channel, trace_request()).code is grpc.StatusCode.OK
