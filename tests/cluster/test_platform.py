"""The platform on a real cluster: installed, compared, repaired, removed.

On a node of its own: an API server that once had no binding with parameters finds none
again before it is restarted (kubernetes/kubernetes#130887).
"""

import copy
import json
import sys
import time

import pytest
from typer.testing import CliRunner

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import (
    apply_environment,
    apply_platform,
    ensure_platform,
    platform_differences,
    platform_objects,
    prove_isolation,
    tear_down,
)
from sandbox.environment.kinds import ref_of
from sandbox.environment.waiting import wait_until
from sandbox.errors import IsolationError
from sandbox.local import down, up
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec
from workflows.activities.site import own_image
from workflows.cli.platform import app

ADMISSION = "admissionregistration.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
POLICY = ObjectRef(
    ADMISSION, "ValidatingAdmissionPolicy", "", "regulatory-sandbox-pods"
)
BINDING = POLICY._replace(kind="ValidatingAdmissionPolicyBinding")


def told(stage, what):
    sys.stderr.write(f"{stage}: {what}\n")


@pytest.fixture(name="settings", scope="module")
def _settings(make_settings):
    settings = make_settings("platform")
    yield settings
    down(settings, progress=told)


@pytest.fixture(name="servers", scope="module")
def _servers(settings):
    return up(settings, progress=told, temporal=False)


@pytest.fixture(name="cluster", scope="module")
def _cluster(servers):
    cluster = KubernetesCluster.from_kubeconfig(servers.kubeconfig, servers.context)
    yield cluster
    cluster.close()


@pytest.fixture(name="image", scope="module")
def _image(servers):
    """The product's own image, as the node holds it."""
    return own_image(servers.images)


@pytest.fixture(name="platform", autouse=True)
def _platform(cluster, image):
    """Every test starts with all of it, and leaves all of it."""
    apply_platform(cluster, own_image=image)
    yield
    apply_platform(cluster, own_image=image)


@pytest.fixture(name="worker", scope="module")
def _worker(make_kubeconfig, servers):
    """A worker that authenticates by a certificate of its group, and nothing else."""
    file = make_kubeconfig(servers, "worker", "regulatory-sandbox:worker")
    cluster = KubernetesCluster.from_kubeconfig(file, servers.context)
    yield cluster
    cluster.close()


def sandbox_platform(settings, verb):
    """Return exit code and rows of a verb."""
    words = [verb, "--home", str(settings.home), "--output", "json"]
    result = CliRunner().invoke(app, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)


def eventually(claim):
    left = wait_until(
        lambda: [] if claim() else ["not yet"], wait_s=30, pause=time.sleep
    )
    assert left == []


def outcomes(rows):
    return {row["outcome"] for row in rows}


def identities(cluster, image):
    """Return uid and generation of every object; a status may come later."""
    found = [cluster.get(ref_of(item))["metadata"] for item in platform_objects(image)]
    return [(item["uid"], item.get("generation")) for item in found]


def test_install_again(cluster, settings, image):
    """Installing what is installed changes no object, and nothing differs then."""
    before = identities(cluster, image)
    code, rows = sandbox_platform(settings, "install")
    assert (code, outcomes(rows)) == (0, {"unchanged"})
    assert len(rows) == len(before) == len(platform_objects(image))
    assert identities(cluster, image) == before
    assert sandbox_platform(settings, "diff") == (0, [])


def test_round_trip(cluster, settings, worker, image):
    """What is uninstalled is gone; a worker then refuses to begin, and says what to do;
    installing creates every object again.
    """
    code, rows = sandbox_platform(settings, "uninstall")
    assert (code, outcomes(rows)) == (0, {"removed"})
    left = [cluster.get(ref_of(item)) for item in platform_objects(image)]
    assert left == [None] * len(left)
    code, rows = sandbox_platform(settings, "diff")
    assert (code, {row["state"] for row in rows}) == (1, {"missing"})
    with pytest.raises(IsolationError, match="sandbox platform install") as caught:
        ensure_platform(worker)
    assert not caught.value.retryable
    code, rows = sandbox_platform(settings, "install")
    assert (code, outcomes(rows)) == (0, {"created"})
    assert sandbox_platform(settings, "diff") == (0, [])
    eventually(lambda: ensured(worker))


