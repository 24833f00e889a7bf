"""From log entries and raw frames to findings and exit report: the one way of judging.

Rules of this module:

* Closing a trial and deriving its verdicts again from a bundle both go through here, so
  that the second shows what the first did.
* Everything comes from entries of the log up to the trial's closing, and from the
  frames of the segments sealed by then. Nothing is taken from the monitor but the
  signals it gave while the trial ran.
* The plan that is judged must be the plan that was locked; if it is not, every finding
  is invalid and says so.
* What is known to be missing of the evidence is found from all of it, and every finding
  and the exit report take it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.findings.designs import values_read
from sandbox.findings.evidence import TrialEvidence
from sandbox.findings.judge import Judgement, judge_evidence
from sandbox.findings.missing import (
    completeness_limits,
    damage_limits,
    missing_units,
)
from sandbox.findings.observed import ReadSegments, observe_trial
from sandbox.findings.report import TrialCourse, exit_report
from sandbox.model.closing import TrialClosing
from sandbox.model.damage import SegmentDamage, damaged_segments
from sandbox.model.finding import ExitReport, Look
from sandbox.model.log import EntryKind, LogEntry
from sandbox.model.observation import Breach, Observation, RecorderOutage
from sandbox.model.record import Record, digest_of
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.recorder import Frame
from sandbox.rules import compile_rules, reference


class TrialRecord(NamedTuple):
    """What the log says of a trial up to its closing, as far as it is judged on it."""

    closing: TrialClosing
    temporary_rule: TemporaryRule
    rulebook: Rulebook
    breaches: tuple[Breach, ...]
    incidents: tuple[RecorderOutage | SegmentDamage, ...]
    gates: Mapping[str, str]
    """Condition → what the applicant gave as evidence that it is met."""
    segments: Mapping[str, str]
    """Entry of each sealed segment → digest of its statement."""
    numbers: frozenset[int]
    """Of these segments."""
    damaged: Mapping[int, str]
    """Segment that could not be sealed → what is wrong with it."""
    locked: tuple[str, ...]
    """Digests of the plans entered before the environment existed."""
    late: tuple[str, ...]
    """Digests of those entered after that."""


class Conclusion(NamedTuple):
    """What follows from the record and the frames."""

    observations: tuple[Observation, ...]
    judgement: Judgement
    report: ExitReport

    def entries(self) -> list[tuple[EntryKind, str, Record]]:
        """Return (kind, entry id, body) of the log entries it is recorded by."""
        trial_id = self.report.trial_id
        looks, findings = self.judgement.looks, self.judgement.findings
        return [
            *(("look", _look_id(look), look) for look in looks),
            *(("finding", f"finding/{trial_id}/{f.finding}", f) for f in findings),
            ("exit-report", f"exit-report/{trial_id}", self.report),
        ]


def trial_record(trial_id: str, entries: Sequence[LogEntry]) -> TrialRecord:
    """Gather what a trial is judged on from the entries of the log.

    Args:
        trial_id: The trial.
        entries: Its entries in log order, and those of its rulebook.

    Raises:
        EvidenceError: An entry that is needed is missing.
    """
    own = _until_closing(trial_id, entries)
    rule = TemporaryRule.model_validate(_last(own, "temporary-rule", trial_id))
    breaches = (item.body for item in own if item.kind == "breach")
    sealed = {item.entry_id: item.body for item in own if item.kind == "segment"}
    numbers = frozenset(map(_number, sealed.values()))
    damaged = damaged_segments(own)
    locked, late = _plans(own)
    return TrialRecord(
        closing=TrialClosing.model_validate(_last(own, "closing", trial_id)),
        temporary_rule=rule,
        rulebook=_rulebook(rule, entries),
        breaches=tuple(map(Breach.model_validate, breaches)),
        incidents=tuple(_incident(x.body) for x in own if x.kind == "incident"),
        gates=_gates(own),
        segments={name: str(body["statement_digest"]) for name, body in sealed.items()},
        numbers=numbers,
        damaged={key: damaged[key] for key in sorted(damaged.keys() - numbers)},
        locked=locked,
        late=late,
    )


def conclude(record: TrialRecord, read: ReadSegments) -> Conclusion:
    """Judge a trial by its record and everything recorded, and report.

    Args:
        record: From the log.
        read: Reads the frames; called four times or more. Those of segments that are
            not in the record are passed over.

    Raises:
        EvidenceError: A frame cannot be read.
        JudgementError: A harm of the plan cannot be watched as written.
        RuleError: A rule cannot be evaluated as written.
    """
    closing, rule = record.closing, record.temporary_rule

    def sealed() -> Iterator[tuple[int, Sequence[Frame]]]:
        return (item for item in read() if item[0] in record.numbers)

    observed = observe_trial(
        closing,
        sealed,
        rules=compile_rules(record.rulebook, rule, also=values_read(closing.plan)),
        is_damaged=bool(record.damaged),
    )
    observations, producers, completeness = observed
    evidence = TrialEvidence(
        trial_id=closing.trial_id,
        observations=observations,
        breaches=record.breaches,
        rulebook=rule.of,
        pauses=closing.pauses,
        integrity=_integrity(record),
        limits=damage_limits(record.damaged) + completeness_limits(completeness),
        missing=missing_units(observations, completeness, producers),
    )
    judgement = judge_evidence(closing.plan, evidence)
    course = TrialCourse(
        closing=closing,
        temporary_rule=rule,
        observations=observations,
        checked=record.gates,
        completeness=completeness,
    )
    report = exit_report(
        course,
        findings=judgement.findings,
        evidence=record.segments,
        how_to_verify=f"python -m sandbox.evidence verify {closing.trial_id}",
    )
    return Conclusion(observations, judgement, report)


def _look_id(look: Look) -> str:
    return f"look/{look.trial_id}/judged/{look.subject}/{look.number}"


def _incident(body: Mapping[str, Any]) -> RecorderOutage | SegmentDamage:
    damage = body.get("kind") == "segment-damage"
    return (SegmentDamage if damage else RecorderOutage).model_validate(body)


def _number(body: Mapping[str, Any]) -> int:
    return int(body["segment"]["number"])


def _until_closing(trial_id: str, entries: Sequence[LogEntry]) -> list[LogEntry]:
    own = [item for item in entries if item.trial_id == trial_id]
    places = [place for place, item in enumerate(own) if item.kind == "closing"]
    return own[: places[0] + 1] if places else own


def _last(entries: Sequence[LogEntry], kind: EntryKind, trial_id: str) -> Any:
    bodies = [item.body for item in entries if item.kind == kind]
    if not bodies:
        raise EvidenceError(
            f"the log has no entry of kind {kind} of trial {trial_id}, without which "
            "it cannot be judged: it was not closed, or by an older version"
        )
    return bodies[-1]


def _rulebook(rule: TemporaryRule, entries: Sequence[LogEntry]) -> Rulebook:
    owner = f"rulebook/{rule.of.rulebook}"
    bodies = (
        item.body
        for item in entries
        if item.kind == "rule-version" and item.trial_id == owner
    )
    for rulebook in map(Rulebook.model_validate, bodies):
        if reference(rulebook) == rule.of:
            return rulebook
    raise EvidenceError(
        f"the log has no version {rule.of.version} of the rulebook {rule.of.rulebook} "
        f"with the digest {rule.of.digest}, which the temporary rule is an overlay of"
    )


def _gates(entries: Sequence[LogEntry]) -> dict[str, str]:
    for item in entries:
        if item.kind == "environment" and item.body.get("act") == "begin":
            gates = item.body.get("gates")
            if isinstance(gates, dict):
                return {str(key): str(value) for key, value in gates.items()}
    return {}


def _plans(entries: Sequence[LogEntry]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the digests of plans entered before the environment existed, and after."""
    digests: tuple[list[str], list[str]] = ([], [])
    exists = 0
    for item in entries:
        if item.kind == "environment":
            exists = 1
        elif item.kind == "plan":
            digests[exists].append(digest_of(dict(item.body)))
    return tuple(digests[0]), tuple(digests[1])


def _integrity(record: TrialRecord) -> tuple[str, ...]:
    judged, locked = digest_of(record.closing.plan), record.temporary_rule.plan_digest
    broken = []
    if judged != locked:
        broken.append(f"The plan judged, {judged}, is not the locked plan {locked}.")
    if locked not in record.locked:
        broken.append(f"The log has no plan {locked} before the environment existed.")
    changed = sorted({digest for digest in record.late if digest != locked})
    if changed:
        broken.append(
            f"After the environment existed another plan was entered, {changed[0]}."
        )
    return tuple(broken)
