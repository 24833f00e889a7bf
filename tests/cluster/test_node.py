"""The node of this machine is a real one, and goes without a trace."""

import ipaddress
import itertools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.errors import LocalError
from sandbox.local import (
    cgroups,
    describe,
    doctor,
    down,
    find_tracked,
    status,
    tracked_processes,
    up,
)
from sandbox.local.binaries import find_binary, node_binaries, pinned_version
from sandbox.local.enclosure import inside
from sandbox.local.ending import SERVERS
from sandbox.local.layout import Layout
from sandbox.ports import ObjectRef

_NAMESPACE = "node-test"
_RESET = struct.pack("ii", 1, 0)


def _silent(stage, what):
    pass


def _wait(condition, *, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "not within the time given"
        time.sleep(0.05)
    return value


def _pod(servers, name, args, **fields):
    container = {
        "name": "only",
        "image": servers.image("agnhost"),
        "imagePullPolicy": "Never",
        "args": args,
        **fields,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": _NAMESPACE, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        },
    }


@pytest.fixture(name="run", scope="module")
def _run(cluster, servers):
    """Runs agnhost in a pod to its end and returns (exit code, output)."""
    _make_namespace(cluster)

    def run(name, args):
        cluster.apply([_pod(servers, name, args)], owner="test")
        ref = ObjectRef("v1", "Pod", _NAMESPACE, name)
        state = _wait(lambda: _terminated(cluster.get(ref)))
        output = cluster.logs(_NAMESPACE, name, "only")
        cluster.delete(ref, grace_s=0)
        return state["exitCode"], output

    return run


def _make_namespace(cluster):
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": _NAMESPACE},
    }
    cluster.apply([namespace], owner="test")
    account = ObjectRef("v1", "ServiceAccount", _NAMESPACE, "default")
    _wait(lambda: cluster.get(account))


def _terminated(pod):
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return statuses and statuses[0]["state"].get("terminated")


@pytest.fixture(name="target", scope="module")
def _target(cluster, servers, run):
    """Address of a pod that answers on port 8080."""
    cluster.apply(
        [_pod(servers, "target", ["netexec", "--http-port=8080"])], owner="test"
    )
    ref = ObjectRef("v1", "Pod", _NAMESPACE, "target")
    address = _wait(lambda: cluster.get(ref).get("status", {}).get("podIP"))
    _wait(lambda: _answers(address, 8080))
    return address


def _answers(address, port):
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def _connect(target, port=None):
    where = target if port is None else f"{target}:{port}"
    return ["connect", where, "--timeout=2s", "--protocol=tcp"]


def test_the_node_is_ready_and_of_the_pinned_version(cluster):
    """It reports Ready, and says the version that its go.mod pins."""
    (node,) = cluster.find("v1", "Node")
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    said = node["status"]["nodeInfo"]["kubeletVersion"]
    assert said == pinned_version("kubernetes", "k8s.io/kubernetes")


def test_a_pod_pinned_by_digest_runs_without_a_registry(run):
    """An image named by digest starts at once, because the node holds it."""
    code, output = run("pinned", ["--help"])
    assert code == 0
    assert "Usage" in output


def test_pods_resolve_services_and_nothing_outside(run):
    """DNS answers for the cluster; a name of the internet does not exist."""
    assert run("dns", _connect("kube-dns.kube-system.svc.cluster.local", 53))[0] == 0
    code, output = run("dns-outside", _connect("example.org", 80))
    assert code != 0
    assert "DNS" in output


def test_beacons_answer_pods_and_the_host_has_no_metadata_address(run, servers):
    """Both are reached from a pod without policy; the host itself lacks the address."""
    assert set(servers.beacons) == {"metadata", "outside"}
    for name, (address, port) in servers.beacons.items():
        code, output = run(f"reach-{name}", _connect(address, port))
        assert code == 0, output
    held = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True)
    assert "169.254.169.254" not in held.stdout


def test_policies_hold_towards_pods_host_and_the_node_itself(
    run, cluster, servers, target
):
    """What a pod reached without a policy it does not reach under default deny."""
    targets = {
        "pod": (target, 8080),
        "metadata": servers.beacons["metadata"],
        "outside": servers.beacons["outside"],
        "kubelet": (servers.node_address, 10250),
        "api": (servers.api_address, 443),
    }
    before = {name: run(f"a-{name}", _connect(*at))[0] for name, at in targets.items()}
    assert set(before.values()) == {0}, before
    _deny_all(cluster)
    try:
        after = {n: run(f"b-{n}", _connect(*at))[0] for n, at in targets.items()}
    finally:
        cluster.delete(
            ObjectRef("networking.k8s.io/v1", "NetworkPolicy", _NAMESPACE, "deny")
        )
    assert 0 not in after.values(), after
    _wait(lambda: run("again", _connect(target, 8080))[0] == 0)


