"""Whatever fails half-way ends in a state that is whole, or gone, or says what it is.

The faults are those of a real API server behind a proxy on loopback. After each one the
environment is either exactly what the decision asks for, or without residue, or an
error names what is wrong and a later try completes.
"""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import (
    apply_environment,
    deploy_system,
    find_drift,
    freeze,
    residue,
    tear_down,
)
from sandbox.errors import ClusterError, InputError, IsolationError
from sandbox.model.application import Limits, SystemNeeds
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec, system_manifests
from sandbox.testing.faulty_api import Fault, FaultyApi

POLICIES = "networking.k8s.io/v1", "NetworkPolicy"
KEPT = {"method": "PATCH", "part": "/namespaces/trial-", "without": "dryRun"}
"""Writes that are kept, of objects inside or of the namespace itself."""
MEANWHILE = [
    Fault("status", status=429, retry_after="1", skip=5, times=2, **KEPT),
    Fault("status", status=503, skip=5, times=3, **KEPT),
    Fault("slow", seconds=1.5, skip=5, times=2, **KEPT),
    Fault("slow", seconds=21, skip=5, times=1, **KEPT),
    Fault("cut-before", skip=5, times=2, **KEPT),
    Fault("cut-after", skip=5, times=2, **KEPT),
]
WORKER = """
import sys
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import apply_environment
from sandbox.model.trial import EnvironmentSpec
from sandbox.testing.faulty_api import client_of
spec = EnvironmentSpec.model_validate_json(sys.argv[2])
apply_environment(
    KubernetesCluster(client_of(sys.argv[1])), spec, recorder_token="t"
)
"""


@pytest.fixture(name="api")
def _api(servers):
    with FaultyApi(servers.kubeconfig, servers.context) as api:
        yield api


@pytest.fixture(name="faulty")
def _faulty(api):
    """The session's node, through the proxy."""
    cluster = KubernetesCluster(api.client())
    yield cluster
    cluster.close()


@pytest.fixture(name="make_spec")
def _make_spec(cluster, servers):
    """Makes specifications; their environments are gone after the test."""
    made = []

    def make(trial_id, **changes):
        images = {"agnhost": servers.images["agnhost"]}
        made.append(trial_id)
        return environment_spec(trial_id, **{"images": images, **changes})

    yield make
    for trial_id in made:
        tear_down(cluster, trial_id, wait_s=60)
        assert residue(cluster, trial_id) == []


def drift(cluster, spec, shape="ready"):
    found = find_drift(cluster, spec, shape=shape, at=SystemClock().now())
    return [item.sentence() for item in found.findings]


def server(replicas=1):
    """Return a system that listens."""
    manifests = system_manifests("agnhost", "netexec", "--http-port=8080")
    manifests[0]["spec"]["replicas"] = replicas
    return manifests


@pytest.mark.parametrize("fault", MEANWHILE, ids=lambda f: f"{f.kind}-{f.status}")
def test_a_passing_fault_in_mid_apply_is_outlived(
    cluster, api, faulty, make_spec, fault
):
    """429, 503, a slow server and cut connections cost time; the result is whole."""
    spec = make_spec("passing")
    api.fail(fault)
    started = time.monotonic()
    apply_environment(faulty, spec, recorder_token="t")
    took = time.monotonic() - started
    assert drift(cluster, spec) == []
    objects = 20
    kept = [
        path
        for method, path in api.requests
        if method == "PATCH" and fault.part in path and "dryRun" not in path
    ]
    is_repeated = fault.kind != "slow" or fault.seconds > 20
    assert len(kept) == objects + is_repeated * fault.times
    if fault.retry_after:
        assert took >= fault.times * float(fault.retry_after)


