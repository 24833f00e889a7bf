"""Derives the verdicts of a trial again, from nothing but its bundle.

Rules of this module:

* Only a bundle that verifies is derived again. What is derived rests on the raw frames
  and on log entries alone: rulebook version, temporary rule, breaches, incidents,
  and the trial's closing.
* It is judged by the very function that closed the trial (`conclude`). This shows that
  the recorded looks, findings and exit report follow from the evidence and the rules,
  not that the way of judging is right.
* Recorded and derived must be equal, field by field. Numbers may differ by one part in
  10^9, for other processors round in other ways; the version of the program may differ.
* Looks of the monitor are not derived: they rest on what had arrived by then. Checked
  is that each names its data, and that every breach speaks of a recorded unit.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.errors import EvidenceError, JudgementError, RuleError
from sandbox.evidence.layout import read_lines
from sandbox.evidence.steps import run_steps
from sandbox.evidence.verify import Result
from sandbox.findings.conclude import Conclusion, TrialRecord, conclude, trial_record
from sandbox.findings.goal import look_problem
from sandbox.model.erasure import SegmentErasure
from sandbox.model.log import EntryKind, LogEntry
from sandbox.model.trial import Transition
from sandbox.recorder import Frame, decode_frames

_TOLERANCE = 1e-9
_VERSION = "code_version"


def rederive_bundle(path: Path, verified: Result) -> Result:
    """Derive the looks, findings and exit report of a verified bundle again.

    Args:
        path: Folder of the bundle.
        verified: What `verify_bundle` found in it.

    Returns:
        Its steps, and those of the derivation up to the first failure; never raises for
        what is in the bundle.

    Raises:
        EvidenceError: It did not verify, so nothing can rest on it; or what was to be
            judged was erased lawfully, so it cannot be derived again.
    """
    if not verified.ok:
        raise EvidenceError("what does not verify is not derived again; verify first")
    derivation = _Derivation(path)
    steps = run_steps(derivation.plan())
    if derivation.erased:
        raise EvidenceError(
            f"the verdicts cannot be derived again: {derivation.erased}"
        )
    ok = all(step.ok for step in steps)
    return verified._replace(ok=ok, steps=(*verified.steps, *steps))


class _Derivation:
    """State of one derivation: what earlier steps established."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.erased = ""
        """Why nothing can be derived although it verifies; empty where it can."""
        self._entries: list[LogEntry] = []
        self._record: TrialRecord
        self._conclusion: Conclusion

    def plan(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("What the trial was judged on is in the log", self._gather),
            ("The closing agrees with the rest of the log", self._agree),
            ("All recorded spans are judged again", self._judge),
            ("Every breach speaks of a recorded unit", self._breaches),
            ("The looks are those derived again", self._looks),
            ("The findings are those derived again", lambda: self._same("finding")),
            ("The exit report is the one derived again", self._report),
        ]

    def _gather(self) -> str:
        lines = read_lines((self._path / "entries.jsonl").read_bytes(), "entries.jsonl")
        self._entries = [LogEntry.model_validate(line["entry"]) for line in lines]
        trial_id = _trial_of(self._entries)
        self._record = trial_record(trial_id, self._entries)
        self._check_all_here()
        rule = self._record.temporary_rule
        return (
            f"trial {trial_id}, {rule.temporary_rule} over {rule.of.rulebook} version "
            f"{rule.of.version}, plan {rule.plan_digest}"
        )

    def _check_all_here(self) -> None:
        here = {int(file.stem) for file in self._files()}
        absent = sorted(self._record.numbers - here)
        by = _erasures(self._entries)
        for number in absent:
            if number not in by:
                raise EvidenceError(
                    f"segment {number} is not in the bundle, so what it held cannot be "
                    "judged again"
                )
        if absent:
            told = (
                f"segment {number} was erased by entry {by[number]}"
                for number in absent
            )
            self.erased = "; ".join(told)
            raise EvidenceError(self.erased)

    def _agree(self) -> str:
        taken = [item for item in self._entries if item.kind == "transition"]
        transitions = [Transition.model_validate(item.body) for item in taken]
        check_closing(self._record, transitions)
        closing = self._record.closing
        return (
            f"{closing.started_at.isoformat()} to {closing.ended_at.isoformat()}, "
            f"{len(closing.pauses)} pauses"
        )

    def _judge(self) -> str:
        try:
            self._conclusion = conclude(self._record, self._segments)
        except (JudgementError, RuleError) as error:
            raise EvidenceError(error.diagnosis) from error
        counts = [
            f"{item.subject}: {item.counts.satisfied} satisfied, "
            f"{item.counts.violated} violated, "
            f"{item.counts.not_evaluable} not evaluable"
            for item in self._conclusion.judgement.findings
        ]
        observations = len(self._conclusion.observations)
        return "; ".join([f"{observations} observations", *counts])

    def _segments(self) -> Iterator[tuple[int, Sequence[Frame]]]:
        for file in self._files():
            frames, _ = decode_frames(gzip.decompress(file.read_bytes()))
            yield int(file.stem), frames

    def _files(self) -> list[Path]:
        return sorted((self._path / "segments").glob("*.gz"))

    def _breaches(self) -> str:
        known = {_unit(item) for item in self._conclusion.observations}
        for breach in self._record.breaches:
            if _unit(breach.first_signal) not in known:
                raise EvidenceError(
                    f"the breach of guardrail {breach.guardrail} names the span "
                    f"{breach.first_signal.span_id}, which no segment holds as a unit "
                    f"of {breach.first_signal.rule}"
                )
        return f"{len(self._record.breaches)} breaches"

    def _same(self, kind: EntryKind) -> str:
        derived = self._derived(kind)
        recorded = {
            item.entry_id: item.body
            for item in self._entries
            if item.kind == kind and not _is_of_monitor(item)
        }
        for name in sorted(set(recorded) ^ set(derived)):
            where = "in the log only" if name in recorded else "not in the log"
            raise EvidenceError(f"{name} is {where}")
        for name, body in derived.items():
            found = first_difference(recorded[name], body)
            if found:
                raise EvidenceError(f"{name}: {found}")
        return self._told(kind, len(derived))

    def _looks(self) -> str:
        for item in self._entries:
            problem = look_problem(item.body) if item.kind == "look" else ""
            if problem:
                raise EvidenceError(f"{item.entry_id}: {problem}")
        return self._same("look")

    def _told(self, kind: EntryKind, count: int) -> str:
        if kind == "look":
            others = sum(map(_is_of_monitor, self._entries))
            return f"{count} looks; {others} of the monitor are not derived"
        if kind == "finding":
            findings = self._conclusion.judgement.findings
            return ", ".join(f"{item.subject}: {item.verdict}" for item in findings)
        return f"{count} entry"

    def _report(self) -> str:
        return self._same("exit-report")

    def _derived(self, kind: EntryKind) -> dict[str, dict[str, Any]]:
        return {
            name: record.model_dump(mode="json", by_alias=True)
            for of_kind, name, record in self._conclusion.entries()
            if of_kind == kind
        }


