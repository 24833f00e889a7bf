"""Environments end at their deadline: a simulated clock, a cluster in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.environment import apply_environment, apply_platform, deploy_system
from sandbox.environment.keeping import Keeper
from sandbox.errors import ClusterError
from sandbox.ports import KubernetesObject, ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = ObjectRef("coordination.k8s.io/v1", "Lease", "trial-stuck", "holder")


class Stage:
    """A cluster and a clock that moves only while the keeper waits."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        # Its clock says an hour before noon, so that what is opened has not ended.
        self.cluster.skew_s = (NOON - self.cluster.now()).total_seconds() - 3600
        self.clock = FixedClock(NOON)
        self.said: list[str] = []
        self.pauses: list[float] = []
        self.gone_at: dict[str, float] = {}
        self.at: dict[float, Callable[[], object]] = {}
        """Second after noon → what happens then, before the keeper looks."""

    def keeper(self, cluster: FakeCluster | None = None) -> Keeper:
        return Keeper(
            cluster or self.cluster,
            clock=self.clock,
            pause=self.pause,
            tell=self.said.append,
        )

    def pause(self, seconds: float) -> None:
        self.note()
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        for second in [s for s in self.at if s <= self.second()]:
            self.at.pop(second)()

    def second(self) -> float:
        return (self.clock.now() - NOON).total_seconds()

    def note(self) -> None:
        for name in ("due", "stuck", "later", "new"):
            if self.opened(name) and not self.present(name):
                self.gone_at.setdefault(name, self.second())

    def open(self, name: str, *, at_s: float) -> None:
        spec = environment_spec(name, expires_at=NOON + timedelta(seconds=at_s))
        apply_environment(self.cluster, spec, recorder_token="t")
        deploy_system(
            self.cluster, spec, system_manifests(), wait_s=1, pause=lambda s: None
        )

    def opened(self, name: str) -> bool:
        return any(
            write.ref == place(name) and write.verb == "apply"
            for write in self.cluster.writes
        )

    def present(self, name: str) -> bool:
        return self.cluster.get(place(name)) is not None

    def pods(self, name: str) -> list[KubernetesObject]:
        return self.cluster.find("v1", "Pod", namespace=f"trial-{name}")

    def hold(self, name: str) -> None:
        self.cluster.apply([lease("example.org/held")], owner="someone")


def place(name: str) -> ObjectRef:
    return ObjectRef("v1", "Namespace", "", f"trial-{name}")


def lease(*finalizers: str) -> KubernetesObject:
    metadata = {"name": LEASE.name, "namespace": LEASE.namespace}
    return {
        "apiVersion": LEASE.api_version,
        "kind": "Lease",
        "metadata": {**metadata, "finalizers": list(finalizers)},
    }


@pytest.fixture(name="stage")
def _stage() -> Stage:
    return Stage()


def test_sweeps_at_once(stage: Stage) -> None:
    """What is already past its expiry ends before anything is waited for."""
    stage.open("due", at_s=-300)
    assert stage.keeper().watch(0) == []
    assert not stage.present("due")
    assert stage.pauses == []


def test_looks_ahead(stage: Stage) -> None:
    """A deadline between two runs is met when it passes; a later one is left alone."""
    stage.open("due", at_s=37.25)
    stage.open("later", at_s=90.5)
    assert stage.keeper().watch(90) == []
    assert stage.gone_at == {"due": 37.25}
    assert stage.pods("later")
    assert stage.second() == 90
    assert "Trial due: gone 1.0 s past its expiry." in stage.said


def test_sees_what_is_new(stage: Stage) -> None:
    """An environment opened while it watches is kept to its deadline too."""
    stage.open("later", at_s=900)
    stage.at[12.0] = lambda: stage.open("new", at_s=31)
    stage.keeper().watch(60)
    assert stage.gone_at == {"new": 31.0}


