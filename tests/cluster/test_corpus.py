"""Admission attacked on a real node: every attack refused, and for the right reason.

An attack counts only if it is refused, its control is let through, and the refusal
comes from where it is expected. All are dry runs in a trial's namespace, by a person to
whom Kubernetes grants everything but the right to enforce.
"""

import subprocess
import time
from typing import NamedTuple

import kubernetes.config
import pytest

from experiments.attack_corpus.attempt import Attack, answer, applied, asked, outcome
from experiments.attack_corpus.corpus import (
    POD,
    attacks,
    cluster_objects,
    victims,
)
from experiments.attack_corpus.fixtures import (
    completed,
    fixture_attacks,
    load_fixtures,
)
from experiments.attack_corpus.pods import usual_pod
from sandbox.adapters.kubernetes_api import KubernetesApi
from sandbox.environment import apply_environment, tear_down
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, LocalError
from sandbox.model.application import Limits, SystemNeeds
from sandbox.ports import ObjectRef
from sandbox.testing.environment import environment_spec

TRIAL = "corpus"
ALL = {(a.line, a.name) for a in attacks("image", "namespace")}
UNTRIED = {
    "privileged0": "disallowed by cluster policy",
    "privileged1": "disallowed by cluster policy",
    "procmount0": "`hostUsers` must be false to use `Unmasked`",
    "procmount1": "`hostUsers` must be false to use `Unmasked`",
    "windowshostprocess0": "disallowed by cluster policy",
    "windowshostprocess1": "disallowed by cluster policy",
}
"""Fixtures that this API server calls invalid before Pod Security is asked: refused,
and no proof of Pod Security."""
STRICTER = {
    "base_windows": "not for Linux",
    "restrictedvolumes0": "storage that the node mounts",
    "sysctls1": "kernel parameters",
}
"""Fixtures that pass Pod Security and that a policy of ours refuses on purpose."""


class Place(NamedTuple):
    """Where the attacks are made."""

    api: KubernetesApi
    image: str
    namespace: str


@pytest.fixture(name="place", scope="module")
def _place(cluster, servers):
    """A trial's namespace, a pod in it, and the hostile person's rights."""
    spec = environment_spec(
        TRIAL,
        images={"agnhost": servers.images["agnhost"]},
        needs=SystemNeeds(limits=Limits(cpu="4", memory="1Gi", pods=8)),
    )
    image = f"localhost/agnhost@{spec.images['agnhost']}"
    client = kubernetes.config.new_client_from_config(
        config_file=str(servers.kubeconfig), context=servers.context
    )
    place = Place(KubernetesApi(client, pause=time.sleep), image, spec.namespace)
    try:
        apply_environment(cluster, spec, recorder_token="t")
        cluster.apply(cluster_objects(image), owner="attack")
        wait_for(lambda: started(cluster, victims(image, spec.namespace)))
        wait_for(lambda: in_force(place))
        yield place
    finally:
        tear_down(cluster, TRIAL, wait_s=60)
        for item in reversed(cluster_objects(image)):
            name = item["metadata"]["name"]
            cluster.delete(ObjectRef(item["apiVersion"], item["kind"], "", name))
        client.rest_client.pool_manager.clear()


def wait_for(problems):
    assert wait_until(problems, wait_s=60, pause=time.sleep) == []


def started(cluster, items):
    """Return why the pod does not run; quotas take a moment to admit the first one."""
    try:
        cluster.apply(items, owner="attack")
    except ClusterError as error:
        return [error.diagnosis]
    namespace = items[-1]["metadata"]["namespace"]
    found = cluster.get(ObjectRef("v1", "Pod", namespace, POD))
    return [] if found["status"].get("podIP") else ["no address"]


def in_force(place):
    """Return the policies of which no attack is refused yet: each needs a moment."""
    late = {}
    for attack in attacks(place.image, place.namespace):
        if attack.policy not in late or late[attack.policy]:
            late[attack.policy] = not outcome(place.api, attack).attributed
    return [policy for policy, missing in late.items() if missing]


@pytest.fixture(name="corpus", scope="module")
def _corpus(place):
    return {(a.line, a.name): a for a in attacks(place.image, place.namespace)}


@pytest.fixture(name="fixtures", scope="module")
def _fixtures():
    try:
        return load_fixtures()
    except LocalError as error:
        pytest.skip(f"NOT TESTED: fixtures of Pod Security; {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NOT TESTED: fixtures of Pod Security; {error.stderr[-300:]}")


