"""Durability inside the recorder: failing disks, waiting requests, revoked tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.adapters.otlp_reception import Limits, Reception
from sandbox.adapters.otlp_refusals import Refused
from sandbox.adapters.otlp_store import Received, TrialStore
from sandbox.errors import RecorderError
from sandbox.evidence.seal import seal_segment
from sandbox.model.record import digest_of
from sandbox.ports import Producer
from sandbox.recorder import RollingPolicy, decode_frames, encode_frame, gaps_in
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeTokens
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRIAL = "ride-1"
HOTROD = Producer(TRIAL, "hotrod")


def store_in(root: Path, sync: Callable[[int], None] = os.fdatasync) -> TrialStore:
    policy = RollingPolicy(seconds=600, size_bytes=1 << 20)
    return TrialStore(root, TRIAL, policy=policy, clock=FixedClock(), sync=sync)


def received(payload: bytes) -> Received:
    return Received("traces", "hotrod", payload, AT)


def payloads(root: Path) -> list[bytes]:
    """Return what is in the trial's segments, without the recorder's own notes."""
    frames = []
    for item in sorted((root / TRIAL).glob("*.[oc]*")):
        found, consumed = decode_frames(item.read_bytes())
        assert consumed == item.stat().st_size
        frames += found
    assert [item.sequence for item in frames] == list(range(1, len(frames) + 1))
    return [frame.payload for frame in frames if frame.producer == "hotrod"]


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = getattr(os, name)

    def failing(*arguments: object) -> object:
        monkeypatch.setattr(os, name, real)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, failing)


class FailingOnce:
    """A sync that fails when it is told to, once."""

    def __init__(self) -> None:
        self.fails = False

    def __call__(self, handle: int) -> None:
        failing, self.fails = self.fails, False
        if failing:
            raise OSError(5, "Input/output error")
        os.fdatasync(handle)


def test_a_failed_sync_is_undone_and_the_next_append_works(tmp_path: Path) -> None:
    """What was not acknowledged is not kept; numbers go on without a hole."""
    sync = FailingOnce()
    store = store_in(tmp_path, sync)
    store.append([received(b"")])
    sync.fails = True
    with pytest.raises(RecorderError, match="Input/output error") as hit:
        store.append([received(b"\x12\x00")])
    assert hit.value.retryable
    store.append([received(b"\x1a\x00")])
    assert payloads(tmp_path) == [b"", b"\x1a\x00"]


def test_a_failed_write_is_undone_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not acknowledged is not kept; numbers go on without a hole."""
    store = store_in(tmp_path)
    store.append([received(b"")])
    fail_once(monkeypatch, "write")
    with pytest.raises(RecorderError, match="No space left") as hit:
        store.append([received(b"\x12\x00")])
    assert hit.value.retryable
    store.append([received(b"\x1a\x00")])
    assert payloads(tmp_path) == [b"", b"\x1a\x00"]


def test_a_half_written_frame_is_cut_when_the_disk_fills_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write followed by an error leaves no torn frame in the middle."""
    store = store_in(tmp_path)
    store.append([received(b"")])
    real = os.write

    def short(handle: int, data: memoryview) -> int:
        fail_once(monkeypatch, "write")
        return real(handle, data[:10])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(RecorderError):
        store.append([received(b"\x12\x00")])
    monkeypatch.setattr(os, "write", real)
    store.append([received(b"\x1a\x00")])
    assert payloads(tmp_path) == [b"", b"\x1a\x00"]


def test_an_empty_file_left_by_a_crash_is_no_segment(tmp_path: Path) -> None:
    """A crash right after creation leaves nothing to close; its number is used."""
    (tmp_path / TRIAL).mkdir()
    (tmp_path / TRIAL / "000001.open").touch()
    (tmp_path / TRIAL / "000001.end").touch()
    store = store_in(tmp_path)
    store.recover()
    assert list((tmp_path / TRIAL).iterdir()) == []
    store.append([received(b"")])
    names = sorted(item.name for item in (tmp_path / TRIAL).iterdir())
    assert names == ["000001.end", "000001.open"]


def test_a_file_of_which_nothing_can_be_read_becomes_a_gap(tmp_path: Path) -> None:
    """The segment then holds the recorder's notes alone, and the bytes lie beside."""
    (tmp_path / TRIAL).mkdir()
    (tmp_path / TRIAL / "000001.open").write_bytes(b"\xff" * 200)
    store_in(tmp_path).recover()
    frames, _ = decode_frames((tmp_path / TRIAL / "000001.closed").read_bytes())
    assert [gap.reason for gap in gaps_in(frames)] == ["torn-frame", "recorder-down"]
    assert (tmp_path / TRIAL / "000001.torn").read_bytes() == b"\xff" * 200


