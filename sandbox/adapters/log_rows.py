"""The rows of the log: entries, and hashes over full runs of them.

Rules of this module:

* The caller holds the transaction; nothing is read or written outside of it.
* Indexes are dense; hashes are written with the entries that complete their runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Select,
    bindparam,
    func,
    insert,
    select,
    text,
)

from sandbox.adapters.database import json_text
from sandbox.adapters.tables import (
    LOG_ENTRIES,
    LOG_HASHES,
    OWNER,
)
from sandbox.errors import RecordsError
from sandbox.evidence.hashtree import full_hashes
from sandbox.evidence.merkle import leaf_hash
from sandbox.model.log import LogEntry, LoggedEntry

T = TypeVar("T")
_READ = (LOG_ENTRIES.c.index, LOG_ENTRIES.c.leaf_hash, LOG_ENTRIES.c.leaf)
_ASKED_AT_ONCE = 500
"""Ids looked up with one statement; SQLite bounds its variables."""


def entries_of(connection: Connection, trial_id: str) -> list[LoggedEntry]:
    """Return entries in log order, of one trial or of all."""
    query = select(*_READ).order_by(LOG_ENTRIES.c.index)
    if trial_id:
        query = query.where(LOG_ENTRIES.c.trial_id == trial_id)
    found = [_logged(*row) for row in connection.execute(query)]
    for item in found:
        if trial_id not in ("", item.entry.trial_id):
            raise _misfiled(item, trial_id)
    return found


def append_entries(
    connection: Connection, entries: Sequence[LogEntry]
) -> list[LoggedEntry]:
    """Append entries in this order, with the hashes over the runs they complete.

    The connection holds the write lock.

    Raises:
        RecordsError: An id is taken by an entry with other content.
    """
    known = entries_named(connection, [item.entry_id for item in entries])
    size = log_size(connection)
    added: list[tuple[LoggedEntry, str]] = []
    for entry in entries:
        first = known.get(entry.entry_id)
        if first is None:
            leaf = json_text(entry, f"log entry {entry.entry_id}")
            logged = _logged_now(entry, leaf, index=size + len(added))
            known[entry.entry_id] = logged
            added.append((logged, leaf))
        else:
            _check_same(first, entry)
    _insert(connection, added, size=size)
    return [known[entry.entry_id] for entry in entries]


def log_size(connection: Connection) -> int:
    """Return the number of entries."""
    return int(connection.scalars(_LAST).one()) + 1


def stored_hashes(
    connection: Connection, level: int, start: int, end: int
) -> list[bytes]:
    """Return stored hashes of a level, from number `start` up to `end`."""
    place = {"start": start, "end": end}
    if level == 0:
        digests = connection.scalars(_LEAF_HASHES, place).all()
        return [bytes.fromhex(digest[7:]) for digest in digests]
    return list(connection.scalars(_FULL_HASHES, place | {"level": level}).all())


def _run(column: Column[T], place: Column[int]) -> Select[T]:
    """Return a statement for the values from one place up to an end."""
    started = place >= bindparam("start")
    return select(column).where(started, place < bindparam("end")).order_by(place)


_LAST = select(func.coalesce(func.max(LOG_ENTRIES.c.index), -1))
LEAVES = _run(LOG_ENTRIES.c.leaf, LOG_ENTRIES.c.index)
"""What was hashed of the entries from `start` up to `end`."""
_MISFILED = _run(LOG_ENTRIES.c.index, LOG_ENTRIES.c.index).where(
    text(
        f"(trial_id IS NOT {OWNER} OR entry_id IS NOT CASE WHEN json_valid(leaf) "
        "THEN json_extract(leaf, '$.entry_id') END)"
    )
)
_LEAF_HASHES = _run(LOG_ENTRIES.c.leaf_hash, LOG_ENTRIES.c.index)
_FULL_HASHES = _run(LOG_HASHES.c.hash, LOG_HASHES.c.number).where(
    LOG_HASHES.c.level == bindparam("level")
)


def entries_named(
    connection: Connection, entry_ids: list[str]
) -> dict[str, LoggedEntry]:
    """Return the entries of these ids, those there are."""
    found: dict[str, LoggedEntry] = {}
    for start in range(0, len(entry_ids), _ASKED_AT_ONCE):
        asked = entry_ids[start : start + _ASKED_AT_ONCE]
        query = select(LOG_ENTRIES.c.entry_id, *_READ)
        query = query.where(LOG_ENTRIES.c.entry_id.in_(asked))
        for name, *row in connection.execute(query):
            found[name] = item = _logged(*row)
            if item.entry.entry_id != name:
                raise _misfiled(item, name)
    return found


def first_misfiled(connection: Connection, start: int, end: int) -> int | None:
    """Return the first entry that is found by other names than it says, or None."""
    return connection.scalars(_MISFILED, {"start": start, "end": end}).first()


def _misfiled(item: LoggedEntry, name: str) -> RecordsError:
    return RecordsError(
        f"entry {item.index} of the log is found as {name!r} and says of itself that "
        f"it is {item.entry.entry_id!r} of {item.entry.trial_id!r}: the database was "
        "changed; restore it from a copy, and find out who changed it",
        retryable=False,
    )


def _check_same(first: LoggedEntry, entry: LogEntry) -> None:
    repeated = entry.model_copy(update={"recorded_at": first.entry.recorded_at})
    if json_text(repeated, entry.entry_id) != json_text(first.entry, "first"):
        raise RecordsError(
            f"log entry {entry.entry_id!r} is already entry {first.index} with "
            f"other content ({first.entry.kind} of {first.entry.trial_id} at "
            f"{first.entry.recorded_at.isoformat()}, now {entry.kind} of "
            f"{entry.trial_id}); use a new entry id",
            retryable=False,
        )


def _logged_now(entry: LogEntry, leaf: str, *, index: int) -> LoggedEntry:
    digest = "sha256:" + leaf_hash(leaf.encode()).hex()
    return LoggedEntry(index=index, leaf_hash=digest, entry=entry)


def _insert(
    connection: Connection, added: list[tuple[LoggedEntry, str]], *, size: int
) -> None:
    rows = [
        {
            "index": logged.index,
            "entry_id": logged.entry.entry_id,
            "leaf_hash": logged.leaf_hash,
            "leaf": leaf,
        }
        for logged, leaf in added
    ]
    if rows:
        connection.execute(insert(LOG_ENTRIES), rows)

    def read(level: int, start: int, end: int) -> list[bytes]:
        return stored_hashes(connection, level, start, end)

    for full in full_hashes(read, old=size, new=size + len(added)):
        connection.execute(insert(LOG_HASHES).values(full._asdict()))


def _logged(index: int, leaf_hash: str, leaf: str) -> LoggedEntry:
    entry = LogEntry.model_validate_json(leaf)
    return LoggedEntry(index=index, leaf_hash=leaf_hash, entry=entry)
