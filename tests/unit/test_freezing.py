"""A freeze whose answer is lost is done again, and each time is on record."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from temporalio.testing import ActivityEnvironment

from sandbox.ports import KubernetesObject, ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.records import FakeLog, FakeRecords, FakeTokens
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.enforce import EnforceActivities
from workflows.activities.keeping import Ledger
from workflows.messages import EnvironmentTask

AT = datetime(2026, 1, 1, tzinfo=UTC)


class SlowCluster(FakeCluster):
    """Every look at it takes one second more than the one before."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = 0

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """Return the object, after a while."""
        self._seconds += 1
        self._clock.set(self._clock.now() + timedelta(seconds=self._seconds))
        return super().get(ref)


def test_a_freeze_that_is_tried_again_succeeds_whatever_it_took() -> None:
    """The second attempt takes longer than the first, which is no contradiction."""
    clock = FixedClock(AT)
    signer = ThrowawaySigner("log.example/trials")
    ledger = Ledger(FakeLog(), FakeRecords(), FakeSegments(), signer, clock)
    activities = EnforceActivities(
        SlowCluster(clock), ledger=ledger, tokens=FakeTokens()
    )
    task = EnvironmentTask(trial_id="ride-1", generation=2, manifests="system")
    took = []
    for attempt in (1, 2):
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, attempt=attempt)
        took.append(environment.run(activities.freeze_environment, task).seconds)
    assert took[0] < took[1]
    recorded = [item.entry.body["seconds"] for item in ledger.log.entries("ride-1")]
    assert recorded == took