def reception_in(
    root: Path,
    tokens: FakeTokens,
    *,
    sync: Callable[[int], None] = os.fdatasync,
    max_pending_bytes: int = 1 << 27,
) -> Reception:
    return Reception(
        root,
        tokens=tokens,
        clock=FixedClock(),
        make_store=lambda _: store_in(root, sync),
        limits=Limits(600, max_pending_bytes),
    )


async def test_requests_that_wait_share_one_sync(tmp_path: Path) -> None:
    """Group commit: fifty at once need far fewer than fifty syncs, all are kept."""
    syncs = []

    def counting(handle: int) -> None:
        syncs.append(handle)
        os.fdatasync(handle)

    reception = reception_in(tmp_path, FakeTokens(), sync=counting)
    answers = await asyncio.gather(
        *(reception.record(HOTROD, "traces", b"") for _ in range(50))
    )
    assert answers == [None] * 50
    assert len(payloads(tmp_path)) == 50
    assert len(syncs) <= 5
    await reception.close()


async def test_rolling_has_its_turn(tmp_path: Path) -> None:
    """A segment is closed when asked for, also while senders never pause."""
    sending = True

    writing = threading.Event()

    def slow(handle: int) -> None:
        writing.set()
        time.sleep(0.005)  # the others queue up, so that somebody always waits

    reception = reception_in(tmp_path, FakeTokens(), sync=slow)

    async def send() -> None:
        while sending:
            assert await reception.record(HOTROD, "traces", b"") is None

    senders = [asyncio.create_task(send()) for _ in range(4)]
    assert await asyncio.to_thread(writing.wait, 10)
    senders += [asyncio.create_task(send()) for _ in range(4)]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert await reception.roll(TRIAL) == 1
    sending = False
    await asyncio.gather(*senders)
    await reception.close()


async def test_more_than_may_wait_is_refused(tmp_path: Path) -> None:
    """Beyond the limit a request is refused at once and not recorded."""
    reception = reception_in(tmp_path, FakeTokens(), max_pending_bytes=3)
    body = b"\x12\x00"
    answers = await asyncio.gather(
        *(reception.record(HOTROD, "traces", body) for _ in range(3))
    )
    assert [answer and answer.reason for answer in answers] == [
        None,
        "overloaded",
        "overloaded",
    ]
    assert payloads(tmp_path) == [body]
    await reception.close()


async def test_a_failure_nobody_foresaw_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender never waits for ever: it is told to send again."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TrialStore, "append", broken)
    reception = reception_in(tmp_path, FakeTokens())
    answer = await asyncio.wait_for(reception.record(HOTROD, "traces", b""), 5)
    assert answer is not None
    assert answer.reason == "unavailable"


async def test_a_revoked_token_is_refused_within_half_a_second(tmp_path: Path) -> None:
    """An answer about a token is believed for half a second and no longer."""
    tokens = FakeTokens()
    tokens.issue(TRIAL, "hotrod", "token")
    reception = reception_in(tmp_path, tokens)
    assert await reception.identify("Bearer token") == HOTROD
    tokens.revoke(TRIAL)
    await asyncio.sleep(0.55)
    refused = await reception.identify("Bearer token")
    assert isinstance(refused, Refused)
    assert refused.reason == "unauthenticated"


async def test_nobody_can_send_in_the_recorders_name(tmp_path: Path) -> None:
    """Names that are reserved or do not fit a frame are refused."""
    tokens = FakeTokens()
    tokens.issue(TRIAL, "@recorder", "one")
    tokens.issue(TRIAL, "x" * 65, "two")
    reception = reception_in(tmp_path, tokens)
    for token in ("one", "two"):
        assert isinstance(await reception.identify(f"Bearer {token}"), Refused)


def close_segments(root: Path, *counts: int) -> None:
    """Record closed segments of so many frames each."""
    store = store_in(root)
    for count in counts:
        store.append([received(b"\x12\x00")] * count)
        store.roll()


def without_note(root: Path, number: int) -> Path:
    """Return a closed segment, as recorders left it that noted no end."""
    (root / TRIAL / f"{number:06d}.end").unlink()
    return root / TRIAL / f"{number:06d}.closed"


