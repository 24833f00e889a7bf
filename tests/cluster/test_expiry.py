"""Expiry with nothing of this product running but the job in the cluster.

No Temporal, no worker, no recorder: the node alone, with what `apply_platform` applies.
The promise: 60 s past its expiry, nothing of an environment is alive.
"""

import sys
import time
from datetime import timedelta

import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.config import new_client_from_config

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import (
    apply_environment,
    apply_platform,
    deploy_system,
    tear_down,
)
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.model.application import IngressNeed, Limits, SystemNeeds
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec, system_manifests

CONTROL = "sandbox-control"
ACCOUNT = "regulatory-sandbox-expiry"
PROMISE_S = 60.0
AHEAD_S = 75.0
SERVING = ("pause",)
HOLDER = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {
        "name": "holder",
        "namespace": "trial-expheld",
        "finalizers": ["example.org/held"],
    },
}


@pytest.fixture(name="make_spec", scope="module")
def _make_spec(servers):
    def make(trial_id, *, seconds, **changes):
        need = IngressNeed.model_validate(
            {"from": "load-source", "to": "front", "port": 8080}
        )
        usual = {
            "images": {"agnhost": servers.images["agnhost"]},
            "needs": SystemNeeds(
                ingress=(need,), limits=Limits(cpu="1", memory="512Mi", pods=4)
            ),
            "expires_at": SystemClock().now() + timedelta(seconds=seconds),
            "load_source": f"{servers.host_address}/32",
        }
        return environment_spec(trial_id, **{**usual, **changes})

    return make


@pytest.fixture(name="kept", scope="module", autouse=True)
def _kept(cluster, servers):
    """The job is there; its first run has begun."""
    apply_platform(cluster, own_image=servers.image("regulatory-sandbox"))

    def starting():
        return [] if job_pods(cluster, "Running") else ["no run of the job yet"]

    assert wait_until(starting, wait_s=100, pause=time.sleep) == []
    yield
    cluster.delete(ObjectRef("batch/v1", "CronJob", CONTROL, ACCOUNT))


@pytest.fixture(name="as_account", scope="module")
def _as_account(servers):
    """The cluster, as the job's account sees it."""
    admin = new_client_from_config(str(servers.kubeconfig), servers.context)
    issued = CoreV1Api(admin).create_namespaced_service_account_token(
        ACCOUNT, CONTROL, {"spec": {}}
    )
    configuration = Configuration(host=servers.api_server)
    configuration.ssl_ca_cert = admin.configuration.ssl_ca_cert
    configuration.api_key["BearerToken"] = f"Bearer {issued.status.token}"
    configuration.retries = False
    account = KubernetesCluster(ApiClient(configuration))
    yield account
    account.close()


def job_pods(cluster, phase=""):
    found = cluster.find(
        "v1", "Pod", namespace=CONTROL, labels="regulatory-sandbox/part=expiry"
    )
    return [pod for pod in found if phase in ("", pod["status"].get("phase"))]


def job_log(cluster):
    return "".join(
        cluster.logs(CONTROL, pod["metadata"]["name"], "expiry")
        for pod in job_pods(cluster)
        if pod["status"].get("phase") != "Pending"
    )


def opened(cluster, spec):
    apply_environment(cluster, spec, recorder_token="t")
    deploy_system(cluster, spec, system_manifests("agnhost", *SERVING), wait_s=45)
    return spec


def past(spec):
    """Seconds past the expiry."""
    return (SystemClock().now() - spec.expires_at).total_seconds()


def pods(cluster, spec):
    return cluster.find("v1", "Pod", namespace=spec.namespace)


def namespace(cluster, spec):
    return cluster.get(ObjectRef("v1", "Namespace", "", spec.namespace))


def last_seen(cluster, spec):
    """Return when pods and namespace were last seen, in seconds past the expiry."""
    pods_s = namespace_s = float("-inf")
    while past(spec) < PROMISE_S:
        if pods(cluster, spec):
            pods_s = past(spec)
        if namespace(cluster, spec) is None:
            break
        namespace_s = past(spec)
        time.sleep(0.1)
    return pods_s, namespace_s


