"""Sealing on fakes: across crashes each thing comes into the log once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from sandbox.errors import EvidenceError, RecorderError
from sandbox.evidence.seal import Sealed, reopen, seal_segment
from sandbox.model.damage import SegmentDamage
from sandbox.model.record import digest_of
from sandbox.model.segment import RecorderRefusal, RefusalWindow, SealedSegment
from sandbox.model.trial import RecorderEndpoint
from sandbox.recorder import RECORDER
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Bundles, Ledger
from workflows.activities.ledger import LedgerActivities
from workflows.activities.site import Site
from workflows.messages import Sealing, SealSegments

AT = datetime(2026, 1, 1, tzinfo=UTC)
SITE = Site(
    recorder=RecorderEndpoint(host="198.18.0.1", http_port=4318, grpc_port=4317),
    load_source="198.18.0.1/32",
    own_image="localhost/regulatory-sandbox@sha256:" + "1" * 64,
)


class DyingSegments(FakeSegments):
    """Fails once, between the log and the dropping of a window."""

    has_died = False

    def drop_refusals(self, name: str) -> None:
        """Fail the first time."""
        if not self.has_died:
            self.has_died = True
            raise RecorderError("the worker died")
        super().drop_refusals(name)


class DyingBeforePutAway(FakeSegments):
    """Fails once, between the log and the putting away of a segment."""

    has_died = False

    def put_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Fail the first time."""
        if not self.has_died:
            self.has_died = True
            raise RecorderError("the worker died")
        super().put_sealed(trial_id, number, compressed=compressed, envelope=envelope)


def window(*trials: str) -> RefusalWindow:
    """Return a window with one refusal of each trial."""
    refusals = [
        RecorderRefusal(
            reason="malformed",
            peer="10.0.0.1",
            trial_id=trial,
            count=3,
            first_at=AT,
            last_at=AT,
        )
        for trial in trials
    ]
    return RefusalWindow(name="w1", refusals=tuple(refusals))


def ledger_on(segments: FakeSegments) -> Ledger:
    """Return a ledger of fakes."""
    signer = ThrowawaySigner("log.example/trials")
    return Ledger(FakeLog(), FakeRecords(), segments, signer, FixedClock(AT))


def seal(ledger: Ledger, trial_id: str = "ride-1", *, attempt: int = 1) -> Sealing:
    """Seal what there is of a trial, as the monitor has it done."""
    activities = LedgerActivities(ledger, SITE, Bundles(Path("/nowhere")))
    task = SealSegments(trial_id=trial_id)
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    return environment.run(activities.seal_segments, task)


def test_refusals_of_all_are_entered_at_any_sealing() -> None:
    """Also those of other trials and of nobody; signed for, and then dropped."""
    segments = FakeSegments()
    segments.refuse(window("", "ride-1", "ride-2"))
    ledger = ledger_on(segments)
    seal(ledger)
    entries = [item.entry for item in ledger.log.entries()]
    assert [item.trial_id for item in entries] == [RECORDER, "ride-1", "ride-2"]
    assert {item.body["count"] for item in entries} == {3}
    assert ledger.log.checkpoints()[-1].size == 3
    assert segments.refusals() == []


def test_a_worker_that_dies_in_between_enters_nothing_twice() -> None:
    """The repeated activity finds the entries there, and drops the window."""
    segments = DyingSegments()
    segments.refuse(window("", "ride-1"))
    ledger = ledger_on(segments)
    with pytest.raises(ApplicationError):
        seal(ledger)
    seal(ledger)
    seal(ledger)
    assert len(ledger.log.entries()) == 2
    assert segments.refusals() == []


