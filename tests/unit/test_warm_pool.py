"""The pool of warm environments is kept, and trials are opened from it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from sandbox.environment import claim, environment_objects, unclaimed
from sandbox.errors import ClusterError
from sandbox.model.record import digest_of
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests
from sandbox.testing.object_rules import put_rules, replicas
from sandbox.testing.records import FakeLog, FakeRecords, FakeTokens
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Ledger
from workflows.activities.provision import ProvisionActivities
from workflows.activities.site import Site
from workflows.activities.warm import WarmActivities
from workflows.messages import (
    EnvironmentOutcome,
    EnvironmentTask,
    SystemManifests,
    WarmInput,
    WarmResult,
)

SPEC = environment_spec()
SITE = Site(
    recorder=SPEC.recorder,
    load_source=SPEC.load_source,
    own_image=SPEC.probe_image,
)


class House(NamedTuple):
    """A cluster, what is kept of it, and who works on it."""

    cluster: FakeCluster
    ledger: Ledger
    tokens: FakeTokens
    clock: FixedClock

    def keep(self, count: int, site: Site = SITE) -> WarmResult:
        """Look at the pool once."""
        warm = WarmActivities(self.cluster, ledger=self.ledger, site=site)
        return ActivityEnvironment().run(warm.keep_warm, WarmInput(count=count))

    def open(
        self,
        trial_id: str = "ride-1",
        generation: int = 1,
        copies: int = 1,
        **changes: object,
    ) -> EnvironmentOutcome:
        """Open the environment of a trial whose plan is locked."""
        manifests = replicas(system_manifests(), copies)
        self.ledger.records.put_document(
            trial_id, "system", SystemManifests(objects=manifests)
        )
        place = self.ledger.write("plan", f"plan/{trial_id}", trial_id, SPEC.needs)
        assert place is not None
        found = self.ledger.log.entry(f"plan/{trial_id}")
        assert found is not None
        digest = digest_of(dict(found.entry.body))
        spec = environment_spec(trial_id, plan_digest=digest, **changes)
        self.ledger.records.put_document(trial_id, "environment", spec)
        put_rules(self.ledger.records, trial_id)
        provision = ProvisionActivities(
            self.cluster, ledger=self.ledger, tokens=self.tokens, site=SITE
        )
        task = EnvironmentTask(trial_id=trial_id, generation=generation)
        return ActivityEnvironment().run(provision.provision_environment, task)

    def proof(self, trial_id: str) -> dict[str, object]:
        """Return the newest proof on record."""
        return self.ledger.records.get_document(trial_id, "isolation-proof")

    def acts(self, warm_id: str) -> list[object]:
        """Return what the log says was done with a warm environment."""
        entries = self.ledger.log.entries(warm_id)
        return [
            item.entry.body.get("act")
            for item in entries
            if item.entry.kind == "environment"
        ]


@pytest.fixture(name="house")
def _house() -> House:
    return house_of(FakeCluster())


def house_of(cluster: FakeCluster) -> House:
    """Return a new installation on a cluster."""
    clock = FixedClock(cluster.now())
    signer = ThrowawaySigner("log.example/trials")
    ledger = Ledger(FakeLog(), FakeRecords(), FakeSegments(), signer, clock)
    return House(cluster, ledger, FakeTokens(), clock)


def test_the_pool_is_filled_and_then_left(house: House) -> None:
    """What is missing is made and proven; a second look changes nothing."""
    first = house.keep(2)
    assert len(first.made) == 2 and first.kept == first.removed == ()
    assert unclaimed(house.cluster) == sorted(first.made)
    writes = len(house.cluster.writes)
    again = house.keep(2)
    assert again.kept == tuple(sorted(first.made)) and again.made == ()
    assert len(house.cluster.writes) == writes
    assert house.acts(first.made[0]) == ["warm"]
    assert house.proof(first.made[0])["holds"] is True


def test_fewer_are_asked_for(house: House) -> None:
    """Those too many are removed, to none at last."""
    house.keep(2)
    assert len(house.keep(1).removed) == 1
    (last,) = unclaimed(house.cluster)
    assert house.keep(0) == WarmResult(removed=(last,))
    assert unclaimed(house.cluster) == []
    assert house.acts(last) == ["warm", "warm-removed"]


def test_a_trial_is_opened_from_the_pool(house: House) -> None:
    """The trial gets the warm environment, its proof says so, the pool fills again."""
    (warm_id,) = house.keep(1).made
    outcome = house.open()
    assert outcome.namespace == f"trial-{warm_id}"
    assert outcome.uid and outcome.proof is not None and outcome.proof.holds
    assert house.proof("ride-1")["warm"] == warm_id
    front = ObjectRef("apps/v1", "Deployment", outcome.namespace, "front")
    assert house.cluster.get(front) is not None
    assert len(house.keep(1).made) == 1


def test_a_system_that_a_rule_is_against_is_not_opened(house: House) -> None:
    """Asked once more before anything is written, whoever admitted it."""
    with pytest.raises(ApplicationError, match="No more than 2 fronts") as refused:
        house.open(copies=3)
    assert refused.value.non_retryable
    assert house.cluster.writes == []


def test_done_again_it_is_the_same_environment(house: House) -> None:
    """An opening that is tried again continues in the environment it has claimed."""
    house.keep(2)
    first, second = house.open(), house.open(generation=2)
    assert (first.namespace, first.uid) == (second.namespace, second.uid)
    assert len(unclaimed(house.cluster)) == 1


def test_a_claim_that_was_cut_off(house: House) -> None:
    """Cut off between the claim and the last object, an opening is gone on with, under
    the images of the decision.
    """
    (warm_id,) = house.keep(1).made
    house.cluster.refuse = lambda item: "no" if item["kind"] == "Role" else ""
    with pytest.raises(ApplicationError, match="Role"):
        house.open()
    house.cluster.refuse = lambda item: ""
    outcome = house.open(generation=2)
    assert outcome.namespace == f"trial-{warm_id}"
    params = ObjectRef("v1", "ConfigMap", outcome.namespace, "trial-params")
    found = house.cluster.get(params)
    assert found is not None
    assert set(SPEC.images.values()) <= set(found["data"]["images"].split())
    assert house.keep(0) == WarmResult()


def test_one_that_cannot_be_looked_at_is_removed(house: House) -> None:
    """What Kubernetes lets nobody compare is no environment to be claimed."""
    (warm_id,) = house.keep(1).made
    house.cluster.unlistable.add((f"trial-{warm_id}", "NetworkPolicy"))
    result = house.keep(1)
    assert result.removed == (warm_id,) and len(result.made) == 1


def test_an_empty_pool_is_no_obstacle(house: House) -> None:
    """Without a warm environment a trial gets one of its own."""
    outcome = house.open()
    assert outcome.namespace == "trial-ride-1"
    assert house.proof("ride-1")["warm"] == ""


def test_an_old_proof_is_not_claimed(house: House) -> None:
    """A proof of more than ten minutes ago is made again before anyone claims it."""
    (warm_id,) = house.keep(1).made
    house.clock.advance(11 * 60)
    assert house.open("early").namespace == "trial-early"
    assert house.keep(1).kept == (warm_id,)
    assert house.open("late").namespace == f"trial-{warm_id}"


@pytest.mark.parametrize(
    ("site", "why"),
    [
        (SITE, "NetworkPolicy"),
        (
            SITE.model_copy(
                update={
                    "recorder": RecorderEndpoint(
                        host="198.51.100.9", http_port=4318, grpc_port=4317
                    )
                }
            ),
            "otherwise",
        ),
    ],
    ids=["tampered-with", "another-recorder"],
)
def test_what_is_unfit_is_replaced(house: House, site: Site, why: str) -> None:
    """One that someone changed, or that would be made otherwise now, is removed."""
    (old,) = house.keep(1).made
    if site is SITE:
        allow = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "allow-all", "namespace": f"trial-{old}"},
            "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]},
        }
        house.cluster.apply([allow], owner="someone")
    result = house.keep(1, site)
    assert result.removed == (old,) and len(result.made) == 1
    last = house.ledger.log.entries(old)[-1].entry
    assert last.body["act"] == "warm-removed" and why in str(last.body["reason"])


def test_tampered_with_before_its_claim(house: House) -> None:
    """What someone added to a warm environment is taken out when it is claimed; after
    that the attempts of before count no more.
    """
    (warm_id,) = house.keep(1).made
    allow = ObjectRef(
        "networking.k8s.io/v1", "NetworkPolicy", f"trial-{warm_id}", "allow-all"
    )
    item = {
        "apiVersion": allow.api_version,
        "kind": allow.kind,
        "metadata": {"name": allow.name, "namespace": allow.namespace},
        "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]},
    }
    house.cluster.apply([item], owner="someone")
    assert house.open().namespace == f"trial-{warm_id}"
    assert house.cluster.get(allow) is None
    assert house.proof("ride-1")["warm"] == ""


def test_one_near_its_expiry_makes_room(house: House) -> None:
    """Less than an hour before its end an environment is replaced, and not before."""
    (old,) = house.keep(1).made
    house.cluster.skew_s = 4.9 * 3600
    assert house.keep(1).kept == (old,)
    house.cluster.skew_s = 5.1 * 3600
    result = house.keep(1)
    assert result.removed == (old,) and len(result.made) == 1


def test_one_that_is_not_proven_is_not_kept() -> None:
    """Where the isolation does not hold, the pool stays empty and says why."""
    house = house_of(FakeCluster(lambda namespace, host, port: "reached"))
    with pytest.raises(ApplicationError, match="could not be proven"):
        house.keep(1)
    assert unclaimed(house.cluster) == []


def test_one_that_no_longer_holds_is_removed(house: House) -> None:
    """A proof that is made again and fails removes the environment."""
    (old,) = house.keep(1).made
    house.cluster.rights_of[f"trial-{old}", "workload"] = ["get core/secrets"]
    assert house.keep(1).kept == (old,)
    house.clock.advance(9 * 60)
    assert house.keep(1).removed == (old,)
    last = house.ledger.log.entries(old)[-1].entry
    assert "get core/secrets" in str(last.body["reason"])


def test_a_proof_is_made_again_before_it_is_too_old(house: House) -> None:
    """After eight minutes it is made again, so that the pool stays to be claimed."""
    (warm_id,) = house.keep(1).made
    house.clock.advance(9 * 60)
    assert house.keep(1).kept == (warm_id,)
    house.clock.advance(5 * 60)
    assert house.open().namespace == f"trial-{warm_id}"


def test_another_class_is_not_given(house: House) -> None:
    """A trial of another isolation class claims none of class N1."""
    (warm_id,) = house.keep(1).made
    with pytest.raises(ApplicationError, match="N2"):
        house.open(isolation_class="N2")
    assert unclaimed(house.cluster) == [warm_id]


def test_what_another_installation_keeps_is_left(house: House) -> None:
    """Without a record of it, an environment is neither claimed nor removed."""
    (warm_id,) = house.keep(1).made
    other = house_of(house.cluster)
    assert other.keep(0) == WarmResult()
    assert other.open().namespace == "trial-ride-1"
    assert unclaimed(house.cluster) == [warm_id]


def test_one_that_is_not_empty_is_removed(house: House) -> None:
    """Something that could run in it costs an environment its place."""
    (old,) = house.keep(1).made
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "lurking", "namespace": f"trial-{old}"},
    }
    house.cluster.apply([service], owner="someone")
    assert house.keep(1).removed == (old,)
    last = house.ledger.log.entries(old)[-1].entry
    assert "not empty: Service" in str(last.body["reason"])


class Overtaken(FakeCluster):
    """While one worker makes an environment, another claims one for the same trial."""

    warm_id = ""

    def apply(self, objects, *, owner, dry_run=False):  # type: ignore[no-untyped-def]
        """Let the other worker claim its own."""
        if self.warm_id and not dry_run and objects[0]["kind"] == "Namespace":
            twin = SPEC.model_copy(update={"warm": self.warm_id})
            self.warm_id = ""
            home = environment_objects(twin, recorder_token="t")[:1]
            super().apply(home, owner="twin")
        return super().apply(objects, owner=owner, dry_run=dry_run)


def test_two_workers_open_one_trial() -> None:
    """What one worker made beside another's claim is removed; tried again, it goes on
    with what was claimed.
    """
    cluster = Overtaken()
    house = house_of(cluster)
    (warm_id,) = house.keep(1).made
    house.clock.advance(11 * 60)
    cluster.warm_id = warm_id
    with pytest.raises(ApplicationError, match="at the same time"):
        house.open()
    assert cluster.get(ObjectRef("v1", "Namespace", "", "trial-ride-1")) is None
    assert house.open(generation=2).namespace == f"trial-{warm_id}"


class Unheard(FakeCluster):
    """The answer to a claim is lost, and asked for again it is refused."""

    is_lost = False

    def apply(self, objects, *, owner, dry_run=False):  # type: ignore[no-untyped-def]
        """Keep the claim and refuse it."""
        done = super().apply(objects, owner=owner, dry_run=dry_run)
        if self.is_lost and "resourceVersion" in objects[0]["metadata"]:
            self.is_lost = False
            raise ClusterError("it was changed", status=409)
        return done


def test_a_claim_whose_answer_was_lost() -> None:
    """A claim that was made without anybody hearing of it is gone on with."""
    cluster = Unheard()
    house = house_of(cluster)
    (warm_id,) = house.keep(1).made
    cluster.is_lost = True
    assert house.open().namespace == f"trial-{warm_id}"


def test_a_claimed_one_is_not_the_pools(house: House) -> None:
    """The pool never removes what a trial has claimed."""
    (warm_id,) = house.keep(1).made
    assert claim(house.cluster, SPEC, [warm_id]) is not None
    assert house.keep(0) == WarmResult()
    home = ObjectRef("v1", "Namespace", "", f"trial-{warm_id}")
    assert house.cluster.get(home) is not None
