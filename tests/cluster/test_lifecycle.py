"""A real system through the life of its environment, on a real node.

The system is the one of the experiment `ride_dispatch`: four services with names, Pod
Security *restricted*, telemetry with the token of its trial.
"""

import http.server
import json
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from sandbox.adapters.clock import SystemClock
from sandbox.environment import (
    apply_environment,
    deploy_system,
    freeze,
    prove_isolation,
    residue,
    standard_targets,
    tear_down,
    thaw,
)
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.model.application import IngressNeed, Limits, SystemNeeds
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec, system_manifests

SYSTEM = Path(__file__).parents[2] / "experiments" / "ride_dispatch" / "system"
WAY_IN = IngressNeed.model_validate(
    {"from": "load-source", "to": "frontend", "port": 8080}
)
LIMITS = Limits(cpu="2", memory="1Gi", pods=12)


class Received(http.server.BaseHTTPRequestHandler):
    """Takes OTLP/HTTP requests and notes their path and credential."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(name="recorder", scope="module")
def _recorder(servers):
    server = http.server.ThreadingHTTPServer((servers.host_address, 0), Received)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(name="make_spec", scope="module")
def _make_spec(servers, recorder):
    def make(trial_id, **changes):
        port = recorder.server_address[1]
        usual = {
            "images": {n: servers.images[n] for n in ("agnhost", "hotrod")},
            "probe_image": servers.image("regulatory-sandbox"),
            "needs": SystemNeeds(ingress=(WAY_IN,), limits=LIMITS),
            "recorder": RecorderEndpoint(
                host=servers.host_address, http_port=port, grpc_port=port + 1
            ),
            "load_source": f"{servers.host_address}/32",
        }
        return environment_spec(trial_id, **{**usual, **changes})

    return make


@pytest.fixture(name="manifests", scope="module")
def _manifests():
    files = sorted(SYSTEM.glob("*.yaml"))
    return [item for file in files for item in yaml.safe_load_all(file.read_text())]


def proven(cluster, spec, servers):
    targets = standard_targets(cluster, spec, beacons=servers.beacons)
    return prove_isolation(cluster, spec, targets=targets, clock=SystemClock())


def frontend(cluster, spec):
    place = ObjectRef("v1", "Service", spec.namespace, "frontend")
    return cluster.get(place)["spec"]["clusterIP"]


def dispatch(address):
    url = f"http://{address}:8080/dispatch?customer=123"
    with urllib.request.urlopen(url, timeout=15) as answer:
        return json.load(answer)


def answers(address):
    """Whether a dispatch is answered; a Service takes a moment to reach its pods."""
    try:
        return bool(dispatch(address)["Driver"])
    except OSError:
        return False


def eventually(claim):
    left = wait_until(
        lambda: [] if claim() else ["not yet"], wait_s=30, pause=time.sleep
    )
    assert left == []


def pods(cluster, spec):
    return cluster.find("v1", "Pod", namespace=spec.namespace)


class Stream:
    """A client that keeps one connection open and notes when it was last answered."""

    def __init__(self, address):
        self.answers = 0
        self.last_at = 0.0
        self._socket = socket.create_connection((address, 8080), timeout=3)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        ask = b"GET / HTTP/1.1\r\nHost: frontend\r\n\r\n"
        try:
            while True:
                self._socket.sendall(ask)
                if not self._socket.recv(65536):
                    return
                self.answers += 1
                self.last_at = time.monotonic()
                time.sleep(0.02)
        except OSError:
            return

    def close(self):
        self._thread.join(timeout=5)
        self._socket.close()


def test_life(cluster, servers, recorder, make_spec, manifests):
    """Open, proven, answering and traced; frozen, thawed with a new token; gone."""
    spec = make_spec("lived")
    try:
        apply_environment(cluster, spec, recorder_token="first")
        assert proven(cluster, spec, servers).holds
        deploy_system(cluster, spec, manifests, wait_s=90)
        eventually(lambda: answers(frontend(cluster, spec)))
        eventually(lambda: ("/v1/traces", "Bearer first") in recorder.seen)

        stream = Stream(frontend(cluster, spec))
        eventually(lambda: stream.answers > 10)
        report = freeze(cluster, "lived")
        frozen_at = time.monotonic()
        stream.close()
        assert len(report.scaled) == 4
        assert stream.last_at < frozen_at + 1
        assert pods(cluster, spec) == []
        with pytest.raises(OSError):
            dispatch(frontend(cluster, spec))
        heard = len(recorder.seen)
        time.sleep(3)
        assert len(recorder.seen) == heard
        assert freeze(cluster, "lived") == ([], {}, [], spec.namespace)

        apply_environment(cluster, spec, recorder_token="second")
        assert proven(cluster, spec, servers).holds
        thaw(cluster, spec, manifests, wait_s=90)
        eventually(lambda: answers(frontend(cluster, spec)))
        eventually(lambda: ("/v1/traces", "Bearer second") in recorder.seen)
        assert ("/v1/traces", "Bearer first") not in recorder.seen[heard:]
        assert len(residue(cluster, "lived")) > 20
    finally:
        tear_down(cluster, "lived", wait_s=90)
    assert residue(cluster, "lived") == []


def test_apply_again(cluster, make_spec):
    """Applying the same specification again changes no object of the environment."""
    spec = make_spec("same")
    try:
        apply_environment(cluster, spec, recorder_token="t")
        # The quotas' controller writes their status in between.
        first = settled(cluster, spec)
        apply_environment(cluster, spec, recorder_token="t")
        assert settled(cluster, spec) == first
        assert len(first) == 20
    finally:
        tear_down(cluster, "same", wait_s=60)


def settled(cluster, spec):
    """Return uid and version of every applied object, once quotas have a status."""
    labels = f"regulatory-sandbox/trial={spec.trial_id}"
    place = {"namespace": spec.namespace, "labels": labels}

    def unsettled():
        quotas = cluster.find("v1", "ResourceQuota", **place)
        return [q for q in quotas if q["status"].get("hard") != q["spec"]["hard"]]

    assert wait_until(unsettled, wait_s=30, pause=time.sleep) == []
    found = cluster.find("v1", "Namespace", labels=labels)
    for api_version, kind in cluster.namespaced_kinds():
        found += cluster.find(api_version, kind, **place)
    return {
        (item["kind"], item["metadata"]["name"]): (
            item["metadata"]["uid"],
            item["metadata"]["resourceVersion"],
        )
        for item in found
    }


def test_refused_environment(cluster, make_spec):
    """A set the API server refuses in part leaves no namespace behind."""
    spec = make_spec("refused", caps={"no such key!": 1.0})
    with pytest.raises(ClusterError, match="trial-params") as caught:
        apply_environment(cluster, spec, recorder_token="t")
    assert not caught.value.retryable
    eventually(lambda: residue(cluster, "refused") == [])


def test_image_that_is_not_there(cluster, servers, make_spec):
    """A system whose image the node lacks is an error that says so."""
    images = {**make_spec("lacking").images, "web": "sha256:" + "b" * 64}
    need = IngressNeed.model_validate(
        {"from": "load-source", "to": "front", "port": 8080}
    )
    needs = SystemNeeds(ingress=(need,), limits=LIMITS)
    spec = make_spec("lacking", images=images, needs=needs)
    try:
        apply_environment(cluster, spec, recorder_token="t")
        assert proven(cluster, spec, servers).holds
        with pytest.raises(ClusterError, match="ErrImage|ImagePull") as caught:
            deploy_system(cluster, spec, system_manifests(), wait_s=20)
        assert "Deployment trial-lacking/front" in caught.value.diagnosis
    finally:
        tear_down(cluster, "lacking", wait_s=60)


def test_tear_down_spares_a_newer_one(cluster, make_spec):
    """An old order to delete does nothing to a namespace made anew."""
    spec = make_spec("anew")
    place = ObjectRef("v1", "Namespace", "", spec.namespace)
    try:
        apply_environment(cluster, spec, recorder_token="t")
        uid = cluster.get(place)["metadata"]["uid"]
        tear_down(cluster, "anew", uid=uid, wait_s=60)
        apply_environment(cluster, spec, recorder_token="t")
        tear_down(cluster, "anew", uid=uid, wait_s=60)
        found = cluster.get(place)
        assert found is not None and "deletionTimestamp" not in found["metadata"]
    finally:
        tear_down(cluster, "anew", wait_s=60)


def test_tear_down_held(cluster, make_spec):
    """A namespace held open is an error with the reason, and ends once it is let go."""
    spec = make_spec("held")
    holder = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "holder",
            "namespace": spec.namespace,
            "finalizers": ["example.org/held"],
        },
    }
    apply_environment(cluster, spec, recorder_token="t")
    cluster.apply([holder], owner="someone")
    try:
        with pytest.raises(ClusterError, match=r"FinalizersRemaining.*example.org"):
            tear_down(cluster, "held", wait_s=12)
        assert "Lease trial-held/holder" in residue(cluster, "held")
    finally:
        holder["metadata"].pop("finalizers")
        cluster.apply([holder], owner="someone")
        tear_down(cluster, "held", wait_s=60)
    assert residue(cluster, "held") == []
