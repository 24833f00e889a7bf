"""Does the trial plan hold together, and does what the system needs make sense?

Rules of this module:

* A goal is a claim about a rule that exists and is in force in the trial.
* A trial without a harm to watch for has no guardrail, and is not let in.
* The order of analysis names every goal once.
* A way out to the whole internet is not a need.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from sandbox.model.application import Application, Defect, EgressNeed, TrialPlan
from sandbox.model.rule import Rulebook
from sandbox.procedure.clock import is_positive
from sandbox.procedure.collision import unknown_name
from sandbox.procedure.designs import check_designs

_QUANTITY = re.compile(
    r"^(?=.*[1-9])[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"
)


def check_plan(application: Application, rulebook: Rulebook) -> Iterator[Defect]:
    """Yield what is wrong with goals, harms and the order of analysis."""
    plan = application.plan
    waived = {
        item.rule for item in application.collides_with if item.request == "waiver"
    }
    rules = {item.rule for item in rulebook.rules if item.about == "span"}
    if not plan.goals:
        yield _defect(
            "hypothesis-missing",
            "the plan has no goal: nothing could be shown or refuted",
            "Add a goal with `claim`, `estimand`, `threshold` and `alpha`",
            "plan.goals",
        )
    if not plan.harms:
        yield _defect(
            "harm-missing",
            "the plan watches for no harm, so no guardrail could stop it",
            "Add a harm with `of`, `baseline_rate`, `signal` and `action`",
            "plan.harms",
        )
    for field, name in _rules_named(plan):
        if name not in rules:
            code = f"application/{field.split('.')[1].rstrip('s')}-rule-unknown"
            yield unknown_name(
                name, rules, code=code, field=field, noun="rule about spans called"
            )
        elif name in waived:
            yield _on_waived(name, field)
    yield from check_designs(plan)
    yield from _check_order(plan)
    if not is_positive(plan.settling_time):
        yield _no_time("plan.settling_time")


def check_system(application: Application) -> Iterator[Defect]:
    """Yield what is wrong with images, limits, ways out and telemetry."""
    system = application.system
    if not system.images:
        yield _defect(
            "image-missing",
            "no image is named, so nothing may run",
            "Name each image with its digest: `name: sha256:…`",
            "system.images",
        )
    if not system.telemetry.services:
        yield _defect(
            "telemetry-missing",
            "no service is named that reports what the system does",
            "List the `service.name` of each",
            "system.telemetry.services",
        )
    for name in ("cpu", "memory"):
        quantity = getattr(system.needs.limits, name)
        if not _QUANTITY.match(quantity):
            yield _defect(
                "limit-not-a-quantity",
                f"`{quantity}` is not an amount of {name}",
                "Write a Kubernetes quantity above zero, for example 500m or 512Mi",
                f"system.needs.limits.{name}",
            )
    for number, need in enumerate(system.needs.egress):
        yield from _check_egress(need, f"system.needs.egress.{number}.cidr")


def _rules_named(plan: TrialPlan) -> Iterator[tuple[str, str]]:
    for number, goal in enumerate(plan.goals):
        yield f"plan.goals.{number}.estimand.of", goal.estimand.of
    for number, harm in enumerate(plan.harms):
        yield f"plan.harms.{number}.of", harm.of


def _on_waived(name: str, field: str) -> Defect:
    return _defect(
        "judged-by-waived-rule",
        f"`{name}` is waived in this trial, so it says nothing of any unit",
        "Judge by a rule that stays in force",
        field,
    )


def _check_order(plan: TrialPlan) -> Iterator[Defect]:
    goals = [item.goal for item in plan.goals]
    yield from _repeated(goals, "plan.goals", "goal")
    harms = [item.harm for item in plan.harms]
    yield from _repeated(harms, "plan.harms", "harm")
    for number, name in enumerate(harms):
        if name in goals:
            # Looks and findings are entered under the name of what they speak of.
            yield _defect(
                "harm-named-like-a-goal",
                f"a harm and a goal are both called `{name}`",
                "Give the harm a name of its own",
                f"plan.harms.{number}.harm",
            )
    order = list(plan.order_of_analysis)
    names_each_once = set(order) == set(goals) and len(order) == len(set(order))
    if goals and not names_each_once:
        yield _defect(
            "order-of-analysis",
            "the order of analysis does not name every goal exactly once",
            f"Write `order_of_analysis: [{', '.join(dict.fromkeys(goals))}]` "
            "in the order you want",
            "plan.order_of_analysis",
        )


def _repeated(names: Sequence[str], field: str, noun: str) -> Iterator[Defect]:
    for number, name in enumerate(names):
        if name in names[:number]:
            yield _defect(
                f"{noun}-repeated",
                f"two {noun}s are called `{name}`",
                "Give each its own name",
                f"{field}.{number}.{noun}",
            )


def _check_egress(need: EgressNeed, field: str) -> Iterator[Defect]:
    try:
        network = ipaddress.ip_network(need.cidr)
    except ValueError as error:
        yield _defect(
            "egress-not-a-network",
            f"{error}",
            "Write a network such as 192.0.2.0/24, without host bits",
            field,
        )
        return
    if network.prefixlen < 8:
        yield _defect(
            "egress-too-wide",
            f"{need.cidr} opens {network.num_addresses} addresses",
            "Name the addresses the system talks to, one need each",
            field,
        )


def _no_time(field: str) -> Defect:
    return _defect(
        "no-time", "the period has no length", "Write for example PT30S", field
    )


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"application/{check}", what=what, remedy=remedy, field=field)