def test_watches_without_haste(stage: Stage) -> None:
    """With nothing due it looks every few seconds, not all the time."""
    stage.open("later", at_s=900)
    stage.keeper().watch(90)
    assert len(stage.pauses) <= 20


def test_a_held_namespace_is_reported_and_stops_nobody(stage: Stage) -> None:
    """Its pods end on time, the reason is in the log once, the others end on time."""
    stage.open("stuck", at_s=10)
    stage.hold("stuck")
    stage.open("due", at_s=20)
    wrong = stage.keeper().watch(60)
    assert len(wrong) == 1
    assert "Trial stuck" in wrong[0] and "Lease trial-stuck/holder" in wrong[0]
    assert stage.said.count(wrong[0]) == 1
    assert stage.pods("stuck") == []
    assert stage.gone_at == {"due": 20.0}


def test_a_namespace_that_is_let_go_is_no_complaint(stage: Stage) -> None:
    """What was held and is gone at the end leaves the run successful."""
    stage.open("stuck", at_s=10)
    stage.hold("stuck")
    stage.at[40.0] = lambda: stage.cluster.apply([lease()], owner="someone")
    assert stage.keeper().watch(60) == []
    assert any("is held" in sentence for sentence in stage.said)
    assert not stage.present("stuck")


def test_two_at_once(stage: Stage) -> None:
    """Another run that removes the same environment is no failure of either."""
    stage.open("due", at_s=10)
    other = stage.keeper()
    stage.at[10.0] = lambda: other.watch(0)
    assert stage.keeper().watch(30) == []
    assert not stage.present("due")


def test_a_trial_opened_again_is_spared(stage: Stage) -> None:
    """A namespace made anew, with a later deadline, is another environment."""
    stage.open("due", at_s=10)
    keeper = stage.keeper()
    stage.at[11.0] = lambda: stage.open("due", at_s=900)
    keeper.watch(60)
    assert stage.pods("due")


def test_a_server_that_fails_is_asked_again(stage: Stage) -> None:
    """One refused sweep is told and made up for; only a last one is a failure."""
    stage.open("due", at_s=-1)
    failing = Failing(stage.cluster, times=3)
    assert stage.keeper(failing).watch(30) == []
    assert stage.said[0] == "no answer"
    assert stage.gone_at["due"] == 3.0
    always = Failing(stage.cluster, times=1000)
    assert stage.keeper(always).watch(5) == ["no answer"]


class Failing(FakeCluster):
    """A cluster that does not answer the first questions."""

    def __init__(self, behind: FakeCluster, *, times: int) -> None:
        self.__dict__ = behind.__dict__
        self.left = times

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> list[KubernetesObject]:
        if self.left:
            self.left -= 1
            raise ClusterError("no answer")
        return super().find(api_version, kind, namespace=namespace, labels=labels)


def test_the_job_is_applied_with_an_image_only(stage: Stage) -> None:
    """Without this product's image the job, and only it, is left out."""
    image = "registry.example/regulatory-sandbox@sha256:" + "c" * 64
    without = apply_platform(stage.cluster)
    whole = apply_platform(stage.cluster, own_image=image)
    left_out = {step.object for step in whole} - {step.object for step in without}
    assert left_out == {"CronJob sandbox-control/regulatory-sandbox-expiry"}
    job = stage.cluster.get(
        ObjectRef("batch/v1", "CronJob", "sandbox-control", "regulatory-sandbox-expiry")
    )
    assert job is not None
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert [container["image"] for container in pod["containers"]] == [image]


def test_one_lost_run_is_made_up_for(stage: Stage) -> None:
    """Runs overlap by half a minute, and a hung one ends before a third begins."""
    apply_platform(stage.cluster, own_image="x@sha256:" + "c" * 64)
    (job,) = stage.cluster.find("batch/v1", "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    watch_s = float(container["args"][container["args"].index("--watch") + 1])
    assert 90 <= watch_s < spec["activeDeadlineSeconds"] < 120
    assert job["spec"]["concurrencyPolicy"] == "Allow"
