"""The isolation proof: what it tries, and what it takes for a promise kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sandbox.environment import (
    apply_environment,
    apply_platform,
    freeze,
    proof_targets,
    prove_isolation,
    standard_targets,
)
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.trial import IsolationProof, ProofTarget
from sandbox.ports import Applied, KubernetesObject
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster, Outcome
from sandbox.testing.environment import environment_spec

SPEC = environment_spec()
BEACONS = {"metadata": ("169.254.169.254", 80), "outside": ("203.0.113.9", 8480)}


def no_pause(seconds: float) -> None:
    """Wait in no time."""


def prove(
    cluster: FakeCluster, targets: list[ProofTarget] | None = None
) -> IsolationProof:
    wanted = targets
    if wanted is None:
        wanted = list(standard_targets(cluster, SPEC, beacons=BEACONS))
    return prove_isolation(
        cluster, SPEC, targets=wanted, clock=FixedClock(), pause=no_pause
    )


def opened(cluster: FakeCluster) -> FakeCluster:
    apply_environment(cluster, SPEC, recorder_token="t")
    return cluster


def test_holds() -> None:
    """An environment with its policies is proven: eight attempts, six controls."""
    proof = prove(opened(FakeCluster()))
    assert proof.holds and proof.policy_enforced
    assert proof.failures == ()
    inside = {a.target.name: a.outcome for a in proof.attempts if a.origin == "trial"}
    assert inside == {
        "metadata": "blocked",
        "api-server": "blocked",
        "api-endpoint": "blocked",
        "node": "blocked",
        "neighbour": "blocked",
        "outside": "blocked",
        "dns": "reached",
        "recorder": "reached",
    }
    controls = {a.target.name for a in proof.attempts if a.origin == "control"}
    assert controls == {n for n, outcome in inside.items() if outcome == "blocked"}


def test_standard_targets() -> None:
    """The standard targets are the addresses the cluster itself tells."""
    targets = {
        target.name: (target.host, target.port)
        for target in standard_targets(FakeCluster(), SPEC, beacons=BEACONS)
    }
    assert targets["api-server"] == ("10.96.0.1", 443)
    assert targets["api-endpoint"] == ("192.0.2.2", 6443)
    assert targets["node"] == ("192.0.2.2", 10250)
    assert targets["recorder"] == ("198.51.100.7", 4318)


def test_without_beacons() -> None:
    """Without beacons, metadata needs no control and no outside is invented."""
    targets = proof_targets(
        SPEC,
        api_server=("10.96.0.1", 443),
        api_endpoint=("192.0.2.2", 6443),
        node=("192.0.2.2", 10250),
        beacons={},
    )
    by_name = {target.name: target for target in targets}
    assert not by_name["metadata"].controlled
    assert by_name["node"].controlled
    assert "outside" not in by_name


def test_unpoliced_cluster() -> None:
    """Where policies are not enforced, the proof fails for every way out."""

    def all_open(namespace: str, host: str, port: int) -> Outcome:
        return "reached"

    proof = prove(opened(FakeCluster(all_open)))
    assert not proof.holds and not proof.policy_enforced
    assert len(proof.failures) == 6
    assert "metadata at 169.254.169.254 port 80 must be blocked" in proof.failures[0]


def test_dead_target() -> None:
    """A silence the control shares proves nothing."""

    def node_is_down(namespace: str, host: str, port: int) -> Outcome:
        if port == 10250 or namespace == "trial-ride-1":
            return "reached" if port in (53, 4318) else "blocked"
        return "reached"

    proof = prove(opened(FakeCluster(node_is_down)))
    assert not proof.holds
    (failure,) = proof.failures
    assert "control did not reach node" in failure


def test_error_is_no_isolation() -> None:
    """An attempt that failed for another reason does not count as blocked."""

    def no_names(namespace: str, host: str, port: int) -> Outcome:
        inside = namespace == "trial-ride-1"
        return "error" if inside and port == 443 else "reached"

    target = ProofTarget(
        name="api-server", host="10.96.0.1", port=443, expect="blocked"
    )
    proof = prove(opened(FakeCluster(no_names)), [target])
    assert not proof.holds
    assert "was error: DNS" in proof.failures[0]


def test_blind_environment() -> None:
    """An environment that cannot reach its recorder is not ready either."""
    cluster = opened(FakeCluster())
    freeze(cluster, "ride-1", pause=no_pause)
    proof = prove(cluster)
    assert [failure.split(" at ")[0] for failure in proof.failures] == [
        "From inside, dns",
        "From inside, recorder",
    ]


def test_rights() -> None:
    """A workload account with any right is a failure that names the right."""
    cluster = opened(FakeCluster())
    cluster.rights_of["trial-ride-1", "workload"] = ["get core/secrets"]
    proof = prove(cluster)
    assert not proof.holds
    assert proof.workload_rights == ("get core/secrets",)
    assert proof.failures == ("The workload account may get core/secrets.",)


class Lenient(FakeCluster):
    """A cluster whose admission lets everything in."""

    def apply(
        self, objects: list[KubernetesObject], *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        """Admit pods without a look at their image."""
        if dry_run and objects[0]["metadata"]["name"] == "admission-proof":
            return []
        return super().apply(objects, owner=owner, dry_run=dry_run)


def test_admission() -> None:
    """Admission that lets a foreign image in breaks the proof."""
    proof = prove(opened(Lenient()))
    assert not proof.holds and not proof.policy_enforced
    assert proof.failures == (
        "Admission does not refuse an image outside the decision.",
    )


def test_nothing_tried() -> None:
    """A proof without attempts does not hold."""
    proof = prove(opened(FakeCluster()), [])
    assert not proof.holds


def test_no_probe_image() -> None:
    """Without the probe's image there is no proof, and the error says what to add."""
    cluster = FakeCluster()
    spec = environment_spec(images={"web": "sha256:" + "b" * 64})
    apply_environment(cluster, spec, recorder_token="t")
    with pytest.raises(IsolationError, match="agnhost"):
        prove_isolation(cluster, spec, targets=[], clock=FixedClock(), pause=no_pause)


