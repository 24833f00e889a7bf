"""Environments that are proven before a trial asks for one, on a cluster in memory."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.environment import (
    WarmEnvironment,
    apply_environment,
    claim,
    contents,
    deploy_system,
    discard,
    environment_objects,
    expired_environments,
    find_drift,
    freeze,
    located,
    namespace_of,
    prove_isolation,
    reclaim,
    residue,
    take_over,
    tear_down,
    unclaimed,
    warm_spec,
)
from sandbox.environment.targets import proof_targets
from sandbox.errors import ClusterError, InputError, IsolationError
from sandbox.model.application import EgressNeed, IngressNeed, Limits, SystemNeeds
from sandbox.model.trial import (
    EnvironmentSpec,
    IsolationProof,
    ProofTarget,
    RecorderEndpoint,
)
from sandbox.ports import KubernetesObject, ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests

SPEC = environment_spec()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WARM = "warm-00c0ffee"
HOME = ObjectRef("v1", "Namespace", "", f"trial-{WARM}")
LIMITS = Limits(cpu="2", memory="1Gi", pods=8)


def no_pause(seconds: float) -> None:
    """Wait in no time."""


def targets_of(spec: EnvironmentSpec) -> tuple[ProofTarget, ...]:
    return proof_targets(
        spec,
        api_server=("10.96.0.1", 443),
        api_endpoint=("198.51.100.1", 6443),
        node=("198.51.100.2", 10250),
        beacons={"metadata": ("169.254.169.254", 80), "outside": ("203.0.113.1", 80)},
    )


def warmed(cluster: FakeCluster, warm_id: str = WARM) -> WarmEnvironment:
    """Make a warm environment and prove it."""
    spec = warm_spec(
        warm_id,
        until=datetime(2029, 1, 1, tzinfo=UTC),
        probe_image=SPEC.probe_image,
        recorder=SPEC.recorder,
        load_source=SPEC.load_source,
    )
    apply_environment(cluster, spec, recorder_token="unclaimed")
    proof = prove_isolation(
        cluster,
        spec,
        targets=targets_of(spec),
        clock=FixedClock(NOW),
        pause=no_pause,
    )
    assert proof.holds
    return WarmEnvironment(spec, proof)


@pytest.fixture(name="cluster")
def _cluster() -> FakeCluster:
    return FakeCluster()


def proven(
    cluster: FakeCluster, idle: WarmEnvironment, spec: EnvironmentSpec
) -> IsolationProof:
    """Prove what a claim has changed."""
    return idle.prove(
        cluster,
        spec,
        targets=targets_of(spec),
        clock=FixedClock(NOW),
        pause=no_pause,
    )


def claimed(
    cluster: FakeCluster, idle: WarmEnvironment, spec: EnvironmentSpec = SPEC
) -> EnvironmentSpec:
    """Claim the one that is warm and apply the trial's rule on top."""
    found = claim(cluster, spec, [idle.spec.warm])
    assert found is not None
    take_over(cluster, found, idle.spec, recorder_token="t")
    return found


def test_a_claim_is_what_a_new_environment_would_be(cluster: FakeCluster) -> None:
    """Claimed, an environment differs in nothing but its name from one made anew."""
    spec = claimed(cluster, warmed(cluster))
    assert (spec.trial_id, spec.namespace) == ("ride-1", HOME.name)
    assert find_drift(cluster, spec, shape="ready", at=NOW).findings == ()
    assert unclaimed(cluster) == []


def test_nothing_but_the_proof_starts_before_a_claim(cluster: FakeCluster) -> None:
    """Its parameters allow one image; once claimed, those of the decision besides."""
    probe = SPEC.probe_image.partition("@")[2]
    warmed(cluster)
    params = cluster.get(ObjectRef("v1", "ConfigMap", HOME.name, "trial-params"))
    assert params is not None
    assert params["data"]["images"] == probe
    claimed(cluster, warmed(cluster))
    params = cluster.get(ObjectRef("v1", "ConfigMap", HOME.name, "trial-params"))
    assert params is not None
    allowed = {*SPEC.images.values(), probe}
    assert params["data"]["images"].split() == sorted(allowed)


def test_two_trials_never_get_the_same_one(cluster: FakeCluster) -> None:
    """The first claims it; the second is told that none is left."""
    idle = warmed(cluster)
    assert claim(cluster, SPEC, [WARM]) is not None
    assert claim(cluster, environment_spec("ride-2"), [WARM]) is None
    assert namespace_of(cluster, "ride-1") == HOME.name
    assert namespace_of(cluster, "ride-2") == "trial-ride-2"
    assert idle.spec.warm == WARM