@pytest.mark.timeout(400)
def test_nothing_is_alive_60_s_past_expiry(cluster, make_spec):
    """What is due ends at its deadline, held or not; what is not due stays."""
    held = make_spec("expheld", seconds=AHEAD_S)
    due = make_spec("expdue", seconds=AHEAD_S)
    later = make_spec("explater", seconds=3600)
    try:
        for spec in (held, due, later):
            opened(cluster, spec)
        cluster.apply([HOLDER], owner="someone")
        assert past(due) < 0
        assert pods(cluster, due) and pods(cluster, held)
        before = last_ready(cluster, due)
        pods_s, namespace_s = last_seen(cluster, due)
        sys.stderr.write(
            f"last pod seen {pods_s:.1f} s, namespace {namespace_s:.1f} s past expiry\n"
        )
        # The system ran until its deadline, and no longer than promised after it.
        assert before > -5
        assert -1 < pods_s < PROMISE_S
        assert -1 < namespace_s < PROMISE_S
        assert namespace(cluster, due) is None
        assert pods(cluster, held) == []
        assert pods(cluster, later)
        assert "deletionTimestamp" not in namespace(cluster, later)["metadata"]
        reported = "Trial expheld: its namespace trial-expheld is held"

        def unreported():
            return [] if reported in job_log(cluster) else ["not reported"]

        assert wait_until(unreported, wait_s=60, pause=time.sleep) == []
        assert "example.org/held" in job_log(cluster)
    finally:
        unheld = {k: v for k, v in HOLDER["metadata"].items() if k != "finalizers"}
        if namespace(cluster, held) is not None:
            cluster.apply([{**HOLDER, "metadata": unheld}], owner="someone")
        for spec in (held, due, later):
            tear_down(cluster, spec.trial_id, wait_s=60)


def last_ready(cluster, spec):
    """Wait for the deadline; return when a pod was last ready, seconds past it."""
    ready_s = float("-inf")
    while past(spec) < -0.2:
        conditions = [c for p in pods(cluster, spec) for c in p["status"]["conditions"]]
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            ready_s = past(spec)
        time.sleep(0.1)
    return ready_s


def test_an_expired_trial_starts_nothing(cluster, make_spec):
    """The API server refuses a pod past the expiry, and one that may run past it."""
    at = (SystemClock().now() + timedelta(seconds=20)).replace(microsecond=900_000)
    spec = make_spec("expshut", seconds=0, expires_at=at)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "late", "namespace": spec.namespace},
        "spec": {
            "restartPolicy": "Never",
            "priorityClassName": "regulatory-sandbox-trial",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "late",
                    "image": f"localhost/agnhost@{spec.images['agnhost']}",
                    "args": ["pause"],
                    "resources": {"limits": {"cpu": "10m", "memory": "32Mi"}},
                    "securityContext": {
                        "readOnlyRootFilesystem": True,
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    longer = {**pod, "spec": {**pod["spec"], "activeDeadlineSeconds": 600}}
    shorter = {**pod, "spec": {**pod["spec"], "activeDeadlineSeconds": 1}}
    try:
        apply_environment(cluster, spec, recorder_token="t")

        def refused():
            refusal = tried(cluster, pod)
            return [refusal] if refusal else []

        assert wait_until(refused, wait_s=10, pause=time.sleep) == []
        assert tried(cluster, shorter) == ""
        assert "set it to less" in tried(cluster, longer)
        assert past(spec) < 0
        # The job ends the namespace within a moment of the expiry; the second before
        # it, which the API server rounds down to, is refused already.
        seen = set()
        while namespace(cluster, spec) is not None and past(spec) < PROMISE_S:
            if past(spec) > -0.8:
                seen.add(tried(cluster, pod))
        assert any("the trial expired at" in refusal for refusal in seen)
        assert "" not in seen
    finally:
        tear_down(cluster, spec.trial_id, wait_s=60)


def tried(cluster, item):
    """Return why the API server refuses an object, or nothing; nothing is kept."""
    try:
        cluster.apply([item], owner="test", dry_run=True)
    except ClusterError as error:
        return error.diagnosis
    return ""


def test_the_account_can_do_nothing_else(cluster, as_account, make_spec):
    """The job's account reads deadlines and removes trials; all else is refused."""
    assert cluster.rights(CONTROL, ACCOUNT) == [
        "delete,get,list core/namespaces",
        "delete,list core/pods",
        "list apps/deployments",
        "patch apps/deployments/scale",
    ]
    spec = make_spec("expright", seconds=3600)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "data": {}}
    dns = ObjectRef("apps/v1", "Deployment", "kube-system", "coredns")
    (dns_pod,) = cluster.find("v1", "Pod", namespace="kube-system")
    other = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "somebody-else"},
    }
    cluster.apply([other], owner="test")
    opened(cluster, spec)
    front = ObjectRef("apps/v1", "Deployment", spec.namespace, "front")
    deny = ObjectRef(
        "networking.k8s.io/v1", "NetworkPolicy", spec.namespace, "default-deny"
    )
    place = {"namespace": spec.namespace}
    forbidden = {
        "read secrets": lambda: as_account.find("v1", "Secret", **place),
        "write": lambda: as_account.apply(
            [{**config, "metadata": {"name": "x", **place}}], owner="x"
        ),
        "policies": lambda: as_account.delete(deny),
        "another namespace": lambda: as_account.delete(
            ObjectRef("v1", "Namespace", "", "somebody-else")
        ),
        "the control namespace": lambda: as_account.delete(
            ObjectRef("v1", "Namespace", "", CONTROL)
        ),
        "another pod": lambda: as_account.delete(
            ObjectRef("v1", "Pod", "kube-system", dns_pod["metadata"]["name"])
        ),
        "another deployment": lambda: as_account.scale(dns, 0),
    }
    try:
        answers = {what: status_of(act) for what, act in forbidden.items()}
        assert answers == {
            "read secrets": 403,
            "write": 403,
            "policies": 403,
            "another namespace": 422,
            "the control namespace": 422,
            "another pod": 422,
            "another deployment": 422,
        }
        # The controls: the same acts on a trial.
        assert status_of(lambda: as_account.scale(front, 0)) is None
        tear_down(as_account, spec.trial_id, wait_s=60)
        assert namespace(cluster, spec) is None
    finally:
        cluster.delete(ObjectRef("v1", "Namespace", "", "somebody-else"))
        tear_down(cluster, spec.trial_id, wait_s=60)