@pytest.mark.parametrize("part", ["dryRun", "resourcequotas"])
def test_a_lasting_fault_is_an_error_and_a_later_try_completes(
    cluster, api, servers, make_spec, part
):
    """A server that stays away is told, nothing runs, and the next try goes on."""
    spec = make_spec("lasting")
    faulty = KubernetesCluster(api.client(), pause=lambda seconds: None)
    api.fail(Fault("status", method="PATCH", part=part, skip=1, times=1000))
    with pytest.raises(ClusterError, match="HTTP 503") as caught:
        apply_environment(faulty, spec, recorder_token="t")
    assert caught.value.retryable
    assert cluster.find("v1", "Pod", namespace=spec.namespace) == []
    assert drift(cluster, spec) != []
    api.fail()
    apply_environment(faulty, spec, recorder_token="t")
    assert drift(cluster, spec) == []
    faulty.close()


def test_a_worker_killed_between_two_objects_is_replaced(
    cluster, api, make_spec, servers
):
    """After SIGKILL in mid-apply half the objects are there; the next run completes."""
    spec = make_spec("killed")
    api.fail(Fault("hold", skip=8, **KEPT))
    argv = [sys.executable, "-c", WORKER, api.url, spec.model_dump_json()]
    worker = subprocess.Popen(argv)
    try:
        assert api.held.wait(60)
    finally:
        worker.kill()
        worker.wait()
    api.released.set()
    half = drift(cluster, spec)
    assert 0 < len(half) < 20
    assert any("missing" in line for line in half)
    apply_environment(cluster, spec, recorder_token="t")
    assert drift(cluster, spec) == []


@pytest.mark.parametrize("kind", ["cut-before", "cut-after", "status", "slow"])
def test_tear_down_outlives_faults(cluster, api, faulty, make_spec, kind):
    """A deletion that is cut or refused for a while ends without residue."""
    spec = make_spec("ending")
    apply_environment(cluster, spec, recorder_token="t")
    assert residue(cluster, spec.trial_id) != []
    api.fail(Fault(kind, method="DELETE", times=2, seconds=1))
    tear_down(faulty, spec.trial_id, wait_s=60)
    assert residue(cluster, spec.trial_id) == []


def test_freeze_outlives_faults(cluster, api, faulty, make_spec):
    """A freeze whose answers are lost still denies all and leaves no pod."""
    spec = make_spec("stopped")
    apply_environment(cluster, spec, recorder_token="t")
    deploy_system(cluster, spec, server(), wait_s=60)
    assert cluster.find("v1", "Pod", namespace=spec.namespace)
    api.fail(
        Fault("cut-after", method="DELETE", times=3),
        Fault("status", status=429, retry_after="1", method="PATCH", times=2),
    )
    freeze(faulty, spec.trial_id)
    assert drift(cluster, spec, "frozen") == []


def test_a_foreign_finalizer_is_named_and_not_touched(cluster, make_spec):
    """Who holds a namespace open is told; once it lets go, the deletion completes."""
    spec, other = make_spec("held"), make_spec("beside")
    for item in (spec, other):
        apply_environment(cluster, item, recorder_token="t")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "held",
            "namespace": spec.namespace,
            "finalizers": ["example.org/keep"],
        },
    }
    place = ObjectRef("coordination.k8s.io/v1", "Lease", spec.namespace, "held")
    cluster.apply([lease], owner="someone-else")
    with pytest.raises(ClusterError, match=r"example\.org/keep") as caught:
        tear_down(cluster, spec.trial_id, wait_s=8)
    assert caught.value.retryable
    assert cluster.get(place)["metadata"]["finalizers"] == ["example.org/keep"]
    assert residue(cluster, spec.trial_id) != []
    assert drift(cluster, other) == []
    lease["metadata"]["finalizers"] = []
    cluster.apply([lease], owner="someone-else")
    tear_down(cluster, spec.trial_id, wait_s=60)
    assert residue(cluster, spec.trial_id) == []


