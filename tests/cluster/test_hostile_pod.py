"""What a hostile pod tries on a real node beside the targets of every isolation proof.

Metadata, node, kubelet, API server and neighbour are tried by `test_isolation`, the
link-local addresses of IPv6 by `test_node`; here are names, resolvers, other
protocols, privileges, and connections that were open before the trial was frozen.
"""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.attack_corpus.pods import usual_pod
from experiments.attack_corpus.runs import connect, run_all
from sandbox.adapters.clock import SystemClock
from sandbox.environment import (
    apply_environment,
    freeze,
    prove_isolation,
    standard_targets,
    tear_down,
)
from sandbox.environment.waiting import wait_until
from sandbox.model.application import EgressNeed, Limits, SystemNeeds
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec

TRIAL = "hostile"
NAMESPACE = f"trial-{TRIAL}"
CONTROL = "sandbox-control"
NET_RAW = 1 << 13
BAR_S = 2.5


@pytest.fixture(name="drip", scope="module")
def _drip(servers):
    """A listener outside the cluster that the decision allows."""
    with socket.create_server((servers.host_address, 0)) as listener:
        listener.settimeout(60)
        yield listener


@pytest.fixture(name="spec", scope="module")
def _spec(cluster, servers, drip):
    """A proven trial with one way out."""
    host, port = drip.getsockname()
    need = EgressNeed(cidr=f"{host}/32", port=port, why="to be tried")
    with socket.create_server((host, 0)) as recorder:
        http_port = recorder.getsockname()[1]
        spec = environment_spec(
            TRIAL,
            images={"agnhost": servers.images["agnhost"]},
            probe_image=servers.image("regulatory-sandbox"),
            needs=SystemNeeds(
                egress=(need,), limits=Limits(cpu="4", memory="1Gi", pods=8)
            ),
            recorder=RecorderEndpoint(
                host=host, http_port=http_port, grpc_port=http_port + 1
            ),
            load_source=f"{host}/32",
        )
        try:
            apply_environment(cluster, spec, recorder_token="t")
            targets = standard_targets(cluster, spec, beacons=servers.beacons)
            proof = prove_isolation(cluster, spec, targets=targets, clock=SystemClock())
            assert proof.holds, proof.failures
            yield spec
        finally:
            tear_down(cluster, TRIAL, wait_s=60)


@pytest.fixture(name="image", scope="module")
def _image(spec):
    return f"localhost/agnhost@{spec.images['agnhost']}"


@pytest.fixture(name="resolver")
def _resolver(servers):
    """A resolver outside the cluster, on port 53: its address, and what it heard."""
    address, heard = (servers.host_address, 53), []
    with (
        socket.create_server(address) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire,
    ):
        wire.bind(address)
        wire.settimeout(0.1)
        listener.settimeout(0.1)
        done = threading.Event()
        thread = threading.Thread(target=note, args=(wire, listener, heard, done))
        thread.start()
        yield address, heard
        done.set()
        thread.join()


def note(wire, listener, heard, done):
    """Answer whoever asks, and note it."""
    while not done.is_set():
        try:
            said, sender = wire.recvfrom(512)
            heard.append(said.decode().strip())
            wire.sendto(b"heard", sender)
        except TimeoutError:
            pass
        try:
            listener.accept()[0].close()
            heard.append("by tcp")
        except TimeoutError:
            pass


def test_resolver_outside(cluster, image, spec, resolver):
    """No question reaches a resolver outside, by UDP or TCP; from elsewhere both do."""
    (host, port), heard = resolver
    tries = [connect(host, port, "udp", "secret.of.the.trial"), connect(host, port)]
    inside = run_all(cluster, image, NAMESPACE, tries)
    assert [end.outcome for end in inside] == ["blocked", "blocked"], inside
    assert heard == []
    outside = run_all(cluster, image, CONTROL, tries)
    assert [end.outcome for end in outside] == ["reached", "reached"], outside
    assert sorted(heard) == ["by tcp", "secret.of.the.trial"]


def test_names_outside(cluster, image, spec):
    """The cluster's resolver passes no name on: what it does not hold is not there."""
    inside, outside = run_all(
        cluster,
        image,
        NAMESPACE,
        [
            connect("kube-dns.kube-system.svc.cluster.local", 53),
            connect("secret.of.the.trial.example.org", 53),
        ],
    )
    assert inside.outcome == "reached", inside
    assert outside.printed.startswith("DNS: lookup secret.of.the.trial"), outside


def file_in(cluster, image, namespace, path):
    """Return a file as a pod of the namespace sees it."""
    command = ("mounttest", f"--file_content={path}")
    (end,) = run_all(cluster, image, namespace, [command])
    assert end.code == 0, end
    return end.printed.partition(":")[2]


