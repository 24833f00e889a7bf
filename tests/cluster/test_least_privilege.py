"""Who may do what, asked of a real API server: each group may do exactly what is
written here, what it must not do is tried, and a worker's rights are enough.

Everybody authenticates by a certificate of their group. A refusal counts only beside a
control: the same request, sent by an administrator.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.adapters.kubernetes_api import APPLY_PATCH, MERGE_PATCH, Request
from sandbox.environment import (
    apply_environment,
    apply_platform,
    deploy_system,
    expired_environments,
    find_drift,
    freeze,
    prove_isolation,
    residue,
    settle,
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

TRIAL = "guarded"
NARROW = "trial-narrow"
NAMESPACE, OTHER = f"trial-{TRIAL}", "trial-other"
CONTROL, BYSTANDER = "sandbox-control", "bystander"
RBAC = "rbac.authorization.k8s.io"
LEVEL = ObjectRef(
    "flowcontrol.apiserver.k8s.io/v1",
    "PriorityLevelConfiguration",
    "",
    "regulatory-sandbox-worker",
)
GROUPS = {
    "worker": "regulatory-sandbox:worker",
    "operator": f"regulatory-sandbox:operator:{TRIAL}",
    "authority": "regulatory-sandbox:authority",
}
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERBS = "get list watch create update patch delete deletecollection".split()
SPECIAL = {
    "roles.rbac.authorization.k8s.io": ["bind", "escalate"],
    "clusterroles.rbac.authorization.k8s.io": ["bind", "escalate"],
    "users": ["impersonate"],
    "groups": ["impersonate"],
    "serviceaccounts": ["impersonate"],
    "serviceaccounts.authentication.k8s.io": ["impersonate:serviceaccount"],
    "users.authentication.k8s.io": ["impersonate:user-info"],
    "selfsubjectrulesreviews.authorization.k8s.io": [
        "impersonate-on:serviceaccount:create"
    ],
    "selfsubjectaccessreviews.authorization.k8s.io": [
        "impersonate-on:serviceaccount:create"
    ],
    "environments.regulatory-sandbox": ["enforce"],
    "nodes": ["proxy"],
    "certificatesigningrequests.certificates.k8s.io": ["approve", "sign"],
}

LOOK = ("get", "list", "watch")
EVERYONE = {
    "selfsubjectreviews.authentication.k8s.io": ("create",),
    "selfsubjectaccessreviews.authorization.k8s.io": ("create",),
    "selfsubjectrulesreviews.authorization.k8s.io": ("create",),
}
WORKER = {
    **EVERYONE,
    "namespaces": ("get", "list", "create", "patch", "delete"),
    "pods": ("get", "create", "patch", "delete"),
    "services": ("create", "patch", "delete"),
    "configmaps": ("get", "create", "patch", "delete"),
    "deployments.apps": ("get", "create", "patch", "delete"),
    "deployments.apps/scale": ("patch",),
    "networkpolicies.networking.k8s.io": ("get", "create", "patch", "delete"),
    **dict.fromkeys(
        (
            "limitranges",
            "resourcequotas",
            "serviceaccounts",
            "rolebindings.rbac.authorization.k8s.io",
            "roles.rbac.authorization.k8s.io",
        ),
        ("get", "delete"),
    ),
    "environments.regulatory-sandbox": ("enforce",),
    "selfsubjectrulesreviews.authorization.k8s.io": (
        "create",
        "impersonate-on:serviceaccount:create",
    ),
}
"""What a worker may do whatever the name and the place; listing comes on top."""
WORKER_LISTS = (
    "nodes",
    "persistentvolumes",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "runtimeclasses.node.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
)
"""Kinds without namespace; of those with one it lists all but Secrets."""
WORKER_NAMED = {
    ("pods/log", "isolation-proof"): ("get",),
    ("secrets", "recorder-token"): ("get", "create", "patch"),
    ("serviceaccounts", "workload"): ("create", "patch"),
    ("serviceaccounts", "default"): ("create", "patch"),
    ("resourcequotas", "system"): ("create", "patch"),
    ("resourcequotas", "proof"): ("create", "patch"),
    ("resourcequotas", "objects"): ("create", "patch"),
    ("resourcequotas", "other-priorities"): ("create", "patch"),
    ("limitranges", "container-limits"): ("create", "patch"),
    ("services", "kubernetes"): ("get",),
    ("runtimeclasses.node.k8s.io", "gvisor"): ("get",),
    ("roles.rbac.authorization.k8s.io", "trial-operator"): (
        "create",
        "patch",
        "escalate",
        "bind",
    ),
    ("roles.rbac.authorization.k8s.io", "trial-authority"): (
        "create",
        "patch",
        "escalate",
        "bind",
    ),
    ("rolebindings.rbac.authorization.k8s.io", "trial-operator"): ("create", "patch"),
    ("rolebindings.rbac.authorization.k8s.io", "trial-authority"): ("create", "patch"),
    ("serviceaccounts.authentication.k8s.io", "workload"): (
        "impersonate:serviceaccount",
    ),
}
"""What it may do beside that to objects of one name."""
OPERATOR_INSIDE = {
    **EVERYONE,
    **dict.fromkeys(
        (
            "pods",
            "pods/log",
            "services",
            "events",
            "deployments.apps",
            "replicasets.apps",
        ),
        LOOK,
    ),
}
AUTHORITY = {
    **EVERYONE,
    "validatingadmissionpolicies.admissionregistration.k8s.io": LOOK,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": LOOK,
}
AUTHORITY_INSIDE = {
    **AUTHORITY,
    **dict.fromkeys(
        (
            "pods",
            "services",
            "events",
            "configmaps",
            "serviceaccounts",
            "resourcequotas",
            "limitranges",
            "deployments.apps",
            "replicasets.apps",
            "networkpolicies.networking.k8s.io",
            "roles.rbac.authorization.k8s.io",
            "rolebindings.rbac.authorization.k8s.io",
        ),
        LOOK,
    ),
}


@pytest.fixture(name="apis", scope="module")
def _apis(make_api, make_kubeconfig, servers):
    """One way to ask for each group, and for an administrator."""
    made = {n: make_api(make_kubeconfig(servers, n, g)) for n, g in GROUPS.items()}
    return {"admin": make_api(servers.kubeconfig), **made}


@pytest.fixture(name="worker", scope="module")
def _worker(make_kubeconfig, servers):
    file = make_kubeconfig(servers, "worker", GROUPS["worker"])
    cluster = KubernetesCluster.from_kubeconfig(file, servers.context)
    yield cluster
    cluster.close()


@pytest.fixture(name="trial", scope="module")
def _trial(cluster, worker):
    """Two trials, a namespace that is nobody's, and things to reach for in each."""
    apply_platform(cluster)
    for trial_id in (TRIAL, "other"):
        apply_environment(cluster, environment_spec(trial_id), recorder_token="t")
    bystander = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": BYSTANDER},
    }
    cluster.apply([bystander], owner="test")
    things = [config(BYSTANDER), config(NAMESPACE), secret(BYSTANDER), deployment()]
    cluster.apply(things, owner="test")
    # A policy takes a moment to be in force after it was applied.
    late = wait_until(
        lambda: [] if refused(worker, config(BYSTANDER)) else ["not in force"],
        wait_s=30,
        pause=time.sleep,
    )
    assert late == []
    yield
    for trial_id in (TRIAL, "other"):
        tear_down(cluster, trial_id, wait_s=60)
    cluster.delete(ObjectRef("v1", "Namespace", "", BYSTANDER))