def _policy(name, spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": spec,
    }


def _deny_all(cluster):
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    cluster.apply([_policy("deny", deny)], owner="test")


def test_answers_pass_where_only_the_request_is_allowed(cluster, servers, target):
    """Ingress from the host is enough; the pod's answers need no egress rule."""
    _wait(lambda: _answers(target, 8080))
    _deny_all(cluster)
    try:
        _wait(lambda: not _answers(target, 8080))
        source = {"ipBlock": {"cidr": f"{servers.host_address}/32"}}
        allow = {
            "podSelector": {"matchLabels": {"app": "target"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [source]}],
        }
        cluster.apply([_policy("allow", allow)], owner="test")
        _wait(lambda: _fetched(target))
    finally:
        for name in ("allow", "deny"):
            ref = ObjectRef("networking.k8s.io/v1", "NetworkPolicy", _NAMESPACE, name)
            cluster.delete(ref)
    _wait(lambda: _answers(target, 8080))


def _fetched(address):
    try:
        with socket.create_connection((address, 8080), timeout=1) as wire:
            wire.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
            return wire.recv(4096).startswith(b"HTTP/1.0 200")
    except OSError:
        return False


def test_new_connections_do_not_stall_under_policies(cluster, target):
    """First packets are not lost, second after second, while the agent decides.

    An agent that takes its hooks away each second loses what waits in at least four
    of eight seconds. A machine that stood still for a second repeats as many packets,
    but at one moment: moments are counted, and a packet alone is none.
    """
    _wait(lambda: _answers(target, 8080))
    allow = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    cluster.apply([_policy("allow-all", allow)], owner="test")
    until = time.monotonic() + 8
    try:
        with ThreadPoolExecutor(max_workers=16) as threads:
            runs = list(threads.map(_connect_until, [target] * 16, [until] * 16))
    finally:
        ref = ObjectRef(
            "networking.k8s.io/v1", "NetworkPolicy", _NAMESPACE, "allow-all"
        )
        cluster.delete(ref)
    begun = sorted(repeated for run in runs for repeated in run.repeated)
    assert sum(run.connections for run in runs) > 100
    assert _losing_seconds(begun) <= 2, begun


def _losing_seconds(begun):
    """Count seconds that begin with two repeats or more within a tenth of a second."""
    count, free = 0, 0.0
    for first, second in itertools.pairwise(begun):
        if first >= free and second - first < 0.1:
            count, free = count + 1, first + 0.9
    return count


class _Run(NamedTuple):
    connections: int
    repeated: list[float]


def _connect_until(address, until):
    """Connect one after the other; return when those began whose packets came late."""
    connections, repeated = 0, []
    while (begun := time.monotonic()) < until:
        with socket.create_connection((address, 8080), timeout=10) as wire:
            connections += 1
            if _retransmitted(wire):
                repeated.append(begun)
            # Closed with a reset: thousands that linger would use up the ports.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    return _Run(connections, repeated)


def _retransmitted(wire):
    """Return `tcpi_total_retrans` of struct tcp_info (linux/tcp.h)."""
    info = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return struct.unpack_from("I", info, 100)[0]


