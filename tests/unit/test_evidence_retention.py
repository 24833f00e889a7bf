"""Until when evidence is kept, what is erased, and that a hold beats both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from sandbox.adapters.segments import LocalSegments
from sandbox.environment import apply_environment
from sandbox.errors import EvidenceError, ProcedureError, RecorderError
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.expire import (
    Custody,
    expire,
    record_erasures,
    show_keeping,
    unfinished,
)
from sandbox.evidence.hold import Order, place_hold, release_hold
from sandbox.evidence.verify import verify_bundle
from sandbox.model.erasure import SegmentErasure
from sandbox.model.party import Actor
from sandbox.model.record import digest_of
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.recorder import file_name
from sandbox.settings import Settings
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.custody import (
    AFTER,
    LAW,
    OPERATOR,
    PERIOD,
    custody_of,
    ended_trial,
    regime,
)
from sandbox.testing.environment import environment_spec
from sandbox.testing.records import FakeRecords, FakeTokens
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.activities.keeping import Ledger
from workflows.activities.provision import ProvisionActivities
from workflows.activities.site import Site
from workflows.messages import EnvironmentTask

JUDGE = Actor(name="Aiko Mori", role="authority", represents="court")


def order(reason: str = "Case 12 is pending.", by: Actor = JUDGE) -> Order:
    return Order(by, reason, AFTER)


def states(custody: Custody, trial: str = "ride-1") -> list[str]:
    return [item.state for item in show_keeping(custody, trial)]


def local_trial(home: Path) -> RecordedTrial:
    """Return a trial whose segments are files, without a recorder."""
    settings = Settings(home=home)

    def receive(trial_id: str, raw: bytes) -> None:
        folder = settings.evidence_dir / trial_id
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.dsse.json"))) + 1
        with (folder / file_name(number, "closed")).open("ab") as file:
            file.write(raw)

    segments = LocalSegments.of(settings)
    return ended_trial(RecordedTrial(segments=segments, receive=receive))


def test_a_period_runs_from_the_last_request_of_a_segment() -> None:
    """Civil years on the regime's calendar; a moment before the end it is kept."""
    trial = ended_trial()
    last = STARTED_AT + timedelta(seconds=1)
    end = last.replace(year=2029)
    custody = custody_of(trial, at=end - timedelta(microseconds=1))
    first, second = show_keeping(custody, "ride-1")
    assert (first.state, first.until) == ("kept", end)
    assert second.until == end + timedelta(seconds=1)
    assert first.why == f"P3Y from recorded: {LAW}"
    assert states(custody_of(trial, at=end)) == ["due", "kept"]


def test_a_period_from_the_end_is_one_for_all_segments() -> None:
    """It begins with the transition that ended the trial."""
    trial = ended_trial()
    custody = custody_of(trial, under=regime({**PERIOD, "from": "ended"}))
    ended_at = trial.log.entries()[-2].entry.recorded_at
    untils = {item.until for item in show_keeping(custody, "ride-1")}
    assert untils == {ended_at.replace(year=2029)}


def test_the_last_of_february_is_kept_to_the_last_of_february() -> None:
    """A year after the 29th is the 28th, as for every lawful period."""
    trial = RecordedTrial()
    trial.record("a")
    trial.seal()
    trial.move("closing", "closed", 1)
    custody = custody_of(
        trial,
        under=regime({**PERIOD, "length": "P1M"}, time_zone="Asia/Tokyo"),
        at=datetime(2026, 1, 31, 23, tzinfo=UTC),
    )
    (item,) = show_keeping(custody, "ride-1")
    assert item.until == datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("custody", "why"),
    [
        (custody_of(ended_trial(), under=regime(None)), "kept until someone decides"),
        (custody_of(ended_trial())._replace(records=FakeRecords()), "no regime"),
    ],
    ids=["no period", "no regime"],
)
def test_without_a_period_evidence_is_kept(custody: Custody, why: str) -> None:
    """However old it is; and the reason is said."""
    assert states(custody) == ["kept", "kept"]
    assert why in show_keeping(custody, "ride-1")[0].why
    assert expire(custody, "ride-1", by=OPERATOR) == []


def test_nothing_is_erased_before_the_case_is_over() -> None:
    """Evidence still to be judged is kept, whatever its period."""
    trial = RecordedTrial()
    trial.record("a")
    trial.seal()
    custody = custody_of(trial)
    assert show_keeping(custody, "ride-1")[0].why.endswith("the trial is not over")
    trial.move("running", "closing", 1)
    assert states(custody) == ["kept"]
    trial.move("closing", "closed", 2)
    assert states(custody) == ["due"]