def refused(cluster, item):
    try:
        cluster.apply([item], owner="test", dry_run=True)
    except ClusterError:
        return True
    return False


def config(namespace, name="c"):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"a": "1"},
    }


def secret(namespace, name="recorder-token"):
    return {**config(namespace, name), "kind": "Secret", "data": {}}


def account(name):
    item = {**config(BYSTANDER, name), "kind": "ServiceAccount"}
    del item["data"]
    return item


def deployment():
    labels = {"app": "idle"}
    container = {"name": "c", "image": "localhost/nothing:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "idle", "namespace": BYSTANDER},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container]},
            },
        },
    }


def rbac(kind, name, namespace=NAMESPACE, **content):
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name, **place},
        **content,
    }


def role(verb, name="trial-operator", namespace=NAMESPACE, resource="pods"):
    rule = {"apiGroups": [""], "resources": [resource], "verbs": [verb]}
    return rbac("Role", name, namespace, rules=[rule])


def binding(group, namespace=NAMESPACE, name="trial-operator"):
    return rbac(
        "RoleBinding",
        name,
        namespace,
        roleRef={"apiGroup": RBAC, "kind": "Role", "name": name},
        subjects=[{"apiGroup": RBAC, "kind": "Group", "name": group}],
    )


def namespace(name, **labels):
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


