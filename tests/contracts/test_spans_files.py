"""Derived files: rebuildable, never trusted, safe to make by two processes at once."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.adapters.segments import LocalSegments
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.adapters.spans_parquet import read_whole
from sandbox.errors import RecorderError
from sandbox.model.segment import EvidenceSegment
from sandbox.query import same_content
from sandbox.recorder import file_name
from sandbox.rules import CompiledRules
from sandbox.testing.rules import one_rule
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from sandbox.testing.trial import RecordedTrial

TRIAL = "ride-1"
KEYS = [ThrowawaySigner("log.example/trials").public_key]


@pytest.fixture(name="trial")
def _trial() -> RecordedTrial:
    segments = FakeSegments()
    return RecordedTrial(TRIAL, segments=segments, receive=segments.receive)


def record(trial: RecordedTrial, count: int) -> None:
    for _ in range(count):
        trial.record("a", "b")
        trial.seal()


def opened(
    trial: RecordedTrial, home: Path, judge: Callable[[], CompiledRules] = one_rule
) -> DerivedFiles:
    return DerivedFiles(
        trial.segments, lambda _: judge(), root=home / "derived", keys=KEYS
    )


def ranges(derived: Derived) -> list[tuple[int, int]]:
    return [tuple(file.range) for file in derived.files]


def test_merged(trial: RecordedTrial, tmp_path: Path) -> None:
    """Small files become larger ones as segments come, and the small ones go."""
    files = opened(trial, tmp_path)
    for _ in range(5):
        record(trial, 1)
        files.current(TRIAL)
    derived = files.current(TRIAL)
    assert ranges(derived) == [(1, 4), (5, 5)]
    left = sorted((tmp_path / "derived" / TRIAL).glob("*.parquet"))
    assert left == sorted(file.path for file in derived.files)


def test_merged_or_made_at_once(trial: RecordedTrial, tmp_path: Path) -> None:
    """Files merged step by step have the content of those made in one go."""
    step_by_step = opened(trial, tmp_path / "steps")
    for _ in range(4):
        record(trial, 1)
        step_by_step.current(TRIAL)
    (one,) = step_by_step.current(TRIAL).files
    (other,) = opened(trial, tmp_path / "once").current(TRIAL).files
    assert one.path.name == other.path.name
    first, second = (read_whole(file.path, file.origin) for file in (one, other))
    assert same_content(first, second)


def test_removed(trial: RecordedTrial, tmp_path: Path) -> None:
    """Deleting derived files loses nothing: the same are made again."""
    record(trial, 2)
    before = opened(trial, tmp_path).current(TRIAL)
    for file in before.files:
        file.path.unlink()
    again = opened(trial, tmp_path).current(TRIAL)
    assert [file.path for file in again.files] == [file.path for file in before.files]


class _Unreadable(FakeSegments):
    """Segments whose contents nobody reads again."""

    def read_sealed(self, trial_id: str, number: int) -> tuple[bytes, bytes]:
        raise AssertionError(f"segment {number} of {trial_id} was read again")


def test_made_once(trial: RecordedTrial, tmp_path: Path) -> None:
    """What was made is used by the next process: no segment is read again."""
    record(trial, 5)
    before = opened(trial, tmp_path).current(TRIAL)
    envelopes = {n: trial.segments.read_envelope(TRIAL, n) for n in range(1, 6)}
    closed = _Unreadable()
    closed.files = trial.segments.files  # type: ignore[method-assign]
    closed.read_envelope = lambda _, number: envelopes[number]  # type: ignore[method-assign]
    again = DerivedFiles(
        closed, lambda _: one_rule(), root=tmp_path / "derived", keys=KEYS
    ).current(TRIAL)
    assert [file.path for file in again.files] == [file.path for file in before.files]
    assert again.evidence == before.evidence


def test_changed_on_disk(trial: RecordedTrial, tmp_path: Path) -> None:
    """A derived file with a changed bit is not used; the right one is made again."""
    record(trial, 1)
    (file,) = opened(trial, tmp_path).current(TRIAL).files
    whole = file.path.read_bytes()
    for place in range(0, len(whole), len(whole) // 9):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        file.path.write_bytes(bytes(damaged))
        (again,) = opened(trial, tmp_path).current(TRIAL).files
        assert again.path == file.path
        assert file.path.read_bytes() == whole


def test_other_rules(trial: RecordedTrial, tmp_path: Path) -> None:
    """Under other rules the files are made again, and say what those rules say."""
    record(trial, 1)
    (before,) = opened(trial, tmp_path).current(TRIAL).files
    judge = opened(trial, tmp_path, lambda: one_rule("false"))
    (after,) = judge.current(TRIAL).files
    assert not before.path.exists()
    said = pq.read_table(after.path, columns=["rule:r"])["rule:r"].to_pylist()
    assert said == ["violated", "violated"]


def test_place_of_the_evidence(trial: RecordedTrial, tmp_path: Path) -> None:
    """A file names the raw digest of each segment in it; answers name the same."""
    record(trial, 4)
    derived = opened(trial, tmp_path).current(TRIAL)
    named = [tuple(source) for file in derived.files for source in file.origin.sources]
    assert named == [(item.number, item.raw_digest) for item in derived.evidence]
    assert len(named) == 4


def _left(home: Path) -> list[str]:
    return sorted(path.name[:13] for path in home.glob("derived/*/*.p*"))


def test_erased_evidence(trial: RecordedTrial, tmp_path: Path) -> None:
    """What was derived of a segment goes with it, also where nothing is made anew."""
    record(trial, 5)
    files = opened(trial, tmp_path)
    files.current(TRIAL)
    trial.segments.erase(TRIAL, 5)
    (tmp_path / "derived" / TRIAL / ".1-ab.partial").write_bytes(b"cut off")
    assert ranges(files.current(TRIAL)) == [(1, 4)]
    assert _left(tmp_path) == ["000001-000004"]
    for number in range(1, 5):
        trial.segments.erase(TRIAL, number)
    assert ranges(files.current(TRIAL)) == []
    assert _left(tmp_path) == []


def test_files_that_others_make(trial: RecordedTrial, tmp_path: Path) -> None:
    """While another process makes files, nothing of them is removed or waited for."""
    record(trial, 1)
    files = opened(trial, tmp_path)
    files.current(TRIAL)
    folder = tmp_path / "derived" / TRIAL
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "000002-000002-00000000.parquet").write_bytes(b"newer")
        assert ranges(files.current(TRIAL)) == [(1, 1)]
        assert _left(tmp_path) == ["000001-000001", "000002-000002"]


def _alive(kind: type) -> int:
    gc.collect()
    return sum(type(item) is kind for item in gc.get_objects())


def test_memory(trial: RecordedTrial, tmp_path: Path) -> None:
    """What was read of files and segments that are gone is not kept in memory."""
    before = _alive(DerivedFile), _alive(EvidenceSegment)
    files = opened(trial, tmp_path)
    for _ in range(16):
        record(trial, 1)
        files.current(TRIAL)
    for number in range(1, 13):
        trial.segments.erase(TRIAL, number)
    for _ in range(2):
        files.current(TRIAL)
    assert _alive(DerivedFile) - before[0] == 1
    assert _alive(EvidenceSegment) - before[1] == 4


def test_no_room(trial: RecordedTrial, tmp_path: Path) -> None:
    """Where derived files cannot be kept, that is said; it may pass by itself."""
    record(trial, 1)
    (tmp_path / "derived").write_text("in the way")
    with pytest.raises(RecorderError, match="cannot be kept") as caught:
        opened(trial, tmp_path).current(TRIAL)
    assert caught.value.retryable


def _on_disk(home: Path) -> DerivedFiles:
    segments = LocalSegments(
        home / "evidence",
        admin_port=1,
        token_file=home / "none",
        derived=home / "derived",
    )
    return DerivedFiles(
        segments, lambda _: one_rule(), root=home / "derived", keys=KEYS
    )


def _derive_there(home: Path, start: object, done: object) -> None:
    start.wait(60)  # type: ignore[attr-defined]
    done.put(ranges(_on_disk(home).current(TRIAL)))  # type: ignore[attr-defined]


def test_two_processes(trial: RecordedTrial, tmp_path: Path) -> None:
    """Processes that derive at the same time find the same whole files."""
    record(trial, 6)
    folder = tmp_path / "evidence" / TRIAL
    folder.mkdir(parents=True)
    for number in range(1, 7):
        compressed, envelope = trial.segments.read_sealed(TRIAL, number)
        (folder / file_name(number, "zst")).write_bytes(compressed)
        (folder / file_name(number, "dsse.json")).write_bytes(envelope)
    spawn = multiprocessing.get_context("spawn")
    start, done = spawn.Event(), spawn.Queue()
    others = [
        spawn.Process(target=_derive_there, args=(tmp_path, start, done))
        for _ in range(3)
    ]
    for process in others:
        process.start()
    start.set()
    found = [done.get(timeout=120) for _ in others]
    for process in others:
        process.join(60)
    assert found == [[(1, 4), (5, 5), (6, 6)]] * 3
    left = list((tmp_path / "derived" / TRIAL).glob("*.parquet"))
    assert len(left) == 3
    assert _on_disk(tmp_path).current(TRIAL).unsealed == 0


def test_only_requests_of_spans(trial: RecordedTrial, tmp_path: Path) -> None:
    """A segment without spans has a file like any other."""
    trial.send(ExportTraceServiceRequest())
    trial.seal()
    (file,) = opened(trial, tmp_path).current(TRIAL).files
    assert file.origin.spans == 0
