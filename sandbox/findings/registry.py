"""All registered trials of one question, and what they show together.

Rules of this module:

* A trial is registered for a question when its plan is locked, before it sees anything.
  It stays registered whatever becomes of it: to leave out a trial that was abandoned,
  went badly or was never judged is to choose the data.
* One that has no evidence to give counts as none (an e-value of 1), and is named with
  the reason. An invalid verdict gives none.
* Nothing is shown while a trial that began has none to give. That it has none may be
  owed to what it saw: where twenty trials end as soon as they reach 20, and are else
  under way or broken, a claim that is false is shown with a chance of up to 64 %.
* A trial counts once for a question: with the goal that stands first in its plan.
* Trials of a question multiply, if they rest on different units; questions together are
  decided by e-Holm and e-BH.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sandbox.errors import JudgementError
from sandbox.findings.designs import goals_in_order, measure_of
from sandbox.findings.evalues import combined, e_bh, e_holm
from sandbox.model.application import Hypothesis, TrialPlan
from sandbox.model.finding import Finding
from sandbox.model.log import LogEntry


class Question(NamedTuple):
    """What trials of different times and people can ask alike."""

    rulebook: str
    rule: str
    quantity: str
    """What is measured, in words that are the same for the same estimand."""
    direction: str
    """`at_least` or `at_most`."""
    threshold: float

    def sentence(self) -> str:
        """Return the claim in words."""
        side = self.direction.replace("_", " ")
        return f"{self.quantity} {self.rule} is {side} {self.threshold:g}"


class Registration(NamedTuple):
    """One trial whose locked plan asks a question, and what came of it."""

    trial_id: str
    goal: str
    verdict: str
    """Of its finding; empty where there is none."""
    log_evalue: float | None
    why: str
    """Why it gives no evidence; empty where it gives some."""
    is_open: bool = False
    """Whether that may be owed to what it saw."""


class Weighed(NamedTuple):
    """A question with everything registered for it, and what that shows."""

    question: Question
    trials: tuple[Registration, ...]
    log_evalue: float
    """Of all trials together, natural logarithm."""
    holm: bool
    """Shown, with at most alpha chance of any false one among the questions asked."""
    bh: bool
    """Shown, with at most a mean share alpha of false ones among those shown."""


Registry = Mapping[Question, tuple[Registration, ...]]


def registered(entries: Iterable[LogEntry]) -> Registry:
    """Return every question of every locked plan, with all trials that ask it.

    Args:
        entries: The whole log, in order.
    """
    trials: dict[str, _Told] = {}
    for entry in entries:
        trials.setdefault(entry.trial_id, _Told(entry.trial_id)).hear(entry)
    found: dict[Question, list[Registration]] = {}
    for told in trials.values():
        for question, registration in told.registrations().items():
            found.setdefault(question, []).append(registration)
    return {question: tuple(items) for question, items in found.items()}


def weigh(registry: Registry, *, alpha: float) -> tuple[Weighed, ...]:
    """Combine the trials of each question, and decide on all questions together.

    Args:
        registry: The questions that are decided on; which ones must not depend on what
            their trials showed.
        alpha: For e-Holm the chance of any false claim, for e-BH their mean share.

    Returns:
        The questions, strongest evidence first.

    Raises:
        JudgementError: There is no question, or alpha is out of range.
    """
    if not registry:
        raise JudgementError(
            "No trial is registered for this: no locked plan asks it. Check the names"
            " of rulebook and rule; `sandbox rule list` shows rulebooks."
        )
    logs = {
        question: combined({item.trial_id: item.log_evalue for item in trials})
        for question, trials in registry.items()
    }
    names = {_name(question): question for question in registry}
    named = {
        name: -math.inf
        if any(item.is_open for item in registry[question])
        else logs[question]
        for name, question in names.items()
    }
    holm, bh = e_holm(named, alpha=alpha), e_bh(named, alpha=alpha)
    return tuple(
        Weighed(question, registry[question], logs[question], name in holm, name in bh)
        for name, question in sorted(
            names.items(), key=lambda item: (-logs[item[1]], item[0])
        )
    )


class _Told:
    """What the log tells of one trial, entry by entry."""

    def __init__(self, trial_id: str) -> None:
        self._trial_id = trial_id
        self._plans: list[TrialPlan] = []
        self._rulebook = ""
        self._findings: dict[str, Finding] = {}
        self._states: list[str] = []

    def hear(self, entry: LogEntry) -> None:
        body = entry.body
        if entry.kind == "plan":
            self._plans.append(TrialPlan.model_validate(body))
        elif entry.kind == "application" and not self._rulebook:
            filed = body.get("application")
            if isinstance(filed, dict):
                self._rulebook = str(filed.get("rulebook", ""))
        elif entry.kind == "temporary-rule":
            of = body.get("of")
            if isinstance(of, dict):
                self._rulebook = str(of["rulebook"])
        elif entry.kind == "finding" and body.get("purpose") == "goal":
            finding = Finding.model_validate(body)
            self._findings[finding.subject] = finding
        elif entry.kind == "transition":
            self._states.append(str(body.get("after", "")))

    def registrations(self) -> dict[Question, Registration]:
        found: dict[Question, Registration] = {}
        for plan in self._plans:
            for goal in goals_in_order(plan):
                question = question_of(goal, self._rulebook)
                found.setdefault(question, self._registration(goal))
        return found

    def _registration(self, goal: Hypothesis) -> Registration:
        finding = self._findings.get(goal.goal)
        if finding is None:
            state = f"; the case is {self._states[-1]}" if self._states else ""
            began = "running" in self._states
            why = f"no finding{state}"
            return Registration(self._trial_id, goal.goal, "", None, why, began)
        why = ""
        if finding.log_evalue is None:
            why = "its finding carries no e-value"
        if finding.verdict == "invalid":
            why = "its verdict is invalid"
        log_evalue = None if why else finding.log_evalue
        # Of a proportion or mean only findings of older versions carry none.
        is_open = finding.verdict == "invalid" or (
            finding.log_evalue is None and finding.measure == "difference"
        )
        return Registration(
            self._trial_id, goal.goal, finding.verdict, log_evalue, why, is_open
        )


def question_of(goal: Hypothesis, rulebook: str) -> Question:
    """Return the question that a goal asks of a rulebook."""
    estimand, measure = goal.estimand, measure_of(goal)
    quantity = f"the proportion of units that {estimand.proportion}"
    direction: str = estimand.direction
    if measure == "mean":
        quantity = (
            f"the mean of {estimand.mean} ({estimand.least:g} to {estimand.most:g})"
            " over units of"
        )
    elif measure == "difference" and goal.arms is not None:
        quantity = (
            f"the excess of {goal.arms.treated} over {goal.arms.control}"
            f" ({goal.arms.by}) in units that keep"
        )
        direction = "at_least"
    return Question(rulebook, estimand.of, quantity, direction, goal.threshold)


def _name(question: Question) -> str:
    return f"{question.rulebook}: {question.sentence()}"