def seal_in(root: Path, number: int, *, with_numbers: bool = True) -> None:
    """Seal a closed segment, as today or as before statements stated numbers."""
    path = root / TRIAL / f"{number:06d}.closed"
    sealed = seal_segment(
        path.read_bytes(),
        trial_id=TRIAL,
        number=number,
        rulebook_digest=digest_of(b"r"),
        signer=ThrowawaySigner(),
    )
    envelope = sealed.envelope
    if not with_numbers:
        said = sealed.segment.model_dump(mode="json", exclude=_NUMBERS)
        payload = base64.b64encode(json.dumps({"predicate": said}).encode()).decode()
        envelope = json.dumps({"payload": payload}).encode()
    path.with_suffix(".zst").write_bytes(sealed.compressed)
    path.with_suffix(".dsse.json").write_bytes(envelope)
    path.unlink()


_NUMBERS = {"first_sequence", "last_sequence"}


def next_number(root: Path) -> int:
    """Return the number that the next frame gets after a restart."""
    store = store_in(root)
    store.append([received(b"")])
    store.roll()
    raw = max((root / TRIAL).glob("*.closed")).read_bytes()
    return decode_frames(raw)[0][-1].sequence


@pytest.mark.parametrize("with_numbers", [True, False], ids=["stated", "counted"])
def test_numbers_go_on_after_the_last_segment_was_erased(
    tmp_path: Path, with_numbers: bool
) -> None:
    """After a restart, from the statement; old ones state counts of frames only."""
    close_segments(tmp_path, 2, 3)
    for number in (1, 2):
        seal_in(tmp_path, number, with_numbers=with_numbers)
        (tmp_path / TRIAL / f"{number:06d}.zst").unlink()
    store_in(tmp_path).recover()
    assert next_number(tmp_path) == 6
    assert (tmp_path / TRIAL / "000003.closed").exists()


def test_a_damaged_sealed_file_does_not_stop_the_recorder(tmp_path: Path) -> None:
    """Its statement says how far the numbers went."""
    close_segments(tmp_path, 3)
    seal_in(tmp_path, 1)
    (tmp_path / TRIAL / "000001.zst").write_bytes(b"damaged")
    assert next_number(tmp_path) == 4


def test_a_damaged_frame_in_a_closed_segment_hides_no_number(tmp_path: Path) -> None:
    """The last frame tells; restored from a copy, the segment fits without a hole."""
    close_segments(tmp_path, 2, 4)
    path = without_note(tmp_path, 2)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4 + 10] ^= 1
    path.write_bytes(raw)
    assert next_number(tmp_path) == 7


@pytest.mark.parametrize("frames", range(4))
def test_a_segment_cut_between_frames_hides_no_number(
    tmp_path: Path, frames: int
) -> None:
    """The note beside it tells, so that the hole shows what is missing."""
    close_segments(tmp_path, 2, 4)
    path = tmp_path / TRIAL / "000002.closed"
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 4 * frames])
    assert next_number(tmp_path) == 7


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_number_that_may_have_been_given_is_not_given_again(
    tmp_path: Path, keep: int
) -> None:
    """With nothing left to read after some frames, the numbers leave a hole."""
    close_segments(tmp_path, 2, 4)
    path = without_note(tmp_path, 2)
    raw = path.read_bytes()
    whole = len(raw) // 4 * keep
    path.write_bytes(raw[:whole] + b"\xff" * (len(raw) - whole))
    assert next_number(tmp_path) > 6


def test_a_request_that_looks_like_a_frame_cannot_make_numbers_jump(
    tmp_path: Path,
) -> None:
    """What a producer sends is bounded by the room it takes."""
    fake = encode_frame(
        b"", signal="traces", producer="x", sequence=1 << 60, received_at=AT
    )
    store = store_in(tmp_path)
    store.append([received(b""), received(fake), received(b"")])
    store.roll()
    path = without_note(tmp_path, 1)
    raw = bytearray(path.read_bytes())
    end = raw.index(fake) + len(fake)
    raw[100] ^= 1
    path.write_bytes(raw[:end])
    assert 3 < next_number(tmp_path) < 10


def test_numbers_are_not_guessed_where_nothing_is_left(tmp_path: Path) -> None:
    """Without bytes and with a broken statement recording waits for a person."""
    close_segments(tmp_path, 2)
    seal_in(tmp_path, 1)
    (tmp_path / TRIAL / "000001.zst").unlink()
    (tmp_path / TRIAL / "000001.dsse.json").write_text("{}")
    with pytest.raises(RecorderError, match=r"000001\.dsse\.json is not the statement"):
        store_in(tmp_path).append([received(b"")])