def test_pods_do_not_meet_over_ipv6_link_local(run, settings, target):
    """The addresses IPv6 gives by itself, which no policy names, carry nothing."""
    enter = inside(find_tracked(settings, "node"))
    shown = subprocess.run(
        [*enter, "ip", "neigh", "show", target], capture_output=True, text=True
    )
    mac = re.search(r"lladdr (\S+)", shown.stdout)[1]
    where = f"[{_link_local(mac)}%eth0]:8080"
    assert run("link-local", _connect(where))[0] != 0
    rules = subprocess.run(
        [*enter, "nft", "list", "table", "bridge", "sandbox"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    subprocess.run([*enter, "nft", "delete", "table", "bridge", "sandbox"], check=True)
    try:
        control = run("link-local-control", _connect(where))
        assert control[0] == 0, f"the control: without our rule they meet: {control}"
    finally:
        subprocess.run([*enter, "nft", "-f", "-"], input=rules, text=True, check=True)
    assert run("link-local-again", _connect(where))[0] != 0


def _link_local(mac):
    parts = [int(part, 16) for part in mac.split(":")]
    parts[0] ^= 2
    identifier = bytes([*parts[:3], 0xFF, 0xFE, *parts[3:]])
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + identifier)


def test_a_second_up_changes_nothing(settings, servers):
    """On running servers `up` returns at once with the same facts."""
    before = [(one.name, one.pid) for one in tracked_processes(settings)]
    begun = time.monotonic()
    assert up(settings, progress=_silent, temporal=False) == servers
    assert time.monotonic() - begun < 1
    assert [(one.name, one.pid) for one in tracked_processes(settings)] == before
    assert describe(settings) == servers


def test_the_doctor_sees_the_node(settings, servers):
    """With a running node nothing that it needs is reported wrong."""
    by_id = {check.id: check for check in doctor.checks(settings)}
    assert by_id["kubernetes.node"].ok is True
    wrong = [c.id for c in by_id.values() if c.ok is False]
    assert not [id_ for id_ in wrong if id_.startswith(("machine.", "binary."))]


@pytest.fixture(name="second")
def _second(make_settings):
    settings = make_settings("second")
    yield settings
    down(settings, progress=_silent)


def _traces(settings):
    """Return everything of a home that the kernel still knows."""
    layout = Layout(settings.home.resolve())
    home = str(layout.home)
    found = [str(number) for number in cgroups.processes(layout.instance)]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{home}/" in words:
            found.append(words.replace("\0", " "))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line for line in mounts if f"{home}/" in line]
    links = subprocess.run(["ip", "-d", "link"], capture_output=True, text=True)
    found += re.findall(rf"alias ({layout.instance}.*)", links.stdout)
    groups = Path("/sys/fs/cgroup")
    found += [str(p) for p in (*groups.glob("*"), *groups.glob("*/*"))
              if p.name == layout.instance]  # fmt: skip
    return found


def test_two_nodes_live_side_by_side_and_one_goes_alone(
    second, servers, cluster, run, target
):
    """A second home gets its own ranges; ending it leaves the first as it was."""
    other = up(second, progress=_silent)
    assert other.pod_range != servers.pod_range
    assert other.service_range != servers.service_range
    assert other.host_address != servers.host_address
    assert other.temporal_address
    assert _traces(second)
    assert [one.name for one in status(second) if one.alive] == ["temporal", *SERVERS]
    done = down(second, progress=_silent)
    assert any("Kubernetes node" in line for line in done)
    assert _traces(second) == []
    assert down(second, progress=_silent) == []
    assert run("after", _connect(target, 8080))[0] == 0


def test_after_kill_9_of_everything_up_starts_again_and_down_leaves_nothing(second):
    """Shims and pods that survive their killed masters are found and ended."""
    up(second, progress=_silent, temporal=False)
    for tracked in tracked_processes(second):
        os.kill(tracked.pid, signal.SIGKILL)
    _wait(lambda: not any(one.alive for one in status(second)))
    layout = Layout(second.home.resolve())
    orphans = cgroups.processes(layout.instance)
    assert orphans, "the control: something did survive"
    assert describe(second) is None
    again = up(second, progress=_silent, temporal=False)
    assert not orphans & cgroups.processes(layout.instance)
    assert describe(second) == again
    for tracked in tracked_processes(second):
        os.kill(tracked.pid, signal.SIGKILL)
    down(second, progress=_silent)
    assert _traces(second) == []
    assert not layout.node.exists()


def test_down_cleans_when_every_record_is_lost(second):
    """The home's path alone is enough to find what was started from it."""
    up(second, progress=_silent, temporal=False)
    shutil.rmtree(second.home / "run")
    (second.home / "servers.json").unlink()
    assert _traces(second)
    down(second, progress=_silent)
    assert _traces(second) == []


def test_a_server_that_cannot_start_is_named_and_the_rest_is_stopped(
    second, tmp_path, servers
):
    """The diagnosis has the server's name and last words; nothing is left running."""
    ready = tmp_path / "ready"
    ready.mkdir()
    for name in node_binaries():
        (ready / name).symlink_to(find_binary(second, name).resolve())
    (ready / "kube-scheduler").unlink()
    broken = ready / "kube-scheduler"
    broken.write_text("#!/bin/sh\necho 'no such wind'; exit 3\n")
    broken.chmod(0o755)
    settings = second.model_copy(update={"servers": ready})
    with pytest.raises(LocalError) as caught:
        up(settings, progress=_silent, temporal=False)
    assert "kube-scheduler has ended" in caught.value.diagnosis
    assert "no such wind" in caught.value.diagnosis
    assert "doctor" in caught.value.diagnosis
    assert _traces(second) == []
