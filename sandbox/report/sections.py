"""What each section of the report says, as plain values for the templates.

Rules of this module:

* Templates only arrange; every sentence and figure is made here or in the records.
* The headline states the outcome in one sentence that the findings bear out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sandbox.findings.wording import VERDICT_WORDS
from sandbox.model.finding import Finding, Look
from sandbox.model.proposal import Consultation
from sandbox.model.rule import Rule
from sandbox.model.trial import IsolationProof
from sandbox.report.charts import confidence_chart, guardrail_chart, latency_chart, thin
from sandbox.report.drawing import Drawing
from sandbox.report.story import TrialStory

_LISTED = 200


class Fact(NamedTuple):
    """A figure with its name, for the head of the report."""

    name: str
    value: str
    note: str = ""


class Attempt(NamedTuple):
    """One target of the isolation proof: what must come of it, and what came."""

    name: str
    address: str
    expected: str
    trial: str
    control: str
    as_expected: bool
    detail: str


def headline(story: TrialStory) -> str:
    """Return the outcome in one sentence."""
    goals = [item for item in story.findings if item.purpose == "goal"]
    parts = []
    if goals:
        parts.append(_goal_words(goals))
    signals = len(story.breaches)
    if signals:
        times = "once" if signals == 1 else f"{signals} times"
        parts.append(f"a guardrail signalled harm {times}")
    parts.append(_outcome(story))
    sentence = "; ".join(part for part in parts if part)
    return (
        f"{sentence[:1].upper()}{sentence[1:]}." if sentence else "Nothing to report."
    )


def _goal_words(goals: Sequence[Finding]) -> str:
    if len(goals) > 1:
        met = sum(item.verdict == "met" for item in goals)
        return f"{met} of {len(goals)} goals were met"
    words = {
        "met": "was met",
        "not_met": "was not met",
        "inconclusive": "was neither shown nor refuted",
        "invalid": "could not be judged",
        "harm": "was overtaken by harm",
    }
    goal = goals[0]
    evaluable = goal.counts.satisfied + goal.counts.violated
    return (
        f"the goal {goal.subject} {words[goal.verdict]}, with {goal.counts.satisfied:,}"
        f" of {evaluable:,} units in order"
    )


def _outcome(story: TrialStory) -> str:
    if story.adoption is not None:
        after = story.adoption.after
        return f"{after.rulebook} is now at version {after.version}"
    if story.retention is not None:
        kept = story.retention.retained
        return f"{kept.rulebook} stays at version {kept.version}"
    if story.proposal is None:
        return ""
    count = len(story.proposal.amendments)
    if not count:
        return "no change of the rulebook is proposed"
    return f"{count} amendment{'s are' if count > 1 else ' is'} proposed"


def facts(story: TrialStory) -> list[Fact]:
    """Return the figures at the head of the report."""
    found = [Fact("Trial", story.trial_id)]
    if story.findings:
        counts = story.findings[0].counts
        found.append(Fact("Units judged", f"{counts.units:,}"))
    for pause in story.pauses:
        if pause.resumed_at is not None:
            seconds = (pause.resumed_at - pause.paused_at).total_seconds()
            found.append(Fact("Frozen for", f"{seconds:,.1f} s", pause.reason))
    if story.adoption is not None:
        before, after = story.adoption.before, story.adoption.after
        found.append(Fact("Rulebook", f"v{before.version} → v{after.version}"))
    if story.retention is not None:
        value = f"v{story.retention.retained.version} retained"
        found.append(Fact("Rulebook", value, story.retention.reason))
    if story.verification is not None:
        steps = len(story.verification.steps)
        value = "verifies" if story.verification.ok else "does not verify"
        found.append(Fact("Evidence", value, f"{steps} steps, offline"))
    return found


def drawings(story: TrialStory) -> list[Drawing]:
    """Return every chart the story has data for."""
    found = [latency_chart(story, rule) for rule in _timed_rules(story)]
    for looks in _last_series(story.looks):
        if looks[0].purpose == "goal":
            found.append(confidence_chart(looks))
        else:
            found.append(guardrail_chart(story, looks))
    return [drawing for drawing in found if drawing is not None]


def _last_series(looks: Sequence[Look]) -> list[list[Look]]:
    """The looks at each subject, from the last that is numbered 1 on.

    A trial is looked at while it runs and judged anew at its end; the later series
    rests on all of the evidence.
    """
    by_subject: dict[tuple[str, str], list[Look]] = {}
    for look in looks:
        series = by_subject.setdefault((look.purpose, look.subject), [])
        if look.number == 1:
            series.clear()
        series.append(look)
    return list(by_subject.values())


def _timed_rules(story: TrialStory) -> list[Rule]:
    """The first rule with a time limit that something was observed under."""
    observed = {item.rule for item in story.observations}
    timed = [
        rule
        for rule in story.rulebook.rules
        if rule.rule in observed
        and any(spec.unit in ("s", "ms") for spec in rule.parameters.values())
    ]
    return timed[:1]


def attempts(proof: IsolationProof) -> list[Attempt]:
    """Return one row for each target, trial and positive control side by side."""
    by_target: dict[str, dict[str, Any]] = {}
    for item in proof.attempts:
        by_target.setdefault(item.target.name, {})[item.origin] = item
    rows = []
    for name, seen in by_target.items():
        target = next(iter(seen.values())).target
        trial, control = seen.get("trial"), seen.get("control")
        blocked = target.expect == "blocked"
        rows.append(
            Attempt(
                name=name,
                address=f"{target.host}:{target.port}",
                expected=target.expect,
                trial=trial.outcome if trial else "not tried",
                control=control.outcome if control else "–",
                as_expected=bool(trial and trial.outcome == target.expect)
                and not (blocked and target.controlled and control is None)
                and (control is None or control.outcome == "reached"),
                detail=trial.detail if trial else "",
            )
        )
    return rows


def comments(consultation: Consultation) -> list[dict[str, str]]:
    """Return each comment with its disposition."""
    answers = {item.comment_id: item for item in consultation.dispositions}
    rows = []
    for item in consultation.comments:
        answer = answers.get(item.comment_id)
        rows.append(
            {
                "by": item.by.name,
                "represents": item.by.represents,
                "text": item.text,
                "outcome": answer.outcome.replace("-", " ") if answer else "open",
                "reason": answer.reason if answer else "",
            }
        )
    return rows


def log_rows(story: TrialStory) -> tuple[list[dict[str, str]], str]:
    """Return entries of the log for the table, and what is left out."""
    routine = [
        item.entry.kind not in ("segment", "look", "environment")
        for item in story.entries
    ]
    listed = thin(story.entries, _LISTED, routine)
    rows = [
        {
            "index": str(item.index),
            "kind": item.entry.kind,
            "id": item.entry.entry_id,
            "at": f"{item.entry.recorded_at:%Y-%m-%d %H:%M:%S}",
            "leaf": item.leaf_hash.removeprefix("sha256:")[:16],
        }
        for item in listed
    ]
    note = ""
    if len(rows) < len(story.entries):
        note = (
            f"{len(rows)} of {len(story.entries)} entries are listed; looks and"
            " segments are thinned out. The bundle holds all."
        )
    return rows, note


def verdict_word(finding: Finding) -> str:
    """Return the verdict as a word for people."""
    return VERDICT_WORDS[finding.verdict]