def test_a_quota_exceeded_half_way_is_told_and_leaves_nothing_behind(
    cluster, make_spec
):
    """A system that asks for more pods than were granted is told so, and ends whole."""
    needs = SystemNeeds(limits=Limits(cpu="1", memory="256Mi", pods=2))
    spec = make_spec("greedy", needs=needs)
    apply_environment(cluster, spec, recorder_token="t")
    with pytest.raises(ClusterError, match="exceeded quota: system"):
        deploy_system(cluster, spec, server(replicas=4), wait_s=8)
    assert len(cluster.find("v1", "Pod", namespace=spec.namespace)) == 2
    assert drift(cluster, spec) == []
    deploy_system(cluster, spec, server(replicas=1), wait_s=60)
    freeze(cluster, spec.trial_id)
    assert drift(cluster, spec, "frozen") == []


def at_once(*acts):
    """Run acts at the same time; return the errors of those that failed."""
    start = threading.Barrier(len(acts))

    def run(act):
        start.wait()
        try:
            act()
        except (ClusterError, IsolationError) as error:
            return error
        return None

    with ThreadPoolExecutor(len(acts)) as pool:
        return [error for error in pool.map(run, acts) if error is not None]


def test_two_workers_apply_the_same_trial(cluster, make_spec):
    """Two workers that apply at once both succeed, and the environment is whole."""
    spec = make_spec("twice")

    def apply():
        apply_environment(cluster, spec, recorder_token="t")

    assert at_once(apply, apply) == []
    assert drift(cluster, spec) == []


def test_one_worker_freezes_while_another_applies(cluster, make_spec):
    """Frozen again after the other has ended, as its workflow does, nothing is open."""
    spec = make_spec("crossed")
    apply_environment(cluster, spec, recorder_token="t")
    errors = at_once(
        lambda: apply_environment(cluster, spec, recorder_token="t"),
        lambda: freeze(cluster, spec.trial_id),
    )
    assert errors == []
    found = cluster.find(*POLICIES, namespace=spec.namespace)
    assert "default-deny" in {item["metadata"]["name"] for item in found}
    freeze(cluster, spec.trial_id)
    assert drift(cluster, spec, "frozen") == []


@pytest.mark.parametrize("delay_s", [0.0, 0.1])
def test_one_worker_tears_down_while_another_applies(cluster, make_spec, delay_s):
    """It ends whole or gone, or with an error that names the namespace's end; a
    tear-down after it leaves nothing.
    """
    spec = make_spec("contended")
    apply_environment(cluster, spec, recorder_token="t")

    def apply():
        time.sleep(delay_s)
        apply_environment(cluster, spec, recorder_token="t")

    errors = at_once(apply, lambda: tear_down(cluster, spec.trial_id, wait_s=60))
    left = residue(cluster, spec.trial_id)
    if errors:
        assert "trial-contended" in errors[0].diagnosis
    assert left == [] or errors or drift(cluster, spec) == []
    tear_down(cluster, spec.trial_id, wait_s=60)
    assert residue(cluster, spec.trial_id) == []


def test_two_workers_tear_down_the_same_trial(cluster, make_spec):
    """Two workers that tear down at once both see it gone."""
    spec = make_spec("gone-twice")
    apply_environment(cluster, spec, recorder_token="t")

    def end():
        tear_down(cluster, spec.trial_id, wait_s=60)

    assert at_once(end, end) == []
    assert residue(cluster, spec.trial_id) == []


def test_the_cluster_tells_the_time(cluster):
    """The API server's clock can be read, and is this machine's here."""
    assert abs(cluster.now() - SystemClock().now()) < timedelta(seconds=5)


def test_an_expired_rule_makes_no_environment(cluster, servers):
    """What has ended is refused before anything is made; a minute left is enough."""
    images = {"agnhost": servers.images["agnhost"]}
    now = cluster.now()
    late = environment_spec("late", images=images, expires_at=now)
    with pytest.raises(InputError, match="environment/expired|ended at"):
        apply_environment(cluster, late, recorder_token="t")
    assert residue(cluster, "late") == []
    left = environment_spec(
        "late", images=images, expires_at=now + timedelta(minutes=1)
    )
    apply_environment(cluster, left, recorder_token="t")
    assert drift(cluster, left) == []
    tear_down(cluster, "late", wait_s=60)
