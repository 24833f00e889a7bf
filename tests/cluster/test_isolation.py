"""Each promise about the network and about people attacked on a real node.

An attack counts only beside a control that succeeds: the same attempt from where it is
allowed. Attacks by objects are those of `test_corpus`.
"""

import copy
import socket
import time

import kubernetes.config
import pytest

from experiments.attack_corpus.pods import usual_pod
from experiments.attack_corpus.runs import connect, run_all
from sandbox.adapters.clock import SystemClock
from sandbox.adapters.kubernetes_api import KubernetesApi, Request
from sandbox.environment import (
    apply_environment,
    deploy_system,
    prove_isolation,
    standard_targets,
    tear_down,
)
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.model.application import EgressNeed, IngressNeed, Limits, SystemNeeds
from sandbox.model.trial import RecorderEndpoint
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec, system_manifests

TRIAL = "attacked"
NAMESPACE = f"trial-{TRIAL}"
CONTROL = "sandbox-control"
LIMITS = Limits(cpu="4", memory="1Gi", pods=8)
WAY_IN = IngressNeed.model_validate(
    {"from": "load-source", "to": "front", "port": 8080}
)


@pytest.fixture(name="recorder_port", scope="module")
def _recorder_port(servers):
    """A listener where the recorder would be."""
    with socket.create_server((servers.host_address, 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(name="make_spec", scope="module")
def _make_spec(servers, recorder_port):
    def make(trial_id, **changes):
        usual = {
            "images": {"agnhost": servers.images["agnhost"]},
            "probe_image": servers.image("regulatory-sandbox"),
            "needs": SystemNeeds(ingress=(WAY_IN,), limits=LIMITS),
            "recorder": RecorderEndpoint(
                host=servers.host_address,
                http_port=recorder_port,
                grpc_port=recorder_port + 1,
            ),
            "load_source": f"{servers.host_address}/32",
        }
        return environment_spec(trial_id, **{**usual, **changes})

    return make


@pytest.fixture(name="trial", scope="module")
def _trial(cluster, make_spec):
    """An environment that was proven, without a system."""
    spec = make_spec(TRIAL)
    apply_environment(cluster, spec, recorder_token="t")
    proof = prove(cluster, spec, {})
    assert proof.holds, proof.failures
    yield spec
    tear_down(cluster, TRIAL, wait_s=60)


@pytest.fixture(name="api", scope="module")
def _api(servers):
    """Requests the port does not offer: subresources, and other people's."""
    client = kubernetes.config.new_client_from_config(
        config_file=str(servers.kubeconfig), context=servers.context
    )
    yield KubernetesApi(client, pause=time.sleep)
    client.rest_client.pool_manager.clear()


def prove(cluster, spec, beacons):
    targets = standard_targets(cluster, spec, beacons=beacons)
    return prove_isolation(cluster, spec, targets=targets, clock=SystemClock())


def pod(spec, name, namespace, *command):
    """Return a pod that admission accepts."""
    item = usual_pod(f"localhost/agnhost@{spec.images['agnhost']}", namespace, name)
    item["spec"]["containers"][0]["command"] = ["/agnhost", *command]
    return item


def ref(item):
    metadata = item["metadata"]
    return ObjectRef("v1", "Pod", metadata["namespace"], metadata["name"])


def outcomes(cluster, spec, namespace, addresses):
    """Return what came of connecting to each address as a pod's very first act."""
    image = f"localhost/agnhost@{spec.images['agnhost']}"
    commands = [connect(host, port) for host, port in addresses]
    return [end.outcome for end in run_all(cluster, image, namespace, commands)]


def test_proof(cluster, trial, servers):
    """A real environment is proven, every control included, with no rights."""
    proof = prove(cluster, trial, servers.beacons)
    assert proof.failures == ()
    assert proof.holds and proof.policy_enforced
    assert proof.workload_rights == ()
    assert len([a for a in proof.attempts if a.origin == "trial"]) == 8
    controls = [a for a in proof.attempts if a.origin == "control"]
    assert {a.outcome for a in controls} == {"reached"} and len(controls) == 6
    # Long enough for a second packet of each (RFC 6298), and none after another.
    silences = [a for a in proof.attempts if a.outcome == "blocked"]
    assert {a.detail for a in silences} == {"TIMEOUT"}
    taken = [(a.finished_at - a.started_at).total_seconds() for a in silences]
    assert min(taken) >= 1.5
    ends = [a.finished_at for a in silences]
    starts = [a.started_at for a in silences]
    assert max(starts) < min(ends)


def test_proof_of_an_open_environment(cluster, make_spec, servers):
    """Without its policies the proof of the same environment fails at every address."""
    spec = make_spec("opened")
    try:
        apply_environment(cluster, spec, recorder_token="t")
        for policy in cluster.find(
            "networking.k8s.io/v1", "NetworkPolicy", namespace=spec.namespace
        ):
            name = policy["metadata"]["name"]
            cluster.delete(
                ObjectRef("networking.k8s.io/v1", "NetworkPolicy", spec.namespace, name)
            )
        proof = prove(cluster, spec, servers.beacons)
        assert not proof.holds
        assert len(proof.failures) == 6
    finally:
        tear_down(cluster, "opened", wait_s=60)


def test_first_packet(cluster, trial, servers):
    """No pod gets a forbidden connection through with its first instruction."""
    outside = tuple(servers.beacons["outside"])
    inside = [
        outcome
        for _ in range(3)
        for outcome in outcomes(cluster, trial, NAMESPACE, [outside] * 8)
    ]
    control = outcomes(cluster, trial, CONTROL, [outside] * 8)
    assert inside == ["blocked"] * 24
    assert control == ["reached"] * 8


def test_granted_way_out(cluster, make_spec, trial, servers):
    """A granted address is reached at its port, and nothing beside it."""
    outside = tuple(servers.beacons["outside"])
    need = EgressNeed(cidr=f"{outside[0]}/32", port=outside[1], why="to be tried")
    spec = make_spec("granted", needs=SystemNeeds(egress=(need,), limits=LIMITS))
    addresses = [outside, (servers.node_address, 10250)]
    try:
        apply_environment(cluster, spec, recorder_token="t")
        seen = outcomes(cluster, spec, spec.namespace, addresses)
    finally:
        tear_down(cluster, "granted", wait_s=60)
    assert seen == ["reached", "blocked"]
    assert outcomes(cluster, trial, NAMESPACE, addresses) == ["blocked", "blocked"]
    assert outcomes(cluster, trial, CONTROL, addresses) == ["reached", "reached"]


def test_way_in(cluster, trial, servers):
    """The load source gets in at the declared port; a neighbour does not, nor anyone
    at another port.
    """
    manifests = system_manifests("agnhost", "netexec", "--http-port=8080")
    second = copy.deepcopy(
        manifests[0]["spec"]["template"]["spec"]["containers"][0]
    ) | {"name": "second", "args": ["netexec", "--http-port=9090", "--udp-port=8082"]}
    manifests[0]["spec"]["template"]["spec"]["containers"].append(second)
    for container in manifests[0]["spec"]["template"]["spec"]["containers"]:
        container["command"] = ["/agnhost"]
        container["resources"] = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    deploy_system(cluster, trial, manifests, wait_s=60)
    (front,) = cluster.find("v1", "Pod", namespace=NAMESPACE, labels="app=front")
    address = front["status"]["podIP"]
    try:
        eventually_open(address, 8080)
        assert not is_open(address, 9090)
        both = [(address, 8080), (address, 9090)]
        assert outcomes(cluster, trial, CONTROL, both) == ["blocked", "blocked"]
        assert outcomes(cluster, trial, NAMESPACE, both) == ["reached", "reached"]
    finally:
        place = ObjectRef("apps/v1", "Deployment", NAMESPACE, "front")
        cluster.delete(place)
        cluster.delete(ref(front), grace_s=0)


def eventually_open(address, port):
    assert (
        wait_until(
            lambda: [] if is_open(address, port) else ["closed"],
            wait_s=20,
            pause=time.sleep,
        )
        == []
    )


def is_open(address, port):
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


RBAC = "rbac.authorization.k8s.io"


def as_member(group, path, method="GET"):
    """Return a request of a person whose only group this is."""
    who = (("Impersonate-User", "somebody"), ("Impersonate-Group", group))
    return Request(method, path, f"{method} {path}", headers=who)


@pytest.mark.parametrize(
    "group", [f"regulatory-sandbox:operator:{TRIAL}", "regulatory-sandbox:authority"]
)
def test_people_look_and_no_more(api, trial, group):
    """Operator and authority see the pods, not the secrets, and delete nothing."""
    base = f"/api/v1/namespaces/{NAMESPACE}"
    assert api.call(as_member(group, f"{base}/pods")).status == 200
    for method, path in (
        ("GET", f"{base}/secrets"),
        ("GET", f"{base}/secrets/recorder-token"),
        ("DELETE", f"{base}/resourcequotas/system"),
        ("GET", f"/api/v1/namespaces/{CONTROL}/pods"),
    ):
        with pytest.raises(ClusterError) as caught:
            api.call(as_member(group, path, method))
        assert caught.value.status == 403


def test_limits_are_not_for_tenants(api, cluster, trial):
    """Even someone with every right in RBAC terms does not change a trial's limits,
    unless they may enforce it.
    """
    grant = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "attack-policies"},
        "rules": [
            {
                "apiGroups": ["networking.k8s.io"],
                "resources": ["networkpolicies"],
                "verbs": ["get", "delete"],
            }
        ],
    }
    bound = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "attack-policies"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "attack-policies"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "attackers"}],
    }
    policies = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
    path = f"{policies}/default-deny"
    delete = as_member("attackers", path, "DELETE")
    dry_delete = delete._replace(query=(("dryRun", "All"),))
    try:
        cluster.apply([grant, bound], owner="attacker")
        eventually_allowed(api, as_member("attackers", path))
        with pytest.raises(ClusterError, match="changed by its enforcer only"):
            api.call(dry_delete)
        grant["rules"].append(
            {
                "apiGroups": ["regulatory-sandbox"],
                "resources": ["environments"],
                "verbs": ["enforce"],
            }
        )
        cluster.apply([grant], owner="attacker")
        eventually_allowed(api, dry_delete)
    finally:
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            cluster.delete(ObjectRef(f"{RBAC}/v1", kind, "", "attack-policies"))