def first_difference(recorded: Any, derived: Any, at: str = "") -> str:
    """Return where two JSON values differ first, in words; empty where nowhere.

    Args:
        recorded: What the log says.
        derived: What was derived again.
        at: Path of both, for the words.
    """
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        names = sorted((set(recorded) | set(derived)) - {_VERSION})
        pairs = [(f".{name}", recorded.get(name), derived.get(name)) for name in names]
    elif isinstance(recorded, list) and isinstance(derived, list):
        if len(recorded) != len(derived):
            return f"{at[1:]} has {len(recorded)} parts, derived again {len(derived)}"
        both = zip(recorded, derived, strict=True)
        pairs = [(f".{place}", one, other) for place, (one, other) in enumerate(both)]
    elif _is_equal(recorded, derived):
        return ""
    else:
        return f"{at[1:]} is {recorded!r} in the log, and derived again {derived!r}"
    found = (first_difference(one, other, at + name) for name, one, other in pairs)
    return next((words for words in found if words), "")


def check_closing(record: TrialRecord, transitions: Sequence[Transition]) -> None:
    """Check what a trial was closed on against the other entries of the log.

    Args:
        record: What the log says of the trial.
        transitions: All of its transitions, in order; none where there are none.

    Raises:
        EvidenceError: The closing says something else than they do.
    """
    closing = record.closing
    signalled = {breach.detected_at for breach in record.breaches}
    signalled |= {incident.detected_at for incident in record.incidents}
    for pause in closing.pauses:
        if pause.paused_at not in signalled:
            raise EvidenceError(
                f"the closing names a pause from {pause.paused_at.isoformat()}, when "
                "no breach or incident in the log was detected"
            )
    resumed = sum(pause.resumed_at is not None for pause in closing.pauses)
    times = [item.at for item in transitions if item.act == "resume"]
    if transitions and resumed != len(times):
        raise EvidenceError(
            f"the closing says the trial was resumed {resumed} times, its transitions "
            f"say {len(times)}"
        )
    for item in transitions:
        early = item.act in ("stop", "expire") and closing.ended_at < item.at
        if early or (item.act == "start" and closing.started_at > item.at):
            raise EvidenceError(
                f"the closing says the trial ran from {closing.started_at.isoformat()} "
                f"to {closing.ended_at.isoformat()}, but transition {item.version} "
                f"({item.act}) was at {item.at.isoformat()}"
            )


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return type(one) is type(other) and bool(one == other)


def _unit(item: Any) -> tuple[str, str, str]:
    return item.rule, item.trace_id, item.span_id


def _is_of_monitor(item: LogEntry) -> bool:
    judged = f"look/{item.trial_id}/judged/"
    return item.kind == "look" and not item.entry_id.startswith(judged)


def _erasures(entries: Sequence[LogEntry]) -> dict[int, str]:
    """Return the entry that says so of each erased segment, by its number."""
    erased = (item for item in entries if item.kind == "erasure")
    return {
        SegmentErasure.model_validate(item.body).number: item.entry_id
        for item in erased
        if item.body.get("kind") == "segment-erasure"
    }


def _trial_of(entries: Sequence[LogEntry]) -> str:
    closed = [item.trial_id for item in entries if item.kind == "closing"]
    if len(closed) != 1:
        raise EvidenceError(
            f"the bundle holds {len(closed)} closings of trials, not one: the trial is "
            "not closed, or was by an older version of this product, so there is "
            "nothing to derive again"
        )
    return closed[0]
