"""A system and what stands in an environment, asked by the rules about objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.conformity import (
    RulesInForce,
    ask_admission,
    find_unlawful,
    system_objections,
)
from sandbox.environment import apply_environment, deploy_system
from sandbox.environment.system import examine_system
from sandbox.model.rule import ObjectMatch
from sandbox.ports import KubernetesObject
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.environment import environment_spec, system_manifests
from sandbox.testing.object_rules import (
    fronts_by_hand,
    replicas,
    rulebook,
    temporary_rule,
)

NOW = datetime(2026, 4, 1, tzinfo=UTC)
SPEC = environment_spec()
RULES = RulesInForce(rulebook(), temporary_rule())


def about(resource: str, requires: str, group: str = "") -> RulesInForce:
    """Return rules that require something of all objects of one resource."""
    book = rulebook()
    objects = ObjectMatch(api_groups=(group,), resources=(resource,))
    changes = {"objects": objects, "applies": "true", "requires": requires}
    rule = book.rules[1].model_copy(update=changes)
    return RulesInForce(book.model_copy(update={"rules": (rule,)}))


def test_a_deployment_is_judged_with_what_the_environment_writes_into_it() -> None:
    """One replica is what a manifest without a number gets, so that is asked about."""
    objects, _ = examine_system(SPEC, system_manifests())
    assert system_objections(RULES, objects, at=NOW) == ()
    objects, _ = examine_system(SPEC, replicas(system_manifests(), 3))
    (found,) = system_objections(RULES, objects, at=NOW)
    assert found.title == "Deployment front"


def test_the_pods_of_a_deployment_are_asked_about() -> None:
    """A rule about pods reads what the Deployment would make of its template."""
    objects, _ = examine_system(SPEC, system_manifests())
    is_root = about("pods", "!object.spec.securityContext.runAsNonRoot")
    (found,) = system_objections(is_root, objects, at=NOW)
    assert found.title == "pods of Deployment front"


def test_what_is_left_open_is_not_asked() -> None:
    """Where the exceptions asked for do not fit, their rules say nothing yet."""
    objects, _ = examine_system(SPEC, replicas(system_manifests(), 3))
    rules = RULES._replace(left_open=frozenset({"front/size"}))
    assert system_objections(rules, objects, at=NOW) == ()


@pytest.fixture(name="cluster")
def _cluster() -> FakeCluster:
    cluster = FakeCluster()
    apply_environment(cluster, SPEC, recorder_token="t")
    deploy_system(cluster, SPEC, system_manifests(), wait_s=1, pause=lambda _: None)
    return cluster


def test_what_others_put_there_is_found(cluster: FakeCluster) -> None:
    """With the words of the rule, and as a reason to freeze."""
    assert find_unlawful(cluster, SPEC, RULES, at=NOW) == ()
    cluster.apply([fronts_by_hand(SPEC.namespace)], owner="somebody")
    (found,) = find_unlawful(cluster, SPEC, RULES, at=NOW)
    assert found.object == f"Deployment {SPEC.namespace}/front-2"
    assert (found.change, found.action) == ("unlawful", "escalate")
    assert "No more than 2 fronts at a time. (Act, 7; front/size)" in found.sentence()


def test_a_version_that_is_kept_to_go_back_to_stands_for_nothing(
    cluster: FakeCluster,
) -> None:
    """Kubernetes keeps ReplicaSets of earlier versions, with no pods."""
    rules = about("replicasets", "object.spec.replicas < 0", "apps")
    for number in (0, 1):
        item = fronts_by_hand(SPEC.namespace, number)
        cluster.apply([{**item, "kind": "ReplicaSet"}], owner="somebody")
        names = [x.object for x in find_unlawful(cluster, SPEC, rules, at=NOW)]
        kept = f"ReplicaSet {SPEC.namespace}/front-2"
        assert (kept in names) == bool(number)


def test_what_this_product_brings_is_not_the_applicants(cluster: FakeCluster) -> None:
    """The parameters of the decision and the cluster's certificate are passed over."""
    metadata = {"name": "kube-root-ca.crt", "namespace": SPEC.namespace}
    root = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    cluster.apply([root], owner="kubernetes")
    rules = about("configmaps", "object.metadata.name == ''")
    assert cluster.find("v1", "ConfigMap", namespace=SPEC.namespace)
    assert find_unlawful(cluster, SPEC, rules, at=NOW) == ()


def test_nothing_is_listed_where_no_rule_is_about_objects() -> None:
    """A rulebook about spans alone costs an inspection nothing."""

    class Counting(FakeCluster):
        lists = 0

        def find(self, *args: Any, **kwargs: Any) -> list[KubernetesObject]:
            self.lists += 1
            return super().find(*args, **kwargs)

    book = rulebook()
    spans = RulesInForce(book.model_copy(update={"rules": book.rules[:1]}))
    cluster = Counting()
    assert find_unlawful(cluster, SPEC, spans, at=NOW) == ()
    assert cluster.lists == 0


def test_an_applicant_hears_of_it_before_filing() -> None:
    """`sandbox application check` names the rule, its words and what to do."""
    answers = ask_admission(
        FakeCluster(),
        environment_spec("check-1"),
        replicas(system_manifests(), 3),
        rules=RULES,
        pause=lambda _: None,
    )
    (found,) = [item for item in answers if item.refused_by == "rule front/size"]
    assert found.item == "Deployment front"
    assert "No more than 2 fronts" in found.why and "collides_with" in found.remedy
