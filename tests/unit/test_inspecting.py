"""What an inspection records, when it gives up, and whose clock counts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

import pytest
from temporalio.testing import ActivityEnvironment

from sandbox.environment import apply_environment
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.drift import Author, Drift, EnvironmentShape
from sandbox.model.record import digest_of
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import AuditLog, KubernetesObject, ObjectRef
from sandbox.testing.audit import FakeAuditLog
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec
from sandbox.testing.object_rules import fronts_by_hand, put_rules
from sandbox.testing.records import FakeLog, FakeRecords, FakeTokens
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.inspect import InspectActivities
from workflows.activities.keeping import Ledger
from workflows.activities.provision import require_locked
from workflows.activities.reap import ReapActivities
from workflows.activities.site import Site
from workflows.messages import Inspected, InspectEnvironment, ReaperInput

SPEC = environment_spec()
HOME = "trial-ride-1"
LIMITS = ObjectRef("v1", "LimitRange", HOME, "container-limits")
SITE = Site(
    recorder=RecorderEndpoint(host="198.51.100.7", http_port=4318, grpc_port=4317),
    load_source="198.51.100.7/32",
    own_image="localhost/regulatory-sandbox@sha256:" + "a" * 64,
)


class BlindCluster(FakeCluster):
    """Once told so, it lets nobody read policies."""

    is_blind = False

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> list[KubernetesObject]:
        """Refuse, or answer as usual."""
        if self.is_blind and kind == "NetworkPolicy":
            raise ClusterError("policies cannot be listed", status=403)
        return super().find(api_version, kind, namespace=namespace, labels=labels)


class House(NamedTuple):
    """An open environment, and who looks at it."""

    cluster: BlindCluster
    ledger: Ledger
    tokens: FakeTokens
    clock: FixedClock
    audit: AuditLog

    def inspect(self, shape: EnvironmentShape = "ready", **seen: int) -> Inspected:
        """Inspect once, after `seen`."""
        names = {f"LimitRange {HOME}/container-limits": n for n in seen.values()}
        return self.inspect_after(names, shape)

    def inspect_after(
        self, seen: dict[str, int], shape: EnvironmentShape = "ready"
    ) -> Inspected:
        """Inspect once, after what was seen in the inspections before."""
        inspect = InspectActivities(
            self.cluster,
            ledger=self.ledger,
            tokens=self.tokens,
            site=SITE,
            audit=self.audit,
        )
        task = InspectEnvironment(trial_id="ride-1", shape=shape, seen=seen)
        return ActivityEnvironment().run(inspect.inspect_environment, task)

    def acts(self) -> list[object]:
        """Return what the entries of the log say was done."""
        entries = self.ledger.log.entries("ride-1")
        return [item.entry.body.get("act") for item in entries]


@pytest.fixture(name="house")
def _house() -> House:
    clock = FixedClock(FakeCluster().now())
    signer = ThrowawaySigner("log.example/trials")
    ledger = Ledger(FakeLog(), FakeRecords(), FakeSegments(), signer, clock)
    ledger.records.put_document("ride-1", "environment", SPEC)
    put_rules(ledger.records)
    tokens = FakeTokens()
    tokens.issue("ride-1", "system", "t")
    cluster = BlindCluster()
    apply_environment(cluster, SPEC, recorder_token="t")
    return House(cluster, ledger, tokens, clock, FakeAuditLog())


def test_nothing_found_is_no_entry(house: House) -> None:
    """A whole environment leaves no trace in the log."""
    assert house.inspect() == Inspected()
    assert house.acts() == []


def test_found_then_put_back(house: House) -> None:
    """What was found is recorded before what is left of it."""
    house.cluster.delete(LIMITS)
    result = house.inspect()
    assert result.breach is None
    assert result.seen == {f"LimitRange {HOME}/container-limits": 1}
    assert house.acts() == ["drift", "put-back"]
    assert house.cluster.get(LIMITS) is not None


def test_who_made_the_change_is_recorded(house: House) -> None:
    """As the API server wrote it down; where it did not, nobody is named."""
    eve = Author(user="eve", verb="delete", agent="kubectl/v1", at=house.clock.now())
    assert isinstance(house.audit, FakeAuditLog)
    house.audit.note(LIMITS, eve)
    house.cluster.delete(LIMITS)
    house.cluster.delete(LIMITS._replace(kind="ServiceAccount", name="default"))
    house.inspect()
    (drift, _) = house.ledger.log.entries("ride-1")
    found = Drift.model_validate(drift.entry.body).findings
    authors = {item.object.split(" ")[0]: item.author for item in found}
    assert authors == {"LimitRange": eve, "ServiceAccount": None}
    limits = next(item for item in found if item.author)
    assert "is missing (delete by eve with kubectl/v1 at " in limits.sentence()


class Unreadable:
    """An audit log that another account may read."""

    def last_change(self, ref: ObjectRef) -> Author | None:
        """Refuse."""
        raise ClusterError(f"no one may read of {ref.name}")


def test_an_audit_log_that_cannot_be_read_holds_up_nothing(house: House) -> None:
    """What was found is put back all the same."""
    house.cluster.delete(LIMITS)
    house._replace(audit=Unreadable()).inspect()
    assert house.acts() == ["drift", "put-back"]


@pytest.mark.parametrize(("before", "is_frozen"), [(1, False), (2, True)])
def test_put_back_in_vain(house: House, before: int, is_frozen: bool) -> None:
    """Different a third time in a row it is escalated, and not put back again."""
    house.cluster.delete(LIMITS)
    result = house.inspect(seen=before)
    assert (result.breach is not None) == is_frozen
    assert (house.cluster.get(LIMITS) is None) == is_frozen
    house.cluster.delete(LIMITS)
    house.inspect("frozen", seen=5)
    assert house.cluster.get(LIMITS) is not None


def test_a_credential_the_recorder_does_not_know(house: House) -> None:
    """A system whose reports nobody would take for the trial's is stopped."""
    house.tokens.revoke("ride-1")
    breach = house.inspect().breach
    assert breach is not None
    assert "recorder does not know" in breach.cause
    assert breach.guardrail == "environment-as-decided"
    assert house.acts() == ["drift"]


