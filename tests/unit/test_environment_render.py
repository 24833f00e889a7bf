"""The objects of an environment: what they are, and what they never become."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.environment import environment_objects, platform_objects
from sandbox.environment.template import fill
from sandbox.errors import InputError, IsolationError
from sandbox.model.application import EgressNeed, IngressNeed, Limits, SystemNeeds
from sandbox.model.trial import EnvironmentSpec, RecorderEndpoint
from sandbox.ports import KubernetesObject
from sandbox.testing.environment import environment_spec

LIMITS = Limits(cpu="2", memory="1Gi", pods=8)

EVERYWHERE = {
    "regulatory-sandbox-expiry-account",
    "regulatory-sandbox-worker-delegation",
    "regulatory-sandbox-worker-reach",
}
"""Policies about one account of ours, wherever it acts."""


def rendered(spec: EnvironmentSpec, token: str = "t") -> list[KubernetesObject]:
    return environment_objects(spec, recorder_token=token)


def named(
    objects: list[KubernetesObject], kind: str, name: str = ""
) -> KubernetesObject:
    found = [
        item
        for item in objects
        if item["kind"] == kind and name in ("", item["metadata"]["name"])
    ]
    assert len(found) == 1
    return found[0]


def test_nothing_is_left_open() -> None:
    """No placeholder remains, and everything but the namespace lies inside it."""
    objects = rendered(environment_spec())
    assert "${" not in json.dumps(objects)
    namespace, *rest = objects
    assert namespace["kind"] == "Namespace"
    assert {item["metadata"]["namespace"] for item in rest} == {"trial-ride-1"}
    labels = [item["metadata"]["labels"] for item in objects]
    assert {item["regulatory-sandbox/trial"] for item in labels} == {"ride-1"}


def test_same_specification() -> None:
    """The same specification gives the same objects, in whatever order it was built."""
    images = environment_spec().images
    turned = dict(reversed(images.items()))
    assert rendered(environment_spec()) == rendered(environment_spec(images=turned))


def test_order() -> None:
    """Default-deny is the first thing in the namespace, and quotas are the last."""
    kinds = [item["kind"] for item in rendered(environment_spec())]
    objects = rendered(environment_spec())
    assert objects[1]["metadata"]["name"] == "default-deny"
    assert kinds[-4:] == ["ResourceQuota"] * 4
    assert "ResourceQuota" not in kinds[:-4]


def test_default_deny() -> None:
    """Default-deny takes every pod and allows nothing."""
    policy = named(rendered(environment_spec()), "NetworkPolicy", "default-deny")
    assert policy["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_namespace() -> None:
    """The namespace enforces a pinned Pod Security version and carries its expiry."""
    metadata = rendered(environment_spec())[0]["metadata"]
    for mode in ("enforce", "audit", "warn"):
        prefix = f"pod-security.kubernetes.io/{mode}"
        assert metadata["labels"][prefix] == "restricted"
        assert metadata["labels"][f"{prefix}-version"] == "v1.36"
    expiry = metadata["annotations"]["regulatory-sandbox/expires-at"]
    assert datetime.fromisoformat(expiry) == environment_spec().expires_at


def test_quota_counts_the_policies() -> None:
    """The quota on policies leaves no room for one that nobody decided on."""
    for count in (0, 1, 3):
        ways = tuple(
            IngressNeed.model_validate(
                {"from": "load-source", "to": f"s{number}", "port": 80}
            )
            for number in range(count)
        )
        needs = SystemNeeds(ingress=ways, limits=LIMITS)
        objects = rendered(environment_spec(needs=needs))
        policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
        quota = named(objects, "ResourceQuota", "objects")["spec"]["hard"]
        limit = quota["count/networkpolicies.networking.k8s.io"]
        assert limit == str(len(policies))


def test_way_in() -> None:
    """A way in is open for the load source, to that port of those pods, only."""
    policy = named(rendered(environment_spec()), "NetworkPolicy", "allow-in-front-8080")
    assert policy["spec"] == {
        "podSelector": {
            "matchLabels": {"regulatory-sandbox/allow-in-front-8080": "true"}
        },
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"ipBlock": {"cidr": "198.51.100.7/32"}}],
                "ports": [{"protocol": "TCP", "port": 8080}],
            }
        ],
    }


def test_no_way_out_without_need() -> None:
    """Without granted ways out, only names, the system and the recorder are reached."""
    objects = rendered(environment_spec())
    policy = named(objects, "NetworkPolicy", "allow-egress")
    assert "egress" not in policy["spec"]
    recorder = named(objects, "NetworkPolicy", "allow-recorder")["spec"]["egress"]
    assert recorder == [
        {
            "to": [{"ipBlock": {"cidr": "198.51.100.7/32"}}],
            "ports": [
                {"protocol": "TCP", "port": 4318},
                {"protocol": "TCP", "port": 4317},
            ],
        }
    ]


def test_accounts() -> None:
    """No account gets a token, and no binding names a service account."""
    objects = rendered(environment_spec())
    accounts = [item for item in objects if item["kind"] == "ServiceAccount"]
    assert {item["metadata"]["name"] for item in accounts} == {"default", "workload"}
    assert not any(item["automountServiceAccountToken"] for item in accounts)
    bindings = [item for item in objects if item["kind"] == "RoleBinding"]
    subjects = [subject for item in bindings for subject in item["subjects"]]
    assert {subject["kind"] for subject in subjects} == {"Group"}


def test_roles() -> None:
    """Operator and authority may look, never change, and never see a Secret."""
    roles = [item for item in rendered(environment_spec()) if item["kind"] == "Role"]
    rules = [rule for role in roles for rule in role["rules"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {
        "get",
        "list",
        "watch",
    }
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert "secrets" not in resources and "*" not in resources


def test_params() -> None:
    """The immutable parameters hold the decision's digests and that of the image which
    proves the isolation, and no others.
    """
    spec = environment_spec()
    params = named(rendered(spec), "ConfigMap")
    assert params["immutable"] is True
    digests = {*spec.images.values(), spec.probe_image.partition("@")[2]}
    assert set(params["data"]["images"].split(" ")) == digests
    assert len(digests) == 2
    # As trials of earlier versions are kept on record.
    older = EnvironmentSpec.model_validate(spec.model_dump(exclude={"probe_image"}))
    params = named(rendered(older), "ConfigMap")
    assert params["data"]["images"].split(" ") == list(spec.images.values())


def test_runtime_class() -> None:
    """N2 asks admission for gVisor; N1 for the node's own runtime."""
    for isolation_class, expected in (("N1", ""), ("N2", "gvisor")):
        spec = environment_spec(isolation_class=isolation_class)
        params = named(rendered(spec), "ConfigMap")["data"]
        assert params["runtime-class"] == expected


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_injection(token: str) -> None:
    """Whatever a token holds, it stays one value, and every other object the same."""
    plain, strange = rendered(environment_spec()), rendered(environment_spec(), token)
    differing = [b for a, b in zip(plain, strange, strict=True) if a != b]
    assert all(item["kind"] == "Secret" for item in differing)
    secret = named(strange, "Secret")
    assert base64.b64decode(secret["data"]["token"]).decode() == token
    assert set(secret["data"]) == {"token", "otlp-headers"}


