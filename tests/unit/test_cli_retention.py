"""`sandbox evidence retention`, `expire`, `hold`, `release`, on files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sandbox.errors import EvidenceError, ProcedureError
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.verify import verify_bundle
from sandbox.model.log import LogEntry
from sandbox.recorder import file_name
from sandbox.settings import Settings
from sandbox.testing.custody import LAW, PERIOD, custody_of, ended_trial, regime
from sandbox.testing.trial import RecordedTrial
from workflows.activities.keeping import Bundles, Ledger
from workflows.cli.evidence import application
from workflows.worker import open_ledger

TRIAL = "ride-1"


def installation(home: Path, length: str) -> Ledger:
    """Make an installation with a closed trial whose period has this length."""
    settings = Settings(home=home)
    ledger, _ = open_ledger(settings)

    def receive(trial_id: str, raw: bytes) -> None:
        folder = settings.evidence_dir / trial_id
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.dsse.json"))) + 1
        with (folder / file_name(number, "closed")).open("ab") as file:
            file.write(raw)

    trial = RecordedTrial(
        log=ledger.log,
        segments=ledger.segments,
        signer=ledger.signer,
        receive=receive,
    )
    ended_trial(trial)
    custody_of(
        trial, records=ledger.records, under=regime({**PERIOD, "length": length})
    )
    bundle = home / "bundles" / TRIAL
    write_bundle(bundle, trial_id=TRIAL, source=trial.source())
    return ledger


@pytest.fixture(name="home")
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose evidence is due: recorded long ago, kept for a second."""
    ledger = installation(tmp_path / "home", "PT1S")

    def write(bundles: Bundles, _: Ledger, trial_id: str) -> str:
        # The rulebook of a temporary rule is more than these tests need.
        target = bundles.directory / trial_id
        trial = RecordedTrial(
            log=ledger.log, segments=ledger.segments, signer=ledger.signer
        )
        write_bundle(target, trial_id=trial_id, source=trial.source())
        return str(target)

    monkeypatch.setattr(Bundles, "write", write)
    return tmp_path / "home"


def call(*arguments: object) -> Result:
    """Run `sandbox evidence …` in this process."""
    return CliRunner().invoke(application(), [str(item) for item in arguments])


def keeping(home: Path) -> list[dict[str, str]]:
    """Return what `retention` says."""
    ended = call("retention", TRIAL, "--home", home, "-o", "json")
    assert ended.exit_code == 0
    return list(json.loads(ended.stdout))


def test_what_is_kept_until_when_and_why_is_shown(tmp_path: Path) -> None:
    """One row each segment, with the end of its period and the law."""
    installation(tmp_path, "P90Y")
    (first, second) = keeping(tmp_path)
    assert (first["segment"], first["state"]) == ("ride-1/1", "kept")
    assert second["until"] == "2116-01-01T00:00:02+00:00"
    assert first["why"] == f"P90Y from recorded: {LAW}"


def test_a_dry_run_erases_nothing(home: Path) -> None:
    """It says what would go; log and files stay as they are."""
    before = {item: item.read_bytes() for item in (home / "evidence").rglob("*.zst")}
    ended = call("expire", "--dry-run", "--home", home)
    assert ended.exit_code == 0
    assert "would erase segment 1 of ride-1" in ended.stderr
    assert [item["state"] for item in keeping(home)] == ["due", "due"]
    assert {item: item.read_bytes() for item in before} == before


def test_expiry_leaves_no_copy_of_the_bytes_in_this_installation(home: Path) -> None:
    """Segments, derived files and the bundle; the new bundle verifies."""
    (home / "derived" / TRIAL).mkdir(parents=True)
    ended = call("expire", "--by", "Aiko Mori", "--home", home)
    assert ended.exit_code == 0, ended
    assert "erased segment 2 of ride-1" in ended.stderr
    left = [item.name for item in home.rglob("*") if item.suffix in (".zst", ".gz")]
    assert left == []
    assert not (home / "derived" / TRIAL).exists()
    result = verify_bundle(home / "bundles" / TRIAL)
    assert result.ok
    assert "by Aiko Mori because of" in result.steps[-2].detail