@pytest.mark.parametrize("change", ["library", "record"])
def test_sealing_goes_on_after_a_crash_also_with_another_program(
    case, monkeypatch, change
) -> None:
    """What the log names is put away, though it would now be made otherwise."""
    case.use(segments := DyingBeforePutAway())
    case.receive([1, 2, 3])
    ledger = case.ledger
    with pytest.raises(ApplicationError, match="died"):
        seal(ledger, "t")
    (entry,) = [
        item for item in ledger.log.entries("t") if item.entry.kind == "segment"
    ]
    if change == "library":
        monkeypatch.setattr("sandbox.evidence.seal.ZSTD_LEVEL", -5)
    else:
        monkeypatch.setattr(
            "sandbox.evidence.seal.file_name", lambda number, kind: f"{number}.{kind}"
        )
    seal(ledger, "t")
    assert [item.state for item in segments.files("t")] == ["sealed"]
    compressed, envelope = segments.read_sealed("t", 1)
    said = SealedSegment.model_validate(entry.entry.body)
    assert said.segment.compressed_digest == digest_of(compressed)
    made = reopen(compressed, envelope, raw=segments.read("t", 1), signer=case.signer)
    assert made.statement_digest == said.statement_digest
    assert ledger.log.checkpoints()[-1].size == ledger.log.size()


def test_what_was_staged_of_other_bytes_is_not_sealed(case) -> None:
    """Only a statement over the raw segment, signed by the log's key, is used."""
    segments = case.segments
    case.receive([1])
    raw = segments.read("t", 1)
    of_first = sealed_by(case.signer, raw)
    with pytest.raises(EvidenceError, match="other bytes"):
        reopen(of_first.compressed, of_first.envelope, raw=b"x", signer=case.signer)
    stranger = sealed_by(ThrowawaySigner(seed="other"), raw)
    segments.stage_sealed(
        "t", 1, compressed=stranger.compressed, envelope=stranger.envelope
    )
    seal(case.ledger, "t")
    compressed, envelope = segments.read_sealed("t", 1)
    assert reopen(compressed, envelope, raw=raw, signer=case.signer).segment.number == 1


def incidents(ledger: Ledger) -> list[SegmentDamage]:
    """Return the damage that the log tells of, in order."""
    entries = (item.entry for item in ledger.log.entries("t"))
    bodies = [item.body for item in entries if item.kind == "incident"]
    return [SegmentDamage.model_validate(body) for body in bodies]


def states(segments: FakeSegments) -> list[str]:
    return [item.state for item in segments.files("t")]


def test_a_damaged_segment_is_an_incident_and_holds_up_no_other(case) -> None:
    """It is told at each sealing, recorded once, and sealed once it is restored."""
    for number in (1, 2, 3):
        case.receive([number], number=number)
    cut = RecorderError("it was cut", retryable=False)
    case.segments.damage("t", 2, cut)
    first, again = seal(case.ledger, "t"), seal(case.ledger, "t")
    assert (first.sealed, again.sealed) == (2, 0)
    assert states(case.segments) == ["sealed", "closed", "sealed"]
    assert first.damaged == again.damaged
    assert [item.segment for item in first.damaged] == [2]
    assert [(item.segment, item.cause) for item in incidents(case.ledger)] == [
        (2, "it was cut")
    ]
    assert case.ledger.log.checkpoints()[-1].size == case.ledger.log.size()
    case.segments.restore("t", 2)
    assert seal(case.ledger, "t") == Sealing(sealed=1)


def test_bytes_that_are_no_frames_are_an_incident(case) -> None:
    """What only the frames show is damage too."""
    case.segments.receive("t", b"x" * 100)
    case.segments.roll("t")
    assert [item.segment for item in seal(case.ledger, "t").damaged] == [1]


def test_what_may_be_read_later_is_tried_again_but_not_for_ever(case) -> None:
    """The others are sealed at once; at last it counts as damaged."""
    for number in (1, 2):
        case.receive([number], number=number)
    case.segments.damage("t", 1, RecorderError("input/output error"))
    with pytest.raises(ApplicationError, match="input/output") as failed:
        seal(case.ledger, "t")
    assert not failed.value.non_retryable
    assert states(case.segments) == ["closed", "sealed"]
    assert incidents(case.ledger) == []
    assert [item.segment for item in seal(case.ledger, "t", attempt=10).damaged] == [1]


def sealed_by(signer: ThrowawaySigner, raw: bytes) -> Sealed:
    return seal_segment(
        raw, trial_id="t", number=1, rulebook_digest=digest_of(b"r"), signer=signer
    )
