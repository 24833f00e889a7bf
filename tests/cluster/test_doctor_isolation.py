"""The doctor tells a cluster that isolates from one that does not.

The second node of this module loses its policy agent, then also the rules that hand
packets to it: once nothing passes, once everything does.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.examination import Examination, Place, examine_isolation
from sandbox.examination.throwaway import DOCTOR
from sandbox.local import down, find_tracked, up
from sandbox.local.commands import attempt
from sandbox.local.enclosure import inside
from sandbox.ports import ObjectRef

LEFT_OVER = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "sandbox-doctor-killed-open",
        "labels": {
            "app.kubernetes.io/managed-by": "regulatory-sandbox",
            DOCTOR: "killed",
        },
    },
}
BESIDE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "sandbox-doctor-of-others"},
}


def examined(servers, cluster, **asked):
    """Return the checks by their id."""
    image = servers.image("agnhost")
    place = Place(cluster, image=image, tag="test", pause=time.sleep)
    usual = {"starts": 6, "watch_s": 10.0, "beacons": servers.beacons}
    examination = Examination(now=SystemClock().now(), **{**usual, **asked})
    return {check.id: check for check in examine_isolation(place, examination)}


def doctor_namespaces(cluster):
    return cluster.find("v1", "Namespace", labels=DOCTOR)


def test_a_node_that_isolates(servers, cluster):
    """Nothing is wrong, what was tried is told with figures, and nothing is left.

    What an earlier run left is removed too; a namespace that only sounds like ours is
    not touched.
    """
    cluster.apply([LEFT_OVER, BESIDE], owner="regulatory-sandbox")
    found = examined(servers, cluster)
    told = {id_: check.ok for id_, check in found.items()}
    assert told.pop("isolation.ipv6") is None
    assert told.pop("isolation.established-cut") in (True, None)
    assert set(told.values()) == {True}, told
    first = found["isolation.first-packet"].figures
    assert first["starts"] == 6
    assert first["got_through"] == 0
    assert first["controls_through"] == first["controls"] > 0
    assert found["isolation.established-cut"].figures["watched_s"] == 10
    assert found["isolation.deletion-cuts"].figures["deleted_s"] <= 3
    assert doctor_namespaces(cluster) == []
    beside = ObjectRef("v1", "Namespace", "", BESIDE["metadata"]["name"])
    assert cluster.delete(beside)


@pytest.fixture(name="weak", scope="module")
def _weak(make_settings):
    """A node whose policy agent was killed."""
    settings = make_settings("weak")
    servers = up(settings, progress=lambda stage, what: None, temporal=False)
    agent = find_tracked(settings, "kube-network-policies")
    os.kill(agent.pid, signal.SIGKILL)
    yield settings, servers
    down(settings, progress=lambda stage, what: None)


def asked_of(settings, servers, monkeypatch):
    """Run the command on a named context; return its exit code and checks by id."""
    command = [sys.executable, "-m", "workflows.cli", "doctor", "isolation"]
    options = ["--home", str(settings.home), "--output", "json"]
    options += ["--context", servers.context, "--image", servers.image("agnhost")]
    options += ["--starts", "4", "--wait", "10"]
    monkeypatch.setenv("SANDBOX_KUBECONFIG", str(servers.kubeconfig))
    ran = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.stdout, ran.stderr
    return ran.returncode, {check["id"]: check for check in json.loads(ran.stdout)}


def cluster_of(servers):
    return KubernetesCluster.from_kubeconfig(servers.kubeconfig, servers.context)


def test_a_node_whose_policy_agent_is_gone(weak, monkeypatch):
    """Nothing passes, and that is not taken for isolation: it is told as it is."""
    code, found = asked_of(*weak, monkeypatch)
    assert code == 1
    assert found["isolation.control"]["ok"] is False
    assert "policy agent does not run" in found["isolation.control"]["what"]
    assert found["isolation.policy-enforced"]["ok"] is None
    assert doctor_namespaces(cluster_of(weak[1])) == []


def test_a_node_that_enforces_nothing(weak, monkeypatch):
    """Where no rule hands packets to an agent, every promise that breaks is named."""
    settings, servers = weak
    enter = inside(find_tracked(settings, "node"))
    for table in ("mangle", "filter"):
        attempt([*enter, "iptables-nft", "-w", "-t", table, "-F"])
    attempt([*enter, "nft", "delete", "table", "inet", "kube-network-policies"])
    code, found = asked_of(settings, servers, monkeypatch)
    assert code == 1
    assert found["isolation.control"]["ok"] is True, "the control: pods do connect"
    for id_ in ("policy-enforced", "ingress", "metadata", "api-server", "node"):
        assert found[f"isolation.{id_}"]["ok"] is False
        assert "in spite of the policy" in found[f"isolation.{id_}"]["what"]
    assert found["isolation.first-packet"]["ok"] is False
    assert found["isolation.first-packet"]["figures"]["got_through"] == 4
    assert found["isolation.takes-hold"]["ok"] is False
    assert found["isolation.deletion-cuts"]["ok"] is True
    assert doctor_namespaces(cluster_of(servers)) == []
