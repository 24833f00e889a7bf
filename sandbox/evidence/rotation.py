"""Puts a new key of the log in force.

Rules of this module:

* The old key signs one more checkpoint, so that everything before the change is covered
  by it; then the change is an entry, and from there on the new key signs.
* No segment may be half sealed: its statement would be signed by one key and its entry
  stand under the other.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from sandbox.errors import EvidenceError
from sandbox.evidence.keys import KEY_OWNER, change_body
from sandbox.evidence.log import key_history, sign_checkpoint
from sandbox.model.log import LogEntry, LoggedEntry
from sandbox.ports import Log, Segments, Signer


def change_key(log: Log, old: Signer, new: Signer, *, at: datetime) -> LoggedEntry:
    """Append the entry that puts a new key in force.

    Args:
        log: The log of this installation.
        old: Holder of the key in force.
        new: Holder of the new key, of the same name.
        at: When that is.

    Returns:
        The entry with its place: from there on the new key is in force.

    Raises:
        EvidenceError: `old` is not in force, `new` was before, is weak, or has another
            name, or the log does not continue its checkpoints.
        RecordsError: It cannot be kept.
    """
    history = key_history(log, old)
    if history.latest != old.public_key or new.name != old.name:
        raise EvidenceError(
            "only the key in force hands on, and the log's name stays the same"
        )
    if history.knows(new.public_key):
        raise EvidenceError("the new key was in force before; make another one")
    sign_checkpoint(log, old)
    number = len(history.keys) + 1
    entry = LogEntry(
        kind="key",
        entry_id=f"{KEY_OWNER}/{number}",
        trial_id=KEY_OWNER,
        recorded_at=at,
        body=change_body(old, new, number=number),
    )
    return log.append(entry)


def check_sealed(log: Log, segments: Segments) -> None:
    """Check that no segment is half sealed: logged, and not yet put away.

    Raises:
        EvidenceError: One is; names it.
        RecordsError: The log cannot be read.
        RecorderError: A trial's folder cannot be read.
    """
    logged = defaultdict(set)
    for item in log.entries():
        if item.entry.kind == "segment":
            name = item.entry.entry_id.rpartition("/")[2]
            logged[item.entry.trial_id].add(name)
    for trial_id, names in logged.items():
        for file in segments.files(trial_id):
            if file.state == "closed" and f"{file.number:06d}" in names:
                raise EvidenceError(
                    f"segment {file.number} of trial {trial_id} is logged and not yet "
                    "put away; let a worker finish that, then stop it and try again"
                )
