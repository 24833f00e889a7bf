"""The log's key in a file: one at a time, and a change that may be interrupted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.adapters.log_key import KeyFile, Rotation, open_log_key, rotate_log_key
from sandbox.errors import EvidenceError
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.log import key_history, sign_checkpoint
from sandbox.evidence.verify import verify_bundle
from sandbox.ports import Log
from sandbox.testing.records import FakeLog
from sandbox.testing.segments import FakeSegments
from sandbox.testing.trial import RecordedTrial

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "log.example/trials"

HOLDER = """
import sys
from pathlib import Path
from sandbox.adapters.log_key import KeyFile, open_log_key
from sandbox.testing.records import FakeLog

signer = open_log_key(KeyFile(Path(sys.argv[1]), sys.argv[2]), FakeLog())
print(signer.public_key.hex(), flush=True)
sys.stdin.read()
"""


class CrashError(Exception):
    """The process ends here."""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys" / "log.key", NAME)


@pytest.fixture(name="log")
def _log() -> FakeLog:
    return FakeLog()


def rotate(file: KeyFile, log: Log, **more: Any) -> Rotation:
    return rotate_log_key(file, log=log, segments=FakeSegments(), at=AT, **more)


def sign(file: KeyFile, log: Log) -> bytes:
    """Sign a checkpoint as any process would, and return the key it was signed by."""
    signer = open_log_key(file, log)
    sign_checkpoint(log, signer)
    return signer.public_key


def files(file: KeyFile) -> dict[str, int]:
    return {
        item.name: item.stat().st_mode & 0o777 for item in file.path.parent.iterdir()
    }


def test_a_new_key_takes_the_place_of_the_old(file: KeyFile, log: FakeLog) -> None:
    """The old private key is kept aside, readable by its owner alone."""
    first = sign(file, log)
    done = rotate(file, log)
    assert sign(file, log) == done.public_key != first
    assert (done.since, done.kept) == (0, file.path.with_name("log.key.1"))
    assert files(file) == dict.fromkeys(("log.key", "log.key.1", "log.key.lock"), 0o600)
    again = rotate(file, log)
    assert (again.since, again.kept) == (1, file.path.with_name("log.key.2"))
    history = key_history(log, open_log_key(file, log))
    assert [key.public_key for key in history.keys] == [
        first,
        done.public_key,
        again.public_key,
    ]


def test_the_old_key_is_destroyed_where_asked(file: KeyFile, log: FakeLog) -> None:
    """Nothing of it stays in the folder."""
    sign(file, log)
    assert rotate(file, log, destroy=True).kept is None
    assert set(files(file)) == {"log.key", "log.key.lock"}


def test_a_key_in_use_is_not_changed(file: KeyFile, log: FakeLog) -> None:
    """By this process or another; once it is let go, it is."""
    signer = open_log_key(file, log)
    with pytest.raises(EvidenceError, match="in use by another process"):
        rotate(file, log)
    del signer
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file.path), NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert len(holder.stdout.readline()) == 65
    with pytest.raises(EvidenceError, match="stop the workers"):
        rotate(file, log)
    holder.communicate()
    assert rotate(file, log).since == 0
    assert log.entries()[0].entry.kind == "key"


STEPS = [
    "KeyFile.next_holder",
    "change_key",
    "_keep",
    "os.replace",
    "sync_folder",
    "_destroy",
    "sign_checkpoint",
]


def crashing(real: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    def step(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        raise CrashError

    return step


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_change_may_be_interrupted_anywhere(
    file: KeyFile, step: str, after: bool, tmp_path: Path
) -> None:
    """Before or after any step: the next to sign uses the key the log names."""
    trial = RecordedTrial(signer=open_log_key(file, FakeLog()))
    trial.move("submitted", "approved", 1)
    trial.record("a")
    trial.seal()
    del trial.signer
    with pytest.MonkeyPatch.context() as patch:
        place = f"sandbox.adapters.log_key.{step}"
        real = KeyFile.next_holder
        if step != "KeyFile.next_holder":
            real = attribute(place)
        patch.setattr(place, crashing(real, after=after))
        with pytest.raises(CrashError):
            rotate(file, trial.log, destroy=step == "_destroy")
    trial.signer = open_log_key(file, trial.log)
    history = key_history(trial.log, trial.signer)
    assert trial.signer.public_key == history.latest
    trial.record("b")
    trial.seal()
    write_bundle(tmp_path / "b", trial_id=trial.trial_id, source=trial.source())
    result = verify_bundle(tmp_path / "b", key=history.keys[0].public_key)
    assert result.ok, result.steps[-1]
    del trial.signer
    count = len(history.keys)
    rotate(file, trial.log)
    assert len(key_history(trial.log, open_log_key(file, trial.log)).keys) == count + 1
    assert not file.next_path.exists()


def attribute(place: str) -> Callable[..., Any]:
    module, _, name = place.rpartition(".")
    found = sys.modules.get(module) or sys.modules["os"]
    return getattr(found, name)


def test_a_file_with_another_key_is_not_used(file: KeyFile, log: FakeLog) -> None:
    """The log says which one is in force; the error names both."""
    sign(file, log)
    rotate(file, log)
    file.path.with_name("log.key.1").replace(file.path)
    with pytest.raises(EvidenceError, match="restore the right one"):
        open_log_key(file, log)
    with pytest.raises(EvidenceError, match="restore the right one"):
        rotate(file, log)


def test_a_place_that_is_taken_is_said(file: KeyFile, log: FakeLog) -> None:
    """Something else under the old key's name stays, and the change can go on."""
    sign(file, log)
    taken = file.path.with_name("log.key.1")
    taken.write_bytes(b"something else")
    with pytest.raises(EvidenceError, match="free the place"):
        rotate(file, log)
    assert taken.read_bytes() == b"something else"
    taken.unlink()
    assert sign(file, log) == key_history(log, open_log_key(file, log)).latest