def test_a_bundle_not_yet_renewed_is_renewed_by_the_next_run(home: Path) -> None:
    """An interruption between erasing and renewing leaves nothing for good."""
    old = home / "bundles" / TRIAL / "segments" / "000001.gz"
    packed = old.read_bytes()
    assert call("expire", "--by", "A", "--home", home).exit_code == 0
    old.write_bytes(packed)
    assert call("expire", "--by", "A", "--home", home).exit_code == 0
    assert not old.exists()


def test_who_erases_is_named(home: Path) -> None:
    """Without a name nothing is erased."""
    assert call("expire", "--home", home).exit_code == 2
    assert [item["state"] for item in keeping(home)] == ["due", "due"]


def test_a_hold_is_placed_and_released_by_command(home: Path) -> None:
    """While it is in force expiry erases nothing; a second release is refused."""
    acts = ("--by", "Aiko Mori", "--for", "court", "--home", home)
    assert call("hold", TRIAL, "--reason", "Case 12.", *acts).exit_code == 0
    ended = call("expire", "--by", "A", "--home", home)
    assert ended.exit_code == 0
    assert "keeping 2 segments of ride-1: hold 1 by Aiko Mori" in ended.stderr
    (first, _) = keeping(home)
    assert (first["state"], first["why"]) == ("held", "hold 1 by Aiko Mori: Case 12.")
    assert call("release", TRIAL, "--reason", "Settled.", *acts).exit_code == 0
    log = open_ledger(Settings(home=home))[0].log
    by = [i.entry.body["by"] for i in log.entries(TRIAL) if i.entry.kind == "hold"]
    roles = [(item["role"], item["represents"]) for item in by]
    assert roles == [("platform-operator", "court")] * 2
    again = call("release", TRIAL, "--reason", "Settled.", *acts)
    assert isinstance(again.exception, ProcedureError)
    assert call("expire", "--by", "A", "--home", home).exit_code == 0
    assert [item["state"] for item in keeping(home)] == ["erased", "erased"]


def test_a_request_of_an_erased_segment_cannot_be_disclosed(
    home: Path, tmp_path: Path
) -> None:
    """The diagnosis says when, by whom and why it was erased."""
    call("expire", "--by", "Aiko Mori", "--home", home)
    wanted = ("--segment", 1, "--frame", 1, "--home", home)
    ended = call("disclose", TRIAL, tmp_path / "one.json", *wanted)
    assert isinstance(ended.exception, EvidenceError)
    said = ended.exception.diagnosis
    assert "segment 1 of trial ride-1 was erased on" in said
    assert f"by Aiko Mori because of PT1S from recorded: {LAW}" in said


def test_a_trial_that_is_not_there_is_named(home: Path) -> None:
    """A slip of the pen is not taken for a trial without evidence."""
    for command in (("retention",), ("expire", "--by", "A")):
        ended = call(command[0], "ride-9", *command[1:], "--home", home)
        assert isinstance(ended.exception, EvidenceError)
        assert "'ride-9'" in ended.exception.diagnosis


def test_one_trial_s_trouble_does_not_keep_another_s_data(home: Path) -> None:
    """It is said, the command fails, and the others are erased all the same."""
    ledger, _ = open_ledger(Settings(home=home))
    first = ledger.log.entries(TRIAL)[2].entry
    moved = {"entry_id": "ride-0/segment/1", "trial_id": "ride-0"}
    ledger.log.append(first.model_copy(update=moved))
    bad = regime({**PERIOD, "length": "P1Y"}, time_zone="Nowhere/Land")
    ledger.records.put_document("ride-0", "regime", bad)
    closed = {"kind": "transition", "recorded_at": first.recorded_at, **moved}
    closed |= {"entry_id": "ride-0/2", "body": {"after": "closed"}}
    ledger.log.append(LogEntry.model_validate(closed))
    ended = call("expire", "--by", "A", "--home", home)
    assert ended.exit_code == 1
    assert "ride-0: there is no time zone" in ended.stderr
    assert [item["state"] for item in keeping(home)] == ["erased", "erased"]
