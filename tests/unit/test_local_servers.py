"""What can be said about the servers without starting any."""

import os
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from sandbox.errors import LocalError
from sandbox.local import (
    LocalServers,
    cgroups,
    describe,
    doctor,
    down,
    enclosure,
    spawn,
)
from sandbox.local import servers as local_servers
from sandbox.local.beacon import listener
from sandbox.settings import Settings

_V1 = """29 28 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
30 29 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
31 29 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 29 0:28 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
33 29 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 29 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
_V2 = "29 28 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture(name="settings")
def _settings(tmp_path):
    return Settings(home=tmp_path / "home", servers=None, context="", temporal="")


def _silent(stage, what):
    pass


def test_version_one_is_used_where_it_has_the_controllers():
    """Hybrid machines are served by version 1; its hierarchies carry their names."""
    found = cgroups.hierarchies(_V1)
    assert found["memory"] == Path("/sys/fs/cgroup/memory")
    assert found["cpu,cpuacct"] == Path("/sys/fs/cgroup/cpu")
    assert found["name=systemd"] == Path("/sys/fs/cgroup/systemd")
    assert "" not in found


def test_version_two_is_used_where_it_is_alone():
    """A unified machine has one hierarchy."""
    assert cgroups.hierarchies(_V2) == {"": Path("/sys/fs/cgroup")}


def test_paths_under_covered_places_stay_visible():
    """A home under /var/lib is bound back; one elsewhere needs nothing."""
    paths = [Path("/var/lib/trials"), Path("/srv/trials"), Path("/var/library")]
    assert enclosure._kept(paths) == [Path("/var/lib/trials")]
    script = enclosure._script([Path("/var/lib/a b")], Path("/x"))
    assert "exec 3<'/var/lib/a b'" in script
    assert "mount --no-canonicalize --bind /proc/self/fd/3 '/var/lib/a b'" in script


def test_down_on_an_empty_home_does_nothing(settings):
    """Down is idempotent, also where nothing ever ran."""
    assert down(settings, progress=_silent) == []
    assert describe(settings) is None


def test_a_node_without_root_is_refused_with_a_way_out(settings, monkeypatch):
    """The refusal names root and `--context`; nothing was started."""
    monkeypatch.setattr(local_servers.os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="needs root") as caught:
        local_servers.up(settings, progress=_silent, temporal=False)
    assert "--context NAME" in caught.value.diagnosis
    assert local_servers.status(settings) == []


def test_facts_of_dead_servers_are_not_told(settings):
    """What was recorded before a crash is not described as running."""
    recorded = LocalServers(
        temporal_address="127.0.0.1:1",
        kubeconfig=settings.home / "kubeconfig",
        node_address="198.18.0.2",
    )
    local_servers.layout_of(settings)
    (settings.home / "servers.json").write_text(recorded.model_dump_json())
    assert describe(settings) is None


def test_an_unknown_image_is_refused_with_what_there_is(settings):
    """Asking for an image that the node lacks lists those it has."""
    servers = LocalServers(
        kubeconfig=settings.home / "k", images={"hotrod": "sha256:" + "1" * 64}
    )
    assert servers.image("hotrod") == "localhost/hotrod@sha256:" + "1" * 64
    with pytest.raises(LocalError, match="it holds hotrod"):
        servers.image("nginx")


def test_every_check_has_a_name_and_every_failure_a_remedy(settings):
    """Identifiers are stable and unique; what is wrong says what to do."""
    found = doctor.checks(settings)
    ids = [check.id for check in found]
    assert len(set(ids)) == len(ids)
    expected = {
        "machine.root",
        "machine.netns",
        "machine.cgroup",
        "machine.nft-queue",
        "machine.br-netfilter",
        "binary.runc",
        "binary.nft",
        "binary.iptables",
        "binary.conntrack",
        "go.toolchain",
        "disk.space",
        "kubernetes.node",
        "temporal.server",
    }
    assert expected <= set(ids)
    assert all(check.remedy for check in found if check.ok is False)


def test_without_root_nothing_is_tried_and_a_cluster_is_offered(settings, monkeypatch):
    """What only root can try is unknown, not wrong."""
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 1000)
    by_id = {check.id: check for check in doctor.checks(settings)}
    assert by_id["machine.root"].ok is False
    assert "--context" in by_id["machine.root"].remedy
    assert by_id["machine.netns"].ok is None


def test_a_missing_program_names_its_package(settings, monkeypatch):
    """A machine without runc is told which package brings it."""
    monkeypatch.setattr(doctor, "SYSTEM_PATH", "/nonexistent")
    by_id = {check.id: check for check in doctor.checks(settings)}
    assert by_id["binary.conntrack"].ok is False
    assert by_id["binary.conntrack"].remedy == "apt-get install conntrack"


def test_a_beacon_answers_on_its_own_address_only():
    """It answers where it listens, with its name; another loopback address refuses."""
    with listener("127.0.0.2", 0, "outside") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        with urllib.request.urlopen(f"http://127.0.0.2:{port}/any") as answer:
            assert answer.read() == b"beacon outside\n"
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        server.shutdown()
        thread.join()


def _names(pids):
    try:
        return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]
    except OSError:
        return []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make control groups")
def test_everything_in_a_group_is_killed_and_nothing_else(settings):
    """A process that left its session and parent still dies with its group."""
    group = local_servers.layout_of(settings).instance
    cgroups.make(group)
    try:
        script = "setsid sleep 60 & setsid setsid sleep 60 & exec sleep 60"
        argv = ["sh", "-c", script]
        kept = spawn(settings, "kept", ["sleep", "60"])
        spawn(settings, "inside", argv, prefix=cgroups.joining(group))
        # A setsid that had to fork is there for a moment beside its child.
        while _names(cgroups.processes(group)) != ["sleep"] * 3:
            time.sleep(0.01)
        assert kept.pid not in cgroups.processes(group)
        assert cgroups.kill(group) == 3
        assert cgroups.processes(group) == set()
        assert local_servers.alive(kept)
    finally:
        cgroups.kill(group)
        assert cgroups.remove(group)
        down(settings, progress=_silent)
    assert not cgroups.exists(group)
