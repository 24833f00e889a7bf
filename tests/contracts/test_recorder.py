"""The real recorder on loopback: what it acknowledges is there, what it refuses is not.

Every test talks to a recorder process of its own over real sockets. One test per MUST
of the OTLP specification, then crashes.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sandbox.adapters.segments import LocalSegments
from sandbox.errors import RecorderError
from sandbox.evidence.seal import seal_segment
from sandbox.model.record import digest_of
from sandbox.recorder import Frame, count_spans, decode_frames, gaps_in, spans_in
from sandbox.testing.recorder import TOKEN, TRIAL, RecorderProcess, trace_request
from sandbox.testing.signer import ThrowawaySigner

HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "content-type": "application/x-protobuf",
}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Recorder(RecorderProcess):
    """The process, and the segments it writes as the product reads them."""

    @property
    def segments(self) -> LocalSegments:
        return LocalSegments.of(self.settings)


Start = Callable[..., Recorder]


@pytest.fixture(name="start")
def _start(tmp_path: Path) -> Iterator[Start]:
    started: list[Recorder] = []

    def start(*hosts: str, ready: bool = True, **changes: object) -> Recorder:
        settings = {"segment_seconds": 60, **changes}
        recorder = Recorder(tmp_path / "state", hosts=hosts, **settings)
        started.append(recorder)
        if ready:
            recorder.start()
        else:
            recorder.launch()
        return recorder

    yield start
    for recorder in started:
        recorder.kill()


def _request(name: str = "dispatch", count: int = 1) -> bytes:
    return trace_request([name] * count)


def _recorded(recorder: Recorder, trial: str = TRIAL) -> list[Frame]:
    segments = recorder.segments
    frames: list[Frame] = []
    for item in segments.files(trial):
        raw = segments.read(trial, item.number)
        found, consumed = decode_frames(raw)
        assert consumed == len(raw)
        frames.extend(found)
    return frames


@pytest.mark.parametrize("body", [_request(), b""], ids=["spans", "empty"])
def test_an_acknowledged_http_request_is_kept_byte_for_byte(
    start: Start, body: bytes
) -> None:
    """200 with an empty message; the payload and the token's producer are recorded."""
    recorder = start()
    status, headers, answer = recorder.post(body)
    assert (status, answer) == (200, b"")
    assert headers["content-type"] == "application/x-protobuf"
    (frame,) = _recorded(recorder)
    assert (frame.payload, frame.producer, frame.sequence) == (body, "hotrod", 1)


def test_json_is_recorded_as_protobuf_and_answered_in_json(start: Start) -> None:
    """OTLP/HTTP: the answer has the request's content type; bad data is 400 in it."""
    recorder = start()
    span = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "0" * 16}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    for sent, encoding in ((body.encode(), ""), (gzip.compress(b"{}"), "gzip")):
        status, headers, answer = recorder.post(
            sent, content_type="application/json", content_encoding=encoding
        )
        assert (status, answer) == (200, b"{}")
        assert headers["content-type"] == "application/json"
    bad = body.replace("5b8e", "zzzz").encode()
    status, headers, answer = recorder.post(bad, content_type="application/json")
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(answer)["code"] == 3
    assert "traceId" in json.loads(answer)["message"]
    frames = _recorded(recorder)
    assert [count_spans(frame) for frame in frames] == [1, 0]
    assert hashlib.sha256(body.encode()).digest() in frames[0].payload


def test_gzip_is_undone_before_recording(start: Start) -> None:
    """OTLP: servers MUST support gzip; what is kept is the request itself."""
    recorder = start()
    body = _request(count=100)
    status, _, _ = recorder.post(gzip.compress(body), content_encoding="gzip")
    assert status == 200
    assert [frame.payload for frame in _recorded(recorder)] == [body]