def status_of(act):
    """Return the status with which Kubernetes refuses an act, or nothing."""
    try:
        act()
    except ClusterError as error:
        return error.status
    return None


def test_the_job_runs_as_nobody(cluster, servers):
    """Non-root, read-only root, no capability, pinned; it cannot write its image."""
    (pod, *_) = job_pods(cluster)
    (container,) = pod["spec"]["containers"]
    assert container["image"] == servers.image("regulatory-sandbox")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert pod["spec"]["securityContext"]["runAsUser"] == 65534
    said = run_beside(cluster, pod, WRITER)
    assert "uid 65534" in said
    for place in ("/", "/tmp", "/opt/regulatory-sandbox", "/usr/local/bin"):
        assert f"{place} refused" in said
    assert "/shm written" in said


WRITER = """
import os
print("uid", os.getuid())
for place in ("/", "/tmp", "/opt/regulatory-sandbox", "/usr/local/bin", "/shm"):
    try:
        open(place + "/x", "w").close()
        print(place, "written")
    except OSError:
        print(place, "refused")
"""


def run_beside(cluster, pod, program):
    """Run a program in the job's image as the job runs; return what it prints."""
    (container,) = pod["spec"]["containers"]
    kept = ("image", "securityContext", "resources")
    beside = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "beside", "namespace": CONTROL},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": pod["spec"]["securityContext"],
            "volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "1Mi"}}],
            "containers": [
                {
                    **{key: container[key] for key in kept},
                    "name": "beside",
                    "command": ["/usr/local/bin/python3", "-c", program],
                    "volumeMounts": [{"name": "shm", "mountPath": "/shm"}],
                }
            ],
        },
    }
    cluster.apply([beside], owner="test")
    place = ObjectRef("v1", "Pod", CONTROL, "beside")
    try:

        def unfinished():
            phase = cluster.get(place)["status"].get("phase")
            return [] if phase in ("Succeeded", "Failed") else [str(phase)]

        assert wait_until(unfinished, wait_s=60, pause=time.sleep) == []
        return cluster.logs(CONTROL, "beside", "beside")
    finally:
        cluster.delete(place, grace_s=0)