class Contested(FakeCluster):
    """Someone changes a namespace between the look and the claim, once."""

    is_contested = False

    def apply(self, objects, *, owner, dry_run=False):  # type: ignore[no-untyped-def]
        """Let another trial be quicker."""
        if self.is_contested and "resourceVersion" in objects[0]["metadata"]:
            self.is_contested = False
            other = environment_spec("quick")
            assert claim(self, other, unclaimed(self)) is not None
        return super().apply(objects, owner=owner, dry_run=dry_run)


def test_a_contested_claim_takes_the_next(cluster: FakeCluster) -> None:
    """Who is second with a claim takes another environment."""
    contested = Contested()
    first, second = warmed(contested, "warm-1"), warmed(contested, "warm-2")
    contested.is_contested = True
    names = [first.spec.warm, second.spec.warm]
    found = claim(contested, SPEC, names)
    assert found is not None and found.warm == "warm-2"
    assert namespace_of(contested, "quick") == "trial-warm-1"


def test_a_trial_has_one_environment(cluster: FakeCluster) -> None:
    """A trial that has an environment claims none, however often it asks."""
    warmed(cluster)
    apply_environment(cluster, SPEC, recorder_token="t")
    assert claim(cluster, SPEC, [WARM]) is None
    assert unclaimed(cluster) == [WARM]