def test_every_defect_at_once() -> None:
    """Needs that cannot be granted are all named in one error."""
    egress = [
        EgressNeed(cidr=cidr, port=443, why="x")
        for cidr in ("10.0.0.0/8", "169.254.169.254/32", "nowhere", "8.8.8.8/32")
    ]
    needs = SystemNeeds(
        egress=tuple(egress), limits=Limits(cpu="lots", memory="0", pods=1)
    )
    spec = environment_spec(
        needs=needs,
        images={},
        load_source="anyone",
        recorder=RecorderEndpoint(host="recorder.local", http_port=1, grpc_port=2),
    )
    with pytest.raises(InputError) as caught:
        rendered(spec)
    fields = {getattr(defect, "field", "") for defect in caught.value.defects}
    assert fields == {
        "needs.limits.cpu",
        "needs.limits.memory",
        "needs.egress.0.cidr",
        "needs.egress.1.cidr",
        "needs.egress.2.cidr",
        "images",
        "load_source",
        "recorder.host",
    }


def test_template_without_value() -> None:
    """A template that asks for a value nobody gives is an error, not an empty field."""
    with pytest.raises(IsolationError, match="namespace"):
        fill("trial", "10-namespace.yaml", {})


def test_platform_fails_closed() -> None:
    """Every admission policy fails closed, denies, and binds to trial namespaces; those
    about one account of ours bind wherever it acts.
    """
    objects = platform_objects()
    policies = by_kind(objects, "ValidatingAdmissionPolicy")
    bindings = by_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert len(policies) >= 7
    assert {item["spec"]["policyName"] for item in bindings.values()} == set(policies)
    for name, policy in policies.items():
        assert policy["spec"]["failurePolicy"] == "Fail"
        binding = bindings[name]["spec"]
        assert binding["validationActions"] == ["Deny"]
        if name in EVERYWHERE:
            assert "matchResources" not in binding
            assert policy["spec"]["matchConditions"]
            continue
        labelled = {"key": "regulatory-sandbox/trial", "operator": "Exists"}
        # A namespace is found by its labels before a change too, so as an object.
        is_namespace = name == "regulatory-sandbox-namespace"
        how = "objectSelector" if is_namespace else "namespaceSelector"
        assert binding["matchResources"] == {how: {"matchExpressions": [labelled]}}
        if "paramKind" in policy["spec"]:
            assert binding["paramRef"]["parameterNotFoundAction"] == "Deny"


def test_platform_speaks_to_people() -> None:
    """Every refusal of admission has a sentence of its own, with what to do."""
    policies = by_kind(platform_objects(), "ValidatingAdmissionPolicy").values()
    rules = [rule for item in policies for rule in item["spec"]["validations"]]
    said = [rule.get("message") or rule.get("messageExpression", "") for rule in rules]
    assert all(";" in text for text in said)
    assert len(set(said)) == len(said)


def by_kind(objects: list[KubernetesObject], kind: str) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}
