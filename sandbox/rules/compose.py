"""From an approved application to the temporary rule of one trial.

Rules of this module:

* The overlay never edits the rulebook; it names the exact version it excepts from.
* Without an approval there is no temporary rule; a red line is never touched.
* Every waiver names the rules that keep its goal safe meanwhile.
* The decision may tighten what was asked (caps, conditions), never widen it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandbox.errors import InputError
from sandbox.model.application import Application, Defect, Harm
from sandbox.model.decision import Condition, Decision
from sandbox.model.record import Interval, digest_of
from sandbox.model.rule import (
    Guardrail,
    HarmLimit,
    Rulebook,
    Scope,
    TemporaryRule,
    Waiver,
)
from sandbox.procedure import check_collisions, compensating
from sandbox.rules.overlay import check_conditions_asked
from sandbox.rules.rulebook import check_rulebook, reference


def compose(
    application: Application,
    *,
    decision: Decision,
    rulebook: Rulebook,
    in_force: Interval,
    plan_digest: str,
) -> TemporaryRule:
    """Return the temporary rule that an approval puts in force.

    Args:
        application: As approved.
        decision: The approval.
        rulebook: The version it excepts from.
        in_force: From when to when; it ends by itself.
        plan_digest: Digest of the locked plan.

    Raises:
        InputError: It cannot be composed lawfully; carries every `Defect`.
    """
    defects = tuple(_obstacles(application, decision, rulebook))
    if defects:
        raise InputError(defects)
    asked = foresee(application, rulebook=rulebook, in_force=in_force)
    return asked.model_copy(
        update={
            "scope": _scope(application, decision.conditions),
            "conditions": decision.conditions,
            "plan_digest": plan_digest,
        }
    )


def foresee(
    application: Application, *, rulebook: Rulebook, in_force: Interval
) -> TemporaryRule:
    """Return the temporary rule as it is asked for, before anyone has decided.

    It puts nothing in force; it is compared with what is.

    Args:
        application: As filed.
        rulebook: The version it excepts from.
        in_force: From when to when it may be.
    """
    return TemporaryRule(
        temporary_rule=f"trial/{application.application}",
        trial_id=application.application,
        of=reference(rulebook),
        in_force=in_force,
        scope=_scope(application, ()),
        overlays=_overlays(application),
        guardrails=tuple(guardrail_of(harm) for harm in application.plan.harms),
        plan_digest=digest_of(application.plan),
    )


def _obstacles(
    application: Application, decision: Decision, rulebook: Rulebook
) -> Iterator[Defect]:
    trial = application.application
    if decision.outcome == "refused":
        yield _defect(
            "not-approved",
            f"{decision.decision_id} refuses {trial}",
            "File a new application",
            "outcome",
        )
    if decision.trial_id != trial:
        yield _defect(
            "other-case",
            f"{decision.decision_id} decides {decision.trial_id}, not {trial}",
            "Use the decision of this case",
            "trial_id",
        )
    if application.rulebook != rulebook.rulebook:
        yield _defect(
            "other-rulebook",
            f"{trial} is about {application.rulebook}, not {rulebook.rulebook}",
            "Use the rulebook the application names",
            "rulebook",
        )
    yield from check_collisions(application, rulebook)
    yield from check_rulebook(rulebook)
    yield from check_conditions_asked(application, rulebook)
    yield from _unwatched(application, rulebook)


def _unwatched(application: Application, rulebook: Rulebook) -> Iterator[Defect]:
    if not application.plan.harms:
        yield _defect(
            "no-guardrail",
            "the plan watches for no harm",
            "Add a harm to the plan",
            "plan.harms",
        )
    rules = {item.rule for item in rulebook.rules if item.about == "span"}
    waived = {
        item.rule for item in application.collides_with if item.request == "waiver"
    }
    for number, harm in enumerate(application.plan.harms):
        if harm.of not in rules - waived:
            yield _defect(
                "guardrail-without-rule",
                f"`{harm.harm}` watches `{harm.of}`, which is not in force",
                "Watch a rule about spans that is not waived",
                f"plan.harms.{number}.of",
            )


def _scope(application: Application, conditions: Iterable[Condition]) -> Scope:
    caps = {"customers": float(application.participants.max)}
    for condition in conditions:
        for name, value in condition.caps.items():
            caps[name] = min(value, caps.get(name, value))
    return Scope(
        participants=application.participants.participant_class,
        area=application.participants.area,
        caps=caps,
    )


def _overlays(application: Application) -> tuple[Waiver, ...]:
    asked = application.collides_with
    return tuple(
        Waiver(
            label=f"{'waive' if item.request == 'waiver' else 'modify'}-{item.rule}",
            exception_to=item.rule,
            kind=item.request,
            set=item.set,
            under=item.under,
            compensates=compensating(item, asked),
        )
        for item in asked
    )


def guardrail_of(harm: Harm) -> Guardrail:
    """Return the guardrail by which a harm of the plan is watched."""
    return Guardrail(
        id=harm.harm,
        watches=harm.of,
        harm=HarmLimit(
            baseline_rate=harm.baseline_rate,
            design=harm.signal.design,
            alpha=harm.signal.alpha,
            min_events=harm.signal.min_events,
            horizon=harm.signal.horizon,
            looks_every=harm.signal.looks_every,
        ),
        action=harm.action,
    )


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"temporary-rule/{check}", what=what, remedy=remedy, field=field)