def test_the_sdk_exporters_are_served_over_http_and_grpc(start: Start) -> None:
    """Spans of the OpenTelemetry SDK arrive with their names and attributes."""
    recorder = start()
    port, remote = recorder.settings.recorder_http_port, recorder.settings
    headers = {"authorization": f"Bearer {TOKEN}"}
    exporters = [
        HttpExporter(f"http://127.0.0.1:{port}/v1/traces", headers=headers, timeout=10),
        GrpcExporter(
            f"127.0.0.1:{remote.recorder_grpc_port}",
            insecure=True,
            headers=headers,
            timeout=10,
        ),
    ]
    for number, exporter in enumerate(exporters):
        resource = Resource({"service.name": "frontend"})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("t").start_as_current_span(f"via-{number}") as span:
            span.set_attribute("offer.seconds", 1.25)
        provider.shutdown()
    spans = [span for frame in _recorded(recorder) for span in spans_in(frame)]
    assert [(span.name, span.service) for span in spans] == [
        ("via-0", "frontend"),
        ("via-1", "frontend"),
    ]
    assert spans[0].attributes == {"offer.seconds": 1.25}


def _assert_status_body(answer: bytes, code: int) -> None:
    parsed = Status.FromString(answer)
    assert parsed.code == code
    assert parsed.message


@pytest.mark.parametrize("value", ["Bearer wrong", "Basic abc", "Bearer", ""])
def test_without_a_known_token_nothing_is_recorded_and_it_is_counted(
    start: Start, value: str
) -> None:
    """401 with a Status body; the refusal is written without the token."""
    recorder = start()
    status, headers, answer = recorder.post(_request(), authorization=value)
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    _assert_status_body(answer, 16)
    assert recorder.status()["refused"] == {"unauthenticated": 1}
    assert recorder.segments.files(TRIAL) == []
    assert recorder.stop() == 0
    (window,) = recorder.segments.refusals()
    (refusal,) = window.refusals
    assert (refusal.reason, refusal.count) == ("unauthenticated", 1)
    assert (refusal.peer, refusal.trial_id) == ("127.0.0.1", "")
    assert "wrong" not in window.model_dump_json()


def test_bad_data_is_400_and_not_recorded(start: Start) -> None:
    """OTLP: bad data MUST be answered 400; the body is a Status."""
    recorder = start()
    for body, encoding in [
        (b"\xff\xff\xff", "identity"),
        (_request()[:-3], "identity"),
        (b"not gzip", "gzip"),
        (gzip.compress(_request())[:-4], "gzip"),
        (gzip.compress(_request()) + b"more", "gzip"),
    ]:
        status, _, answer = recorder.post(body, content_encoding=encoding)
        assert status == 400, (body, encoding)
        _assert_status_body(answer, 3)
    assert _recorded(recorder) == []


def test_a_request_is_limited_before_and_after_decompression(start: Start) -> None:
    """413 for an announced size, a sent size, and a gzip bomb alike."""
    recorder = start()
    big = b"\0" * (20 * 1024 * 1024 + 1)
    announced = {"content-length": "999999999", **HEADERS}
    assert recorder.ask("POST", "/v1/traces", b"", announced)[0] == 413
    status, _, answer = recorder.post(gzip.compress(big), content_encoding="gzip")
    assert status == 413
    _assert_status_body(answer, 8)
    assert recorder.post(_request())[0] == 200
    assert len(_recorded(recorder)) == 1


def test_wrong_method_path_and_type_are_told_apart(start: Start) -> None:
    """405 with Allow, 404, 415."""
    recorder = start()
    status, headers, _ = recorder.ask("GET", "/v1/traces", b"", HEADERS)
    assert (status, headers["allow"]) == (405, "POST")
    assert recorder.post(b"", path="/v1/other")[0] == 404
    assert recorder.post(b"{}", content_type="text/plain")[0] == 415
    assert recorder.post(b"", content_encoding="br")[0] == 415


def test_grpc_answers_with_the_codes_of_the_specification(start: Start) -> None:
    """OK, UNAUTHENTICATED, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED."""
    recorder = start()
    good = (("authorization", f"Bearer {TOKEN}"),)
    target = f"127.0.0.1:{recorder.settings.recorder_grpc_port}"
    with grpc.insecure_channel(target) as channel:

        def call(body: bytes, metadata: object = good, method: str = EXPORT) -> str:
            export = channel.unary_unary(method)
            try:
                assert export(body, metadata=metadata, timeout=20) == b""
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        assert call(_request()) == "OK"
        assert call(_request(), (("authorization", "Bearer no"),)) == "UNAUTHENTICATED"
        assert call(_request(), ()) == "UNAUTHENTICATED"
        assert call(b"\xff\xff") == "INVALID_ARGUMENT"
        assert call(b"\0" * (21 * 1024 * 1024)) == "RESOURCE_EXHAUSTED"
        assert call(_request(), good, EXPORT + "X") == "UNIMPLEMENTED"
    assert len(_recorded(recorder)) == 1


