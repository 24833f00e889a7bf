"""The transparency log's entries and checkpoints, in SQL.

Rules of this module:

* A leaf is the canonical JSON of its `LogEntry`, kept byte for byte; its hash is that
  of RFC 6962, section 2.1: SHA-256(0x00 || leaf).
* The sequencer is the write lock: indexes are dense and in the order of appending.
* The same `entry_id` is the same entry. Only `recorded_at` may differ in a repetition;
  the first one counts.
* Entries given together are appended together or not at all, in one transaction with
  the hashes over the runs they complete (`sandbox.evidence.hashtree`).
* An origin never has two roots for one size (C2SP tlog-checkpoint): that would be two
  histories, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    bindparam,
    func,
    insert,
    select,
)

from sandbox.adapters.database import json_text, reading, writing
from sandbox.adapters.tables import (
    CHECKPOINTS,
    COSIGNED,
    LOG_ENTRIES,
    LOG_HASHES,
    TIMESTAMPS,
)
from sandbox.errors import RecordsError
from sandbox.evidence.hashtree import full_hashes
from sandbox.evidence.merkle import leaf_hash
from sandbox.model.segment import Checkpoint, LogEntry, LoggedEntry, Timestamp

T = TypeVar("T")
_ASKED_AT_ONCE = 500
"""Ids looked up with one statement; SQLite bounds its variables."""


class SqlLog:
    """Implements `sandbox.ports.Log`.

    Args:
        engine: From `sandbox.adapters.database.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, entry: LogEntry) -> LoggedEntry:
        """Append durably, or return the entry of that id that is already there.

        Raises:
            RecordsError: The id is taken by an entry with other content, or the
                database failed.
        """
        return self.append_all([entry])[0]

    def append_all(self, entries: Sequence[LogEntry]) -> list[LoggedEntry]:
        """Append durably in this order, all or none; return each with its place.

        Each of them may be there already, or occur twice, as in `append`.

        Raises:
            RecordsError: An id is taken by an entry with other content, or the
                database failed; nothing was appended.
        """
        with writing(self._engine) as connection:
            return _append_all(connection, entries)

    def append_if(
        self,
        trial_id: str,
        decide: Callable[[Sequence[LoggedEntry]], Sequence[LogEntry]],
    ) -> list[LoggedEntry]:
        """Append what `decide` makes of the trial's entries, under the write lock.

        Args:
            trial_id: Whose entries `decide` is given, in log order.
            decide: Raises to append nothing; asks nothing of the log.

        Raises:
            RecordsError: As for `append_all`.
        """
        with writing(self._engine) as connection:
            return _append_all(connection, decide(_entries(connection, trial_id)))

    def entry(self, entry_id: str) -> LoggedEntry | None:
        """Return the entry of an id, or None where there is none."""
        with reading(self._engine) as connection:
            return _find(connection, [entry_id]).get(entry_id)

    def entries(self, trial_id: str = "") -> list[LoggedEntry]:
        """Return entries in log order, of one trial or of all."""
        with reading(self._engine) as connection:
            return _entries(connection, trial_id)

    def size(self) -> int:
        """Return the number of entries."""
        with reading(self._engine) as connection:
            return _size(connection)

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Return what was hashed of the entries from `start` up to `end`."""
        with reading(self._engine) as connection:
            found = connection.scalars(_LEAVES, {"start": start, "end": end}).all()
        return [leaf.encode() for leaf in found]

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Return stored hashes of a level, from number `start` up to `end`."""
        with reading(self._engine) as connection:
            return _hashes(connection, level, start, end)

    def leaf_hashes(self) -> list[bytes]:
        """Return the RFC 6962 leaf hash of every entry, in order."""
        with reading(self._engine) as connection:
            return _hashes(connection, 0, 0, _size(connection))

    def checkpoints(self) -> list[Checkpoint]:
        """Return every checkpoint ever signed, oldest first."""
        query = select(CHECKPOINTS).order_by(CHECKPOINTS.c.number)
        with reading(self._engine) as connection:
            return [_checkpoint(row) for row in connection.execute(query)]

    def largest_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of the most entries, the newest of them; or None."""
        largest = (CHECKPOINTS.c.size.desc(), CHECKPOINTS.c.number.desc())
        query = select(CHECKPOINTS).order_by(*largest).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _checkpoint(row)

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a signed checkpoint; idempotent.

        Raises:
            RecordsError: The log has another root for that size, or the database
                failed.
        """
        with writing(self._engine) as connection:
            if _is_kept(connection, checkpoint):
                return
            connection.execute(insert(CHECKPOINTS).values(**checkpoint.model_dump()))

    def cosigned(self) -> list[Checkpoint]:
        """Return every checkpoint that came back cosigned, in the order of keeping."""
        query = select(COSIGNED).order_by(COSIGNED.c.number)
        with reading(self._engine) as connection:
            return [_checkpoint(row) for row in connection.execute(query)]

    def keep_cosigned(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint with its cosigned note; idempotent."""
        same = select(COSIGNED.c.number).where(COSIGNED.c.note == checkpoint.note)
        with writing(self._engine) as connection:
            if connection.execute(same).first() is None:
                connection.execute(insert(COSIGNED).values(**checkpoint.model_dump()))

    def timestamps(self, size: int | None = None) -> list[Timestamp]:
        """Return the timestamps of checkpoints of a size, or all, as they were kept."""
        query = select(TIMESTAMPS.c.body).order_by(TIMESTAMPS.c.number)
        if size is not None:
            query = query.where(TIMESTAMPS.c.size == size)
        with reading(self._engine) as connection:
            bodies = connection.scalars(query).all()
        return [Timestamp.model_validate_json(body) for body in bodies]

    def keep_timestamp(self, timestamp: Timestamp) -> None:
        """Store a timestamp; idempotent."""
        same = select(TIMESTAMPS.c.number).where(TIMESTAMPS.c.token == timestamp.token)
        values = {
            "size": timestamp.size,
            "token": timestamp.token,
            "body": json_text(timestamp, "timestamp"),
        }
        with writing(self._engine) as connection:
            if connection.execute(same).first() is None:
                connection.execute(insert(TIMESTAMPS).values(**values))


def _entries(connection: Connection, trial_id: str) -> list[LoggedEntry]:
    query = select(LOG_ENTRIES).order_by(LOG_ENTRIES.c.index)
    if trial_id:
        query = query.where(LOG_ENTRIES.c.trial_id == trial_id)
    return [_logged(row) for row in connection.execute(query)]


def _append_all(
    connection: Connection, entries: Sequence[LogEntry]
) -> list[LoggedEntry]:
    known = _find(connection, [item.entry_id for item in entries])
    size = _size(connection)
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


def _size(connection: Connection) -> int:
    return int(connection.scalars(_LAST).one()) + 1


def _hashes(connection: Connection, level: int, start: int, end: int) -> list[bytes]:
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
_LEAVES = _run(LOG_ENTRIES.c.leaf, LOG_ENTRIES.c.index)
_LEAF_HASHES = _run(LOG_ENTRIES.c.leaf_hash, LOG_ENTRIES.c.index)
_FULL_HASHES = _run(LOG_HASHES.c.hash, LOG_HASHES.c.number).where(
    LOG_HASHES.c.level == bindparam("level")
)


def _find(connection: Connection, entry_ids: list[str]) -> dict[str, LoggedEntry]:
    found: dict[str, LoggedEntry] = {}
    for start in range(0, len(entry_ids), _ASKED_AT_ONCE):
        asked = entry_ids[start : start + _ASKED_AT_ONCE]
        query = select(LOG_ENTRIES).where(LOG_ENTRIES.c.entry_id.in_(asked))
        logged = (_logged(row) for row in connection.execute(query))
        found.update({item.entry.entry_id: item for item in logged})
    return found


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
            "trial_id": logged.entry.trial_id,
            "leaf_hash": logged.leaf_hash,
            "leaf": leaf,
        }
        for logged, leaf in added
    ]
    if rows:
        connection.execute(insert(LOG_ENTRIES), rows)

    def read(level: int, start: int, end: int) -> list[bytes]:
        return _hashes(connection, level, start, end)

    for full in full_hashes(read, old=size, new=size + len(added)):
        connection.execute(insert(LOG_HASHES).values(full._asdict()))


def _logged(row: Row[tuple[object, ...]]) -> LoggedEntry:
    return LoggedEntry(
        index=row.index,
        leaf_hash=row.leaf_hash,
        entry=LogEntry.model_validate_json(row.leaf),
    )


def _checkpoint(row: Row[tuple[object, ...]]) -> Checkpoint:
    return Checkpoint(origin=row.origin, size=row.size, root=row.root, note=row.note)


def _is_kept(connection: Connection, checkpoint: Checkpoint) -> bool:
    query = select(CHECKPOINTS).where(
        and_(
            CHECKPOINTS.c.origin == checkpoint.origin,
            CHECKPOINTS.c.size == checkpoint.size,
        )
    )
    kept = [_checkpoint(row) for row in connection.execute(query)]
    other = next((item for item in kept if item.root != checkpoint.root), None)
    if other is not None:
        raise RecordsError(
            f"log {checkpoint.origin!r} already has the root {other.root} at size "
            f"{checkpoint.size}; {checkpoint.root} would be a second history. Keep "
            "both notes and find out who signed the second",
            retryable=False,
        )
    return any(item.note == checkpoint.note for item in kept)
