"""What the reaper notes of environments that ended while nobody here worked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from sandbox.environment import apply_environment, tear_down
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec
from sandbox.testing.records import FakeLog, FakeRecords, FakeTokens
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Ledger
from workflows.activities.reap import ReapActivities
from workflows.messages import ReaperInput


class House:
    """A trial that ends in ten minutes, and what the reaper works with."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        now = self.cluster.now()
        self.spec = environment_spec("fleet", expires_at=now + timedelta(minutes=10))
        signer = ThrowawaySigner("log.example/trials")
        self.ledger = Ledger(
            log=FakeLog(),
            records=FakeRecords(),
            segments=FakeSegments(),
            signer=signer,
            clock=FixedClock(now),
        )
        self.tokens = FakeTokens()
        self.tokens.issue("fleet", "system", "secret")
        apply_environment(self.cluster, self.spec, recorder_token="secret")
        self.ledger.records.put_document("fleet", "environment", self.spec)
        self.ledger.records.set_case("fleet", "running", {})

    def end_inside(self) -> None:
        """End it as the job in the cluster does, and let its time be over."""
        tear_down(self.cluster, "fleet", wait_s=1, pause=lambda _: None)

    def reap(self, *, after_s: float) -> None:
        self.cluster.skew_s = after_s
        reap = ReapActivities(self.cluster, ledger=self.ledger, tokens=self.tokens)
        task = ReaperInput(grace_s=30)
        ActivityEnvironment().run(reap.reap_environments, task)

    def reasons(self) -> list[str]:
        entries = self.ledger.log.entries("fleet")
        return [item.entry.body["reason"] for item in entries]

    @property
    def token_is_good(self) -> bool:
        return self.tokens.identify("secret") is not None


@pytest.fixture(name="house")
def _house() -> House:
    return House()


def test_an_end_inside_the_cluster_is_recorded_once(house: House) -> None:
    """Its token is revoked, and the log says that it was found removed."""
    house.end_inside()
    house.reap(after_s=700)
    house.reap(after_s=760)
    assert house.reasons() == ["past its expiry; found removed"]
    assert not house.token_is_good


def test_nothing_is_noted_before_the_grace_is_over(house: House) -> None:
    """The trial's own workflow has its time to end and record it."""
    house.end_inside()
    house.reap(after_s=610)
    assert house.reasons() == [] and house.token_is_good


def test_a_case_that_is_over_is_left_alone(house: House) -> None:
    """What the workflow closed is not noted again."""
    house.end_inside()
    house.ledger.records.set_case("fleet", "closed", {})
    house.reap(after_s=700)
    assert house.reasons() == []


def test_what_still_stands_is_removed(house: House) -> None:
    """An environment past its grace is removed here, and said so once: the case of a
    terminated workflow stays under way for ever.
    """
    house.reap(after_s=700)
    house.reap(after_s=760)
    assert house.reasons() == ["past its expiry"]
    assert not house.token_is_good
