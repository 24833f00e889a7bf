"""What one run of the experiment gives: figures for machines, words for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.ride_dispatch.papers import Papers
from sandbox.evidence.verify import verify_bundle
from sandbox.model.load import LoadResult
from sandbox.model.log import LoggedEntry
from workflows.cli.staging import Stage
from workflows.cli.telling import write_report
from workflows.messages import (
    Answer,
    RevisionStatus,
    Submission,
    TrialStatus,
)


@dataclass
class Course:
    """What happened in one run, step by step, as the doors answered."""

    papers: Papers
    first: Submission | None = None
    second: Submission | None = None
    refused: Answer | None = None
    ready: TrialStatus | None = None
    loads: list[LoadResult] = field(default_factory=list)
    resident_bytes: int = 0
    worker_s_per_hour: float = 0.0
    """Processor seconds of the worker in an hour of this trial under load."""
    paused: TrialStatus | None = None
    resumed: TrialStatus | None = None
    closed: TrialStatus | None = None
    revision: tuple[Answer, RevisionStatus] | None = None


def tell(stage: Stage, course: Course) -> dict[str, Any]:
    """Verify what the run left, write the report, and return the figures."""
    closed, trial_id = course.closed, course.papers.trial_id
    assert closed is not None and course.first is not None
    entries = stage.ledger.log.entries(trial_id)
    verified = verify_bundle(Path(closed.bundle))
    report = write_report(
        stage.ledger,
        trial_id,
        bundle=Path(closed.bundle),
        timings=stage.progress.timings,
    )
    return {
        "trial": {"id": trial_id, "state": closed.state},
        "application": {"defects_first": len(course.first.defects)},
        "decision": _decision(entries, closed),
        "environment": _environment(course.ready),
        "load": _load(course.loads),
        "guardrail": _guardrail(closed, entries),
        "evidence": {
            "segments": len(_of(entries, "segment")),
            "frames": verified.frames,
            "spans": verified.spans,
            "log_size": stage.ledger.log.size(),
            "checkpoint": stage.ledger.log.checkpoints()[-1].root,
            "verified": verified.ok,
            "bundle": closed.bundle,
        },
        "findings": [_finding(item) for item in _of(entries, "finding")],
        **_revision(stage, course),
        "residue": {"objects": len(stage.residue(trial_id))},
        "memory": {"resident_mib": round(course.resident_bytes / 2**20)},
        "worker": {"processor_s_per_trial_hour": round(course.worker_s_per_hour)},
        "report": str(report),
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result in a few lines for a person."""
    guardrail, proof = result["guardrail"], result["environment"]["proof"]
    evidence, rulebook = result["evidence"], result["rulebook"]
    verdicts = ", ".join(
        f"{item['subject']}: {item['verdict']}" for item in result["findings"]
    )
    lines = [
        f"Trial {result['trial']['id']} is {result['trial']['state']}.",
        f"  application   {result['application']['defects_first']} defects at first, "
        f"then {result['decision']['outcome'].replace('_', ' ')}; "
        f"{result['decision']['refused_attempts']} attempt(s) refused on record",
        f"  environment   proven in {result['environment']['ready_s']} s: "
        f"{proof['denied_blocked']} ways out blocked, "
        f"{proof['allowed_reached']} needed ways open, "
        f"{proof['controls_passed']} controls passed",
        "  guardrail     signalled harm, frozen "
        f"{guardrail['frozen_after_s']} s later, "
        + ("resumed after review" if guardrail["resumed"] else "not resumed"),
        f"  evidence      {evidence['spans']} spans in "
        f"{evidence['segments']} segments; "
        + ("the bundle verifies" if evidence["verified"] else "DOES NOT VERIFY"),
        f"  findings      {verdicts}",
        f"  rulebook      {rulebook['before']} → {rulebook['after']}, "
        f"{rulebook['outcome']}",
        f"  left behind   {result['residue']['objects']} objects",
        f"Bundle: {evidence['bundle']}",
        f"Report: {result['report']}",
    ]
    return "\n".join(lines)


def _of(entries: list[LoggedEntry], kind: str) -> list[dict[str, Any]]:
    return [dict(item.entry.body) for item in entries if item.entry.kind == kind]


def _decision(entries: list[LoggedEntry], closed: TrialStatus) -> dict[str, Any]:
    first = _of(entries, "decision")[0]
    return {"outcome": first["outcome"], "refused_attempts": closed.refused_attempts}


def _environment(ready: TrialStatus | None) -> dict[str, Any]:
    assert ready is not None and ready.environment is not None
    proof = ready.environment.proof
    assert proof is not None
    return {
        "namespace": ready.environment.namespace,
        "ready_s": proof.proven_s,
        "system_ready_s": ready.environment.seconds,
        "proof": {
            "attempts": proof.attempts,
            "allowed_reached": proof.allowed_reached,
            "denied_blocked": proof.denied_blocked,
            "controls_passed": proof.controls_passed,
        },
    }


def _load(loads: list[LoadResult]) -> dict[str, Any]:
    # The middle load runs into the frozen environment on purpose; the verdict is that
    # of the first, which had the limits of the plan to keep.
    return {
        "requests": sum(item.requests for item in loads),
        "failures": sum(item.failures for item in loads),
        "verdict": loads[0].verdict,
    }


def _guardrail(closed: TrialStatus, entries: list[LoggedEntry]) -> dict[str, Any]:
    live = [item for item in _of(entries, "look") if item["purpose"] == "harm"]
    return {
        "looks": len(live),
        "signalled_at": (
            closed.breaches[0].detected_at.isoformat() if closed.breaches else None
        ),
        "frozen_after_s": closed.frozen_after_s[0] if closed.frozen_after_s else None,
        "resumed": bool(closed.pauses and closed.pauses[0].resumed_at),
    }


def _finding(body: dict[str, Any]) -> dict[str, Any]:
    kept = ("finding", "subject", "purpose", "verdict", "statement", "data_digest")
    return {key: body[key] for key in kept}


def _revision(stage: Stage, course: Course) -> dict[str, Any]:
    assert course.revision is not None
    early, status = course.revision
    name, before = course.papers.rulebook.rulebook, course.papers.rulebook.version
    after = status.adopted.version if status.adopted else before
    proposal = _of(stage.ledger.log.entries(f"rulebook/{name}"), "proposal")[-1]
    return {
        "proposal": {
            "id": proposal["proposal"],
            "amendments": [
                {"operation": item["operation"], "rule": item["rule"]}
                for item in proposal["amendments"]
            ],
            "adopted_too_early": early.accepted,
        },
        "rulebook": {
            "outcome": status.state,
            "before": f"{name}@{before}",
            "after": f"{name}@{after}",
        },
    }