def test_what_a_rule_is_against_freezes(house: House) -> None:
    """A Deployment that others put there, recorded with the words of the rule."""
    house.cluster.apply([fronts_by_hand(HOME)], owner="somebody")
    breach = house.inspect().breach
    assert breach is not None and breach.action == "pause"
    assert "No more than 2 fronts at a time. (Act, 7; front/size)" in breach.cause
    assert house.acts() == ["drift"]
    assert house.inspect("frozen").breach is None


def test_an_environment_nobody_can_look_at(house: House) -> None:
    """It is noted once; refused three times in a row, the trial is stopped."""
    house.cluster.is_blind = True
    seen: dict[str, int] = {}
    stopped = []
    for _ in range(3):
        result = house.inspect_after(seen)
        seen = result.seen
        stopped.append(result.breach is not None)
    assert stopped == [False, False, True]
    assert house.acts() == ["drift", "drift"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ValidatingAdmissionPolicy", "regulatory-sandbox-pods"),
        ("ValidatingAdmissionPolicyBinding", "regulatory-sandbox-decision"),
    ],
)
def test_a_guard_of_the_cluster_that_is_gone(
    house: House, kind: str, name: str
) -> None:
    """A policy or binding taken away while trials run is noted, and freezes if away for
    long; there again, nothing is noted.
    """
    ref = ObjectRef("admissionregistration.k8s.io/v1", kind, "", name)
    guard = house.cluster.get(ref)
    assert guard is not None and house.inspect().seen == {}
    house.cluster.delete(ref)
    seen: dict[str, int] = {}
    causes = []
    for _ in range(3):
        result = house.inspect_after(seen)
        seen = result.seen
        causes.append(result.breach.cause if result.breach else "")
    assert causes[:2] == ["", ""] and f"{kind} {name} was changed" in causes[2]
    assert house.acts() == ["drift", "drift"]
    guard["metadata"] = {"name": name, "labels": guard["metadata"]["labels"]}
    house.cluster.apply([guard], owner="administrator")
    assert house.inspect().seen == {}


def test_another_version_of_the_platform_stops_nothing(house: House) -> None:
    """A worker of another version than the platform's freezes no running trial."""
    ref = ObjectRef("v1", "ConfigMap", "sandbox-control", "regulatory-sandbox-platform")
    marker = house.cluster.get(ref)
    assert marker is not None
    other = {**marker["data"], "digest": "sha256:" + "0" * 64}
    metadata = {"name": ref.name, "namespace": ref.namespace}
    house.cluster.apply(
        [{**marker, "metadata": metadata, "data": other}], owner="administrator"
    )
    assert house.inspect().seen == {}
    house.cluster.delete(ref)
    assert list(house.inspect().seen) == ["Platform of the cluster"]


@pytest.mark.parametrize("skew_s", [3600.0, -3600.0])
def test_a_clock_that_is_wrong_is_noted_once(house: House, skew_s: float) -> None:
    """An hour between worker and cluster is on record, and stops nothing."""
    house.cluster.skew_s = skew_s
    first = house.inspect()
    assert first.breach is None
    assert house.acts() == ["drift"]
    (entry,) = house.ledger.log.entries("ride-1")
    assert re.search(r"it is (3599|360[0-9]) s (ahead|behind)", str(entry.entry.body))
    assert list(first.seen) == ["Clock of the cluster"]


@pytest.mark.parametrize("worker_ahead_s", [3600.0, -3600.0])
def test_expiry_follows_the_clusters_clock(house: House, worker_ahead_s: float) -> None:
    """A worker whose clock is an hour off ends nothing early, and nothing late."""
    cluster = FakeCluster()
    now = cluster.now()
    living = environment_spec("living", expires_at=now + timedelta(minutes=30))
    late = environment_spec("late", expires_at=now + timedelta(minutes=10))
    for spec in (living, late):
        apply_environment(cluster, spec, recorder_token="t")
    cluster.skew_s = 20 * 60
    house.clock.set(cluster.now() + timedelta(seconds=worker_ahead_s))
    reap = ReapActivities(cluster, ledger=house.ledger, tokens=house.tokens)
    task = ReaperInput(grace_s=30)
    result = ActivityEnvironment().run(reap.reap_environments, task)
    assert result.removed == ("late",)


def test_no_environment_without_a_locked_plan(house: House) -> None:
    """A plan that is not in the log opens nothing; once it is, it does."""
    with pytest.raises(IsolationError, match="no plan"):
        require_locked(house.ledger, SPEC)
    house.ledger.write("plan", "plan/ride-1", "ride-1", SPEC.needs)
    with pytest.raises(IsolationError, match="no plan"):
        require_locked(house.ledger, SPEC)
    locked = SPEC.model_copy(update={"plan_digest": digest_of(SPEC.needs)})
    require_locked(house.ledger, locked)