def ensured(cluster):
    """Whether a cluster is ready for trials; RBAC takes a moment to be in force."""
    try:
        ensure_platform(cluster)
    except IsolationError:
        return False
    return True


def test_edits_are_found_and_repaired(cluster, settings, worker, request):
    """A field added, a value changed, an object removed and one left over are all
    named; a worker does not begin; installing repairs all but what is not its own.
    """
    policy = cluster.get(POLICY)
    off = {"name": "off", "expression": "false"}
    policy["spec"]["matchConditions"] = [off]
    cluster.replace(policy)
    role = ObjectRef(RBAC, "ClusterRole", "", "regulatory-sandbox-worker")
    wide = cluster.get(role)
    wide["rules"][0]["verbs"] = ["*"]
    cluster.replace(wide)
    cluster.delete(BINDING)
    left = {
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {
            "name": "regulatory-sandbox-of-old",
            "labels": {"app.kubernetes.io/managed-by": "regulatory-sandbox"},
        },
        "rules": [],
    }
    cluster.apply([left], owner="someone")
    request.addfinalizer(lambda: cluster.delete(ref_of(left)))
    code, rows = sandbox_platform(settings, "diff")
    found = {(row["object"], row["state"], row["path"]) for row in rows}
    name = "regulatory-sandbox-pods"
    assert code == 1
    assert found >= {
        (f"ValidatingAdmissionPolicyBinding {name}", "missing", ""),
        ("ClusterRole regulatory-sandbox-of-old", "foreign", ""),
        ("ClusterRole regulatory-sandbox-worker", "changed", "rules[0].verbs[0]"),
    }
    paths = [path for thing, _, path in found if thing.endswith(f"Policy {name}")]
    assert paths and all(p.startswith("spec.matchConditions") for p in paths)
    with pytest.raises(IsolationError, match=f"{name} was changed or removed"):
        ensure_platform(worker)
    _, rows = sandbox_platform(settings, "install")
    done = {row["object"]: row["outcome"] for row in rows}
    assert [what for what in done.values() if what != "unchanged"] == [
        "created",
        "changed",
        "changed",
    ]
    _, rows = sandbox_platform(settings, "diff")
    assert [row["state"] for row in rows] == ["foreign"]
    _, rows = sandbox_platform(settings, "uninstall")
    assert {
        "object": "ClusterRole regulatory-sandbox-of-old",
        "outcome": "removed",
    } in (rows)


def test_provisioning_repairs_where_it_may(cluster, image):
    """With the rights of an administrator a broken platform is made whole unasked."""
    cluster.delete(BINDING)
    ensure_platform(cluster)
    assert platform_differences(cluster, own_image=image) == []


def test_no_uninstall_under_trials(cluster, settings, image):
    """While a trial is there nothing is removed, and the trial is named."""
    apply_environment(cluster, environment_spec("narrow"), recorder_token="t")
    try:
        with pytest.raises(IsolationError, match="trial-narrow"):
            sandbox_platform(settings, "uninstall")
        assert platform_differences(cluster, own_image=image) == []
    finally:
        tear_down(cluster, "narrow", wait_s=60)


def test_an_api_server_that_lost_its_parameters(cluster, settings, servers):
    """After uninstalling, the API server admits no pod of a new trial before it is
    restarted; the proof says so. Once this fails, Kubernetes has been corrected.
    """
    sandbox_platform(settings, "uninstall")
    sandbox_platform(settings, "install")
    images = {"agnhost": servers.images["agnhost"]}
    spec = environment_spec("lost", images=images)
    apply_environment(cluster, spec, recorder_token="t")
    try:
        with pytest.raises(IsolationError, match="restart it"):
            prove_isolation(cluster, spec, targets=[], clock=SystemClock())
    finally:
        tear_down(cluster, "lost", wait_s=60)


def test_foreign_objects_stay(cluster, settings):
    """An object of our name without our label is left alone."""
    item = copy.deepcopy(platform_objects()[1])
    place = ref_of(item)
    cluster.delete(place)
    item["metadata"]["labels"] = {}
    cluster.apply([item], owner="someone")
    _, rows = sandbox_platform(settings, "uninstall")
    kept = [row["object"] for row in rows if row["outcome"] == "not ours"]
    assert kept == ["PriorityClass regulatory-sandbox-trial"]
    assert cluster.get(place) is not None
