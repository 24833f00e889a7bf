"""HTTP/1.1 under the recorder, byte by byte: what is unclear is refused and ends.

Sections are those of RFC 9112 unless another is named. Each test speaks over a socket
of its own to a recorder process on loopback.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from sandbox.testing.recorder import PROTOBUF, TOKEN, RecorderProcess, trace_request

BODY = trace_request(["first"])
OTHER = trace_request(["second"])
SMUGGLED = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(name="recorder", scope="module")
def _recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecorderProcess]:
    with RecorderProcess(tmp_path_factory.mktemp("wire") / "state") as recorder:
        yield recorder


def request(*headers: str, body: bytes = BODY, line: str = "") -> bytes:
    """Return a request with these headers beside the usual ones."""
    lines = [
        line or "POST /v1/traces HTTP/1.1",
        f"authorization: Bearer {TOKEN}",
        f"content-type: {PROTOBUF}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def whole(body: bytes = BODY, *headers: str, line: str = "") -> bytes:
    """Return a request that is right in every way."""
    length = f"content-length: {len(body)}"
    return request("host: x", length, *headers, body=body, line=line)


def connect(recorder: RecorderProcess) -> socket.socket:
    """Open a connection."""
    host, port = recorder.http_target.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answers(client: socket.socket, count: int) -> list[int]:
    """Read so many answers and return their statuses."""
    found, reader = [], client.makefile("rb")
    for _ in range(count):
        found.append(int(reader.readline().split()[1]))
        headers = http.client.parse_headers(reader)
        reader.read(int(headers["content-length"]))
    return found


def statuses(recorder: RecorderProcess, data: bytes) -> list[int]:
    """Send bytes and say no more; return the status of every answer until the end."""
    with connect(recorder) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reader, found = client.makefile("rb"), []
        while line := reader.readline():
            found.append(int(line.split()[1]))
            headers = http.client.parse_headers(reader)
            reader.read(int(headers["content-length"]))
        return found


LENGTH = f"content-length: {len(BODY)}"
CHUNKED = "transfer-encoding: chunked"
UNCLEAR = {
    "two equal lengths": request("host: x", LENGTH, LENGTH),
    "two lengths": request("host: x", LENGTH, "content-length: 5"),
    "a list of lengths": request("host: x", f"{LENGTH}, {len(BODY)}"),
    "a signed length": request("host: x", f"content-length: +{len(BODY)}"),
    "a negative length": request("host: x", "content-length: -1"),
    "a length that is no number": request("host: x", "content-length: 0x10"),
    "a length of forty digits": request("host: x", "content-length: " + "9" * 40),
    "a length and chunks": request("host: x", LENGTH, CHUNKED, body=b"0\r\n\r\n"),
    "chunks and a length": request("host: x", CHUNKED, LENGTH, body=b"0\r\n\r\n"),
    "an unknown coding": request("host: x", "transfer-encoding: xchunked"),
    "chunks not last": request("host: x", "transfer-encoding: chunked, gzip"),
    "two codings": request("host: x", CHUNKED, "transfer-encoding: identity"),
    "a space before the colon": request("host: x", "content-length : 5"),
    "a folded line": request("host: x", "x: a\r\n b", LENGTH),
    "no host": request(LENGTH),
    "two hosts": request("host: x", "host: y", LENGTH),
    "a bare line feed": whole().replace(b"\r\n", b"\n"),
    "a bare carriage return": whole().replace(b"host: x\r\n", b"host: x\r"),
    "a NUL in a header": request("host: x\0", LENGTH),
    "a chunk size that is none": request("host: x", CHUNKED, body=b"xyz\r\n"),
    "a signed chunk size": request("host: x", CHUNKED, body=b"+1\r\na\r\n0\r\n\r\n"),
    "a chunk size of twenty digits": request("host: x", CHUNKED, body=b"f" * 20),
    "a chunk longer than said": request(
        "host: x", CHUNKED, body=b"1\r\nab\r\n0\r\n\r\n"
    ),
    "no version": request("host: x", LENGTH, line="POST /v1/traces"),
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade": whole(BODY, "connection: upgrade", "upgrade: h2c"),
    "a tunnel": request("host: x", line="CONNECT x:80 HTTP/1.1", body=b""),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_an_unclear_request_ends_the_connection(
    recorder: RecorderProcess, case: str
) -> None:
    """2.2, 3.2, 6.1, 6.3, 11.2: 400, counted once, and what follows is no request."""
    before, counted = len(recorder.frames()), recorder.refused().get("malformed", 0)
    assert statuses(recorder, UNCLEAR[case] + SMUGGLED) == [400]
    assert len(recorder.frames()) == before
    assert recorder.refused()["malformed"] == counted + 1


def test_what_follows_an_unclear_request_is_not_read(
    recorder: RecorderProcess,
) -> None:
    """9.3.2: answers keep the order of requests, and the first unclear one is last."""
    before = len(recorder.frames())
    unclear = UNCLEAR["two lengths"]
    assert statuses(recorder, whole() + unclear + whole()) == [200, 400]
    assert len(recorder.frames()) == before + 1


def test_pipelined_requests_are_answered_in_order(recorder: RecorderProcess) -> None:
    """9.3.2: many requests at once each have their answer, in the order sent."""
    bad = whole(b"\xff")
    sent = (whole() + bad + whole(OTHER)) * 20
    assert statuses(recorder, sent) == [200, 400, 200] * 20
    assert recorder.span_names()[-2:] == ["first", "second"]


def test_a_request_may_arrive_byte_by_byte(recorder: RecorderProcess) -> None:
    """2.2: how bytes are packed means nothing."""
    with connect(recorder) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole(OTHER):
            client.sendall(bytes([byte]))
        assert answers(client, 1) == [200]
    assert recorder.frames()[-1].payload == OTHER


def test_a_body_may_come_in_chunks(recorder: RecorderProcess) -> None:
    """7.1: chunks are put together; extensions and fields after them are ignored."""
    chunks = b"1;a=b\r\n" + BODY[:1] + b"\r\n%x\r\n" % len(BODY[1:]) + BODY[1:]
    end = b"\r\n0\r\nauthorization: Bearer wrong\r\nx-more: y\r\n\r\n"
    sent = request("host: x", CHUNKED, body=chunks + end)
    assert statuses(recorder, sent + whole()) == [200, 200]
    assert recorder.frames()[-2].payload == BODY


def test_a_client_may_ask_before_it_sends_the_body(recorder: RecorderProcess) -> None:
    """RFC 9110, 10.1.1: 100 is said to those who may send, and to nobody else."""
    for token, said in ((TOKEN, b"HTTP/1.1 100"), ("wrong", b"HTTP/1.1 100")):
        data = whole(BODY, "expect: 100-continue").replace(
            TOKEN.encode(), token.encode()
        )
        with connect(recorder) as client:
            client.sendall(data[: -len(BODY)])
            assert client.recv(12) == said
            client.recv(100)
            client.sendall(BODY)
            assert answers(client, 1) == [200 if token == TOKEN else 401]


def test_a_connection_ends_when_the_client_says_so(recorder: RecorderProcess) -> None:
    """9.6: after `connection: close`, and after HTTP/1.0, nothing more is read."""
    for last in (
        whole(BODY, "connection: close"),
        whole(line="POST /v1/traces HTTP/1.0"),
    ):
        with connect(recorder) as client:
            client.sendall(last + whole())
            assert answers(client, 1) == [200]
            assert client.recv(1) == b""


def test_an_answer_has_a_date(recorder: RecorderProcess) -> None:
    """RFC 9110, 6.6.1: a server with a clock says when it answered."""
    date = time.strptime(
        recorder.post(BODY).headers["date"], "%a, %d %b %Y %H:%M:%S GMT"
    )
    assert date.tm_year >= 2026


def test_heads_are_limited(recorder: RecorderProcess) -> None:
    """RFC 6585, 5: a head that never ends is 431, before it fills the memory."""
    endless = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 400_000
    assert statuses(recorder, endless) == [431]
    many = "\r\n".join(f"x-{number}: y" for number in range(20_000))
    assert statuses(recorder, f"POST / HTTP/1.1\r\nhost: x\r\n{many}".encode()) == [431]


def test_a_stranger_cannot_fill_the_memory(recorder: RecorderProcess) -> None:
    """Bodies of senders with no good token are not kept, however many there are."""
    before = recorder.resident_bytes()
    body = b"\0" * (19 * 2**20)
    sent = whole(body).replace(TOKEN.encode(), b"wrong")
    clients = [connect(recorder) for _ in range(12)]
    for client in clients:
        client.sendall(sent[:-1])
    grown = recorder.resident_bytes() - before
    for client in clients:
        client.sendall(b"\0")
        assert answers(client, 1) == [401]
        client.close()
    assert grown < 64 * 2**20


def test_the_path_may_have_a_query_or_name_its_host(recorder: RecorderProcess) -> None:
    """3.2: origin-form and absolute-form are the same place; another place is 404."""
    for target, status in (
        ("/v1/traces?a=b", 200),
        ("http://x/v1/traces", 200),
        ("/v1/../v1/traces", 404),
        ("/v1/traces/", 404),
        ("//v1/traces", 404),
    ):
        line = f"POST {target} HTTP/1.1"
        assert statuses(recorder, whole(line=line)) == [status]