def test_privileges(cluster, servers, image, spec):
    """A process has no capability and may gain none, so it makes no raw socket."""
    text = file_in(cluster, image, NAMESPACE, "/proc/self/status")
    status = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {name: int(status[name], 16) for name in sets} == dict.fromkeys(sets, 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert set(status["Uid"].split()) == {"65534"}
    assert int(plain_status(cluster, image)["CapBnd"], 16) & NET_RAW


def plain_status(cluster, image):
    """Return the status of a process where nothing is asked of pods: the control."""
    item = usual_pod(image, "default", "plain")
    spec = item["spec"]
    for key in ("securityContext", "priorityClassName"):
        spec.pop(key)
    spec["containers"][0].pop("securityContext")
    spec["containers"][0]["command"] = [
        "/agnhost",
        "mounttest",
        "--file_content=/proc/self/status",
    ]
    place = ObjectRef("v1", "Pod", "default", "plain")
    try:
        cluster.apply([item], owner="test")
        wait_for(lambda: cluster.get(place)["status"].get("phase") == "Succeeded")
        text = cluster.logs("default", "plain", "plain")
    finally:
        cluster.delete(place, grace_s=0)
    return dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)


def wait_for(claim):
    left = wait_until(
        lambda: [] if claim() else ["not yet"], wait_s=30, pause=time.sleep
    )
    assert left == []


def test_no_address_of_ipv6(cluster, image, spec):
    """A pod has no IPv6 address but those that lead to itself and along its link."""
    lines = file_in(cluster, image, NAMESPACE, "/proc/net/if_inet6").split("\n")
    scopes = [line.split()[3] for line in lines if len(line.split()) == 6]
    assert scopes and set(scopes) <= {"10", "20"}, lines


ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as wire:
    wire.settimeout(2)
    wire.sendto(bytes([8, 0, 0, 0, 0, 1, 0, 1]) + b"secret", (sys.argv[1], 0))
    sys.exit(0 if b"secret" in wire.recv(100) else 2)
"""
UNKNOWN = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as wire:
    wire.sendto(sys.argv[2].encode(), (sys.argv[1], 0))
"""


def test_other_protocols(cluster, servers, image, spec):
    """No echo (ICMP) and no packet of an unknown protocol (253, RFC 3692) gets out.

    Both are sent as root from the network of the pod, which is more than it may do.
    """
    host = servers.host_address
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as listener:
        listener.settimeout(2)
        for namespace, reached in ((NAMESPACE, False), (CONTROL, True)):
            with network_of_a_pod(cluster, image, namespace) as run:
                echoes = [
                    run(ECHO, address) for address in (host, servers.node_address)
                ]
                assert [echo.returncode == 0 for echo in echoes] == [reached] * 2, (
                    echoes
                )
                assert run(UNKNOWN, host, namespace).returncode == 0
            assert heard(listener) == (namespace if reached else "")


def heard(listener):
    try:
        return listener.recv(200)[20:].decode()
    except TimeoutError:
        return ""


@contextlib.contextmanager
def network_of_a_pod(cluster, image, namespace):
    """Runs Python in the network of a pod that sleeps."""
    item = usual_pod(image, namespace, "network")
    place = ObjectRef("v1", "Pod", namespace, "network")
    try:
        cluster.apply([item], owner="test")
        wait_for(lambda: cluster.get(place)["status"].get("phase") == "Running")
        enter = network_of(cluster.get(place)["status"]["podIP"])

        def run(code, *words):
            command = [*enter, sys.executable, "-c", code, *words]
            return subprocess.run(command, capture_output=True, text=True)

        yield run
    finally:
        cluster.delete(place, grace_s=0)


def network_of(address):
    """Return the command that enters the network where an address is a pod's own."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"/agnhost"):
            enter = ["nsenter", f"--target={process.name}", "--net"]
            shown = subprocess.run(
                [*enter, "ip", "-o", "-4", "addr"], capture_output=True, text=True
            )
            if f" {address}/" in shown.stdout:
                return enter
    raise AssertionError(f"no pod has {address}")


class Drip:
    """Sends a byte at a time along an open connection, and notes each arrival.

    The bytes are urgent ones: the client, which waits for a plain byte, leaves them
    where they are, and its kernel acknowledges each.
    """

    def __init__(self, wire):
        self.last_at = 0.0
        self.arrived = 0
        self._wire = wire
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._done.wait(0.02):
                self._wire.send(b"!", socket.MSG_OOB)
                info = self._wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
                (acknowledged,) = struct.unpack_from("Q", info, 120)
                if acknowledged > self.arrived:
                    self.arrived, self.last_at = acknowledged, time.monotonic()
        except OSError:
            return

    def stop(self):
        self._done.set()
        self._thread.join()


def test_open_connection(cluster, image, spec, drip):
    """A granted connection that was open carries nothing once the trial is frozen."""
    host, port = drip.getsockname()
    item = usual_pod(image, NAMESPACE, "dripping")
    options = json.dumps({"RemoteAddr": f"{host}:{port}"})
    item["spec"]["containers"][0]["command"] = [
        "/agnhost",
        "net",
        "--runner=nat-closewait-client",
        f"--options={options}",
    ]
    cluster.apply([item], owner="attacker")
    wire, _ = drip.accept()
    with wire:
        dripping = Drip(wire)
        try:
            wait_for(lambda: dripping.arrived > 50)
            asked_at = time.monotonic()
            freeze(cluster, TRIAL)
            time.sleep(3)
            stopped = dripping.arrived
            time.sleep(1)
            assert dripping.arrived == stopped
            assert dripping.last_at - asked_at < BAR_S
        finally:
            dripping.stop()
