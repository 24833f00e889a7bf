"""Gathers the story of a trial from the record, and writes the report.

Everything comes from the log and the sealed segments; the report can be written anew at
any time, and says the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from sandbox.evidence.verify import verify_bundle
from sandbox.model.decision import Decision
from sandbox.model.finding import ExitReport, Finding, Look
from sandbox.model.load import LoadResult
from sandbox.model.log import LoggedEntry, Verification
from sandbox.model.observation import Breach
from sandbox.model.record import Record
from sandbox.model.trial import IsolationProof
from sandbox.report import TrialStory, render_report
from workflows.activities.keeping import Ledger
from workflows.activities.reproducing import (
    ProposalRecord,
    consultation_of,
    proposals,
)

R = TypeVar("R", bound=Record)


def write_report(
    ledger: Ledger, trial_id: str, *, bundle: Path, timings: dict[str, float]
) -> Path:
    """Write the report of a trial beside its bundle and return its path."""
    target = bundle.with_name(f"{bundle.name}.html")
    story = tell_story(ledger, trial_id, bundle=bundle, timings=timings)
    target.write_text(render_report(story), encoding="utf-8")
    return target


def tell_story(
    ledger: Ledger, trial_id: str, *, bundle: Path, timings: dict[str, float]
) -> TrialStory:
    """Return the whole story of a trial, as records."""
    rule = ledger.temporary_rule(trial_id)
    owner = f"rulebook/{rule.of.rulebook}"
    entries = sorted(
        (*ledger.log.entries(trial_id), *ledger.log.entries(owner)),
        key=lambda item: item.index,
    )
    report = _last(entries, "exit-report", ExitReport)
    revision = revision_of(ledger, trial_id, rule.of.rulebook)
    application = ledger.application(trial_id)
    return TrialStory(
        trial_id=trial_id,
        title=application.innovation.summary.rstrip("."),
        rulebook=ledger.records.rulebook(rule.of.rulebook, rule.of.version),
        written_at=ledger.clock.now(),
        application=application,
        decision=_first(entries, "decision", Decision),
        temporary_rule=rule,
        entries=tuple(entries),
        pauses=report.pauses if report else (),
        breaches=_all(entries, "breach", Breach),
        observations=tuple(ledger.observations(trial_id)),
        looks=_all(entries, "look", Look),
        findings=_all(entries, "finding", Finding),
        exit_report=report,
        proof=_first(entries, "isolation-proof", IsolationProof),
        loads=_all(entries, "load-result", LoadResult),
        proposal=revision.proposal if revision else None,
        impact=revision.impact if revision else None,
        consultation=consultation_of(ledger, revision) if revision else None,
        adoption=revision.adoption if revision else None,
        retention=revision.retention if revision else None,
        checkpoint=ledger.log.checkpoints()[-1],
        verification=Verification.model_validate(verify_bundle(bundle).as_dict()),
        verify_command=f"python -m sandbox.evidence verify {bundle}",
        timings=timings,
    )


def _bodies(entries: Iterable[LoggedEntry], kind: str) -> list[dict[str, Any]]:
    return [dict(item.entry.body) for item in entries if item.entry.kind == kind]


def _all(entries: Iterable[LoggedEntry], kind: str, model: type[R]) -> tuple[R, ...]:
    return tuple(model.model_validate(body) for body in _bodies(entries, kind))


def _first(entries: Iterable[LoggedEntry], kind: str, model: type[R]) -> R | None:
    found = _all(entries, kind, model)
    return found[0] if found else None


def _last(entries: Iterable[LoggedEntry], kind: str, model: type[R]) -> R | None:
    found = _all(entries, kind, model)
    return found[-1] if found else None


def revision_of(ledger: Ledger, trial_id: str, rulebook: str) -> ProposalRecord | None:
    """Return the last proposal that rests on findings of a trial; else the last one."""
    known = [item for item in proposals(ledger) if item.rulebook == rulebook]
    own = [
        item
        for item in known
        if any(it.startswith(f"{trial_id}/") for it in item.proposal.grounds)
    ]
    found = own or known
    return found[-1] if found else None
