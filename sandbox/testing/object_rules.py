"""Rules for a trial's environment: one about spans, one about what may be deployed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.model.record import Interval
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.ports import Records
from sandbox.rules import read_rulebook, reference

_RULES = """\
rulebook: fronts
version: 1
title: Fronts
owner: transport
in_force_from: 2020-01-01
rules:
  - rule: front/answers
    text: A front shall answer.
    source: {instrument: Act, provision: "1", as_of: 2020-01-01}
    goal: people-are-answered
    mechanism: regulation
    applies: span.kind == "server"
    requires: span.status != "error"
    severity: major
    waivable: true
  - rule: front/size
    text: No more than {max_replicas} fronts at a time.
    source: {instrument: Act, provision: "7", as_of: 2020-01-01}
    goal: streets-stay-free
    mechanism: regulation
    parameters:
      max_replicas:
        unit: count
        looser: higher
        values: {2020-01-01: {value: 2, reference: Annex}}
    about: object
    objects: {api_groups: [apps], resources: [deployments]}
    applies: object.metadata.name.startsWith("front")
    requires: object.spec.replicas <= params.max_replicas
    severity: major
    waivable: true
"""
_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def rulebook() -> Rulebook:
    """Return the rulebook `fronts`: no more than two replicas of a front."""
    return read_rulebook(_RULES, file="fronts.yaml")


def temporary_rule(trial_id: str = "ride-1", *overlays: Waiver) -> TemporaryRule:
    """Return an overlay over `rulebook()`, in force as good as always.

    Args:
        trial_id: The trial it is of.
        *overlays: Its exceptions.
    """
    return TemporaryRule(
        temporary_rule=f"trial/{trial_id}",
        trial_id=trial_id,
        of=reference(rulebook()),
        in_force=Interval(start=_BEGIN, end=_END),
        scope=Scope(participants="passengers", area="centre"),
        overlays=overlays,
        guardrails=(),
        plan_digest="sha256:" + "d" * 64,
    )


def put_rules(records: Records, trial_id: str = "ride-1", *overlays: Waiver) -> None:
    """Publish the rulebook and keep the overlay as that of a trial."""
    records.publish_rulebook(rulebook())
    records.put_document(
        trial_id, "temporary-rule", temporary_rule(trial_id, *overlays)
    )


def replicas(manifests: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Return manifests whose Deployments ask for so many replicas."""
    return [
        {**item, "spec": {**item["spec"], "replicas": number}}
        if item["kind"] == "Deployment"
        else item
        for item in manifests
    ]


def fronts_by_hand(namespace: str, number: int = 3) -> dict[str, Any]:
    """Return a Deployment without pods to speak of that somebody else might apply."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "front-2", "namespace": namespace},
        "spec": {
            "replicas": number,
            "template": {"metadata": {}, "spec": {"containers": []}},
        },
    }