def test_erasing_leaves_the_statement_and_an_entry_that_says_why() -> None:
    """What, by whom, when, until when it was kept, and the law."""
    trial = ended_trial()
    custody = custody_of(trial)
    assert expire(custody, "ride-1", by=OPERATOR) == [1, 2]
    *_, first, second = trial.log.entries()
    body = SegmentErasure.model_validate(first.entry.body)
    assert (first.entry.kind, second.entry.kind) == ("erasure", "erasure")
    assert (body.number, body.by, body.source) == (
        1,
        OPERATOR,
        f"P3Y from recorded: {LAW}",
    )
    assert first.entry.recorded_at == AFTER
    assert body.regime_digest == digest_of(regime(PERIOD))
    assert [item.state for item in trial.segments.files("ride-1")] == ["erased"] * 2
    assert trial.segments.read_envelope("ride-1", 1)
    with pytest.raises(RecorderError):
        trial.segments.read("ride-1", 1)


def test_nothing_is_erased_by_another_regime_than_the_filed_one() -> None:
    """A shorter period, put in afterwards, erases nothing and records nothing."""
    trial = ended_trial()
    trial.add("application", "again", regime_digest=digest_of(regime(PERIOD)))
    shorter = custody_of(trial, under=regime({**PERIOD, "length": "P1D"}))
    before = trial.log.entries()
    with pytest.raises(EvidenceError, match="not the one under which its application"):
        expire(shorter, "ride-1", by=OPERATOR)
    assert trial.log.entries() == before
    assert states(custody_of(trial)) == ["due", "due"]
    assert expire(custody_of(trial), "ride-1", by=OPERATOR) == [1, 2]


def test_expiry_can_be_repeated() -> None:
    """Nothing is erased or recorded twice."""
    trial = ended_trial()
    custody = custody_of(trial)
    expire(custody, "ride-1", by=OPERATOR)
    before = trial.log.entries()
    assert expire(custody, "ride-1", by=JUDGE) == []
    assert trial.log.entries() == before
    assert states(custody) == ["erased", "erased"]


def test_lost_bytes_are_not_shown_as_kept_nor_as_erased() -> None:
    """They are said to be lost, as long as no entry of the log says otherwise."""
    trial = ended_trial()
    trial.segments.erase("ride-1", 1)
    custody = custody_of(trial)
    assert states(custody) == ["lost", "due"]
    assert expire(custody, "ride-1", by=OPERATOR) == [2]
    assert states(custody) == ["lost", "erased"]


def test_what_is_not_sealed_is_shown_and_never_erased() -> None:
    """Its statement would be missing; the reason is said."""
    trial = ended_trial()
    trial.record("d")
    trial.segments.roll("ride-1")
    custody = custody_of(trial)
    (*_, last) = show_keeping(custody, "ride-1")
    assert (last.number, last.state) == (3, "kept")
    assert last.why.startswith("not sealed")
    assert expire(custody, "ride-1", by=OPERATOR) == [1, 2]
    assert trial.segments.read("ride-1", 3)


def test_many_erasures_are_recorded_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that others can append between; all are recorded all the same."""
    monkeypatch.setattr("sandbox.evidence.expire.AT_ONCE", 1)
    trial = ended_trial()
    recorded = record_erasures(custody_of(trial), "ride-1", by=OPERATOR)
    assert [item.entry.body["number"] for item in recorded] == [1, 2]
    assert states(custody_of(trial)) == ["erased", "erased"]


STEPS = ["log", "derived", ".zst", "folder"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_is_mended_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before the entry, between entry and files, between files: the end is the same."""
    trial = local_trial(tmp_path / "home")
    custody = custody_of(trial)
    (tmp_path / "home" / "derived" / "ride-1").mkdir(parents=True)
    with monkeypatch.context() as broken:
        _break(broken, step)
        with pytest.raises(_Crash):
            expire(custody, "ride-1", by=OPERATOR)
    files = trial.segments.files("ride-1")
    erased = {
        item.number
        for item in show_keeping(custody, "ride-1")
        if item.state == "erased"
    }
    assert {item.number for item in files if item.state == "erased"} <= erased
    expire(custody, "ride-1", by=JUDGE)
    assert [item.state for item in trial.segments.files("ride-1")] == ["erased"] * 2
    assert sum(item.entry.kind == "erasure" for item in trial.log.entries()) == 2
    names = sorted(item.name for item in (tmp_path / "home/evidence/ride-1").iterdir())
    assert names == ["000001.dsse.json", "000002.dsse.json"]
    assert not (tmp_path / "home" / "derived" / "ride-1").exists()
    write_bundle(tmp_path / "b", trial_id="ride-1", source=trial.source())
    assert verify_bundle(tmp_path / "b").ok