def _make_unwritable(recorder: Recorder) -> None:
    # A file where the trial's folder must be: fails for root as well.
    recorder.settings.evidence_dir.mkdir(parents=True, exist_ok=True)
    (recorder.settings.evidence_dir / TRIAL).write_text("in the way")


def test_what_cannot_be_written_is_refused_and_may_be_sent_again(start: Start) -> None:
    """503 with Retry-After; UNAVAILABLE with RetryInfo; then it works again."""
    recorder = start()
    _make_unwritable(recorder)
    status, headers, answer = recorder.post(_request())
    assert (status, headers["retry-after"]) == (503, "1")
    _assert_status_body(answer, 14)
    target = f"127.0.0.1:{recorder.settings.recorder_grpc_port}"
    with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as hit:
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        channel.unary_unary(EXPORT)(_request(), metadata=metadata, timeout=20)
    assert hit.value.code() is grpc.StatusCode.UNAVAILABLE
    trailing = dict(hit.value.trailing_metadata())
    (detail,) = Status.FromString(trailing["grpc-status-details-bin"]).details
    assert detail.Is(RetryInfo.DESCRIPTOR)
    (recorder.settings.evidence_dir / TRIAL).unlink()
    assert recorder.post(_request())[0] == 200
    assert [frame.sequence for frame in _recorded(recorder)] == [1]


def test_segments_roll_by_age_even_when_nothing_more_arrives(start: Start) -> None:
    """An idle segment is closed once it is old enough."""
    recorder = start(segment_seconds=0.4)
    recorder.post(_request())
    deadline = time.monotonic() + 10
    while recorder.segments.files(TRIAL)[0].state == "open":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    recorder.post(_request())
    assert [item.number for item in recorder.segments.files(TRIAL)] == [1, 2]


def test_segments_roll_by_size(start: Start) -> None:
    """No segment grows beyond the limit; frames are numbered through."""
    recorder = start(segment_bytes=500)
    for _ in range(8):
        assert recorder.post(_request(count=3))[0] == 200
    files = recorder.segments.files(TRIAL)
    assert len(files) > 2
    assert all(item.size <= 500 for item in files)
    assert [frame.sequence for frame in _recorded(recorder)] == list(range(1, 9))


def test_rolling_closes_the_open_segment_before_it_answers(start: Start) -> None:
    """After roll nothing is open; a second roll does nothing."""
    recorder = start()
    recorder.post(_request())
    recorder.segments.roll(TRIAL)
    recorder.segments.roll(TRIAL)
    assert [item.state for item in recorder.segments.files(TRIAL)] == ["closed"]


def test_the_admin_door_needs_the_secret_and_keeps_it_private(start: Start) -> None:
    """Without the secret nothing is rolled; its file is readable by the owner only."""
    recorder = start()
    recorder.post(_request())
    secret = recorder.settings.home / "recorder-admin.token"
    assert secret.stat().st_mode & 0o777 == 0o600
    secret.write_text("wrong")
    with pytest.raises(RecorderError, match="secret"):
        recorder.segments.roll(TRIAL)
    assert [item.state for item in recorder.segments.files(TRIAL)] == ["open"]


def test_rolling_without_a_recorder_says_what_to_do(start: Start) -> None:
    """What a killed recorder left open stays open; nothing open needs no recorder."""
    recorder = start()
    recorder.post(_request())
    recorder.kill()
    with pytest.raises(RecorderError, match="start it") as hit:
        recorder.segments.roll(TRIAL)
    assert hit.value.retryable
    recorder.segments.roll("another-trial")