def test_an_expired_rule_claims_nothing(cluster: FakeCluster) -> None:
    """A temporary rule that has ended opens nothing, warm or not."""
    warmed(cluster)
    late = environment_spec(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(InputError, match="ended at"):
        claim(cluster, late, [WARM])
    assert unclaimed(cluster) == [WARM]


def ways(count: int) -> SystemNeeds:
    needs = [
        IngressNeed.model_validate({"from": "load-source", "to": f"s{n}", "port": 80})
        for n in range(count)
    ]
    return SystemNeeds(ingress=tuple(needs), limits=LIMITS)


def test_more_ways_in_than_it_has_room_for(cluster: FakeCluster) -> None:
    """A trial with too many ways in for a warm quota is left to be made anew."""
    warmed(cluster)
    assert claim(cluster, environment_spec(needs=ways(17)), [WARM]) is None
    assert claim(cluster, environment_spec(needs=ways(16)), [WARM]) is not None


OUT = SystemNeeds(
    egress=(EgressNeed(cidr="93.184.215.0/24", port=443, why="prices"),),
    limits=LIMITS,
)
ELSEWHERE = RecorderEndpoint(host="198.51.100.9", http_port=4318, grpc_port=4317)


@pytest.mark.parametrize(
    ("changes", "stand"),
    [
        ({}, True),
        ({"needs": ways(3)}, True),
        ({"needs": OUT}, False),
        ({"recorder": ELSEWHERE}, False),
        ({"isolation_class": "N2"}, False),
    ],
    ids=["same", "ways-in", "a-way-out", "another-recorder", "another-class"],
)
def test_when_attempts_are_made_again(
    cluster: FakeCluster, changes: dict[str, object], stand: bool
) -> None:
    """Attempts of before a claim count only while every way out and every target stay
    the same.
    """
    idle = warmed(cluster)
    spec = environment_spec(warm=WARM, **changes)
    assert idle.attempts_stand(spec, targets_of(spec)) is stand
    failed = idle._replace(proof=idle.proof.model_copy(update={"holds": False}))
    assert not failed.attempts_stand(spec, targets_of(spec))


def test_what_changed_is_proven_again(cluster: FakeCluster) -> None:
    """The proof of a claim rests on the earlier attempts, says so, and asks for rights
    and admission anew.
    """
    idle = warmed(cluster)
    spec = claimed(cluster, idle)
    proof = proven(cluster, idle, spec)
    assert proof.holds and proof.warm == WARM and proof.trial_id == "ride-1"
    assert proof.attempts == idle.proof.attempts
    cluster.rights_of[HOME.name, "workload"] = ["get core/secrets"]
    worse = proven(cluster, idle, spec)
    assert worse.failures == ("The workload account may get core/secrets.",)


def test_a_way_out_is_tried_from_inside(cluster: FakeCluster) -> None:
    """Where the rule opens a way out, everything is tried again in the claimed one."""
    idle = warmed(cluster)
    spec = claimed(cluster, idle, environment_spec(needs=OUT))
    tried = len(cluster.writes)
    proof = proven(cluster, idle, spec)
    assert proof.holds and proof.warm == ""
    pods = {
        write.ref.name for write in cluster.writes[tried:] if write.ref.kind == "Pod"
    }
    assert pods == {"isolation-proof", "proof-ride-1"}


def test_a_claimed_environment_lives_and_ends_like_any(cluster: FakeCluster) -> None:
    """It is frozen, found by its expiry and removed without residue, by its trial."""
    idle = warmed(cluster)
    spec = claimed(cluster, idle)
    deploy_system(cluster, spec, system_manifests(), wait_s=1, pause=no_pause)
    assert located(cluster, SPEC) == spec
    report = freeze(cluster, "ride-1", pause=no_pause)
    assert (report.namespace, report.scaled) == (HOME.name, {"front": 1})
    assert expired_environments(cluster, at=spec.expires_at, grace_s=0) == ["ride-1"]
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert residue(cluster, "ride-1", namespace=HOME.name) == []
    assert cluster.get(HOME) is None


class Snatched(FakeCluster):
    """A trial claims a warm environment just before it would be deleted."""

    def delete(self, ref, **conditions):  # type: ignore[no-untyped-def]
        """Let the trial be quicker."""
        if ref == HOME and conditions.get("version"):
            assert claim(self, SPEC, [WARM]) is not None
        return super().delete(ref, **conditions)


def test_a_claim_wins_against_a_removal() -> None:
    """An environment that is claimed while the pool removes it stays the trial's."""
    cluster = Snatched()
    warmed(cluster)
    assert not discard(cluster, WARM)
    assert namespace_of(cluster, "ride-1") == HOME.name
    assert not discard(cluster, WARM)


def test_an_unclaimed_one_is_discarded(cluster: FakeCluster) -> None:
    """Nobody's environment goes, and what is not there is not removed."""
    warmed(cluster)
    assert discard(cluster, WARM) and cluster.get(HOME) is None
    assert not discard(cluster, WARM)


def test_an_unclaimed_one_expires(cluster: FakeCluster) -> None:
    """Nobody's environment ends at its own expiry, under its own id."""
    idle = warmed(cluster)
    found = expired_environments(cluster, at=idle.spec.expires_at, grace_s=0)
    assert found == [WARM]
    tear_down(cluster, WARM, wait_s=1, pause=no_pause)
    assert residue(cluster, WARM) == []


def test_claimed_then_stripped_of_its_label(cluster: FakeCluster) -> None:
    """One that lost its labels is still found by its uid, and labelled again."""
    spec = claimed(cluster, warmed(cluster))
    found = cluster.get(HOME)
    assert found is not None
    uid = found["metadata"]["uid"]
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME.name}}
    cluster.apply([bare], owner="someone")
    assert namespace_of(cluster, "ride-1") == "trial-ride-1"
    assert located(cluster, SPEC, uid=uid) == spec
    assert reclaim(cluster, "ride-1", uid=uid)
    assert namespace_of(cluster, "ride-1") == HOME.name
    assert freeze(cluster, "ride-1", pause=no_pause).namespace == HOME.name
    drift = find_drift(cluster, spec, shape="frozen", uid=uid, at=NOW)
    assert [item.object for item in drift.findings] == [f"Namespace {HOME.name}"]


class Twin(FakeCluster):
    """A second worker claims another environment for the same trial at that moment."""

    is_twinned = True

    def apply(self, objects, *, owner, dry_run=False):  # type: ignore[no-untyped-def]
        """Let both claims be made."""
        if self.is_twinned and "resourceVersion" in objects[0]["metadata"]:
            self.is_twinned = False
            twin = SPEC.model_copy(update={"warm": "warm-2"})
            home = environment_objects(twin, recorder_token="t")[:1]
            super().apply(home, owner="twin")
        return super().apply(objects, owner=owner, dry_run=dry_run)


def test_a_claim_beside_another_is_given_back() -> None:
    """Of two environments that two workers claim for one trial, one is given back."""
    cluster = Twin()
    warmed(cluster, "warm-1")
    warmed(cluster, "warm-2")
    assert claim(cluster, SPEC, ["warm-1"]) is None
    assert namespace_of(cluster, "ride-1") == "trial-warm-2"
    assert cluster.get(ObjectRef("v1", "Namespace", "", "trial-warm-1")) is None