def trial_labels(trial_id, level="restricted"):
    return {
        "app.kubernetes.io/managed-by": "regulatory-sandbox",
        "regulatory-sandbox/trial": trial_id,
        "pod-security.kubernetes.io/enforce": level,
    }


def ask(method, path, body=None, content_type="application/json", headers=()):
    """Return a request that keeps nothing."""
    query = [("dryRun", "All")] if method != "GET" else []
    if content_type == APPLY_PATCH:
        query += [("fieldManager", "test"), ("force", "true")]
    return Request(
        method,
        path,
        f"{method} {path}",
        query=tuple(query),
        body=body,
        content_type=content_type,
        headers=headers,
    )


def write(item):
    """Return the request that applies an object."""
    root = "/api" if item["apiVersion"] == "v1" else "/apis"
    metadata = item["metadata"]
    plural = PLURALS.get(item["kind"], item["kind"].lower() + "s")
    inside = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    path = f"{root}/{item['apiVersion']}{inside}/{plural}/{metadata['name']}"
    return ask("PATCH", path, item, APPLY_PATCH)


PLURALS = {"NetworkPolicy": "networkpolicies"}


def patch(path, body):
    return ask("PATCH", path, body, MERGE_PATCH)


CORE, APPS = "/api/v1/namespaces", "/apis/apps/v1/namespaces"
POLICY = "regulatory-sandbox-pods"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
GUARD = f"{POLICIES}/{POLICY}"
NO_RIGHT = "cannot"
REACH, DELEGATION = "worker-reach", "worker-delegation"
DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "p", "namespace": CONTROL},
    "spec": {"podSelector": {}},
}
REVIEW = {
    "apiVersion": "authorization.k8s.io/v1",
    "kind": "SelfSubjectRulesReview",
    "spec": {"namespace": "kube-system"},
}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


def acting_as(user):
    return (("Impersonate-User", user),)