class _Crash(BaseException):
    """The process ends here."""


def _break(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def crash(*_: object, **__: object) -> None:
        raise _Crash

    unlink = Path.unlink

    def crash_at(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == step and not path.name.startswith("."):
            raise _Crash
        unlink(path, missing_ok=missing_ok)

    if step == "log":
        monkeypatch.setattr("sandbox.testing.records.FakeLog.append_if", crash)
    elif step == "derived":
        monkeypatch.setattr("sandbox.adapters.segments.shutil.rmtree", crash)
    elif step == "folder":
        monkeypatch.setattr("sandbox.adapters.segments.sync_folder", crash)
    else:
        monkeypatch.setattr(Path, "unlink", crash_at)


def test_a_hold_beats_expiry_until_it_is_released() -> None:
    """Several are released one by one; then the law's period counts again."""
    trial = ended_trial()
    custody = custody_of(trial)
    place_hold(trial.log, "ride-1", order())
    place_hold(trial.log, "ride-1", order("An audit.", OPERATOR))
    assert expire(custody, "ride-1", by=OPERATOR) == []
    (first, _) = show_keeping(custody, "ride-1")
    assert first.state == "held"
    assert "hold 1 by Aiko Mori: Case 12 is pending." in first.why
    release_hold(trial.log, "ride-1", order("Settled."), number=1)
    assert states(custody) == ["held", "held"]
    release_hold(trial.log, "ride-1", order("Audited."))
    assert expire(custody, "ride-1", by=OPERATOR) == [1, 2]


def test_a_hold_after_the_entry_of_an_erasure_comes_too_late() -> None:
    """The log's order decides: what was begun before the hold is finished."""
    segments = _Broken()
    trial = RecordedTrial(segments=segments, receive=segments.receive)
    custody = custody_of(ended_trial(trial))
    with pytest.raises(_Crash):
        expire(custody, "ride-1", by=OPERATOR)
    place_hold(trial.log, "ride-1", order())
    assert [item.state for item in unfinished(custody, "ride-1")] == ["erased"] * 2
    with pytest.raises(_Crash):
        expire(custody, "ride-1", by=OPERATOR)


class _Broken(FakeSegments):
    """Segments on a disk that fails when something is to be removed."""

    def erase(self, trial_id: str, number: int) -> None:
        raise _Crash


def test_holds_are_acts_of_named_people_with_reasons() -> None:
    """No reason, no name, no such trial, no such hold: refused, nothing is recorded."""
    log = ended_trial().log
    before = log.entries()
    nobody = JUDGE.model_copy(update={"name": " "})
    for trial, wrong in (
        ("ride-1", order(" ")),
        ("ride-1", order(by=nobody)),
        ("nowhere", order()),
    ):
        with pytest.raises(ProcedureError):
            place_hold(log, trial, wrong)
    with pytest.raises(ProcedureError, match="no hold"):
        release_hold(log, "ride-1", order())
    assert log.entries() == before
    place_hold(log, "ride-1", order())
    place_hold(log, "ride-1", order())
    for number in (0, 3):
        with pytest.raises(ProcedureError, match=r"\[1, 2\] are in force"):
            release_hold(log, "ride-1", order(), number=number)


def test_tear_down_of_an_environment_leaves_every_byte_of_evidence(
    tmp_path: Path,
) -> None:
    """Removing the namespace, however long the period is over, touches no file."""
    trial = local_trial(tmp_path)
    before = {item: item.read_bytes() for item in tmp_path.rglob("*") if item.is_file()}
    assert len(before) == 4
    ledger = Ledger(
        trial.log,
        custody_of(trial).records,
        trial.segments,
        ThrowawaySigner(),
        FixedClock(AFTER),
    )
    site = Site(
        recorder=RecorderEndpoint(host="198.51.100.7", http_port=1, grpc_port=2),
        load_source="198.51.100.7/32",
        own_image="localhost/regulatory-sandbox@sha256:" + "a" * 64,
    )
    cluster = FakeCluster()
    apply_environment(cluster, environment_spec(), recorder_token="t")
    provision = ProvisionActivities(
        cluster, ledger=ledger, tokens=FakeTokens(), site=site
    )
    task = EnvironmentTask(trial_id="ride-1", generation=2)
    namespace = ObjectRef("v1", "Namespace", "", "trial-ride-1")
    assert cluster.get(namespace)
    ActivityEnvironment().run(provision.remove_environment, task)
    assert cluster.get(namespace) is None
    after = {item: item.read_bytes() for item in tmp_path.rglob("*") if item.is_file()}
    assert after == before
