"""Warm environments on a real node, made, claimed and ended by an account that has the
rights of a worker and no others.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import (
    WarmEnvironment,
    apply_environment,
    apply_platform,
    claim,
    deploy_system,
    find_drift,
    freeze,
    located,
    prove_isolation,
    residue,
    standard_targets,
    take_over,
    tear_down,
    unclaimed,
    warm_spec,
)
from sandbox.environment.probe import allowed_pod
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.model.application import EgressNeed, IngressNeed, Limits, SystemNeeds
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec, system_manifests

LIMITS = Limits(cpu="2", memory="1Gi", pods=8)
WAY_IN = IngressNeed.model_validate(
    {"from": "load-source", "to": "front", "port": 8080}
)


@pytest.fixture(name="worker", scope="module")
def _worker(cluster, make_kubeconfig, servers):
    apply_platform(cluster)
    file = make_kubeconfig(servers, "keeper", "regulatory-sandbox:worker")
    worker = KubernetesCluster.from_kubeconfig(file, servers.context)
    yield worker
    worker.close()


@pytest.fixture(name="recorder", scope="module")
def _recorder(servers):
    with socket.create_server((servers.host_address, 0)) as listening:
        port = listening.getsockname()[1]
        yield RecorderEndpoint(
            host=servers.host_address, http_port=port, grpc_port=port + 1
        )


@pytest.fixture(name="make_spec", scope="module")
def _make_spec(servers, recorder):
    def make(trial_id, **changes):
        usual = {
            "images": {n: servers.images[n] for n in ("agnhost", "hotrod")},
            "probe_image": servers.image("regulatory-sandbox"),
            "needs": SystemNeeds(ingress=(WAY_IN,), limits=LIMITS),
            "recorder": recorder,
            "load_source": f"{servers.host_address}/32",
        }
        return environment_spec(trial_id, **{**usual, **changes})

    return make


@pytest.fixture(name="warm_up")
def _warm_up(worker, servers, recorder):
    """Makes warm environments, and removes those that nobody claimed."""
    made = []

    def warm_up(warm_id):
        spec = warm_spec(
            warm_id,
            until=worker.now() + timedelta(hours=1),
            probe_image=servers.image("regulatory-sandbox"),
            recorder=recorder,
            load_source=f"{servers.host_address}/32",
        )
        made.append(warm_id)
        apply_environment(worker, spec, recorder_token="unclaimed")
        proof = prove_isolation(
            worker, spec, targets=targets(worker, spec, servers), clock=SystemClock()
        )
        assert proof.failures == () and proof.holds
        return WarmEnvironment(spec, proof)

    yield warm_up
    for warm_id in set(made) & set(unclaimed(worker)):
        tear_down(worker, warm_id, wait_s=90)


@pytest.fixture(name="ending")
def _ending(worker):
    """Trials whose environments are removed after the test."""
    names = []
    yield names
    for name in names:
        tear_down(worker, name, wait_s=90)


def targets(cluster, spec, servers):
    return standard_targets(cluster, spec, beacons=servers.beacons)


def manifests():
    found = system_manifests("agnhost", "netexec", "--http-port=8080")
    for container in found[0]["spec"]["template"]["spec"]["containers"]:
        container["command"] = ["/agnhost"]
    return found


def reached(address, port=8080):
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_a_claimed_life(cluster, worker, servers, make_spec, warm_up, ending):
    """A trial claims a warm environment, is proven, runs its own system, is frozen and
    goes without residue; nothing of it differs from one made anew but its name.
    """
    idle = warm_up("warm-life")
    ending.append("claimed")
    spec = claim(worker, make_spec("claimed"), unclaimed(worker))
    assert spec is not None and spec.namespace == "trial-warm-life"
    take_over(worker, spec, idle.spec, recorder_token="first")
    now = SystemClock().now()
    assert find_drift(cluster, spec, shape="ready", at=now).findings == ()
    proof = idle.prove(
        worker, spec, targets=targets(worker, spec, servers), clock=SystemClock()
    )
    assert proof.failures == () and proof.holds and proof.warm == "warm-life"
    deploy_system(worker, spec, manifests(), wait_s=90)
    (pod,) = worker.find("v1", "Pod", namespace=spec.namespace, labels="app=front")
    assert (
        wait_until(
            lambda: [] if reached(pod["status"]["podIP"]) else ["not reached"],
            wait_s=10,
            pause=time.sleep,
        )
        == []
    )
    assert located(worker, make_spec("claimed")) == spec
    assert freeze(worker, "claimed").namespace == spec.namespace
    assert worker.find("v1", "Pod", namespace=spec.namespace) == []
    tear_down(worker, "claimed", wait_s=90)
    assert residue(cluster, "claimed", namespace=spec.namespace) == []


def test_only_the_decided_images_start(cluster, worker, make_spec, warm_up, ending):
    """Before its claim a warm environment admits the proof's image alone; afterwards
    those of the decision.
    """
    idle = warm_up("warm-images")
    system = system_manifests("hotrod")
    with pytest.raises(ClusterError, match="not pinned by a digest the decision"):
        deploy_system(
            cluster,
            make_spec("images", warm="warm-images"),
            system,
            wait_s=0,
            pause=time.sleep,
        )
    ending.append("images")
    spec = claim(worker, make_spec("images"), ["warm-images"])
    take_over(worker, spec, idle.spec, recorder_token="t")
    late = wait_until(lambda: refusals(cluster, spec), wait_s=10, pause=time.sleep)
    assert late == []


def refusals(cluster, spec):
    """Return why a pod with an image of the decision is refused, in a dry run."""
    try:
        cluster.apply([allowed_pod(spec)], owner="test", dry_run=True)
    except ClusterError as error:
        return [error.diagnosis]
    return []


def test_claimed_once(worker, make_spec, warm_up, ending):
    """Of eight trials that claim one warm environment at once, one gets it."""
    warm_up("warm-once")
    names = [f"contender-{number}" for number in range(8)]
    ending += names
    with ThreadPoolExecutor(8) as threads:
        found = list(
            threads.map(lambda n: claim(worker, make_spec(n), ["warm-once"]), names)
        )
    assert sum(item is not None for item in found) == 1


def test_a_way_out_is_proven_again(worker, servers, make_spec, warm_up, ending):
    """A trial whose rule opens a way out has everything tried from inside after its
    claim, and the proof says of itself that it was.
    """
    idle = warm_up("warm-out")
    outside = f"{servers.beacons['outside'][0]}/32"
    out = EgressNeed(cidr=outside, port=servers.beacons["outside"][1] + 1, why="prices")
    needs = SystemNeeds(ingress=(WAY_IN,), egress=(out,), limits=LIMITS)
    ending.append("way-out")
    spec = claim(worker, make_spec("way-out", needs=needs), ["warm-out"])
    take_over(worker, spec, idle.spec, recorder_token="t")
    begun = SystemClock().now() - timedelta(seconds=1)
    proof = idle.prove(
        worker, spec, targets=targets(worker, spec, servers), clock=SystemClock()
    )
    assert proof.failures == () and proof.warm == ""
    assert min(item.started_at for item in proof.attempts) >= begun.replace(
        microsecond=0
    )


@pytest.mark.parametrize("is_claimed", [True, False])
def test_a_worker_passes_no_environment_on(
    cluster, worker, make_spec, warm_up, ending, is_claimed
):
    """What a trial has claimed no worker gives to another trial; unclaimed it may."""
    warm_up("warm-mine")
    ending += ["mine", "theirs"]
    if is_claimed:
        claim(worker, make_spec("mine"), ["warm-mine"])
    place = ObjectRef("v1", "Namespace", "", "trial-warm-mine")
    namespace = cluster.get(place)
    labels = {**namespace["metadata"]["labels"], "regulatory-sandbox/trial": "theirs"}
    other = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": place.name,
            "labels": labels,
            "annotations": namespace["metadata"]["annotations"],
        },
    }
    if is_claimed:
        with pytest.raises(ClusterError, match="that of another trial"):
            worker.apply([other], owner="thief", dry_run=True)
    else:
        worker.apply([other], owner="thief", dry_run=True)
