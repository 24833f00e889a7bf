"""`sandbox evidence`: keys, witnesses and timestamps, on an installation's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sandbox.errors import EvidenceError
from sandbox.evidence.bundle import write_bundle
from sandbox.settings import Settings
from sandbox.testing.authority import ThrowawayAuthority, serving
from sandbox.testing.trial import RecordedTrial
from workflows.cli.evidence import application
from workflows.worker import open_ledger


def call(*arguments: object) -> Result:
    """Run `sandbox evidence …` in this process."""
    return CliRunner().invoke(application(), [str(item) for item in arguments])


def said(result: Result) -> str:
    """Return the diagnosis a command ended with."""
    assert isinstance(result.exception, EvidenceError)
    return result.exception.diagnosis


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    """An installation whose log has one entry of one trial."""
    home = tmp_path / "home"
    ledger, _ = open_ledger(Settings(home=home))
    trial = RecordedTrial(log=ledger.log, signer=ledger.signer)
    trial.move("submitted", "approved", 1)
    return home


def write(home: Path, bundle: Path) -> Path:
    """Write the trial's bundle as it stands."""
    ledger, _ = open_ledger(Settings(home=home))
    trial = RecordedTrial(log=ledger.log, signer=ledger.signer)
    write_bundle(bundle, trial_id=trial.trial_id, source=trial.source())
    return bundle


def test_a_key_is_rotated_and_listed(home: Path, tmp_path: Path) -> None:
    """The old one is kept aside or destroyed; `key` prints the new one."""
    old = call("key", "--home", home).stdout.strip()
    new = call("rotate-key", "--home", home).stdout.strip()
    assert call("key", "--home", home).stdout.strip() == new != old
    rows = json.loads(call("keys", "--home", home, "-o", "json").stdout)
    assert [(row["number"], row["since"]) for row in rows] == [(1, 0), (2, 2)]
    assert [row["public_key"] for row in rows] == [old, new]
    assert (home / "keys" / "log.key.1").exists()
    assert call("rotate-key", "--destroy-old", "--home", home).exit_code == 0
    assert not (home / "keys" / "log.key.2").exists()
    bundle = write(home, tmp_path / "bundle")
    key = tmp_path / "old.pub"
    key.write_text(old)
    ended = call("verify", bundle, "--key", key)
    assert ended.exit_code == 0, ended.stdout
    assert "changed at entry 2, 3" in ended.stdout


def test_a_witness_hands_back_what_it_signed(home: Path, tmp_path: Path) -> None:
    """Through a change of key; every later bundle says what it saw."""
    bundle, state, key = (tmp_path / name for name in ("bundle", "anna", "log.pub"))
    key.write_text(call("key", "--home", home).stdout)
    mine = ("--state", state, "--name", "anna.example")
    line = call("witness-key", *mine).stdout.strip()
    for first in (["--first"], []):
        write(home, bundle)
        signed = call("witness", bundle, "--key", key, *mine, *first)
        assert signed.exit_code == 0, signed.exception
        note = tmp_path / "note"
        note.write_bytes(signed.stdout_bytes)
        kept = call("cosignature", "add", note, "--witness", line, "--home", home)
        assert kept.exit_code == 0, kept.exception
        call("rotate-key", "--home", home)
    write(home, bundle)
    told = call("verify", bundle, "--witness", line, "--require-witness", 1)
    assert told.exit_code == 0, told.stdout
    assert "anna.example saw 3 entries" in told.stdout
    silent = call("verify", bundle)
    assert "no witness you trust has seen this log (2 cosigned" in silent.stdout


def test_a_witness_that_lost_its_state_says_so(home: Path, tmp_path: Path) -> None:
    """It does not begin anew by itself, and does not forget what it has."""
    state, key = tmp_path / "anna", tmp_path / "log.pub"
    key.write_text(call("key", "--home", home).stdout)
    bundle = write(home, tmp_path / "bundle")
    asked = ("witness", bundle, "--key", key, "--state", state)
    assert "restore that note" in said(call(*asked))
    assert call(*asked, "--first").exit_code == 0
    assert "leave out --first" in said(call(*asked, "--first"))
    (state / "last.note").unlink()
    assert "only if you never did, say --first" in said(call(*asked))


def test_a_checkpoint_is_stamped(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the authority that is set; without one, or an answer, it is said."""
    assert "SANDBOX_TSA_URL" in said(call("timestamp", "--home", home))
    monkeypatch.setenv("SANDBOX_TSA_URL", "http://127.0.0.1:9/")
    assert "did not answer" in said(call("timestamp", "--home", home))
    with serving(ThrowawayAuthority()) as url:
        monkeypatch.setenv("SANDBOX_TSA_URL", url)
        assert call("timestamp", "--home", home).exit_code == 0
    told = call("verify", write(home, tmp_path / "bundle"), "-o", "json")
    steps = json.loads(told.stdout)["steps"]
    (found,) = [item for item in steps if item["step"].startswith("Timestamps")]
    assert "they say: 2 entries existed at 2026-01-01" in found["detail"]
