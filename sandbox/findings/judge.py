"""The judge: a locked plan and the evidence in, findings and looks out.

Rules of this module:

* Deterministic: the same plan and observations give the same findings and looks. Looks
  carry the time of their last unit, never that of the computation.
* Goals are judged in the plan's order of analysis, each at its own alpha. Once one is
  not met, what follows is exploratory (fixed-sequence testing); so is a goal outside
  the order.
* Units of two versions of a rulebook are never counted together.
* Harms come after goals and are never offset by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sandbox.errors import JudgementError
from sandbox.findings.designs import goals_in_order, measure_of
from sandbox.findings.evidence import TrialEvidence, strata_of
from sandbox.findings.goal import GoalJudgement, judge_goal
from sandbox.findings.goal_words import goal_statement
from sandbox.findings.harm import HarmJudgement, judge_harm
from sandbox.findings.plan import plan_digest
from sandbox.findings.wording import harm_statement, limits_of
from sandbox.model.application import Harm, Hypothesis, TrialPlan
from sandbox.model.finding import Finding, Look
from sandbox.model.observation import Breach, Observation
from sandbox.model.rule import RulebookRef


class Judgement(NamedTuple):
    """What the evidence says, and every look it was read by."""

    findings: tuple[Finding, ...]
    looks: tuple[Look, ...]


def judge(
    plan: TrialPlan,
    *,
    trial_id: str,
    observations: Iterable[Observation],
    breaches: Iterable[Breach],
    rulebook: RulebookRef,
) -> Judgement:
    """Judge a trial without pauses whose evidence is whole; see `judge_evidence`."""
    evidence = TrialEvidence(trial_id, tuple(observations), tuple(breaches), rulebook)
    return judge_evidence(plan, evidence)


def judge_evidence(plan: TrialPlan, evidence: TrialEvidence) -> Judgement:
    """Judge every goal and harm of a plan.

    Args:
        plan: The plan as it was locked.
        evidence: Observations, breaches, pauses, and what is known to be broken.

    Returns:
        Findings `F-1`, `F-2` … goals first in order of analysis, then harms; and all
        looks.

    Raises:
        JudgementError: A harm of the plan cannot be watched as written, or units were
            judged under another version of the rulebook.
    """
    _check_version(evidence)
    findings: list[Finding] = []
    looks: list[Look] = []
    gate_open = True
    for goal in goals_in_order(plan):
        found = judge_goal(goal, evidence)
        confirmatory = gate_open and goal.goal in plan.order_of_analysis
        findings.append(_goal_finding(plan, goal, found, evidence, confirmatory))
        gate_open = gate_open and found.verdict == "met"
        looks.extend(found.looks)
    for harm in plan.harms:
        seen = judge_harm(harm, evidence)
        findings.append(_harm_finding(plan, harm, seen, evidence))
        looks.extend(seen.looks)
    numbered = (
        finding.model_copy(update={"finding": f"F-{number}"})
        for number, finding in enumerate(findings, start=1)
    )
    return Judgement(tuple(numbered), tuple(looks))


def _check_version(evidence: TrialEvidence) -> None:
    """Refuse to count units of two versions of the rulebook together.

    Raises:
        JudgementError: There are units of another version than the findings are on.
    """
    ref = evidence.rulebook
    others = {item.rulebook_version for item in evidence.observations} - {ref.version}
    if others:
        raise JudgementError(
            f"trial {evidence.trial_id} is judged under {ref.rulebook} v{ref.version},"
            f" and has units of v{', v'.join(map(str, sorted(others)))}; units of two"
            " versions are never counted together. Judge each version by itself."
        )


def _goal_finding(
    plan: TrialPlan,
    goal: Hypothesis,
    found: GoalJudgement,
    evidence: TrialEvidence,
    confirmatory: bool,
) -> Finding:
    limits = limits_of(found.units, found.strata, evidence)
    if not confirmatory:
        limits = (
            "A planned claim: the goal stands outside the order of analysis or after"
            " one that was not met, so this is exploratory.",
            *limits,
        )
    return Finding(
        finding="F-0",
        trial_id=evidence.trial_id,
        subject=goal.goal,
        purpose="goal",
        rule=goal.estimand.of,
        verdict=found.verdict,
        statement=goal_statement(goal, found),
        limits=limits,
        counts=found.counts,
        missing=found.missing,
        estimate=found.estimate,
        bounds=found.bounds,
        alpha=goal.alpha,
        threshold=goal.threshold,
        looks=len(found.looks),
        plan_digest=plan_digest(plan),
        data_digest=found.data_digest,
        rulebook=evidence.rulebook,
        exploratory=not confirmatory,
        measure=measure_of(goal),
        log_evalue=found.log_evalue,
        posterior=found.posterior,
    )


def _harm_finding(
    plan: TrialPlan, harm: Harm, found: HarmJudgement, evidence: TrialEvidence
) -> Finding:
    strata = strata_of(found.units, evidence)
    return Finding(
        finding="F-0",
        trial_id=evidence.trial_id,
        subject=harm.harm,
        purpose="harm",
        rule=harm.of,
        verdict=found.verdict,
        statement=harm_statement(harm, found),
        limits=limits_of(found.units, strata, evidence),
        counts=found.counts,
        missing=found.missing,
        estimate=found.estimate,
        bounds=found.bounds,
        alpha=harm.signal.alpha,
        threshold=harm.baseline_rate,
        looks=len(found.looks),
        plan_digest=plan_digest(plan),
        data_digest=found.data_digest,
        rulebook=evidence.rulebook,
    )