def test_a_namesake_hides_nothing(cluster: FakeCluster) -> None:
    """A namespace that bears the trial's name and is someone else's is left alone, and
    the trial's own is frozen and removed all the same.
    """
    spec = claimed(cluster, warmed(cluster))
    deploy_system(cluster, spec, system_manifests(), wait_s=1, pause=no_pause)
    name = "trial-ride-1"
    namesake = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    cluster.apply([namesake], owner="someone")
    assert located(cluster, SPEC) == spec
    assert freeze(cluster, "ride-1", pause=no_pause).scaled == {"front": 1}
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert cluster.get(HOME) is None
    assert cluster.get(ObjectRef("v1", "Namespace", "", name)) is not None


def test_a_freeze_of_what_nobody_finds_is_no_freeze(cluster: FakeCluster) -> None:
    """Without labels and without a uid, a trial's environment is not taken for gone."""
    claimed(cluster, warmed(cluster))
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME.name}}
    cluster.apply([bare], owner="someone")
    with pytest.raises(IsolationError, match=HOME.name):
        freeze(cluster, "ride-1", pause=no_pause)


def thing(kind: str) -> KubernetesObject:
    """Return something that has no place in an empty environment."""
    item: KubernetesObject = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "lurking", "namespace": HOME.name},
    }
    containers = [{"name": "c", "image": SPEC.probe_image}]
    return item | ({"spec": {"containers": containers}} if kind == "Pod" else {})


@pytest.mark.parametrize("kind", ["Pod", "Service", "ConfigMap"])
def test_what_is_not_empty_is_not_claimed(cluster: FakeCluster, kind: str) -> None:
    """With something in it that could run, an environment is passed over."""
    spec = warmed(cluster).spec
    assert contents(cluster, spec.namespace) == []
    cluster.apply([thing(kind)], owner="someone")
    assert claim(cluster, SPEC, [WARM]) is None
    assert contents(cluster, spec.namespace) == [f"{kind} {HOME.name}/lurking"]
    assert unclaimed(cluster) == [WARM]


def test_a_claim_needs_the_platform(cluster: FakeCluster) -> None:
    """A guard of the cluster that is gone is there again when a trial is opened."""
    warmed(cluster)
    guard = ObjectRef(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        "",
        "regulatory-sandbox-pods",
    )
    assert cluster.delete(guard)
    assert claim(cluster, SPEC, [WARM]) is not None
    assert cluster.get(guard) is not None


class Lagging(FakeCluster):
    """Admission that goes on with what it knew, for some looks."""

    looks = 0
    is_open = False
    """Whether it lets every image in afterwards."""

    def apply(self, objects, *, owner, dry_run=False):  # type: ignore[no-untyped-def]
        """Refuse pods while it lags."""
        is_proof = dry_run and objects[0]["metadata"]["name"] == "admission-proof"
        if is_proof and self.looks > 0:
            self.looks -= 1
            raise ClusterError("not pinned by a digest the decision allows", status=422)
        if is_proof and self.is_open:
            return []
        return super().apply(objects, owner=owner, dry_run=dry_run)


@pytest.mark.parametrize(("looks", "is_known"), [(3, True), (10**6, False)])
def test_admission_is_waited_for(looks: int, is_known: bool) -> None:
    """Ready is said once admission knows the decision's images, and not before."""
    cluster = Lagging()
    idle = warmed(cluster)
    spec = claimed(cluster, idle)
    cluster.looks = looks
    if is_known:
        assert proven(cluster, idle, spec).holds
    else:
        with pytest.raises(IsolationError, match="refuses the images"):
            proven(cluster, idle, spec)


def test_admission_is_tried_after_a_claim() -> None:
    """A claim in a cluster that admits any image does not hold."""
    cluster = Lagging()
    idle = warmed(cluster)
    spec = claimed(cluster, idle)
    cluster.is_open = True
    proof = proven(cluster, idle, spec)
    assert not proof.holds
    assert "Admission does not refuse" in "".join(proof.failures)


def test_two_workers_on_one_trial(cluster: FakeCluster) -> None:
    """Where two workers opened one trial at once, one environment of the two stays."""
    first, second = warmed(cluster, "warm-1"), warmed(cluster, "warm-2")
    assert claim(cluster, SPEC, ["warm-1"]) is not None
    twin = SPEC.model_copy(update={"warm": "warm-2"})
    cluster.apply(environment_objects(twin, recorder_token="t")[:1], owner="twin")
    report = freeze(cluster, "ride-1", pause=no_pause)
    assert report.namespace == first.spec.namespace
    tear_down(cluster, "ride-1", wait_s=1, pause=no_pause)
    assert residue(cluster, "ride-1", namespace=first.spec.namespace) == []
    assert residue(cluster, "ride-1", namespace=second.spec.namespace) == []
