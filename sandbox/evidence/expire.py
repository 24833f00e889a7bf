"""Erases the bytes of segments whose lawful period is over.

Rules of this module:

* The entry comes first, then the bytes go. What is interrupted between is finished by
  the next run, in whoever's name: the entry keeps the first.
* That the period is over and no hold is in force is weighed again where the entry is
  appended, with nothing coming between. A hold placed after that entry came too late.
* The regime that is applied is the one under which the application was filed, by the
  digest in the log; with another one nothing is erased.
* Only bytes that are there are said to be erased: a loss is not made lawful afterwards.
* The signed statement and the log entry of a segment stay for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.retention import (
    TrialLog,
    keepings,
    regime_of,
    sealed_segments,
)
from sandbox.model.erasure import Keeping, SegmentErasure
from sandbox.model.log import LogEntry, LoggedEntry
from sandbox.model.party import Actor
from sandbox.model.record import digest_of
from sandbox.model.segment import SealedSegment
from sandbox.ports import Clock, Log, Records, Segments

AT_ONCE = 1000
"""Erasures recorded while nothing else can be appended; more are recorded in turns."""


_UNSEALED = "not sealed; only what is sealed can be erased"
_LOST = "its bytes are gone, and no log entry says so; restore them from a copy"


class Custody(NamedTuple):
    """The ports through which evidence is kept and erased."""

    log: Log
    records: Records
    segments: Segments
    clock: Clock


def show_keeping(custody: Custody, trial_id: str) -> list[Keeping]:
    """Return until when each segment of a trial is kept, and why.

    Raises:
        ProcedureError: The regime's period cannot be used.
        RecorderError: The segments cannot be listed.
        RecordsError: Log or records cannot be read.
    """
    # The files first: what is erased meanwhile is then not taken for lost.
    files = {item.number: item.state for item in custody.segments.files(trial_id)}
    entries = custody.log.entries(trial_id)
    trial = TrialLog(trial_id, entries, regime_of(custody.records, trial_id))
    found = keepings(trial, at=custody.clock.now())
    unsealed = sorted(set(files) - {item.number for item in found})
    return [_on_disk(item, files.get(item.number)) for item in found] + [
        Keeping(
            trial_id=trial_id, number=number, state="kept", until=None, why=_UNSEALED
        )
        for number in unsealed
    ]


def _on_disk(keeping: Keeping, state: str | None) -> Keeping:
    if keeping.state == "erased" or state not in (None, "erased"):
        return keeping
    return keeping.model_copy(update={"state": "lost", "why": _LOST})


def unfinished(custody: Custody, trial_id: str) -> list[Keeping]:
    """Return the segments that `expire` would erase: due, or not erased to the end.

    Raises:
        RecorderError: The segments cannot be listed.
        RecordsError: Log or records cannot be read.
    """
    there = _sealed(custody, trial_id)
    return [
        item
        for item in show_keeping(custody, trial_id)
        if item.state in ("due", "erased") and item.number in there
    ]


def expire(custody: Custody, trial_id: str, *, by: Actor) -> list[int]:
    """Erase what is due of a trial, and return the numbers of the segments.

    Can be repeated after any interruption.

    Args:
        custody: The ports.
        trial_id: The trial.
        by: Who erases.

    Raises:
        EvidenceError: The regime is not the one that the log names; nothing is
            removed.
        RecorderError: Bytes cannot be removed; the entry is there, repeat it.
        RecordsError: The log cannot be written; nothing was removed.
    """
    record_erasures(custody, trial_id, by=by)
    due = [item for item in unfinished(custody, trial_id) if item.state == "erased"]
    for item in due:
        custody.segments.erase(trial_id, item.number)
    return [item.number for item in due]


def record_erasures(custody: Custody, trial_id: str, *, by: Actor) -> list[LoggedEntry]:
    """Append that every segment that is due is erased; return these entries.

    Raises:
        EvidenceError: The regime is not the one that the log names.
        RecorderError: The segments cannot be listed.
        RecordsError: The log cannot be written.
    """
    regime = regime_of(custody.records, trial_id)
    there = _sealed(custody, trial_id)

    def decide(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        trial, at = TrialLog(trial_id, entries, regime), custody.clock.now()
        _check_regime(trial)
        sealed = sealed_segments(entries)
        due = [
            item
            for item in keepings(trial, at=at)
            if item.state == "due" and item.number in there
        ][:AT_ONCE]
        return [
            LogEntry(
                kind="erasure",
                entry_id=f"erasure/{trial_id}/segment/{item.number:06d}",
                trial_id=trial_id,
                recorded_at=at,
                body=_erasure(item, sealed[item.number], trial, by).model_dump(
                    mode="json"
                ),
            )
            for item in due
        ]

    recorded: list[LoggedEntry] = []
    while True:
        batch = custody.log.append_if(trial_id, decide)
        recorded += batch
        if len(batch) < AT_ONCE:
            return recorded


def _sealed(custody: Custody, trial_id: str) -> frozenset[int]:
    """Return the numbers of the segments whose sealed bytes are there."""
    files = custody.segments.files(trial_id)
    return frozenset(file.number for file in files if file.state == "sealed")


def _check_regime(trial: TrialLog) -> None:
    # Trials filed before regimes were kept name none.
    filed = [
        item.entry.body["regime_digest"]
        for item in trial.entries
        if item.entry.kind == "application" and "regime_digest" in item.entry.body
    ]
    if trial.regime and filed and filed[-1] != digest_of(trial.regime):
        raise EvidenceError(
            f"the regime kept with trial {trial.trial_id} is not the one under which "
            "its application was filed, so nothing of it is erased; restore that one"
        )


def _erasure(
    keeping: Keeping, sealed: SealedSegment, trial: TrialLog, by: Actor
) -> SegmentErasure:
    return SegmentErasure.model_validate(
        {
            "number": keeping.number,
            "statement_digest": sealed.statement_digest,
            "raw_digest": sealed.segment.raw_digest,
            "kept_until": keeping.until,
            "source": keeping.why,
            "regime_digest": digest_of(trial.regime or {}),
            "by": by,
        }
    )