ATTEMPTS = {
    "worker": {
        # What its group gives it no right to.
        "read every secret": (ask("GET", "/api/v1/secrets"), NO_RIGHT),
        "read a secret of kube-system": (
            ask("GET", f"{CORE}/kube-system/secrets"),
            NO_RIGHT,
        ),
        "list the secrets of a trial": (
            ask("GET", f"{CORE}/{NAMESPACE}/secrets"),
            NO_RIGHT,
        ),
        "write another secret": (write(secret(NAMESPACE, "other")), NO_RIGHT),
        "delete the recorder token": (
            ask("DELETE", f"{CORE}/{NAMESPACE}/secrets/recorder-token"),
            NO_RIGHT,
        ),
        "delete all pods at once": (
            ask("DELETE", f"{CORE}/{NAMESPACE}/pods"),
            NO_RIGHT,
        ),
        "read a node": (ask("GET", "/api/v1/nodes/local"), NO_RIGHT),
        "label a node": (
            patch("/api/v1/nodes/local", {"metadata": {"labels": {"a": "b"}}}),
            NO_RIGHT,
        ),
        "change an admission policy": (
            patch(GUARD, {"spec": {"failurePolicy": "Ignore"}}),
            NO_RIGHT,
        ),
        "delete an admission policy": (ask("DELETE", GUARD), NO_RIGHT),
        "make a ClusterRole": (
            write(rbac("ClusterRole", "mine", "", rules=[])),
            NO_RIGHT,
        ),
        "widen its own ClusterRole": (
            patch(
                f"/apis/{RBAC}/v1/clusterroles/regulatory-sandbox-worker",
                {"rules": []},
            ),
            NO_RIGHT,
        ),
        "make a Role of another name": (
            write(role("get", "mine", BYSTANDER)),
            NO_RIGHT,
        ),
        "make an account of another name": (
            write(account("mine")),
            NO_RIGHT,
        ),
        "act as an administrator": (
            ask("POST", REVIEWS, REVIEW, headers=acting_as("admin")),
            NO_RIGHT,
        ),
        "act as another account": (
            ask(
                "POST",
                REVIEWS,
                REVIEW,
                headers=acting_as(f"system:serviceaccount:{NAMESPACE}:default"),
            ),
            NO_RIGHT,
        ),
        "do as the workload what the workload may do": (
            ask(
                "GET",
                "/version",
                headers=acting_as(f"system:serviceaccount:{NAMESPACE}:workload"),
            ),
            NO_RIGHT,
        ),
        # What admission refuses it, because RBAC knows no names of namespaces.
        "write elsewhere": (write(config(BYSTANDER)), REACH),
        "write in kube-system": (write(config("kube-system")), REACH),
        "write in default": (write(config("default")), REACH),
        "delete elsewhere": (
            ask("DELETE", f"{CORE}/{BYSTANDER}/configmaps/c"),
            REACH,
        ),
        "scale elsewhere": (
            patch(
                f"{APPS}/{BYSTANDER}/deployments/idle/scale", {"spec": {"replicas": 1}}
            ),
            REACH,
        ),
        "read a secret by writing nothing into it": (
            patch(f"{CORE}/{BYSTANDER}/secrets/recorder-token", {}),
            REACH,
        ),
        "hand out rights elsewhere": (write(role("get", namespace=BYSTANDER)), REACH),
        "deny traffic of the control namespace": (write(DENY_ALL), REACH),
        "configure the control namespace": (write(config(CONTROL)), REACH),
        "delete a namespace of others": (ask("DELETE", f"{CORE}/{BYSTANDER}"), REACH),
        "make a namespace of others a trial": (
            patch(
                f"{CORE}/{BYSTANDER}", {"metadata": {"labels": trial_labels(BYSTANDER)}}
            ),
            REACH,
        ),
        "make another namespace": (write(namespace("mine")), REACH),
        "make one that looks like a trial": (
            write(namespace("kube-mine", **trial_labels("mine"))),
            REACH,
        ),
        "make one that looks warm": (
            write(
                namespace(
                    "trial-mine",
                    **trial_labels("other"),
                    **{"regulatory-sandbox/warm": "mine"},
                )
            ),
            REACH,
        ),
        "take another trial's namespace for a warm one": (
            patch(
                f"{CORE}/{NAMESPACE}",
                {"metadata": {"labels": {"regulatory-sandbox/warm": "warm-1"}}},
            ),
            REACH,
        ),
        "make a trial without its guard": (
            write(namespace("trial-mine", **trial_labels("mine", "privileged"))),
            REACH,
        ),
        "take the guard off a trial": (
            patch(
                f"{CORE}/{NAMESPACE}",
                {"metadata": {"labels": trial_labels(TRIAL, "privileged")}},
            ),
            REACH,
        ),
        "let an operator change": (write(role("delete")), DELEGATION),
        "bind a group of its choice": (write(binding("friends")), DELEGATION),
        "bind the operators of another trial": (
            write(binding("regulatory-sandbox:operator:other")),
            DELEGATION,
        ),
    },
    "operator": {
        "read a secret": (
            ask("GET", f"{CORE}/{NAMESPACE}/secrets/recorder-token"),
            NO_RIGHT,
        ),
        "read the parameters": (
            ask("GET", f"{CORE}/{NAMESPACE}/configmaps/trial-params"),
            NO_RIGHT,
        ),
        "look into another trial": (ask("GET", f"{CORE}/{OTHER}/pods"), NO_RIGHT),
        "look into every trial": (ask("GET", "/api/v1/pods"), NO_RIGHT),
        "list namespaces": (ask("GET", CORE), NO_RIGHT),
        "change its trial": (write(config(NAMESPACE)), NO_RIGHT),
        "delete its trial": (ask("DELETE", f"{CORE}/{NAMESPACE}"), NO_RIGHT),
        "open its trial": (
            ask(
                "DELETE",
                "/apis/networking.k8s.io/v1/namespaces"
                f"/{NAMESPACE}/networkpolicies/default-deny",
            ),
            NO_RIGHT,
        ),
        "widen its role": (write(role("list", resource="services")), NO_RIGHT),
    },
    "authority": {
        "read a secret": (
            ask("GET", f"{CORE}/{NAMESPACE}/secrets/recorder-token"),
            NO_RIGHT,
        ),
        "look elsewhere": (ask("GET", f"{CORE}/{BYSTANDER}/configmaps"), NO_RIGHT),
        "look everywhere": (ask("GET", "/api/v1/configmaps"), NO_RIGHT),
        "change a trial": (write(config(NAMESPACE)), NO_RIGHT),
        "delete a trial": (ask("DELETE", f"{CORE}/{NAMESPACE}"), NO_RIGHT),
        "delete an admission policy": (ask("DELETE", GUARD), NO_RIGHT),
        "widen its role": (write(role("list", "trial-authority")), NO_RIGHT),
    },
}
CASES = [(who, what) for who, attempts in ATTEMPTS.items() for what in attempts]


