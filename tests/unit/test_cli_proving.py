"""`sandbox evidence tiles`, `disclose` and `disclosed`, on an installation's files."""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from typer.testing import CliRunner, Result

from sandbox.errors import EvidenceError
from sandbox.evidence.note import open_checkpoint
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.log import LogEntry
from sandbox.model.record import digest_of
from sandbox.recorder import encode_frame
from sandbox.settings import Settings
from workflows.cli.evidence import application
from workflows.worker import open_ledger

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRIAL = "ride-1"


def frame(sequence: int) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name=f"s{sequence}")
    return encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="hotrod",
        sequence=sequence,
        received_at=AT,
    )


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    """Make an installation with one sealed and logged segment of three frames."""
    home = tmp_path / "home"
    settings = Settings(home=home)
    ledger, _ = open_ledger(settings)
    raw = b"".join(frame(number) for number in (1, 2, 3))
    folder = settings.evidence_dir / TRIAL
    folder.mkdir(parents=True)
    (folder / "000001.closed").write_bytes(raw)
    sealed = seal_segment(
        raw,
        trial_id=TRIAL,
        number=1,
        rulebook_digest=digest_of(b"rulebook"),
        signer=ledger.signer,
    )
    ledger.segments.put_sealed(
        TRIAL, 1, compressed=sealed.compressed, envelope=sealed.envelope
    )
    plan = {"kind": "plan", "entry_id": "plan", "trial_id": TRIAL, "recorded_at": AT}
    ledger.log.append(LogEntry.model_validate(plan))
    ledger.log.append(segment_entry(sealed, recorded_at=AT))
    (tmp_path / "log.pub").write_text(ledger.signer.public_key.hex())
    return home


def call(*arguments: object) -> Result:
    """Run `sandbox evidence …` in this process."""
    return CliRunner().invoke(application(), [str(item) for item in arguments])


def test_a_request_is_disclosed_and_checked(home: Path, tmp_path: Path) -> None:
    """The file verifies with the log's key, and with no other."""
    file, key = tmp_path / "out" / "one.json", tmp_path / "log.pub"
    wanted = ("--segment", 1, "--frame", 2)
    assert call("disclose", TRIAL, file, *wanted, "--home", home).exit_code == 0
    ended = call("disclosed", file, "--key", key)
    assert ended.exit_code == 0
    assert "frame 2 of 3" in ended.stdout
    assert "VERIFIED" in ended.stdout
    file.write_bytes(file.read_bytes().replace(b'"index":1', b'"index":2'))
    ended = call("disclosed", file, "--key", key)
    assert ended.exit_code == 1
    assert "NOT VERIFIED" in ended.stdout


@pytest.mark.parametrize(
    ("segment", "number", "said"),
    [(2, 1, "no sealed segment 2"), (1, 9, "from 1 to 3")],
)
def test_what_is_not_there_is_said(
    home: Path, tmp_path: Path, segment: int, number: int, said: str
) -> None:
    """A segment or a request that does not exist is named; no file appears."""
    wanted = ("--segment", segment, "--frame", number, "--home", home)
    ended = call("disclose", TRIAL, tmp_path / "one.json", *wanted)
    assert isinstance(ended.exception, EvidenceError)
    assert said in ended.exception.diagnosis
    assert not (tmp_path / "one.json").exists()


def test_the_log_is_written_as_tiles(home: Path, tmp_path: Path) -> None:
    """Two entries, their hashes, and a checkpoint over them."""
    folder = tmp_path / "tiles"
    assert call("tiles", folder, "--home", home).exit_code == 0
    data = (folder / "tile/entries/000.p/2").read_bytes()
    leaves = []
    while data:
        length = int.from_bytes(data[:2], "big")
        leaves.append(data[2 : 2 + length])
        data = data[2 + length :]
    hashes = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    assert (folder / "tile/0/000.p/2").read_bytes() == b"".join(hashes)
    note = (folder / "checkpoint").read_bytes()
    key = bytes.fromhex((tmp_path / "log.pub").read_text())
    said = open_checkpoint(note, {note.decode().split("\n")[0]: key})
    root = hashlib.sha256(b"\1" + b"".join(hashes)).digest()
    assert (said.size, said.root) == (2, root)


def test_tiles_without_entries_hold_hashes_only(home: Path, tmp_path: Path) -> None:
    """What may not be shown stays; the checkpoint is the same."""
    folder = tmp_path / "tiles"
    assert call("tiles", folder, "--without-entries", "--home", home).exit_code == 0
    names = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert names == {"checkpoint", "tile/0/000.p/2"}


def test_the_stored_log_is_checked(home: Path) -> None:
    """All is well at first; a changed entry is named, and the command ends in 1."""
    ended = call("log", "--check", "--home", home)
    assert (ended.exit_code, "as it was written" in ended.stdout) == (0, True)
    with sqlite3.connect(home / "records.sqlite3") as file:
        file.execute("DROP TRIGGER log_entries_no_update")
        file.execute("UPDATE log_entries SET leaf = '{}' WHERE \"index\" = 1")
    file.close()
    ended = call("log", "--check", "--home", home)
    assert (ended.exit_code, "entry 1 of the log" in ended.stdout) == (1, True)
