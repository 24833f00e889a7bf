"""The exit report: what was tried, under which rule, what was seen, what stays open.

Rules of this module:

* Who writes it follows from the regime: the participant (Japan, United Kingdom) or the
  authority (EU AI Act Art. 57(7)).
* A condition is said to be kept only where the evidence shows it; where a person has to
  look, the report says that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sandbox.findings.tally import busiest_minute, units_of
from sandbox.model.closing import TrialClosing
from sandbox.model.decision import Condition
from sandbox.model.finding import ConditionKept, ExitReport, Finding
from sandbox.model.observation import Observation
from sandbox.model.record import digest_of
from sandbox.model.rule import TemporaryRule
from sandbox.model.segment import Completeness

_RATE = "requests_per_minute"


class TrialCourse(NamedTuple):
    """How the trial went, apart from its findings."""

    closing: TrialClosing
    temporary_rule: TemporaryRule
    observations: tuple[Observation, ...]
    checked: Mapping[str, str] = {}
    """Condition → how it was seen to be kept, for those a person or gate has
    checked."""
    completeness: Completeness | None = None
    """What is known to be missing of the evidence."""


def exit_report(
    course: TrialCourse,
    *,
    findings: Sequence[Finding],
    evidence: Mapping[str, str],
    how_to_verify: str,
) -> ExitReport:
    """Write the exit report.

    Args:
        course: How the trial went.
        findings: What the judge found.
        evidence: Name → digest of what the report rests on.
        how_to_verify: The command that checks the evidence bundle.

    Returns:
        The report as a record.
    """
    closing, rule = course.closing, course.temporary_rule
    return ExitReport(
        trial_id=rule.trial_id,
        author=closing.regime.exit_report_by,
        tried=closing.tried,
        rulebook=rule.of,
        temporary_rule_digest=digest_of(rule),
        started_at=closing.started_at,
        ended_at=closing.ended_at,
        pauses=closing.pauses,
        conditions=tuple(_kept(item, course) for item in rule.conditions),
        findings=tuple(findings),
        uncertain=_uncertain(findings),
        completeness=course.completeness,
        evidence=dict(evidence),
        how_to_verify=how_to_verify,
    )


def _kept(condition: Condition, course: TrialCourse) -> ConditionKept:
    if condition.id in course.checked:
        return ConditionKept(
            condition=condition.id, kept=True, evidence=course.checked[condition.id]
        )
    most = condition.caps.get(_RATE)
    requests = _requests(course)
    if most is not None and requests:
        seen = busiest_minute(requests)
        others = ", ".join(name for name in condition.caps if name != _RATE)
        kept = None if seen <= most and others else seen <= most
        return ConditionKept(
            condition=condition.id,
            kept=kept,
            evidence=f"At most {seen} units began within one minute; the cap is"
            f" {most:g}." + (f" Of {others} a person has to say." if others else ""),
        )
    return ConditionKept(
        condition=condition.id,
        kept=None,
        evidence="Nothing recorded shows it; a person has to say.",
    )


def _requests(course: TrialCourse) -> list[Observation]:
    """Units of the rule the plan speaks of, of the one that saw most, in order.

    A rule the plan does not speak of may be about something else than a request, for
    example about every span of every service.
    """
    plan = course.closing.plan
    rules = {goal.estimand.of for goal in plan.goals} | {h.of for h in plan.harms}
    units = (units_of(rule, course.observations) for rule in rules)
    return max(units, key=len, default=[])


def _uncertain(findings: Sequence[Finding]) -> tuple[str, ...]:
    """What stays open: undecided findings first, then the limits of all, each once."""
    undecided = [
        f"{item.finding} ({item.subject}) is {item.verdict.replace('_', ' ')}."
        for item in findings
        if item.verdict in ("inconclusive", "invalid")
    ]
    limits = [limit for item in findings for limit in item.limits]
    return tuple(dict.fromkeys(undecided + limits))