def eventually_allowed(api, request):
    def refused():
        try:
            api.call(request)
        except ClusterError as error:
            return [error.diagnosis]
        return []

    assert wait_until(refused, wait_s=20, pause=time.sleep) == []


def test_quota(cluster, make_spec):
    """A system gets its number of pods, and not one more."""
    needs = SystemNeeds(limits=Limits(cpu="2", memory="256Mi", pods=2))
    spec = make_spec("counted", needs=needs)
    try:
        apply_environment(cluster, spec, recorder_token="t")
        assert prove(cluster, spec, {}).holds
        pods = [
            pod(spec, f"p-{number}", spec.namespace, "pause") for number in range(3)
        ]
        cluster.apply(pods[:2], owner="attacker")
        with pytest.raises(ClusterError, match="exceeded quota") as caught:
            cluster.apply(pods[2:], owner="attacker")
        assert caught.value.status == 403
    finally:
        tear_down(cluster, "counted", wait_s=60)


def test_no_token_in_the_pod(cluster, trial):
    """Kubernetes adds no volume to a pod of the trial; elsewhere it adds a token."""
    item = pod(trial, "plain", NAMESPACE, "pause")
    other = pod(trial, "plain", CONTROL, "pause")
    other["spec"].pop("automountServiceAccountToken")
    try:
        cluster.apply([item, other], owner="attacker")
        inside, outside = cluster.get(ref(item)), cluster.get(ref(other))
        assert "volumes" not in inside["spec"]
        assert any("projected" in v for v in outside["spec"]["volumes"])
    finally:
        cluster.delete(ref(item), grace_s=0)
        cluster.delete(ref(other), grace_s=0)
