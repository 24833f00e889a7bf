"""What a sender was told is recorded is there, whatever breaks.

Every test counts: the names of the spans that were acknowledged, then the names that
are in the segments. Nothing acknowledged may be missing. Faults of the disk and of the
process are real ones: signals, limits of the kernel, a small file system; only an fsync
that takes its time is a Python function in the place of `os.fdatasync`.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from sandbox.adapters.http_server import HttpServer
from sandbox.adapters.otlp_grpc import grpc_server
from sandbox.adapters.otlp_http import OtlpHttp
from sandbox.adapters.otlp_reception import TOKEN_SECONDS, Limits, Reception
from sandbox.adapters.otlp_refusals import CLOSED, REFUSALS_FOLDER
from sandbox.adapters.otlp_store import TrialStore
from sandbox.adapters.segments import LocalSegments
from sandbox.errors import EvidenceError, RecorderError
from sandbox.evidence.seal import seal_segment
from sandbox.model.record import digest_of
from sandbox.model.segment import RefusalWindow
from sandbox.ports import Producer
from sandbox.recorder import RollingPolicy, decode_frames, gaps_in, spans_in
from sandbox.settings import Settings
from sandbox.testing.clock import FixedClock
from sandbox.testing.recorder import (
    PROTOBUF,
    TOKEN,
    TRIAL,
    RecorderProcess,
    trace_request,
)
from sandbox.testing.records import FakeTokens
from sandbox.testing.signer import ThrowawaySigner

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
AT = datetime(2026, 1, 1, tzinfo=UTC)
SPANS = 5
FILE_LIMIT = 40_000

# The kernel writes up to the limit and ends the process at the next byte.
KILLED_IN_MID_WRITE = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_LIMIT}, {FILE_LIMIT}))
"""
# Python ignores SIGXFSZ, so what does not fit is an error of the write: a full disk.
FILES_ARE_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_LIMIT}, {FILE_LIMIT}))
"""
# Durable, and dead before the answer: the sender never hears of it.
KILLED_AFTER_SYNC = """
import itertools, os, signal
syncs, sync = itertools.count(1), os.fdatasync
def deadly(handle):
    sync(handle)
    if next(syncs) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
os.fdatasync = deadly
"""
# A kill keeps the pages of the kernel, so what was synced is written down: file, size.
SLOW_SYNC = """
import os, time
sync = os.fdatasync
def slow(handle):
    size = os.fstat(handle).st_size
    time.sleep(0.2)
    sync(handle)
    line = f"{os.readlink(f'/proc/self/fd/{handle}')} {size}\\n"
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, line.encode())
    os.close(log)
os.fdatasync = slow
"""


class Sender:
    """Sends numbered requests and remembers what was answered."""

    def __init__(self, recorder: RecorderProcess, name: str) -> None:
        self._recorder = recorder
        self._name = name
        self._number = 0
        self.acknowledged: list[str] = []
        self.refused: list[tuple[int, str]] = []

    def send(self) -> int:
        """Send the next request; return its status.

        Raises:
            OSError: The recorder went away.
            http.client.HTTPException: It went away before it had answered.
        """
        names = [f"{self._name}-{self._number}-{place}" for place in range(SPANS)]
        self._number += 1
        answer = self._recorder.post(trace_request(names))
        if answer.status == 200:
            self.acknowledged += names
        else:
            again = answer.headers.get("retry-after", "")
            self.refused.append((answer.status, again))
        return answer.status

    def send_until_gone(self) -> None:
        """Send until the recorder is gone."""
        with suppress(OSError, http.client.HTTPException):
            for _ in range(100_000):
                self.send()


@contextmanager
def senders(
    recorder: RecorderProcess, count: int, *, turn: int = 0
) -> Iterator[list[Sender]]:
    """Send from several threads until the recorder is gone."""
    sending = [Sender(recorder, f"{turn}-{number}") for number in range(count)]
    threads = [threading.Thread(target=item.send_until_gone) for item in sending]
    for thread in threads:
        thread.start()
    try:
        yield sending
    finally:
        for thread in threads:
            thread.join(timeout=60)


def acknowledged(sending: list[Sender]) -> list[str]:
    """Return the names of all spans that were acknowledged."""
    return [name for sender in sending for name in sender.acknowledged]


def assert_nothing_lost(recorder: RecorderProcess, told: list[str]) -> list[str]:
    """Check that all that was acknowledged is there, once; return what is there."""
    found = recorder.span_names()
    assert told, "nothing was acknowledged, so nothing was tested"
    assert set(told) - set(found) == set()
    assert len(found) == len(set(found))
    return found


def reasons(recorder: RecorderProcess) -> list[str]:
    """Return why evidence is missing, as the segments themselves say."""
    frames = [
        frame
        for path in recorder.closed()
        for frame in decode_frames(path.read_bytes())[0]
    ]
    return [gap.reason for gap in gaps_in(frames)]


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL five times while four senders send: nothing acknowledged is missing."""
    told: list[str] = []
    recorder = RecorderProcess(tmp_path / "state", segment_bytes=50_000)
    for turn in range(5):
        with recorder:
            with senders(recorder, 4, turn=turn) as sending:
                deadline = time.monotonic() + 30
                while len(acknowledged(sending)) < 200 + 37 * turn:
                    assert time.monotonic() < deadline
                    time.sleep(0.001)
                recorder.kill()
            told += acknowledged(sending)
    with recorder:
        assert_nothing_lost(recorder, told)
        assert reasons(recorder).count("recorder-down") == 5


