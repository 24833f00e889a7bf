"""Requests made to harm the recorder are refused, cost little, and disturb nobody."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from sandbox.testing.recorder import TOKEN, RecorderProcess, trace_request

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MIB = 2**20
BOMB_MIB = 200
GROWTH = 64 * MIB


def deep(levels: int) -> bytes:
    """Return a traces request whose one attribute is a list in a list in a list."""
    value = b""
    for _ in range(levels):
        value = field(5, field(1, value))  # AnyValue.array_value, ArrayValue.values
    attribute = field(1, b"k") + field(2, value)
    return field(1, field(2, field(2, field(9, attribute))))


def field(number: int, value: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    length, out = len(value), bytearray([number << 3 | 2])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out) + bytes([length]) + value


HOSTILE = {
    "nested 10,000 deep": deep(10_000),
    "a length of 2 GiB": b"\x0a\xff\xff\xff\xff\x07",
    "a length of 2**64 - 1": b"\x0a" + b"\xff" * 9 + b"\x01",
    "a length that never ends": b"\x0a" + b"\xff" * 1000,
    "groups opened, never closed": b"\x0b" * 100_000,
    "field number 0": b"\x02\x00",
}
# A field that nobody knows: gRPC sends what does not shrink as it is.
FILLER = field(15, bytes(10_000))


def pump(source: socket.socket, sink: socket.socket, sizes: list[int]) -> None:
    """Pass on what comes, until an end is closed; add its sizes to `sizes`."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sizes.append(len(data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def counted(target: str) -> Iterator[tuple[str, list[int]]]:
    """Give an address that leads to another, and the sizes of what is sent there."""
    host, _, port = target.rpartition(":")
    sizes: list[int] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection((host, int(port))) as receiver,
    ):

        def lead() -> None:
            with listener.accept()[0] as sender:
                back = threading.Thread(target=pump, args=(receiver, sender, []))
                back.start()
                pump(sender, receiver, sizes)
                back.join()

        leading = threading.Thread(target=lead)
        leading.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", sizes
        leading.join(timeout=30)


def export(
    recorder: RecorderProcess, body: bytes, *, squeezed: bool
) -> grpc.StatusCode:
    """Send a message over gRPC, packed or not; return the code of the answer."""
    kind = grpc.Compression.Gzip if squeezed else grpc.Compression.NoCompression
    code = grpc.StatusCode.OK
    with (
        counted(recorder.grpc_target) as (target, sizes),
        grpc.insecure_channel(target, compression=kind) as channel,
    ):
        try:
            channel.unary_unary(EXPORT)(
                body, metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=30
            )
        except grpc.RpcError as error:
            code = error.code()
    assert (sum(sizes) < len(body)) == squeezed
    return code


@pytest.mark.parametrize("squeezed", [False, True], ids=["plain", "gzip"])
def test_hostile_requests_are_refused_and_disturb_nobody(
    tmp_path: Path, squeezed: bool
) -> None:
    """400 for each over HTTP and gRPC; honest spans sent between them are all there."""
    with RecorderProcess(tmp_path / "state") as recorder:
        for name, hostile in HOSTILE.items():
            body = FILLER + hostile if squeezed else hostile
            sent = gzip.compress(body) if squeezed else body
            encoding = "gzip" if squeezed else "identity"
            answer = recorder.post(sent, content_encoding=encoding)
            assert answer.status == 400, name
            code = export(recorder, body, squeezed=squeezed)
            assert code is grpc.StatusCode.INVALID_ARGUMENT, name
            assert recorder.post(trace_request([name])).status == 200
        nested = b'{"resourceSpans":' + b"[" * 1_000_000
        assert recorder.post(nested, content_type="application/json").status == 400
        assert recorder.span_names() == list(HOSTILE)


def bomb_over_http(recorder: RecorderProcess) -> None:
    """Send little that unpacks to much, as a body."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"".join(bomb.compress(bytes(MIB)) for _ in range(BOMB_MIB))
    answer = recorder.post(zeros + bomb.flush(), content_encoding="gzip")
    assert answer.status == 413


def bomb_over_grpc(recorder: RecorderProcess) -> None:
    """Send little that unpacks to much, as a message."""
    code = export(recorder, bytes(BOMB_MIB * MIB), squeezed=True)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def most_resident_bytes(recorder: RecorderProcess) -> int:
    """Return the most memory its process held since that was last reset."""
    status = Path(f"/proc/{recorder.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize("bomb", [bomb_over_http, bomb_over_grpc])
def test_what_unpacks_to_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, bomb: Callable[[RecorderProcess], None]
) -> None:
    """It never holds the whole; honest spans are taken before and after."""
    with RecorderProcess(tmp_path / "state") as recorder:
        assert recorder.post(trace_request(["before"])).status == 200
        Path(f"/proc/{recorder.pid}/clear_refs").write_text("5")  # resets the most
        before = recorder.resident_bytes()
        bomb(recorder)
        assert most_resident_bytes(recorder) - before < GROWTH
        assert recorder.post(trace_request(["after"])).status == 200
        assert recorder.span_names() == ["before", "after"]


def test_lists_within_lists_are_recorded_as_deep_as_readers_can_read(
    tmp_path: Path,
) -> None:
    """What is acknowledged can be read again: the depth is judged once, at the door."""
    with RecorderProcess(tmp_path / "state") as recorder:
        statuses = [recorder.post(deep(levels)).status for levels in range(30, 60)]
        assert set(statuses) == {200, 400}
        assert len(recorder.span_names()) == statuses.count(200)