def test_it_listens_on_every_host_it_is_given(start: Start) -> None:
    """Loopback and a second address serve both protocols."""
    recorder = start("127.0.0.2")
    for port in (
        recorder.settings.recorder_http_port,
        recorder.settings.recorder_grpc_port,
    ):
        for host in ("127.0.0.1", "127.0.0.2"):
            socket.create_connection((host, port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        port = recorder.settings.recorder_admin_port
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_second_recorder_on_the_same_evidence_refuses_to_start(start: Start) -> None:
    """Two writers would number frames twice."""
    start()
    second = start(ready=False)
    assert second.wait() != 0
    assert "another recorder already writes" in second.log.read_text()


def test_a_port_in_use_is_named_with_a_remedy(start: Start) -> None:
    """The message has host, port and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        recorder = start(ready=False, recorder_http_port=port)
        assert recorder.wait() != 0
    text = recorder.log.read_text()
    assert f"127.0.0.1:{port}" in text
    assert "SANDBOX_RECORDER_HTTP_PORT" in text


def test_a_clean_stop_closes_every_segment(start: Start) -> None:
    """SIGTERM ends with exit 0, nothing open, no gap."""
    recorder = start()
    recorder.post(_request())
    assert recorder.stop() == 0
    assert [item.state for item in recorder.segments.files(TRIAL)] == ["closed"]
    assert gaps_in(_recorded(recorder)) == ()


def _send_until_dead(recorder: Recorder, worker: int, acked: list[str]) -> None:
    client = http.client.HTTPConnection(
        "127.0.0.1", recorder.settings.recorder_http_port, timeout=10
    )
    try:
        for number in range(100_000):
            name = f"{worker}-{number}"
            client.request("POST", "/v1/traces", _request(name), HEADERS)
            answer = client.getresponse()
            answer.read()
            if answer.status == 200:
                acked.append(name)
    except (OSError, http.client.HTTPException):
        return
    finally:
        client.close()


def test_every_acknowledged_request_survives_a_kill(start: Start) -> None:
    """SIGKILL while four clients send: each 200 is in the segments, in order, once."""
    recorder = start(segment_bytes=20_000)
    acked: list[str] = []
    workers = [
        threading.Thread(target=_send_until_dead, args=(recorder, number, acked))
        for number in range(4)
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 20
    while len(acked) < 300 and time.monotonic() < deadline:
        time.sleep(0.01)
    recorder.kill()
    for worker in workers:
        worker.join()
    again = start()
    frames = _recorded(again)
    names = [span.name for frame in frames for span in spans_in(frame)]
    assert len(acked) >= 300
    assert set(acked) <= set(names)
    assert len(names) == len(set(names))
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert all(item.state == "closed" for item in again.segments.files(TRIAL))


def test_a_torn_tail_is_cut_kept_aside_and_recorded_as_a_gap(start: Start) -> None:
    """Recovery keeps whole frames, sets the rest aside, and says so in the evidence."""
    recorder = start()
    recorder.post(_request("kept"))
    recorder.kill()
    folder = recorder.settings.evidence_dir / TRIAL
    whole = (folder / "000001.open").read_bytes()
    with (folder / "000001.open").open("ab") as file:
        file.write(whole[: len(whole) // 2])
    again = start()
    frames = _recorded(again)
    assert [span.name for frame in frames for span in spans_in(frame)] == ["kept"]
    assert [gap.reason for gap in gaps_in(frames)] == ["torn-frame", "recorder-down"]
    assert (folder / "000001.torn").read_bytes() == whole[: len(whole) // 2]
    again.post(_request("next"))
    sequences = [frame.sequence for frame in _recorded(again)]
    assert sequences == [1, 2, 3, 4]


def test_a_restart_goes_on_numbering_after_sealed_segments(start: Start) -> None:
    """Numbers of segments and frames continue over a restart, also after sealing."""
    recorder = start()
    recorder.post(_request())
    recorder.stop()
    sealed = seal_segment(
        recorder.segments.read(TRIAL, 1),
        trial_id=TRIAL,
        number=1,
        rulebook_digest=digest_of(b"rulebook"),
        signer=ThrowawaySigner(),
    )
    recorder.segments.put_sealed(
        TRIAL, 1, compressed=sealed.compressed, envelope=sealed.envelope
    )
    again = start()
    again.post(_request())
    assert [frame.sequence for frame in _recorded(again)] == [1, 2]
    states = [(item.number, item.state) for item in again.segments.files(TRIAL)]
    assert states == [(1, "sealed"), (2, "open")]
