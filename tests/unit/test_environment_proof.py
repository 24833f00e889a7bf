"""The isolation proof: what it tries, and what it takes for a promise kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

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
from sandbox.ports import Applied, KubernetesObject, ObjectRef
from sandbox.testing.clock import FixedClock
from sandbox.testing.cluster import FakeCluster, Outcome
from sandbox.testing.environment import environment_spec

SPEC = environment_spec()
CONTROL = "sandbox-control"
ENDED: dict[str, Any] = {"terminated": {"exitCode": 0}}
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
    """Without this product's image there is no proof, and the error says what to do."""
    cluster = FakeCluster()
    spec = environment_spec(probe_image="")
    apply_environment(cluster, spec, recorder_token="t")
    with pytest.raises(IsolationError, match="SANDBOX_IMAGES with regulatory-sandbox"):
        prove_isolation(cluster, spec, targets=[], clock=FixedClock(), pause=no_pause)


def test_probes_are_removed() -> None:
    """No probe is left after a proof, and a proof can be made again."""
    cluster = opened(FakeCluster())
    prove(cluster)
    assert cluster.find("v1", "Pod", labels="regulatory-sandbox/part=proof") == []
    assert prove(cluster).holds


class Kubelet(FakeCluster):
    """A cluster whose kubelet says something else of the trial's probe.

    Args:
        state: State of its container; None has the kubelet say nothing.
        printed: What it prints; None prints the report.
    """

    def __init__(
        self, state: dict[str, Any] | None = ENDED, printed: str | None = None
    ) -> None:
        super().__init__()
        self.state, self.said = state, printed

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """Return the probe in that state."""
        item = super().get(ref)
        if item is not None and ref.name == "isolation-proof":
            said = [{"name": "attempts", "state": self.state}]
            item["status"]["containerStatuses"] = said if self.state else []
        return item

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Return what the probe is said to have printed."""
        whole = super().logs(namespace, pod, container)
        return self.said if self.said is not None and namespace != CONTROL else whole


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "ImagePullBackOff"])
def test_probe_cannot_start(reason: str) -> None:
    """A probe that cannot start is named at once, and does not stay."""
    cluster = opened(Kubelet({"waiting": {"reason": reason}}))
    with pytest.raises(IsolationError, match=f"cannot start: {reason}"):
        prove(cluster)
    assert cluster.find("v1", "Pod", labels="regulatory-sandbox/part=proof") == []


def test_a_report_counts_before_the_end_is_told() -> None:
    """A whole report is taken from a container that is said to run still; one that the
    kubelet says nothing of has no report, and the wait for it ends in words.
    """
    assert prove(opened(Kubelet({"running": {}}))).holds
    with pytest.raises(IsolationError, match="isolation-proof has not started"):
        prove(opened(Kubelet(None)))


def report() -> dict[str, Any]:
    """Return what the probe of the trial prints, as data."""
    cluster = FakeCluster()
    prove(opened(cluster))
    whole = cluster.printed["trial-ride-1", "isolation-proof", "attempts"]
    found: dict[str, Any] = json.loads(whole)
    return found


def prove_reported(document: Any, end: str = "\n") -> IsolationProof:
    """Return the proof of an environment whose probe prints this."""
    return prove(opened(Kubelet(ENDED, json.dumps(document) + end)))


def test_the_whole_report_is_a_proof() -> None:
    """The control of the next tests: what the probe prints, unchanged, is a proof."""
    assert prove_reported(report()).holds


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text[: len(text) // 2],
        lambda text: text[: len(text) // 2] + "\n",
        lambda text: text + text,
        lambda text: "warning\n" + text,
        lambda text: text.replace('"said"', '"outcome"'),
        lambda text: text.replace('"kernel"', '"more": 1, "kernel"'),
        lambda text: "Traceback (most recent call last):\n  …\nMemoryError\n",
    ],
)
def test_what_is_no_whole_report_proves_nothing(damage: Callable[[str], str]) -> None:
    """A container that ended with anything but one whole report is an error, which
    tells what it printed; nothing of it counts.
    """
    printed = damage(json.dumps(report()) + "\n")
    with pytest.raises(IsolationError, match="ended without a report") as caught:
        prove(opened(Kubelet(ENDED, printed)))
    assert printed.split("\n")[0][:40] in caught.value.diagnosis


def test_a_report_that_is_cut_is_waited_for() -> None:
    """While the container runs, half a report is no answer, neither good nor bad."""
    half = json.dumps(report())
    with pytest.raises(IsolationError, match="has printed no whole report"):
        prove(opened(Kubelet({"running": {}}, half)))


@pytest.mark.parametrize(
    "changes",
    [{"name": "other"}, {"host": "192.0.2.99"}, {"port": 1}],
)
def test_an_attempt_at_another_address_is_none(changes: dict[str, Any]) -> None:
    """What is reported of another name, host or port says nothing about the target."""
    document = report()
    document["attempts"][0] |= changes
    proof = prove_reported(document)
    assert [item.outcome for item in proof.attempts[:2]] == ["error", "blocked"]
    assert "the pod does not report it" in proof.failures[0]
    assert not proof.holds and not proof.policy_enforced


def test_no_attempt_is_left_out() -> None:
    """A report without one of its attempts is no proof."""
    document = report()
    document["attempts"].pop()
    proof = prove_reported(document)
    assert not proof.holds
    assert "recorder" in proof.failures[0]


@pytest.mark.parametrize(
    ("said", "outcome", "detail"),
    [
        ("TIMEOUT", "blocked", "TIMEOUT"),
        ("REFUSED", "blocked", "REFUSED"),
        ("UNREACHABLE: No route to host", "blocked", "UNREACHABLE: No route to host"),
        ("CONNECTED", "reached", "connected"),
        ("CONNECTED, almost", "error", "CONNECTED, almost"),
        ("DNS: no such host", "error", "DNS: no such host"),
        ("ERROR: Connection reset by peer", "error", "ERROR: Connection reset by peer"),
        ("", "error", ""),
    ],
)
def test_what_is_said_of_an_attempt(said: str, outcome: str, detail: str) -> None:
    """Only a time-out, a refusal and an unreachable network are blocked."""
    document = report()
    document["attempts"][0]["said"] = said
    proof = prove_reported(document)
    assert (proof.attempts[0].outcome, proof.attempts[0].detail) == (outcome, detail)
    assert proof.holds == (outcome == "blocked")


def test_the_instants_are_those_of_the_pod() -> None:
    """An attempt is recorded with the instants that its pod tells."""
    document = report()
    document["attempts"][0] |= {
        "started_at": "2026-05-01T12:00:00.250001Z",
        "finished_at": "2026-05-01T12:00:01.750002Z",
    }
    first = prove_reported(document).attempts[0]
    assert first.finished_at - first.started_at == timedelta(
        seconds=1, milliseconds=500, microseconds=1
    )


class Late(FakeCluster):
    """A cluster in which a log is there only once it was asked for before."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Return nothing the first time."""
        whole = super().logs(namespace, pod, container)
        is_first = namespace not in self.asked
        self.asked.add(namespace)
        return "" if is_first else whole


def test_the_last_of_a_log_may_come_late() -> None:
    """A container that has ended is asked once more for what it printed."""
    assert prove(opened(Late())).holds


class Replacing(FakeCluster):
    """A cluster in which somebody puts another pod in the place of the probe."""

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Replace the pod once its log was asked for."""
        place = ObjectRef("v1", "Pod", namespace, pod)
        there = self.get(place)
        assert there is not None
        self.delete(place)
        for key in ("uid", "resourceVersion"):
            del there["metadata"][key]
        self.apply([there], owner="somebody")
        return super().logs(namespace, pod, container)


def test_a_report_of_another_pod() -> None:
    """What another pod of the same name prints is not taken for the probe's."""
    with pytest.raises(IsolationError, match="removed or replaced"):
        prove(opened(Replacing()))


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
