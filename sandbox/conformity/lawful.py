"""Is a rule about objects against a system, before it runs or while it does?

Rules of this module:

* Only the worker writes into a trial's namespace, so a rule is enforced before it
  writes; what got there by other hands is found by looking.
* Judged is what the applicant brings. What this product or Kubernetes itself puts into
  a namespace is not the applicant's to answer for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sandbox.conformity.pieces import pieces
from sandbox.environment.kinds import KINDS, ref_of, title
from sandbox.environment.labels import PARAMS, PROOF_POD
from sandbox.model.application import Application
from sandbox.model.drift import DriftFinding
from sandbox.model.record import Interval
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject
from sandbox.procedure import check_collisions
from sandbox.rules import (
    CREATION,
    Objection,
    Operation,
    Sent,
    check_conditions_asked,
    foresee,
    objections,
    rules_about_objects,
)

_OF_SYSTEMS = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
)
"""Kinds a system consists of, those that controllers make of it included."""
_A_MOMENT = timedelta(days=1)
"""For which an overlay that nobody has decided is laid over the rules, to be asked."""
_NOT_THEIRS = frozenset(
    {("ConfigMap", PARAMS), ("ConfigMap", "kube-root-ca.crt"), ("Pod", PROOF_POD)}
)
"""By name, which one object of a kind can have: a label could be put on any."""


class RulesInForce(NamedTuple):
    """The version a trial runs under, and its overlay."""

    rulebook: Rulebook
    temporary_rule: TemporaryRule | None = None
    left_open: frozenset[str] = frozenset()
    """Rules that are not asked, for it is not settled what they say."""


def rules_asked_for(
    application: Application, *, rulebook: Rulebook, at: datetime
) -> RulesInForce:
    """Return the rules as they would be, were every exception granted as asked for.

    Where the exceptions do not fit the rulebook, which is a defect of its own, none is
    laid over it and the rules they name are left open.

    Args:
        application: As filed.
        rulebook: The version in force at the instant.
        at: The instant.
    """
    misfits = (
        *check_collisions(application, rulebook),
        *check_conditions_asked(application, rulebook),
    )
    if misfits:
        excepted = frozenset(item.rule for item in application.collides_with)
        return RulesInForce(rulebook, left_open=excepted)
    in_force = Interval(start=at, end=at + _A_MOMENT)
    asked = foresee(application, rulebook=rulebook, in_force=in_force)
    return RulesInForce(rulebook, asked)


def system_objections(
    rules: RulesInForce,
    objects: Sequence[KubernetesObject],
    *,
    at: datetime,
    operations: Collection[Operation] = CREATION,
) -> tuple[Objection, ...]:
    """Return what the rules have against a system as it would be applied.

    Args:
        rules: In force for the trial.
        objects: What `system_objects` gives. Fields that only the API server would fill
            in are missing here; a rule that reads one cannot be told.
        at: The instant.
        operations: What they would be sent for.

    Raises:
        RuleError: The overlay does not fit the rulebook.
    """
    found = objections(
        rules.rulebook,
        [_sent(name, item) for name, item in pieces(objects)],
        at=at,
        temporary_rule=rules.temporary_rule,
        operations=operations,
    )
    return tuple(item for item in found if item.rule not in rules.left_open)


def find_unlawful(
    cluster: Cluster, spec: EnvironmentSpec, rules: RulesInForce, *, at: datetime
) -> tuple[DriftFinding, ...]:
    """Return the objects in an environment that a rule is against.

    Args:
        cluster: Where the environment is.
        spec: The environment.
        rules: In force for the trial.
        at: The instant.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
        RuleError: The overlay does not fit the rulebook.
    """
    live = [
        item
        for api_version, kind in _asked_about(rules.rulebook)
        for item in cluster.find(api_version, kind, namespace=spec.namespace)
        if _is_the_applicants(item)
    ]
    found = objections(
        rules.rulebook,
        [_sent(title(ref_of(item)), item) for item in live],
        at=at,
        temporary_rule=rules.temporary_rule,
    )
    return tuple(_finding(item) for item in found)


def _asked_about(rulebook: Rulebook) -> list[tuple[str, str]]:
    """Return the kinds of a system that some rule is about."""
    named = {
        resource
        for rule in rules_about_objects(rulebook)
        for resource in (rule.objects.resources if rule.objects else ())
    }
    return [kind for kind in _OF_SYSTEMS if "*" in named or KINDS[kind].plural in named]


def _is_the_applicants(item: KubernetesObject) -> bool:
    metadata = item["metadata"]
    if "deletionTimestamp" in metadata or _is_past(item):
        return False
    return (item["kind"], metadata["name"]) not in _NOT_THEIRS


def _is_past(item: KubernetesObject) -> bool:
    """Return whether it is kept of an earlier version only, to go back to."""
    return item["kind"] == "ReplicaSet" and not item["spec"].get("replicas", 1)


def _sent(name: str, item: KubernetesObject) -> Sent:
    return Sent(name, KINDS[item["apiVersion"], item["kind"]].plural, item)


def _finding(objection: Objection) -> DriftFinding:
    return DriftFinding(
        object=objection.title,
        change="unlawful",
        action="escalate",
        detail=objection.sentence(),
    )
