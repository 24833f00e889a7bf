"""Sealing on fakes: what the recorder refused comes into the log, once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from sandbox.errors import RecorderError
from sandbox.model.segment import RecorderRefusal, RefusalWindow
from sandbox.model.trial import RecorderEndpoint
from sandbox.recorder import RECORDER
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Bundles, Ledger
from workflows.activities.ledger import LedgerActivities
from workflows.activities.site import Site
from workflows.messages import SealSegments

AT = datetime(2026, 1, 1, tzinfo=UTC)
SITE = Site(
    recorder=RecorderEndpoint(host="198.18.0.1", http_port=4318, grpc_port=4317),
    load_source="198.18.0.1/32",
    probe_image="sha256:" + "1" * 64,
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


def seal(ledger: Ledger) -> None:
    """Seal what there is of a trial, as the monitor has it done."""
    activities = LedgerActivities(ledger, SITE, Bundles(Path("/nowhere")))
    task = SealSegments(trial_id="ride-1")
    ActivityEnvironment().run(activities.seal_segments, task)


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
