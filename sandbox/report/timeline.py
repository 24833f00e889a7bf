"""The course of the case as rows for a person, told from the entries of the log.

Rules of this module:

* Only what the log holds is told, in log order, each row with its entry's index.
* A refused attempt and a signal stand out; machines' routine entries are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sandbox.model.log import EntryKind, LoggedEntry

Tone = Literal["plain", "good", "alarm", "pause", "refused"]


class Row(NamedTuple):
    """One thing that happened."""

    at: datetime
    entry: int
    """Index of its entry in the log."""
    what: str
    detail: str
    tone: Tone


Body = Mapping[str, Any]
_Told = tuple[str, str, Tone]


def timeline(entries: Sequence[LoggedEntry]) -> list[Row]:
    """Return what happened, in log order."""
    rows = []
    for logged in entries:
        tell = _TELLERS.get(logged.entry.kind)
        if tell is not None:
            what, detail, tone = tell(logged.entry.body)
            at = _moment(logged.entry.body) or logged.entry.recorded_at
            rows.append(Row(at, logged.index, what, detail, tone))
    return rows


def _moment(body: Body) -> datetime | None:
    """When it happened, where the entry's record says so itself."""
    for name in ("at", "decided_at", "detected_at", "proposed_at"):
        value = body.get(name)
        if isinstance(value, str):
            return datetime.fromisoformat(value)
    return None


def _words(value: object) -> str:
    return str(value or "").replace("_", " ")


def _transition(body: Body) -> _Told:
    after = _words(body.get("after"))
    tone: Tone = "plain"
    if after == "paused":
        tone = "pause"
    elif after in ("running", "approved", "closed"):
        tone = "good"
    elif after in ("failed", "refused"):
        tone = "alarm"
    before = _words(body.get("before"))
    step = f"{before} → {after}".removeprefix(" → ")
    by = f" ({body['by']})" if body.get("by") else ""
    return (
        step.capitalize(),
        f"{_words(body.get('act'))}: {body.get('reason')}{by}",
        tone,
    )


def _actor(body: Body, name: str) -> str:
    actor = body.get(name)
    return (
        str(actor.get("name", "")) if isinstance(actor, Mapping) else str(actor or "")
    )


def _decision(body: Body) -> _Told:
    reasons = " ".join(str(item) for item in body.get("reasons") or ())
    return (
        f"Decision: {_words(body.get('outcome'))}",
        f"{reasons} Approved by {_actor(body, 'approver')}, assessed by"
        f" {_actor(body, 'assessor')}.",
        "alarm" if body.get("outcome") == "refused" else "good",
    )


def _refusal(body: Body) -> _Told:
    if body.get("kind") == "recorder-refusal":
        return _not_recorded(body)
    who = _actor(body, "by")
    return (
        f"Attempt refused: {_words(body.get('act'))} by {who}",
        _text(body),
        "refused",
    )


def _not_recorded(body: Body) -> _Told:
    sender = body.get("producer") or "an unknown sender"
    return (
        f"{body.get('count')} requests not recorded: {_words(body.get('reason'))}",
        f"From {sender} at {body.get('peer')}, {body.get('first_at')} to"
        f" {body.get('last_at')}.",
        "refused",
    )


def _text(body: Body) -> str:
    return str(body.get("what") or body.get("reason") or body.get("text") or "")


def _opinion(body: Body) -> _Told:
    reasons = " ".join(str(item) for item in body.get("reasons") or ())
    position = _words(body.get("position")).replace("-", " ")
    return f"Opinion of {body.get('authority')}: {position}", reasons, "plain"


def _breach(body: Body) -> _Told:
    return (
        f"Guardrail {body.get('guardrail')} signalled: {body.get('action')}",
        f"{body.get('events')} harmful events among {body.get('units')} units;"
        f" {float(body.get('expected') or 0):.1f} were to be expected.",
        "alarm",
    )


def _incident(body: Body) -> _Told:
    return f"Incident: {_words(body.get('condition'))}", str(body.get("cause")), "alarm"


def _proof(body: Body) -> _Told:
    holds = bool(body.get("holds"))
    return (
        "Isolation proven" if holds else "Isolation not proven",
        f"{len(body.get('attempts') or ())} attempts recorded.",
        "good" if holds else "alarm",
    )


def _plan(body: Body) -> _Told:
    return "Trial plan locked", "Goals added later are exploratory.", "plain"


def _temporary_rule(body: Body) -> _Told:
    overlays = [str(item.get("exception_to")) for item in body.get("overlays") or ()]
    return "Temporary rule in force", f"Exceptions to {', '.join(overlays)}.", "plain"


def _proposal(body: Body) -> _Told:
    count = len(body.get("amendments") or ())
    what = f"{count} amendment{'s' if count != 1 else ''}" if count else "no change"
    return f"Revision proposed ({body.get('proposal')}): {what}", "", "plain"


def _impact(body: Body) -> _Told:
    count = len(body.get("figures") or ())
    return f"Impact of {body.get('proposal')} stated: {count} figures", "", "plain"


def _comment(body: Body) -> _Told:
    return f"Comment by {_actor(body, 'by')}", _text(body), "plain"


def _disposition(body: Body) -> _Told:
    outcome = _words(body.get("outcome")).replace("-", " ")
    return f"Comment {body.get('comment_id')}: {outcome}", _text(body), "plain"


def _adoption(body: Body) -> _Told:
    after = body.get("after")
    version = after.get("version") if isinstance(after, Mapping) else "?"
    return f"Version {version} of the rulebook adopted", _text(body), "good"


def _hold(body: Body) -> _Told:
    done = "placed" if body.get("act") == "place" else "released"
    who = _actor(body, "by")
    return f"Hold {body.get('number')} {done} by {who}", _text(body), "plain"


def _erasure(body: Body) -> _Told:
    what = f"Segment {body.get('number')} erased"
    if body.get("kind") == "subject-erasure":
        what = f"Key of subject {body.get('subject')} destroyed"
    why = str(body.get("source") or body.get("reason"))
    return f"{what} by {_actor(body, 'by')}", why, "plain"


def _retention(body: Body) -> _Told:
    kept = body.get("retained")
    version = kept.get("version") if isinstance(kept, Mapping) else "?"
    return f"Version {version} of the rulebook retained", _text(body), "plain"


def _load(body: Body) -> _Told:
    return (
        f"Traffic: {body.get('requests')} requests",
        f"profile {body.get('profile')}, {body.get('failures')} failures,"
        f" verdict {body.get('verdict')}",
        "plain",
    )


def _import(body: Body) -> _Told:
    done = "Telemetry imported" if body.get("act") == "end" else "Import begun"
    return (
        f"{done}: {body.get('file')}",
        f"{body.get('requests')} requests with {body.get('spans')} spans, recorded as"
        f" producer {body.get('producer')}, by {body.get('by')}",
        "plain",
    )


_TELLERS: dict[EntryKind, Callable[[Body], _Told]] = {
    "transition": _transition,
    "opinion": _opinion,
    "decision": _decision,
    "refusal": _refusal,
    "plan": _plan,
    "temporary-rule": _temporary_rule,
    "isolation-proof": _proof,
    "breach": _breach,
    "incident": _incident,
    "load-result": _load,
    "import": _import,
    "proposal": _proposal,
    "impact": _impact,
    "comment": _comment,
    "disposition": _disposition,
    "adoption": _adoption,
    "retention": _retention,
    "hold": _hold,
    "erasure": _erasure,
}
