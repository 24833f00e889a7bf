"""OTLP/HTTP: one test for each MUST of the specification that a server has to keep.

Section names are those of docs/specification.md of opentelemetry-proto. The requests
are raw HTTP against a recorder process on loopback.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sandbox.testing.recorder import (
    PROTOBUF,
    TOKEN,
    HttpAnswer,
    RecorderProcess,
    trace_request,
)

JSON = "application/json"
LIMIT = 20 * 1024 * 1024
RETRYABLE = {429, 502, 503, 504}
ID = "5b8efff798038103d269b633813fc60c"
SIGNALS = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
}
RESOURCES = {
    "traces": "resourceSpans",
    "metrics": "resourceMetrics",
    "logs": "resourceLogs",
}


@pytest.fixture(name="recorder", scope="module")
def _recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecorderProcess]:
    with RecorderProcess(tmp_path_factory.mktemp("http") / "state") as recorder:
        yield recorder


def request_of(signal: str, encoding: str) -> bytes:
    """Return a request with one resource, in the encoding of that content type."""
    if encoding == JSON:
        return json.dumps({RESOURCES[signal]: [{"schemaUrl": "s"}]}).encode()
    request = SIGNALS[signal][0]()
    getattr(request, f"resource_{signal.replace('traces', 'spans')}").add(
        schema_url="s"
    )
    return request.SerializeToString()


def status_in(answer: HttpAnswer, encoding: str) -> Status:
    """Return the Status of a refusal; fails when the body is none of that encoding."""
    if encoding == JSON:
        return json_format.Parse(answer.body, Status())
    return Status.FromString(answer.body)


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
@pytest.mark.parametrize("signal", SIGNALS)
def test_each_signal_has_its_path_and_its_empty_response(
    recorder: RecorderProcess, signal: str, encoding: str
) -> None:
    """OTLP/HTTP Request; Full Success: 200, Export*ServiceResponse, no partial_success.

    Also OTLP/HTTP Connection: both encodings are served on the same port.
    """
    before = len(recorder.frames())
    body = request_of(signal, encoding)
    answer = recorder.post(body, path=f"/v1/{signal}", content_type=encoding)
    assert answer.status == 200
    response = SIGNALS[signal][1]()
    if encoding == JSON:
        json_format.Parse(answer.body, response)
    else:
        response.ParseFromString(answer.body)
    assert not response.HasField("partial_success")
    (frame,) = recorder.frames()[before:]
    assert frame.signal == signal
    kept = SIGNALS[signal][0].FromString(frame.payload)
    kept.DiscardUnknownFields()
    assert kept.SerializeToString() == request_of(signal, PROTOBUF)


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
@pytest.mark.parametrize("squeezed", [False, True])
def test_plain_and_gzip_are_both_taken(
    recorder: RecorderProcess, encoding: str, squeezed: bool
) -> None:
    """Protocol Details: servers MUST support no compression and gzip."""
    before = len(recorder.frames())
    body = request_of("traces", encoding)
    sent = gzip.compress(body) if squeezed else body
    answer = recorder.post(
        sent, content_type=encoding, content_encoding="gzip" if squeezed else ""
    )
    assert answer.status == 200
    assert len(recorder.frames()) == before + 1


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        (PROTOBUF, PROTOBUF),
        (JSON, JSON),
        ("application/json; charset=utf-8", JSON),
        ("Application/X-Protobuf", PROTOBUF),
    ],
)
@pytest.mark.parametrize("good", [True, False])
def test_the_answer_has_the_content_type_of_the_request(
    recorder: RecorderProcess, given: str, answered: str, good: bool
) -> None:
    """OTLP/HTTP Response: the server MUST use the same Content-Type as it received."""
    body = request_of("traces", answered) if good else b"\xff\xff"
    answer = recorder.post(body, content_type=given)
    assert answer.status == (200 if good else 400)
    assert answer.headers["content-type"] == answered


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", PROTOBUF),
        (ExportTraceServiceRequest(resource_spans=[{}]).SerializeToString(), PROTOBUF),
        (b"{}", JSON),
        (b'{"resourceSpans": []}', JSON),
        (b'{"resourceSpans": null}', JSON),
    ],
)
def test_an_empty_request_succeeds(
    recorder: RecorderProcess, body: bytes, encoding: str
) -> None:
    """Full Success: a request without telemetry data SHOULD succeed."""
    assert recorder.post(body, content_type=encoding).status == 200


REFUSALS: dict[str, tuple[int, dict[str, str]]] = {
    "bad token": (401, {"authorization": "Bearer wrong"}),
    "no token": (401, {"authorization": ""}),
    "wrong path": (404, {"path": "/v1/other"}),
    "bad data": (400, {}),
    "not gzip": (400, {"content_encoding": "gzip"}),
    "unknown compression": (415, {"content_encoding": "br"}),
    "too large": (413, {"content_length": str(LIMIT + 1)}),
}


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
@pytest.mark.parametrize("case", REFUSALS)
def test_every_refusal_has_a_status_as_its_body(
    recorder: RecorderProcess, case: str, encoding: str
) -> None:
    """Failures: the body of every 4xx MUST be a Status that describes the problem.

    Also Retryable Response Codes: none of these may be sent again, and nothing is kept.
    """
    before = len(recorder.frames())
    code, changes = REFUSALS[case]
    answer = recorder.post(b"\xff\xff", content_type=encoding, **changes)
    assert answer.status == code
    assert answer.status not in RETRYABLE
    assert answer.headers["content-type"] == encoding
    assert status_in(answer, encoding).message
    assert len(recorder.frames()) == before


def test_only_post_is_taken(recorder: RecorderProcess) -> None:
    """OTLP/HTTP: telemetry is sent with POST; RFC 9110, 15.5.6: a 405 names it."""
    for method in ("GET", "PUT", "DELETE"):
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": PROTOBUF}
        answer = recorder.ask(method, "/v1/traces", b"", headers)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert status_in(answer, PROTOBUF).message


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_bad_data_says_what_is_wrong(recorder: RecorderProcess, encoding: str) -> None:
    """Bad Data: 400 MUST be answered, with a BadRequest in the details."""
    answer = recorder.post(b"{\xff", content_type=encoding)
    assert answer.status == 400
    (detail,) = status_in(answer, encoding).details
    found = BadRequest()
    assert detail.Unpack(found)
    assert found.field_violations[0].description


def status_of_unannounced(recorder: RecorderProcess, size: int) -> int:
    """Send so much of a body that never ends; return the status of the answer."""
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: {PROTOBUF}\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n"
    )
    host, port = recorder.http_target.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(head.encode() + b"\0" * size + b"\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.status


def test_the_body_is_limited_before_and_after_decompression(
    recorder: RecorderProcess,
) -> None:
    """OTLP/HTTP Request: beyond the limit the server MUST respond with 413."""
    bomb = gzip.compress(b"\0" * (LIMIT + 1))
    assert len(bomb) < 100_000
    for encoding in (PROTOBUF, JSON):
        answer = recorder.post(bomb, content_encoding="gzip", content_type=encoding)
        assert answer.status == 413
    assert recorder.post(b"", content_length=str(LIMIT + 1)).status == 413
    assert status_of_unannounced(recorder, LIMIT + 1) == 413
    assert recorder.post(trace_request()).status == 200


def test_the_answer_stays_small_whatever_was_sent(recorder: RecorderProcess) -> None:
    """OTLP/HTTP Response: the server MUST limit the size of the response body."""
    large = "x" * 1_000_000
    spans = [{"traceId": large}, {"kind": large}, {"flags": large}, {"links": large}]
    for span in spans:
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        answer = recorder.post(json.dumps(body).encode(), content_type=JSON)
        assert answer.status == 400
        assert len(answer.body) < 10_000


def test_no_part_of_a_request_is_accepted_alone(recorder: RecorderProcess) -> None:
    """Partial Success: a client must not send again after it, so it is never given.

    One wrong span refuses the request whole, and none of its spans is recorded.
    """
    before = len(recorder.frames())
    spans = [{"traceId": ID, "spanId": "0" * 16, "name": "good"}, {"traceId": "bad"}]
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    answer = recorder.post(json.dumps(body).encode(), content_type=JSON)
    assert answer.status == 400
    # Two spans in protobuf, the second with a name that is not UTF-8 (proto3 strings).
    good = trace_request(["good", "evil"])
    assert recorder.post(good.replace(b"evil", b"\xff\xfe\xff\xfe")).status == 400
    assert len(recorder.frames()) == before


def test_what_a_newer_version_adds_is_kept_and_does_not_disturb(
    recorder: RecorderProcess,
) -> None:
    """Future Versions and Interoperability: unknown fields are no error."""
    newer = trace_request() + b"\xfa\x3f\x03new"
    assert recorder.post(newer).status == 200
    assert recorder.frames()[-1].payload == newer
    body = {"resourceSpans": [], "newField": {"traceId": 5, "kind": "NEW"}}
    answer = recorder.post(json.dumps(body).encode(), content_type=JSON)
    assert answer.status == 200


def test_requests_follow_one_another_on_one_connection(
    recorder: RecorderProcess,
) -> None:
    """OTLP/HTTP Connection: a client keeps the connection, also after a refusal."""
    client = http.client.HTTPConnection(recorder.http_target, timeout=30)
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": PROTOBUF}
    client.connect()
    first = client.sock
    found = []
    for body in (trace_request(), b"\xff", trace_request()):
        client.request("POST", "/v1/traces", body, headers)
        answer = client.getresponse()
        answer.read()
        found.append(answer.status)
    assert found == [200, 400, 200]
    assert client.sock is first
    client.close()


def test_parallel_connections_are_all_served(recorder: RecorderProcess) -> None:
    """OTLP/HTTP Concurrent Requests: each request has its own answer, all are kept."""
    names = [f"parallel-{number}" for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        sent = pool.map(lambda name: recorder.post(trace_request([name])), names)
        assert {answer.status for answer in sent} == {200}
    assert set(names) <= set(recorder.span_names())


def test_a_request_cut_off_on_the_way_is_not_recorded(
    recorder: RecorderProcess,
) -> None:
    """All Other Responses: without an answer a client sends again; nothing is kept."""
    before = len(recorder.frames())
    body = trace_request(["cut"])
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: {PROTOBUF}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    host, port = recorder.http_target.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(head.encode() + body[:-1])
        # Closing with a reset, as a client that dies does.
        linger = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert recorder.post(trace_request(["after"])).status == 200
    assert [frame.payload for frame in recorder.frames()[before:]] == [
        trace_request(["after"])
    ]


def test_random_bodies_are_answered_and_none_is_kept(
    recorder: RecorderProcess,
) -> None:
    """Bad Data: what cannot be decoded is 400, never a failure of the server."""
    before = len(recorder.frames())
    for size in (1, 10, 100, 10_000):
        body = b"\x07" + os.urandom(size)  # wire type 7 does not exist
        assert recorder.post(body).status == 400
        assert recorder.post(body, content_type=JSON).status == 400
    assert len(recorder.frames()) == before