@pytest.mark.usefixtures("trial")
@pytest.mark.parametrize(("who", "what"), CASES)
def test_refused(apis, who, what):
    """An administrator's request is served; the same request of the group is not."""
    request, reason = ATTEMPTS[who][what]
    assert apis["admin"].call(request).status in (200, 201)
    with pytest.raises(ClusterError, match=reason) as caught:
        apis[who].call(request)
    assert caught.value.status in ((403,) if reason == NO_RIGHT else (403, 422))


def kinds(api):
    """Return resource (and subresource) → whether it lies in a namespace, and what it
    can be asked for, of every kind that is discovered.
    """
    found = {}
    for path in ("/api", "/apis"):
        request = Request("GET", path, "discover", accept=DISCOVERY)
        for group in api.call(request).json()["items"]:
            name = group["metadata"].get("name", "")
            for item in (i for v in group["versions"] for i in v["resources"]):
                base = f"{item['resource']}.{name}" if name else item["resource"]
                inside = item.get("scope") == "Namespaced"
                found[base] = (inside, item["verbs"])
                for part in item.get("subresources") or []:
                    found[f"{base}/{part['subresource']}"] = (inside, part["verbs"])
    return found


def questions(found):
    """Return every (resource, verb) that could be asked for."""
    asked = {(resource, verb) for resource in found for verb in VERBS}
    asked |= {(r, verb) for r, verbs in SPECIAL.items() for verb in verbs}
    return sorted(asked)


def inside(found, namespace):
    """Return where a resource is asked for: no namespace if it lies in none."""
    return lambda resource: namespace if found.get(resource, (True,))[0] else ""