@pytest.mark.parametrize("key", sorted(ALL), ids=lambda key: f"{key[0]}: {key[1]}")
def test_attack(place, corpus, key):
    """It is refused from where it is expected, and let through without the attack."""
    found = outcome(place.api, corpus[key])
    assert found.counts, found


def test_an_admitted_attack_does_not_count(place):
    """What is let through, or refused by something else, is no proof."""
    good = usual_pod(place.image, place.namespace)
    harmless = Attack("x", "x", applied(good), applied(good), "pods", "")
    assert not outcome(place.api, harmless).counts
    bad = usual_pod(place.image, place.namespace)
    bad["spec"]["nodeName"] = "local"
    attack = Attack("x", "x", applied(bad), applied(good), "pods", "nodeName")
    assert outcome(place.api, attack).counts
    assert not outcome(place.api, attack._replace(policy="decision")).counts
    assert not outcome(place.api, attack._replace(words="hostPort")).counts
    assert not outcome(place.api, attack._replace(control=applied(bad))).counts


def test_fixtures_that_must_fail(place, fixtures):
    """70 of the 76 fixtures of Pod Security that must fail count; the rest is refused
    too, by the API server, before Pod Security is asked.
    """
    found = {
        tries[0].name: [outcome(place.api, attack) for attack in tries]
        for tries in fixture_attacks(fixtures, place.image, place.namespace)
    }
    counted = [name for name, tries in found.items() if any(t.counts for t in tries)]
    left = {name: tries[0] for name, tries in found.items() if name not in counted}
    assert len(found) == 76 and len(counted) == 70, left
    assert all(one.refused for tries in found.values() for one in tries)
    assert set(left) == set(UNTRIED)
    assert all(UNTRIED[name] in one.said for name, one in left.items())


def test_fixtures_that_must_pass(place, fixtures):
    """20 of the 23 fixtures that must pass are admitted once completed; three are
    refused by a policy of ours that is stricter on purpose.
    """
    said = {
        item.name: answer(
            place.api, applied(completed(item.pod, place.image, place.namespace))
        )
        for item in fixtures.items
        if item.must_pass
    }
    refused = {name: text for name, text in said.items() if text}
    assert len(said) == 23 and len(refused) == 3, refused
    assert set(refused) == set(STRICTER)
    for name, words in STRICTER.items():
        assert "ValidatingAdmissionPolicy 'regulatory-sandbox-pods'" in refused[name]
        assert words in refused[name]


def test_fixtures_are_of_the_node(cluster, fixtures):
    """The fixtures are those of the Kubernetes that the node runs."""
    (node,) = cluster.find("v1", "Node")
    version = node["status"]["nodeInfo"]["kubeletVersion"]
    assert fixtures.module == version.replace("v1.", "v0.", 1)


@pytest.mark.parametrize("source", ["clusterTrustBundle", "podCertificate"])
def test_credentials_this_server_does_not_know(place, source):
    """Two credentials of the policy cannot be tried here: the API server drops them."""
    fields = {
        "clusterTrustBundle": {"path": "b", "name": "mine"},
        "podCertificate": {
            "signerName": "example.org/mine",
            "keyType": "ED25519",
            "credentialBundlePath": "c",
        },
    }
    item = usual_pod(place.image, place.namespace)
    sources = [{source: fields[source]}]
    item["spec"]["volumes"] = [{"name": "v", "projected": {"sources": sources}}]
    kept = place.api.call(applied(item)).json()["spec"]["volumes"][0]["projected"]
    assert source not in str(kept)


def test_limits_are_filled_in(place):
    """A pod without limits gets its share of the decision's, storage included."""
    item = usual_pod(place.image, place.namespace)
    item["spec"]["containers"][0].pop("resources")
    made = place.api.call(applied(item)).json()
    limits = made["spec"]["containers"][0]["resources"]["limits"]
    assert set(limits) == {"cpu", "memory", "ephemeral-storage"}


def test_an_end_is_never_refused(place):
    """No policy stands against the deletion of the namespace, whoever asks."""
    path = f"/api/v1/namespaces/{place.namespace}"
    said = answer(place.api, asked("DELETE", path))
    assert "ValidatingAdmissionPolicy" not in said
    assert said == ""
