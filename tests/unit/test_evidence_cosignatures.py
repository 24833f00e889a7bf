"""Cosignatures in a bundle: who saw the log, said only of witnesses one trusts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import main
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.cosignatures import Witnesses
from sandbox.evidence.log import keep_cosigned, sign_checkpoint
from sandbox.evidence.steps import Step
from sandbox.evidence.verify import Trust, verify_bundle
from sandbox.evidence.vkey import COSIGNATURE, NoteKey
from sandbox.evidence.witness import cosign
from sandbox.testing.records import FakeLog
from sandbox.testing.signer import ThrowawaySigner
from sandbox.testing.trial import RecordedTrial

AT = datetime(2026, 2, 1, 8, tzinfo=UTC)
ANNA = ThrowawaySigner("anna.example", seed="anna")
BERT = ThrowawaySigner("bert.example", seed="bert")


def line(signer: ThrowawaySigner) -> str:
    return NoteKey(signer.name, signer.public_key, COSIGNATURE).vkey()


def seen_by(trial: RecordedTrial, *witnesses: ThrowawaySigner) -> bytes:
    note = sign_checkpoint(trial.log, trial.signer).note.encode()
    for witness in witnesses:
        note = cosign(note, witness, at=AT)
    return note


@pytest.fixture(name="trial")
def _trial() -> RecordedTrial:
    """A trial of which Anna saw every entry and Bert all but the last."""
    trial = RecordedTrial()
    trial.move("submitted", "approved", 1)
    keep_cosigned(trial.log, trial.signer, seen_by(trial, BERT))
    trial.move("approved", "running", 2)
    keep_cosigned(trial.log, trial.signer, seen_by(trial, ANNA))
    return trial


@pytest.fixture(name="bundle")
def _bundle(trial: RecordedTrial, tmp_path: Path) -> Path:
    write_bundle(tmp_path / "b", trial_id=trial.trial_id, source=trial.source())
    return tmp_path / "b"


def step(bundle: Path, *trusted: ThrowawaySigner, needed: int = 0) -> Step:
    """Return what the step about witnesses says."""
    witnesses = Witnesses(tuple(line(item) for item in trusted), needed)
    result = verify_bundle(bundle, trust=Trust(witnesses))
    (found,) = [item for item in result.steps if item.step.startswith("Cosignatures")]
    assert result.ok == found.ok
    return found


def test_who_saw_what_is_said(bundle: Path) -> None:
    """Name, size and time, and whether that is every entry of the bundle."""
    assert step(bundle, ANNA).detail == (
        "anna.example saw 3 entries at 2026-02-01T08:00:00+00:00"
    )
    assert step(bundle, BERT).detail.endswith("not yet all 3 of this bundle")


def test_nobody_one_trusts_is_said_and_does_not_fail(bundle: Path) -> None:
    """Without witnesses, or with others, the statement is the same."""
    for trusted in ((), (ThrowawaySigner("carl.example", seed="carl"),)):
        found = step(bundle, *trusted)
        assert found.ok
        assert found.detail.startswith("no witness you trust has seen this log (2 ")


def test_witnesses_that_are_asked_for_must_have_seen_every_entry(bundle: Path) -> None:
    """One did; the other does not count for a second."""
    assert step(bundle, ANNA, BERT, needed=1).ok
    assert "1 of the witnesses" in step(bundle, ANNA, BERT, needed=2).detail
    assert not step(bundle, BERT, needed=1).ok


def test_one_witness_is_counted_once(bundle: Path) -> None:
    """Neither twice, nor under two names, nor as the log itself."""
    twin = ThrowawaySigner("twin.example", seed="anna")
    assert "named twice" in step(bundle, ANNA, ANNA).detail
    assert "named twice" in step(bundle, ANNA, twin).detail
    namesake = ThrowawaySigner("anna.example", seed="other")
    assert "same name" in step(bundle, ANNA, namesake).detail
    own = ThrowawaySigner("log.example/trials")
    assert "log's own key" in step(bundle, own).detail


def test_a_line_of_a_trusted_witness_that_does_not_verify_fails(
    trial: RecordedTrial, tmp_path: Path
) -> None:
    """An operator who keeps a forged line does not get it past its owner's key."""
    note = seen_by(trial)
    forged = ThrowawaySigner("anna.example", seed="anna")
    text = cosign(note, forged, at=AT).decode().replace("2\n", "2\n", 1)
    real = text.splitlines()[-1]
    other = cosign(note, forged, at=datetime(2027, 1, 1, tzinfo=UTC)).decode()
    mixed = real[:40] + other.splitlines()[-1][40:]
    keep_cosigned(trial.log, trial.signer, f"{note.decode()}{mixed}\n".encode())
    write_bundle(tmp_path / "b", trial_id=trial.trial_id, source=trial.source())
    assert step(tmp_path / "b").ok
    assert not step(tmp_path / "b", ANNA).ok


def test_only_checkpoints_of_this_log_are_kept(trial: RecordedTrial) -> None:
    """Not without a cosignature, of another log, or of another history."""
    own, key = trial.log, trial.signer
    with pytest.raises(EvidenceError, match="no cosignature"):
        keep_cosigned(own, key, seen_by(trial))
    with pytest.raises(EvidenceError, match="none of the witnesses"):
        keep_cosigned(own, key, seen_by(trial, ANNA), witnesses=[line(BERT)])
    other = RecordedTrial(signer=ThrowawaySigner("other.example/log"))
    other.move("submitted", "refused", 1)
    with pytest.raises(EvidenceError, match="trusted"):
        keep_cosigned(own, key, seen_by(other, ANNA))
    fork = RecordedTrial()
    fork.move("submitted", "refused", 1)
    with pytest.raises(EvidenceError, match="does not continue"):
        keep_cosigned(own, key, seen_by(fork, ANNA))
    assert len(own.cosigned()) == 2


def test_the_largest_checkpoint_is_continued_not_the_last(trial: RecordedTrial) -> None:
    """A smaller checkpoint that was kept later hides nothing."""
    log = FakeLog()
    for number, item in enumerate(trial.log.checkpoints()[::-1], start=1):
        log.keep_checkpoint(item)
        assert len(log.checkpoints()) == number
    log.append(trial.log.entries()[0].entry)
    with pytest.raises(EvidenceError, match="its checkpoint of size 3"):
        sign_checkpoint(log, trial.signer)


def test_the_command_takes_witnesses(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 with enough of them, 1 with too few, 2 if a key line is none."""
    asked = ["verify", str(bundle), "--witness", line(ANNA), "--require-witness"]
    assert main([*asked, "1"]) == 0
    assert "anna.example saw 3 entries" in capsys.readouterr().out
    assert main([*asked, "2"]) == 1
    assert main([*asked, "-1"]) == 2
    assert "fewer than no witness" in capsys.readouterr().err
    assert main(["verify", str(bundle), "--witness", "anna"]) == 2
    assert "not a verifier key" in capsys.readouterr().err
