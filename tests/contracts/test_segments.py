"""One suite for all segments; the real ones are written by a real recorder."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.otlp import serve
from sandbox.adapters.otlp_refusals import REFUSALS_FOLDER, Refusals, Refused
from sandbox.adapters.segments import LocalSegments
from sandbox.errors import RecorderError
from sandbox.evidence.seal import Sealed, seal_segment
from sandbox.model.record import digest_of
from sandbox.model.segment import RecorderRefusal, RefusalWindow
from sandbox.ports import Segments
from sandbox.recorder import decode_frames, encode_frame, spans_in
from sandbox.settings import Settings
from sandbox.testing.records import FakeTokens
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner

TRIAL = "ride-1"


class Subject:
    """Segments, and a way to have telemetry recorded into them."""

    def __init__(
        self,
        segments: Segments,
        send: Callable[[bytes], None],
        refuse: Callable[[str], None],
    ) -> None:
        self.segments = segments
        self._send = send
        self.refuse = refuse
        """Has a window closed in which a request from a peer was refused."""

    def record(self, name: str) -> None:
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.add(name=name)
        self._send(request.SerializeToString())

    def names(self, number: int, offset: int = 0) -> list[str]:
        raw = self.segments.read(TRIAL, number, offset=offset)
        return [
            span.name for frame in decode_frames(raw)[0] for span in spans_in(frame)
        ]

    def states(self) -> list[tuple[int, str]]:
        return [(item.number, item.state) for item in self.segments.files(TRIAL)]


def _fake() -> Subject:
    segments = FakeSegments()
    clock, sent = SystemClock(), []

    def send(payload: bytes) -> None:
        sent.append(payload)
        frame = encode_frame(
            payload,
            signal="traces",
            producer="hotrod",
            sequence=len(sent),
            received_at=clock.now(),
        )
        segments.receive(TRIAL, frame)

    def refuse(peer: str) -> None:
        refusal = RecorderRefusal(
            reason="unauthenticated",
            peer=peer,
            count=1,
            first_at=clock.now(),
            last_at=clock.now(),
        )
        segments.refuse(RefusalWindow(name=peer, refusals=(refusal,)))

    return Subject(segments, send, refuse)


def _refuse(settings: Settings, peer: str) -> None:
    folder = settings.evidence_dir / REFUSALS_FOLDER
    refusals = Refusals(folder, clock=SystemClock(), window_s=0)
    said = Refused("unauthenticated", "no")
    refusals.add(said, signal="traces", peer=peer)
    asyncio.run(refusals.flush())


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in held]
    for item in held:
        item.close()
    return ports


def _settings(home: Path) -> Settings:
    web, remote, door = _free_ports(3)
    settings = Settings(home=home, segment_seconds=600)
    ports = {"http": web, "grpc": remote, "admin": door}
    changes = {f"recorder_{name}_port": port for name, port in ports.items()}
    return settings.model_copy(update=changes)


def _post(settings: Settings, payload: bytes) -> None:
    client = http.client.HTTPConnection("127.0.0.1", settings.recorder_http_port)
    headers = {
        "authorization": "Bearer token",
        "content-type": "application/x-protobuf",
    }
    client.request("POST", "/v1/traces", payload, headers)
    assert client.getresponse().read() == b""
    client.close()


def _await_listening(port: int, thread: threading.Thread) -> None:
    for _ in range(500):
        assert thread.is_alive()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            thread.join(0.02)
        else:
            return
    pytest.fail("the recorder did not start")


@pytest.fixture(name="subject", params=["local", "fake"])
def _subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        yield _fake()
        return
    settings = _settings(tmp_path)
    tokens = FakeTokens()
    tokens.issue(TRIAL, "hotrod", "token")
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    server = serve(settings, tokens, SystemClock(), stop=stop)
    thread = threading.Thread(target=loop.run_until_complete, args=(server,))
    thread.start()
    _await_listening(settings.recorder_grpc_port, thread)
    yield Subject(
        LocalSegments.of(settings),
        lambda data: _post(settings, data),
        lambda peer: _refuse(settings, peer),
    )
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _seal(subject: Subject, number: int, signer: str = "a") -> Sealed:
    return seal_segment(
        subject.segments.read(TRIAL, number),
        trial_id=TRIAL,
        number=number,
        rulebook_digest=digest_of(b"rulebook"),
        signer=ThrowawaySigner(seed=signer),
    )


def _put(subject: Subject, sealed: Sealed) -> None:
    subject.segments.put_sealed(
        TRIAL,
        sealed.segment.number,
        compressed=sealed.compressed,
        envelope=sealed.envelope,
    )


def _stage(subject: Subject, sealed: Sealed) -> None:
    subject.segments.stage_sealed(
        TRIAL,
        sealed.segment.number,
        compressed=sealed.compressed,
        envelope=sealed.envelope,
    )


def test_segments_are_listed_from_a_number_on(subject: Subject) -> None:
    """Those before it are left out, whatever state they are in."""
    for text in "abc":
        subject.record(text)
        subject.segments.roll(TRIAL)
    _put(subject, _seal(subject, 1))
    listed = {
        since: [item.number for item in subject.segments.files(TRIAL, since=since)]
        for since in (1, 2, 3, 4)
    }
    assert listed == {1: [1, 2, 3], 2: [2, 3], 3: [3], 4: []}


def test_a_trial_without_telemetry_has_no_segments(subject: Subject) -> None:
    """Nothing is listed, rolling does nothing, reading says so."""
    assert subject.states() == []
    subject.segments.roll(TRIAL)
    with pytest.raises(RecorderError, match="cannot be read"):
        subject.segments.read(TRIAL, 1)
    with pytest.raises(RecorderError):
        subject.segments.read_sealed(TRIAL, 1)
    with pytest.raises(RecorderError):
        subject.segments.read_envelope(TRIAL, 1)


def test_an_open_segment_can_be_read_while_it_grows(subject: Subject) -> None:
    """From an offset, only what is new is returned."""
    subject.record("a")
    first = len(subject.segments.read(TRIAL, 1))
    subject.record("b")
    assert subject.states() == [(1, "open")]
    assert subject.names(1) == ["a", "b"]
    assert subject.names(1, offset=first) == ["b"]
    assert subject.segments.files(TRIAL)[0].size > first


def test_after_rolling_the_next_segment_begins(subject: Subject) -> None:
    """The closed one does not change any more; numbers go on."""
    subject.record("a")
    subject.segments.roll(TRIAL)
    assert subject.states() == [(1, "closed")]
    subject.record("b")
    assert subject.states() == [(1, "closed"), (2, "open")]
    assert (subject.names(1), subject.names(2)) == (["a"], ["b"])


def test_a_sealed_segment_reads_like_the_raw_one(subject: Subject) -> None:
    """Sealing replaces the file and changes nothing that is read."""
    subject.record("a")
    subject.record("b")
    subject.segments.roll(TRIAL)
    raw = subject.segments.read(TRIAL, 1)
    sealed = _seal(subject, 1)
    _put(subject, sealed)
    assert subject.states() == [(1, "sealed")]
    assert subject.segments.files(TRIAL)[0].size == len(sealed.compressed)
    assert subject.segments.read(TRIAL, 1) == raw
    assert subject.segments.read(TRIAL, 1, offset=10) == raw[10:]
    held = subject.segments.read_sealed(TRIAL, 1)
    assert held == (sealed.compressed, sealed.envelope)
    assert subject.segments.read_envelope(TRIAL, 1) == sealed.envelope


def test_sealing_is_idempotent_and_final(subject: Subject) -> None:
    """The same again is accepted; other content is refused and changes nothing."""
    subject.record("a")
    subject.segments.roll(TRIAL)
    sealed, other = _seal(subject, 1), _seal(subject, 1, "b")
    _put(subject, sealed)
    _put(subject, sealed)
    with pytest.raises(RecorderError, match="already sealed"):
        _put(subject, other)
    held = subject.segments.read_sealed(TRIAL, 1)
    assert held == (sealed.compressed, sealed.envelope)


def test_a_staged_form_is_kept_beside_a_segment_that_stays_closed(
    subject: Subject,
) -> None:
    """It is read back and replaced until it is sealed, of a closed segment only."""
    subject.record("a")
    opened = _seal(subject, 1)
    with pytest.raises(RecorderError, match="open"):
        _stage(subject, opened)
    subject.segments.roll(TRIAL)
    assert subject.segments.read_staged(TRIAL, 1) is None
    with pytest.raises(RecorderError, match="does not hold"):
        _stage(subject, opened._replace(compressed=b"noise"))
    other, sealed = _seal(subject, 1, "b"), _seal(subject, 1)
    for item in (other, sealed):
        _stage(subject, item)
        held = subject.segments.read_staged(TRIAL, 1)
        assert held == (item.compressed, item.envelope)
        assert subject.states() == [(1, "closed")]
    _put(subject, sealed)
    assert subject.states() == [(1, "sealed")]
    assert subject.segments.read_staged(TRIAL, 1) is None
    with pytest.raises(RecorderError, match="sealed"):
        _stage(subject, sealed)


def test_only_a_closed_segment_is_sealed_and_only_by_its_own_bytes(
    subject: Subject,
) -> None:
    """Open segments, other content and noise leave the raw file where it is."""
    subject.record("a")
    opened = _seal(subject, 1)
    with pytest.raises(RecorderError, match="open"):
        _put(subject, opened)
    subject.record("b")
    subject.segments.roll(TRIAL)
    for wrong in (opened, opened._replace(compressed=b"noise")):
        with pytest.raises(RecorderError, match="does not hold"):
            _put(subject, wrong)
    assert subject.states() == [(1, "closed")]
    assert subject.names(1) == ["a", "b"]


def test_a_recorder_at_work_is_well(subject: Subject) -> None:
    """Before and after the first request, and of trials by their ids only."""
    assert subject.segments.health(TRIAL).is_well
    subject.record("a")
    assert subject.segments.health(TRIAL).is_well
    assert subject.states() == [(1, "open")]
    with pytest.raises(RecorderError, match="not a trial id"):
        subject.segments.health("../x")


def test_a_recorder_that_is_not_there_is_not_well(tmp_path: Path) -> None:
    """Its silence is an answer, with what to do about it, and no error."""
    health = LocalSegments.of(_settings(tmp_path)).health(TRIAL)
    assert not health.is_well
    assert health.since is None
    assert "does not answer" in health.cause


def test_refused_requests_are_kept_until_they_are_dropped(subject: Subject) -> None:
    """Each window is there once, until it is dropped, which may be done twice."""
    assert subject.segments.refusals() == []
    for peer in ("10.0.0.1", "10.0.0.2"):
        subject.refuse(peer)
    kept = subject.segments.refusals()
    assert {item.refusals[0].peer for item in kept} == {"10.0.0.1", "10.0.0.2"}
    assert len({item.name for item in kept}) == 2
    for _ in range(2):
        subject.segments.drop_refusals(kept[0].name)
        assert subject.segments.refusals() == kept[1:]


@pytest.mark.parametrize("trial", ["../x", "", "A", "a/b"])
def test_only_trial_ids_have_segments(subject: Subject, trial: str) -> None:
    """No name leads out of the evidence folder."""
    with pytest.raises(RecorderError, match="not a trial id"):
        subject.segments.files(trial)
    with pytest.raises(RecorderError, match="not a trial id"):
        subject.segments.read(trial, 1)


def _sealed(subject: Subject) -> Sealed:
    subject.record("a")
    subject.segments.roll(TRIAL)
    sealed = _seal(subject, 1)
    _put(subject, sealed)
    return sealed


def test_an_erased_segment_keeps_its_statement_and_its_number(subject: Subject) -> None:
    """Its bytes cannot be read by any name; what is recorded next is segment 2."""
    sealed = _sealed(subject)
    subject.segments.erase(TRIAL, 1)
    subject.segments.erase(TRIAL, 1)
    assert subject.states() == [(1, "erased")]
    assert subject.segments.read_envelope(TRIAL, 1) == sealed.envelope
    with pytest.raises(RecorderError):
        subject.segments.read(TRIAL, 1)
    with pytest.raises(RecorderError):
        subject.segments.read_sealed(TRIAL, 1)
    subject.record("b")
    assert subject.states() == [(1, "erased"), (2, "open")]


def test_only_a_sealed_segment_is_erased(subject: Subject) -> None:
    """Without its statement nothing would be left to prove anything."""
    subject.record("a")
    for number in (1, 2):
        with pytest.raises(RecorderError):
            subject.segments.erase(TRIAL, number)
        with pytest.raises(RecorderError):
            subject.segments.read_envelope(TRIAL, number)
    subject.segments.roll(TRIAL)
    with pytest.raises(RecorderError):
        subject.segments.erase(TRIAL, 1)
    assert subject.names(1) == ["a"]


def test_erasing_removes_every_file_that_holds_bytes_of_requests(
    tmp_path: Path,
) -> None:
    """Cut tails, files left by crashes, and what was derived; other trials' stay."""
    settings = Settings(home=tmp_path)
    folder = settings.evidence_dir / TRIAL
    folder.mkdir(parents=True)
    left = ("000001.dsse.json", "000002.zst", "000002.dsse.json", "000002.torn")
    gone = ("000001.zst", "000001.torn", "000001.closed", ".000001.zst.partial")
    gone += (".000001.zst.staged", "..000001.zst.staged.partial")
    for name in (*left, *gone):
        (folder / name).write_bytes(b"x")
    for trial in (TRIAL, "ride-2"):
        (tmp_path / "derived" / trial).mkdir(parents=True)
        (tmp_path / "derived" / trial / "a.parquet").write_bytes(b"x")
    LocalSegments.of(settings).erase(TRIAL, 1)
    assert {item.name for item in folder.iterdir()} == set(left)
    assert [item.name for item in (tmp_path / "derived").iterdir()] == ["ride-2"]
