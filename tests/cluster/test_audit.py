"""A real API server writes down who changed what, and never what a Secret holds."""

import time

import pytest

from sandbox.adapters.audit_log import FileAuditLog
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment.waiting import wait_until
from sandbox.ports import ObjectRef

PLACE = "audited"
SECRET = "not-to-be-written-down"


def thing(kind, name, **fields):
    metadata = {"name": name, "namespace": PLACE}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


@pytest.fixture(name="eve", scope="module")
def _eve(servers, make_kubeconfig):
    """Another administrator than the one this suite works as."""
    file = make_kubeconfig(servers, "eve", "system:masters")
    return KubernetesCluster.from_kubeconfig(file, servers.context)


@pytest.fixture(name="place", scope="module", autouse=True)
def _place(cluster):
    namespace = ObjectRef("v1", "Namespace", "", PLACE)
    item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}
    cluster.apply([item], owner="test")
    yield
    cluster.delete(namespace)


def changed_by(servers, ref, user):
    """Wait for the line: it is written when the answer is on its way."""
    log = FileAuditLog(servers.audit_log)
    found = []

    def missing():
        author = log.last_change(ref)
        found[:] = [author]
        return [] if author and author.user == user else ["not yet"]

    assert wait_until(missing, wait_s=10, pause=time.sleep) == [], found
    return found[0]


def test_a_change_and_a_deletion_are_somebodys(cluster, eve, servers):
    """Made by one administrator, changed and deleted by another."""
    ref = ObjectRef("v1", "ConfigMap", PLACE, "settings")
    cluster.apply([thing("ConfigMap", "settings", data={"a": "1"})], owner="test")
    first = changed_by(servers, ref, "admin")
    eve.apply([thing("ConfigMap", "settings", data={"b": "2"})], owner="eve")
    second = changed_by(servers, ref, "eve")
    assert (first.verb, second.verb) == ("patch", "patch")
    assert second.at > first.at and second.agent

    cluster.delete(ref)
    assert changed_by(servers, ref, "admin").verb == "delete"


def test_a_dry_run_is_no_change(cluster, eve, servers):
    """Asking what would be leaves the object with who really changed it."""
    ref = ObjectRef("v1", "ConfigMap", PLACE, "asked")
    eve.apply([thing("ConfigMap", "asked", data={"a": "1"})], owner="eve")
    changed_by(servers, ref, "eve")
    item = thing("ConfigMap", "asked", data={"c": "2"})
    cluster.apply([item], owner="test", dry_run=True)
    last = ObjectRef("v1", "ConfigMap", PLACE, "last")
    cluster.apply([thing("ConfigMap", "last")], owner="test")
    changed_by(servers, last, "admin")
    assert FileAuditLog(servers.audit_log).last_change(ref).user == "eve"


def test_what_a_secret_holds_is_not_written_down(cluster, servers):
    """Who wrote it is; its content is not, as text or encoded."""
    ref = ObjectRef("v1", "Secret", PLACE, "token")
    cluster.apply([thing("Secret", "token", stringData={"t": SECRET})], owner="test")
    changed_by(servers, ref, "admin")
    text = servers.audit_log.read_text()
    stored = cluster.get(ref)["data"]["t"]
    assert f"{PLACE}/secrets/token" in text
    assert SECRET not in text and stored not in text


def test_only_its_owner_reads_the_log(servers):
    """It names people."""
    assert servers.audit_log.stat().st_mode & 0o077 == 0