def test_probes_are_removed() -> None:
    """No probe is left after a proof, and a proof can be made again."""
    cluster = opened(FakeCluster())
    prove(cluster)
    assert cluster.find("v1", "Pod", labels="regulatory-sandbox/part=proof") == []
    assert prove(cluster).holds


class Stuck(FakeCluster):
    """A cluster that lacks the probe's image."""

    def get(self, ref: object) -> KubernetesObject | None:
        """Return probe pods as waiting for their image."""
        item = super().get(ref)  # type: ignore[arg-type]
        if item is not None and item["kind"] == "Pod":
            for status in item["status"]["containerStatuses"]:
                status["state"] = {"waiting": {"reason": "ErrImageNeverPull"}}
        return item


def test_probe_cannot_start() -> None:
    """A probe that cannot start is named at once, and does not stay."""
    cluster = opened(Stuck())
    with pytest.raises(IsolationError, match="ErrImageNeverPull"):
        prove(cluster)
    assert cluster.find("v1", "Pod", labels="regulatory-sandbox/part=proof") == []


def test_neighbour_stays() -> None:
    """The neighbour is no trial's own: it is shared, and survives the proof."""
    cluster = FakeCluster()
    apply_platform(cluster)
    prove(opened(cluster))
    found = cluster.find("apps/v1", "Deployment", namespace="sandbox-control")
    assert len(found) == 1
    assert "regulatory-sandbox/trial" not in found[0]["metadata"]["labels"]


class Forgetful(FakeCluster):
    """A cluster whose API server no longer finds the parameters of its policies."""

    def apply(
        self,
        objects: Sequence[KubernetesObject],
        *,
        owner: str,
        dry_run: bool = False,
    ) -> list[Applied]:
        """Refuse every pod for want of parameters."""
        if any(item["kind"] == "Pod" for item in objects):
            raise ClusterError(
                "regulatory-sandbox-decision: no params found", status=422
            )
        return super().apply(objects, owner=owner, dry_run=dry_run)


def test_an_api_server_that_lost_its_parameters() -> None:
    """Where admission finds no parameters any more, the error says what helps."""
    with pytest.raises(IsolationError, match="restart it"):
        prove(opened(Forgetful()))