def test_killed_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """A frame of which the kernel wrote a part is cut, kept aside, and told."""
    recorder = RecorderProcess(tmp_path / "state", preamble=KILLED_IN_MID_WRITE)
    with recorder:
        with senders(recorder, 4) as sending:
            assert recorder.wait() == -signal.SIGXFSZ
        assert (recorder.folder / "000001.open").stat().st_size == FILE_LIMIT
        recorder.preamble = ""
        recorder.start()
        assert_nothing_lost(recorder, acknowledged(sending))
        assert reasons(recorder) == ["torn-frame", "recorder-down"]
        cut = (recorder.folder / "000001.torn").read_bytes()
        kept = (recorder.folder / "000001.closed").read_bytes()
        frames, whole = decode_frames(kept)
        note = [frame for frame in frames if frame.producer == "@recorder"][0]
        assert note.offset + len(cut) == FILE_LIMIT
        assert whole == len(kept)


def test_killed_between_the_sync_and_the_answer(tmp_path: Path) -> None:
    """What was durable but not answered is there too: a sender may send it again."""
    recorder = RecorderProcess(tmp_path / "state", preamble=KILLED_AFTER_SYNC)
    with recorder:
        sender = Sender(recorder, "only")
        sender.send_until_gone()
        assert recorder.wait() == -signal.SIGKILL
        recorder.preamble = ""
        recorder.start()
        found = assert_nothing_lost(recorder, sender.acknowledged)
        assert len(sender.acknowledged) == 19 * SPANS
        assert len(found) == 20 * SPANS


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    """503 with Retry-After before anything is lost; what was told before is there."""
    recorder = RecorderProcess(tmp_path / "state", preamble=FILES_ARE_LIMITED)
    with recorder:
        sender = Sender(recorder, "only")
        for _ in range(200):
            sender.send()
        assert set(sender.refused) == {(503, "1")}
        assert_nothing_lost(recorder, sender.acknowledged)
        assert recorder.refused()["unavailable"] == len(sender.refused)
        recorder.kill()
        recorder.preamble = ""
        recorder.start()
        assert Sender(recorder, "later").send() == 200
        assert_nothing_lost(recorder, sender.acknowledged)


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """Make a file system of 256 KiB in the place of the trial's evidence folder."""
    folder = tmp_path / "state" / "evidence" / TRIAL
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a file system of its own needs root")
    argv = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: no tmpfs can be mounted here: {done.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_refuses_and_a_freed_one_takes_again(small_disk: Path) -> None:
    """ENOSPC is 503 with Retry-After; no restart is needed once there is space."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 100_000)
    with RecorderProcess(small_disk.parents[1]) as recorder:
        sender = Sender(recorder, "only")
        while len(sender.refused) < 5:
            sender.send()
        assert set(sender.refused) == {(503, "1")}
        assert_nothing_lost(recorder, sender.acknowledged)
        ballast.unlink()
        assert [sender.send() for _ in range(20)] == [200] * 20
        assert_nothing_lost(recorder, sender.acknowledged)
        assert len(sender.refused) == 5


def remount(folder: Path, mode: str) -> None:
    """Make a file system read-only (`ro`) or writable (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


def test_a_full_disk_is_told_and_a_freed_one_too(small_disk: Path) -> None:
    """Since when and why, while senders fail; well with the first that succeeds."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 100_000)
    with RecorderProcess(small_disk.parents[1]) as recorder:
        assert recorder.health().is_well
        sender = Sender(recorder, "only")
        while not sender.refused:
            sender.send()
        told = recorder.health()
        assert not told.is_well
        assert told.since is not None
        assert "No space left on device" in told.cause
        sender.send()
        assert recorder.health().since == told.since
        assert list(recorder.status()["faults"]) == [TRIAL]
        ballast.unlink()
        assert sender.send() == 200
        assert recorder.health().is_well
        assert recorder.status()["faults"] == {}


def test_a_full_disk_is_told_also_when_nobody_sends(small_disk: Path) -> None:
    """Whoever asks is told, before and after it is full, without any request."""
    ballast = small_disk / "ballast"
    with RecorderProcess(small_disk.parents[1]) as recorder:
        assert recorder.health().is_well
        ballast.write_bytes(b"\0" * 250_000)
        assert "No space left on device" in recorder.health().cause
        ballast.unlink()
        deadline = time.monotonic() + 30
        while not recorder.health().is_well:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert [path.name for path in small_disk.iterdir()] == []


def test_a_read_only_folder_refuses_until_it_is_writable(small_disk: Path) -> None:
    """EROFS is 503 with Retry-After, and recording goes on afterwards."""
    with RecorderProcess(small_disk.parents[1]) as recorder:
        sender = Sender(recorder, "only")
        assert sender.send() == 200
        recorder.roll()
        remount(small_disk, "ro")
        assert [sender.send() for _ in range(3)] == [503] * 3
        remount(small_disk, "rw")
        assert sender.send() == 200
        assert set(sender.refused) == {(503, "1")}
        assert_nothing_lost(recorder, sender.acknowledged)


def synced_names(recorder: RecorderProcess, log: Path) -> set[str]:
    """Return the names of the spans that lie within what was synced of their file."""
    lines = log.read_text().splitlines() if log.exists() else []
    sizes = {Path(name).stem: int(size) for name, size in map(str.split, lines)}
    raw = [
        path.read_bytes()[: sizes.get(path.stem, 0)]
        for path in recorder.folder.glob("0*.[oc]*")
    ]
    frames = [frame for item in raw for frame in decode_frames(item)[0]]
    return {span.name for frame in frames for span in spans_in(frame)}


def test_a_slow_disk_and_a_kill(tmp_path: Path) -> None:
    """With syncs of 0.2 s the answers are late, but none comes before its sync."""
    log = tmp_path / "synced"
    preamble = f"LOG = {str(log)!r}\n{SLOW_SYNC}"
    recorder = RecorderProcess(tmp_path / "state", preamble=preamble)
    with recorder:
        with senders(recorder, 8) as sending:
            deadline = time.monotonic() + 30
            while len(acknowledged(sending)) < 8 * 3 * SPANS:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            recorder.kill()
        assert set(acknowledged(sending)) <= synced_names(recorder, log)
        recorder.preamble = ""
        recorder.start()
        assert_nothing_lost(recorder, acknowledged(sending))


def tokens() -> FakeTokens:
    """Return tokens of which the recorder knows one."""
    known = FakeTokens()
    known.issue(TRIAL, "hotrod", TOKEN)
    return known


def reception_on(
    root: Path,
    *,
    sync: Callable[[int], None] = os.fdatasync,
    limit: int = 1 << 27,
    known: FakeTokens | None = None,
) -> tuple[Reception, FixedClock]:
    """Return what records into a folder, and its clock."""
    clock = FixedClock(AT)
    policy = RollingPolicy(600, 1 << 26)

    def make_store(trial_id: str) -> TrialStore:
        return TrialStore(root, trial_id, policy=policy, clock=clock, sync=sync)

    made = Reception(
        root,
        tokens=known or tokens(),
        clock=clock,
        make_store=make_store,
        limits=Limits(600, limit),
    )
    return made, clock


def names_on(root: Path) -> list[str]:
    """Return the names of the spans in a trial's raw segments."""
    raw = [path.read_bytes() for path in sorted((root / TRIAL).glob("0*.[oc]*"))]
    frames = [frame for item in raw for frame in decode_frames(item)[0]]
    return [span.name for frame in frames for span in spans_in(frame)]


class HeldSync:
    """A sync that waits until it is let go: a disk that has stopped answering."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, handle: int) -> None:
        assert self.go_on.wait(30)
        os.fdatasync(handle)


async def grpc_code(target: str, body: bytes) -> tuple[grpc.StatusCode, list[object]]:
    """Export over gRPC; return the code, and what the details of the status are."""
    async with grpc.aio.insecure_channel(target) as channel:
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        try:
            await channel.unary_unary(EXPORT)(body, metadata=metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            trailing = dict(error.trailing_metadata())
            status = Status.FromString(trailing["grpc-status-details-bin"])
            return error.code(), [
                detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details
            ]
    return grpc.StatusCode.OK, []


@asynccontextmanager
async def client_of(
    reception: Reception, **headers: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve HTTP on loopback, and give a client of it."""
    otlp = OtlpHttp(reception)
    server = HttpServer(
        otlp, clock=FixedClock(AT), refused=otlp.refused, max_bytes=2**20
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with (
            server.serving([listener], grace_s=5),
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={key.replace("_", "-"): headers[key] for key in headers},
                trust_env=False,
            ) as client,
        ):
            yield client


async def test_a_disk_that_falls_behind_pushes_back(tmp_path: Path) -> None:
    """Beyond what may wait: 503 with Retry-After, UNAVAILABLE with RetryInfo.

    What waits is acknowledged once the disk is back, and is there; no more is.
    """
    sync = HeldSync()
    bodies = {name: trace_request([name]) for name in ("w0", "w1", "w2", "grpc")}
    limit = sum(map(len, bodies.values()))
    reception, _ = reception_on(tmp_path, sync=sync, limit=limit)
    server, ports = grpc_server(reception, addresses=[("127.0.0.1", 0)])
    target = f"127.0.0.1:{ports[0]}"
    await server.start()
    async with client_of(
        reception, authorization=f"Bearer {TOKEN}", content_type=PROTOBUF
    ) as client:
        waiting = [
            asyncio.create_task(client.post("/v1/traces", content=body))
            for name, body in bodies.items()
            if name != "grpc"
        ]
        asked = asyncio.create_task(grpc_code(target, bodies["grpc"]))
        while reception.status()["pending_bytes"] != limit:
            await asyncio.sleep(0.001)
        refused = await client.post("/v1/traces", content=trace_request(["late"]))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert Status.FromString(refused.content).details[0].Is(RetryInfo.DESCRIPTOR)
        told = await grpc_code(target, trace_request(["late"]))
        assert told == (grpc.StatusCode.UNAVAILABLE, [True])
        assert not any(task.done() for task in (*waiting, asked))
        sync.go_on.set()
        assert [(await task).status_code for task in waiting] == [200] * 3
        assert await asked == (grpc.StatusCode.OK, [])
        assert (await client.post("/v1/traces", content=b"")).status_code == 200
    await server.stop(0)
    assert sorted(names_on(tmp_path)) == sorted(bodies)


async def test_a_wrong_a_missing_and_a_revoked_token_are_refused_and_written(
    tmp_path: Path,
) -> None:
    """401 for each, and one count in the window's file; no token is ever written."""
    known = tokens()
    reception, _ = reception_on(tmp_path, known=known)
    async with client_of(reception) as client:

        async def status_with(value: str) -> int:
            headers = {"authorization": value, "content-type": PROTOBUF}
            body = trace_request([value])
            return (
                await client.post("/v1/traces", content=body, headers=headers)
            ).status_code

        assert await status_with(f"Bearer {TOKEN}") == 200
        known.revoke(TRIAL)
        await asyncio.sleep(TOKEN_SECONDS + 0.05)
        for value in (f"Bearer {TOKEN}", "Bearer wrong", ""):
            assert await status_with(value) == 401
    await reception.close()
    assert names_on(tmp_path) == [f"Bearer {TOKEN}"]
    (written,) = (tmp_path / "_refusals").iterdir()
    (refusal,) = RefusalWindow.model_validate_json(written.read_text()).refusals
    assert (refusal.reason, refusal.count) == ("unauthenticated", 3)
    assert TOKEN not in written.read_text()


def test_refusals_that_were_written_down_outlive_a_kill(tmp_path: Path) -> None:
    """After SIGKILL each is counted once, in a window that is closed and not used."""
    with RecorderProcess(tmp_path / "state") as recorder:
        segments = LocalSegments.of(recorder.settings)
        folder = recorder.settings.evidence_dir / REFUSALS_FOLDER
        for _ in range(5):
            assert recorder.post(b"", authorization="Bearer wrong").status == 401
        while '"count":5' not in "".join(map(Path.read_text, folder.glob("*.json"))):
            time.sleep(0.02)
        assert segments.refusals() == []
        recorder.kill()
        recorder.start()
        (window,) = segments.refusals()
        assert [(item.reason, item.count) for item in window.refusals] == [
            ("unauthenticated", 5)
        ]
        recorder.post(b"", authorization="Bearer wrong")
        recorder.stop()
    later = [item for item in segments.refusals() if item.name != window.name]
    assert [[one.count for one in item.refusals] for item in later] == [[1]]


def test_a_damaged_account_of_refusals_is_set_aside(tmp_path: Path) -> None:
    """It keeps no segment from being sealed, and stays for a person to look at."""
    segments = LocalSegments.of(Settings(home=tmp_path))
    folder = tmp_path / "evidence" / REFUSALS_FOLDER
    folder.mkdir(parents=True)
    (folder / f"a{CLOSED}").write_text('{"name": "a", "refusals": [{')
    assert segments.refusals() == []
    assert [path.name for path in folder.iterdir()] == [f"a{CLOSED}.damaged"]
    assert segments.refusals() == []


async def test_a_clock_that_goes_back_loses_nothing(tmp_path: Path) -> None:
    """Times are recorded as they were told; order comes from the sequence."""
    reception, clock = reception_on(tmp_path)
    hotrod = Producer(TRIAL, "hotrod")
    steps = [0, 10, -3600, -7200, 5]
    for number, seconds in enumerate(steps):
        clock.set(AT + timedelta(seconds=seconds))
        body = trace_request([f"c{number}"])
        assert await reception.record(hotrod, "traces", body) is None
    await reception.close()
    assert names_on(tmp_path) == [f"c{number}" for number in range(len(steps))]
    raw = (tmp_path / TRIAL / "000001.closed").read_bytes()
    frames, _ = decode_frames(raw)
    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5]
    sealed = sealed_of(raw).segment
    assert sealed.first_received_at == AT - timedelta(hours=2)
    assert sealed.last_received_at == AT + timedelta(seconds=10)


def sealed_of(raw: bytes):  # type: ignore[no-untyped-def]
    """Return the sealed form of a raw segment, as the closing of a trial makes it."""
    return seal_segment(
        raw,
        trial_id=TRIAL,
        number=1,
        rulebook_digest=digest_of(b"rulebook"),
        signer=ThrowawaySigner(),
    )


@pytest.fixture(name="segment", scope="module")
def _segment(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Make a closed segment of ten requests, recorded by a recorder."""
    with RecorderProcess(tmp_path_factory.mktemp("seg") / "state") as recorder:
        sender = Sender(recorder, "only")
        for _ in range(10):
            assert sender.send() == 200
        recorder.roll()
        assert_nothing_lost(recorder, sender.acknowledged)
        return recorder.closed()[0].read_bytes()


def test_a_segment_with_one_bit_changed_is_never_used(segment: bytes) -> None:
    """One bit of every byte in turn: reading it for sealing is an error each time."""
    sealed_of(segment)
    unseen = []
    for place in range(len(segment)):
        damaged = bytearray(segment)
        damaged[place] ^= 1 << place % 8
        try:
            sealed_of(bytes(damaged))
        except EvidenceError:
            continue
        unseen.append(place)
    assert unseen == []


def test_a_segment_of_another_length_is_never_used(tmp_path: Path) -> None:
    """Cut at any byte, also between frames, or longer: an error each time."""
    with RecorderProcess(tmp_path / "state") as recorder:
        for number in range(4):
            assert Sender(recorder, str(number)).send() == 200
        recorder.roll()
        segments = LocalSegments.of(recorder.settings)
        whole = segments.read(TRIAL, 1)
        (path,) = recorder.closed()
        frames, _ = decode_frames(whole)
        added = whole + whole[: frames[1].offset]
        for data in [whole[:length] for length in range(len(whole))] + [added]:
            path.write_bytes(data)
            with pytest.raises(RecorderError, match=f"{len(whole)} when it was closed"):
                segments.read(TRIAL, 1)
        path.write_bytes(whole)
        assert segments.read(TRIAL, 1, offset=5) == whole[5:]


def test_a_second_recorder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    """Two writers on one folder would number frames twice; the second never starts."""
    with RecorderProcess(tmp_path / "state") as first:
        sender = Sender(first, "only")
        sender.send()
        with pytest.raises(RecorderError, match="another recorder already writes"):
            RecorderProcess(tmp_path / "state").start()
        sender.send()
        assert_nothing_lost(first, sender.acknowledged)
        first.kill()
        # The kernel frees the lock of a killed process.
        with RecorderProcess(tmp_path / "state") as next_one:
            assert Sender(next_one, "later").send() == 200
            assert_nothing_lost(next_one, sender.acknowledged)
