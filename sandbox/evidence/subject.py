"""Keys of data subjects: made, handed to producers, opened with, destroyed.

Rules of this module:

* Personal data is sealed before it is sent (`sandbox.recorder.sealing`); segments,
  statements and proofs hold the sealed form and never change.
* Destroying the private key is the erasure. Its entry comes first, by pseudonym, with a
  reason and a name; then the key goes. Interrupted between, the next call finishes it.
* A hold beats this erasure too (GDPR Art. 17(3)(e): legal claims).
* A subject whose key was destroyed gets no second one under the same name: a new key
  would suggest that the old values can be had again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sandbox.errors import ProcedureError
from sandbox.evidence.hold import Order, check_not_held
from sandbox.model.erasure import SubjectErasure
from sandbox.model.log import LogEntry, LoggedEntry
from sandbox.ports import Log, SubjectKey, SubjectKeys
from sandbox.recorder import Frame, spans_in
from sandbox.recorder.sealing import PREFIX, context, pseudonym


class DataSubject(NamedTuple):
    """A subject of a trial, by the name under which the evidence has it."""

    trial_id: str
    name: str
    """The pseudonym."""


class SealedValue(NamedTuple):
    """A value of a subject in the recorded spans."""

    frame: int
    """Number of the request within the trial, from 1."""
    trace_id: str
    span_id: str
    attribute: str
    value: str | None
    """None: it does not open, for it was changed, moved or sealed wrongly."""


def subject_of(keys: SubjectKeys, trial_id: str, name: str) -> DataSubject:
    """Return a subject by its name in clear.

    Raises:
        EvidenceError: The key store cannot be used.
    """
    return DataSubject(trial_id, pseudonym(keys.naming_key(trial_id), trial_id, name))


def new_key(log: Log, keys: SubjectKeys, subject: DataSubject) -> SubjectKey:
    """Make the key of a subject, or return the one there is.

    Raises:
        ProcedureError: The subject's key was destroyed, perhaps at this moment.
        EvidenceError: The key cannot be kept.
    """
    _check_not_destroyed(log.entries(subject.trial_id), subject)
    key = keys.create(*subject)
    try:
        _check_not_destroyed(log.entries(subject.trial_id), subject)
    except ProcedureError:
        # Destroyed since the first look: what was made may be a second key.
        keys.destroy(*subject)
        raise
    return key


def sealing_keys(keys: SubjectKeys, trial_id: str) -> dict[str, Any]:
    """Return what a producer needs to seal, ready for JSON; no private key is in it.

    Raises:
        EvidenceError: The key store cannot be used.
    """
    return {
        "kind": "sealing-keys",
        "trial_id": trial_id,
        "naming_key": keys.naming_key(trial_id).hex(),
        "keys": {key.subject: key.public_key.hex() for key in keys.list(trial_id)},
    }


def destroy_key(
    log: Log, keys: SubjectKeys, subject: DataSubject, order: Order
) -> LoggedEntry:
    """Record the erasure of a subject, then destroy its key; can be repeated.

    Raises:
        ProcedureError: There is no such key, a hold is in force, or no reason is given.
        EvidenceError: The key cannot be removed; the entry is there, repeat it.
        RecordsError: The log cannot be written; the key is still there.
    """
    if not order.reason.strip() or not order.by.name.strip():
        raise ProcedureError("a key is destroyed by a named person with a reason")
    held = {key.subject: key for key in keys.list(subject.trial_id)}

    def decide(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        first = _erasure_of(entries, subject)
        if first is not None:
            return [first.entry]
        check_not_held(subject.trial_id, entries)
        if subject.name not in held:
            raise ProcedureError(
                f"trial {subject.trial_id} has no key of subject {subject.name}; "
                "`sandbox evidence subject-key list` shows the keys there are"
            )
        return [_entry(subject, held[subject.name], order)]

    (logged,) = log.append_if(subject.trial_id, decide)
    keys.destroy(*subject)
    return logged


def sealed_values(
    log: Log, keys: SubjectKeys, subject: DataSubject, frames: Iterable[Frame]
) -> Iterator[SealedValue]:
    """Yield the values of a subject in spans and their resources, opened.

    Values inside lists and maps, span events, metrics and logs are not looked at.

    Raises:
        ProcedureError: The subject's key was destroyed.
        EvidenceError: There is no such key, or it cannot be read.
    """
    _check_not_destroyed(log.entries(subject.trial_id), subject)
    start = f"{PREFIX}{subject.name}:"
    for frame in frames:
        for span in spans_in(frame):
            for attribute, text in (*span.resource.items(), *span.attributes.items()):
                if isinstance(text, str) and text.startswith(start):
                    value = _opened(keys, subject, attribute, text[len(start) :])
                    yield SealedValue(
                        frame.sequence, span.trace_id, span.span_id, attribute, value
                    )


def _opened(
    keys: SubjectKeys, subject: DataSubject, attribute: str, text: str
) -> str | None:
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    padded = keys.open(*subject, sealed=sealed, info=context(*subject, attribute))
    if padded is None:
        return None
    value, mark, _ = padded.rpartition(b"\x80")
    return value.decode(errors="replace") if mark else None


def _check_not_destroyed(entries: Sequence[LoggedEntry], subject: DataSubject) -> None:
    erasure = _erasure_of(entries, subject)
    if erasure is not None:
        body = SubjectErasure.model_validate(erasure.entry.body)
        raise ProcedureError(
            f"the key of subject {subject.name} of trial {subject.trial_id} was "
            f"destroyed on {erasure.entry.recorded_at.isoformat()} by {body.by.name}: "
            f"{body.reason} (log entry {erasure.index}); what was sealed to it cannot "
            "be read any more, and it gets no other key"
        )


def _erasure_of(
    entries: Sequence[LoggedEntry], subject: DataSubject
) -> LoggedEntry | None:
    wanted = ("subject-erasure", subject.name)
    found = (
        item
        for item in entries
        if item.entry.kind == "erasure"
        and (item.entry.body.get("kind"), item.entry.body.get("subject")) == wanted
    )
    return next(found, None)


def _entry(subject: DataSubject, key: SubjectKey, order: Order) -> LogEntry:
    erasure = SubjectErasure(
        subject=subject.name,
        public_key=key.public_key.hex(),
        reason=order.reason,
        by=order.by,
    )
    return LogEntry(
        kind="erasure",
        entry_id=f"erasure/{subject.trial_id}/subject/{subject.name}",
        trial_id=subject.trial_id,
        recorded_at=order.at,
        body=erasure.model_dump(mode="json"),
    )
