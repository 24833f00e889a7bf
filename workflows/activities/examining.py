"""Would a system do: by its shape, and by the rules about objects?

Rules of this module:

* It is asked when it is filed, when the trial begins and when another version is filed,
  so that people hear of it; and once more before anything is written to the cluster,
  for by then the day may have brought other values into force.
* Nothing is put in force and nothing is recorded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sandbox.conformity import RulesInForce, rules_asked_for, system_objections
from sandbox.environment import examine_system
from sandbox.errors import InputError
from sandbox.model.application import Application, Defect
from sandbox.model.rule import Rulebook
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import KubernetesObject
from sandbox.rules import CHANGE, Objection
from workflows.activities.keeping import Ledger
from workflows.activities.site import Site
from workflows.messages import SystemManifests

Manifests = Sequence[KubernetesObject]


def filed_defects(
    site: Site,
    application: Application,
    manifests: Manifests,
    *,
    rulebook: Rulebook,
    at: datetime,
) -> list[Defect]:
    """Return what is wrong with a system, the exceptions it asks for granted.

    Args:
        site: Where it would run.
        application: As filed.
        manifests: As filed with it.
        rulebook: In force at the instant.
        at: The instant.
    """
    spec = site.foreseen(application, trial_id=application.application, until=at)
    objects, defects = examine_system(spec, manifests)
    rules = rules_asked_for(application, rulebook=rulebook, at=at)
    found = system_objections(rules, objects, at=at)
    return [
        *(x.model_copy(update={"field": f"system.{x.field}"}) for x in defects),
        *_defects(found),
    ]


def begun_problems(
    ledger: Ledger, site: Site, trial_id: str, *, at: datetime
) -> list[str]:
    """Return what is wrong with the system of a trial that begins at an instant."""
    application = ledger.application(trial_id)
    defects = filed_defects(
        site,
        application,
        manifests_of(ledger, trial_id, "system"),
        rulebook=ledger.in_force(application.rulebook, at=at),
        at=at,
    )
    return [item.what for item in defects]


def change_problems(
    ledger: Ledger, spec: EnvironmentSpec, manifests: Manifests
) -> list[str]:
    """Return why another version of a system cannot be rolled out."""
    objects, defects = examine_system(spec, manifests)
    rules, now = rules_of(ledger, spec.trial_id), ledger.clock.now()
    found = system_objections(rules, objects, at=now, operations=CHANGE)
    return [item.what for item in (*defects, *_defects(found))]


def require_lawful(ledger: Ledger, spec: EnvironmentSpec, manifests: Manifests) -> None:
    """Check that no rule is against a system that is about to be applied.

    Raises:
        InputError: One is, or more; each is named.
    """
    objects, _ = examine_system(spec, manifests)
    rules, now = rules_of(ledger, spec.trial_id), ledger.clock.now()
    defects = _defects(system_objections(rules, objects, at=now))
    if defects:
        raise InputError(defects)


def rules_of(ledger: Ledger, trial_id: str) -> RulesInForce:
    """Return the version a trial runs under, and its overlay."""
    rule = ledger.temporary_rule(trial_id)
    rulebook = ledger.records.rulebook(rule.of.rulebook, rule.of.version)
    return RulesInForce(rulebook, rule)


def manifests_of(ledger: Ledger, trial_id: str, name: str) -> list[KubernetesObject]:
    """Return a version of the system as it was filed."""
    found = ledger.records.get_document(trial_id, name)
    return SystemManifests.model_validate(found).objects


def _defects(found: Iterable[Objection]) -> list[Defect]:
    return [
        Defect(
            code="application/against-rule",
            what=f"{item.title} is against `{item.rule}`: {item.sentence()}",
            remedy=item.remedy,
            field="system.manifests",
        )
        for item in found
    ]
