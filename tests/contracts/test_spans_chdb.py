"""The process chDB runs in."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_chdb_process import ChdbProcess
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.errors import EvidenceError
from sandbox.model.trace import SpanQuestion
from sandbox.testing.rules import one_rule
from sandbox.testing.segments import FakeSegments
from sandbox.testing.trial import RecordedTrial


@pytest.fixture(name="process")
def _process() -> Iterator[ChdbProcess]:
    with ChdbProcess(memory_mib=256, threads=1, time_limit_s=20) as process:
        yield process


def test_words_of_the_engine(process: ChdbProcess) -> None:
    """What the engine refuses is an error in its words, and the next is answered."""
    with pytest.raises(EvidenceError, match="UNKNOWN_FUNCTION"):
        process.run("SELECT no_such_function(1)")
    with pytest.raises(EvidenceError, match="SANDBOX_QUERY_MEMORY_MIB"):
        process.run("SELECT groupArray(number) FROM numbers(1000000000)")
    assert process.run("SELECT 1", "TSV") == b"1\n"


def test_a_process_that_dies(process: ChdbProcess) -> None:
    """A process that is killed is an error that says how it ended."""
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EvidenceError, match="chDB ended with status -9"):
        process.run("SELECT 1")
    assert not process.is_running


def test_it_ends_with_its_owner() -> None:
    """Closed, the process is gone with what it kept; closing again does nothing."""
    process = ChdbProcess(memory_mib=256, threads=1, time_limit_s=20)
    pid, folder = process.pid, process.folder
    process.close()
    process.close()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_several_threads(process: ChdbProcess) -> None:
    """Threads that ask at once each have their own answer."""
    found: dict[int, bytes] = {}

    def ask(number: int) -> None:
        found[number] = process.run(f"SELECT {number}", "TSV")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{number}\n".encode() for number in range(20)}


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EvidenceError, match="install the extra `analytics`"):
        ChdbProcess(memory_mib=256, threads=1, time_limit_s=20)


class _Vanishing(DerivedFiles):
    """Derived files that another process replaces as soon as they were named."""

    def current(self, trial_id: str) -> Derived:
        derived = super().current(trial_id)
        for file in derived.files:
            file.path.unlink()
        return derived


def test_files_that_are_replaced_again_and_again(tmp_path: Path) -> None:
    """Nothing is answered of files that were not there to the end."""
    segments = FakeSegments()
    trial = RecordedTrial("ride-1", segments=segments, receive=segments.receive)
    trial.record("a")
    trial.seal()
    keys = [trial.signer.public_key]
    files = _Vanishing(segments, lambda _: one_rule(), root=tmp_path, keys=keys)
    spans = ChdbSpans(files, memory_mib=256, threads=1)
    with pytest.raises(EvidenceError, match="ask again") as caught:
        spans.search("ride-1", SpanQuestion())
    assert caught.value.retryable
    spans.close()