def allowed(api, asked, where, name=""):
    """Return which of the (resource, verb) the API server says it would allow."""

    def is_allowed(question):
        resource, verb = question
        base, _, part = resource.partition("/")
        plural, _, group = base.partition(".")
        attributes = {
            "namespace": where(resource),
            "name": name,
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": part,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = api.call(Request("POST", path, f"may {verb} {resource}", body=body))
        return answer.json()["status"]["allowed"]

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(is_allowed, asked)
        return {question for question, yes in zip(asked, answers, strict=True) if yes}


def declared(table):
    return {(resource, verb) for resource, verbs in table.items() for verb in verbs}


def worker_rights(found, namespace):
    lists = set(WORKER_LISTS)
    for resource, (inside, verbs) in found.items():
        if namespace == CONTROL and inside:
            lists.add(resource)
        elif inside and "list" in verbs and resource != "secrets":
            lists.add(resource)
    logs = {("pods/log", "get")} if namespace == CONTROL else set()
    return declared(WORKER) | logs | {(resource, "list") for resource in lists}


@pytest.mark.usefixtures("trial")
@pytest.mark.parametrize("namespace", ["kube-system", CONTROL, NAMESPACE])
def test_rights_of_a_worker(apis, namespace):
    """Of every kind and verb there is, a worker may do what is written, and no more."""
    found = kinds(apis["admin"])
    asked = questions(found)
    assert len(asked) > 500
    may = allowed(apis["worker"], asked, inside(found, namespace))
    assert may == worker_rights(found, namespace)


@pytest.mark.usefixtures("trial")
def test_rights_of_a_worker_by_name(apis):
    """Rights over objects of one name are those written, and end with that name."""
    every = {verb for verbs in SPECIAL.values() for verb in verbs} | set(VERBS)
    found = kinds(apis["admin"])
    free = worker_rights(found, "kube-system")
    where = inside(found, "kube-system")
    for (resource, name), verbs in WORKER_NAMED.items():
        asked = [(resource, verb) for verb in every]
        general = {question for question in asked if question in free}
        named = {(resource, verb) for verb in verbs}
        assert allowed(apis["worker"], asked, where, name) == named | general
        assert allowed(apis["worker"], asked, where, "x") == general


@pytest.mark.usefixtures("trial")
@pytest.mark.parametrize(
    ("who", "namespace", "table"),
    [
        ("operator", NAMESPACE, OPERATOR_INSIDE),
        ("operator", OTHER, EVERYONE),
        ("authority", NAMESPACE, AUTHORITY_INSIDE),
        ("authority", "kube-system", AUTHORITY),
    ],
)
def test_rights_of_people(apis, who, namespace, table):
    """Of every kind and verb there is, people may look at what is written only."""
    found = kinds(apis["admin"])
    asked = questions(found)
    assert allowed(apis[who], asked, inside(found, namespace)) == declared(table)


@pytest.mark.usefixtures("trial")
def test_worker_has_seats_of_its_own(cluster, apis):
    """A worker's requests are served at its own priority level, others' are not."""
    level = cluster.get(LEVEL)["metadata"]["uid"]
    served = {
        who: api.call(Request("GET", "/version", "ask for its version")).headers[
            "X-Kubernetes-PF-PriorityLevel-UID"
        ]
        for who, api in apis.items()
    }
    assert [who for who, uid in served.items() if uid == level] == ["worker"]


@pytest.fixture(name="spec")
def _spec(cluster, servers):
    apply_platform(cluster)
    need = IngressNeed.model_validate(
        {"from": "load-source", "to": "front", "port": 8080}
    )
    with socket.create_server((servers.host_address, 0)) as recorder:
        port = recorder.getsockname()[1]
        yield environment_spec(
            "narrow",
            images={"agnhost": servers.images["agnhost"]},
            probe_image=servers.image("regulatory-sandbox"),
            needs=SystemNeeds(
                ingress=(need,), limits=Limits(cpu="2", memory="1Gi", pods=8)
            ),
            recorder=RecorderEndpoint(
                host=servers.host_address, http_port=port, grpc_port=port + 1
            ),
            load_source=f"{servers.host_address}/32",
        )


def prove(cluster, spec, servers):
    targets = standard_targets(cluster, spec, beacons=servers.beacons)
    return prove_isolation(cluster, spec, targets=targets, clock=SystemClock())


def test_whole_life_as_worker(cluster, worker, servers, spec):
    """A worker with its group's rights alone opens, proves, runs, inspects, freezes,
    thaws and removes a trial; an administrator then finds nothing left either.
    """
    manifests = system_manifests("agnhost", "netexec", "--http-port=8080")
    for container in manifests[0]["spec"]["template"]["spec"]["containers"]:
        container["command"] = ["/agnhost"]
        container["resources"] = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    try:
        assert len(apply_environment(worker, spec, recorder_token="first")) == 20
        proof = prove(worker, spec, servers)
        assert proof.failures == () and proof.holds
        extra = config(None, "extra")
        del extra["metadata"]["namespace"]
        deploy_system(worker, spec, [*manifests, extra], wait_s=90)
        assert cluster.delete(
            ObjectRef("networking.k8s.io/v1", "NetworkPolicy", NARROW, "allow-dns")
        )
        assert cluster.delete(ObjectRef(f"{RBAC}/v1", "Role", NARROW, "trial-operator"))
        seen = find_drift(worker, spec, shape="ready", at=SystemClock().now())
        assert {item.change for item in seen.findings} == {"missing"}
        assert settle(worker, spec, seen).findings == ()
        assert freeze(worker, "narrow").scaled == {"front": 1}
        assert worker.find("v1", "Pod", namespace=spec.namespace) == []
        apply_environment(worker, spec, recorder_token="second")
        assert prove(worker, spec, servers).holds
        thaw(worker, spec, manifests, wait_s=90)
        assert cluster.get(ObjectRef("v1", "ConfigMap", NARROW, "extra")) is None
        late = expired_environments(worker, at=spec.expires_at, grace_s=0)
        assert "narrow" in late
        assert len(residue(worker, "narrow")) == len(residue(cluster, "narrow"))
    finally:
        tear_down(worker, "narrow", wait_s=90)
    assert residue(worker, "narrow") == residue(cluster, "narrow") == []
