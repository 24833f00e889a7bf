"""The transparency log's entries and checkpoints, in SQL.

Rules of this module:

* A leaf is the canonical JSON of its `LogEntry`, kept byte for byte; its hash is that
  of RFC 6962, section 2.1: SHA-256(0x00 || leaf).
* The sequencer is the write lock: indexes are dense and in the order of appending.
* The same `entry_id` is the same entry. Only `recorded_at` may differ in a repetition;
  the first one counts.
* An origin never has two roots for one size (C2SP tlog-checkpoint): that would be two
  histories, and is refused.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, Row, and_, func, insert, select

from sandbox.adapters.database import json_text, reading, writing
from sandbox.adapters.tables import CHECKPOINTS, COSIGNED, LOG_ENTRIES, TIMESTAMPS
from sandbox.errors import RecordsError
from sandbox.evidence.merkle import leaf_hash
from sandbox.model.segment import Checkpoint, LogEntry, LoggedEntry, Timestamp


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
        leaf = json_text(entry, f"log entry {entry.entry_id}")
        with writing(self._engine) as connection:
            first = _find(connection, entry.entry_id)
            if first is None:
                return _insert(connection, entry, leaf)
        repeated = entry.model_copy(update={"recorded_at": first.entry.recorded_at})
        if json_text(repeated, entry.entry_id) != json_text(first.entry, "first"):
            raise RecordsError(
                f"log entry {entry.entry_id!r} is already entry {first.index} with "
                f"other content ({first.entry.kind} of {first.entry.trial_id} at "
                f"{first.entry.recorded_at.isoformat()}, now {entry.kind} of "
                f"{entry.trial_id}); use a new entry id",
                retryable=False,
            )
        return first

    def entries(self, trial_id: str = "") -> list[LoggedEntry]:
        """Return entries in log order, of one trial or of all."""
        query = select(LOG_ENTRIES).order_by(LOG_ENTRIES.c.index)
        if trial_id:
            query = query.where(LOG_ENTRIES.c.trial_id == trial_id)
        with reading(self._engine) as connection:
            return [_logged(row) for row in connection.execute(query)]

    def leaf_hashes(self) -> list[bytes]:
        """Return the RFC 6962 leaf hash of every entry, in order."""
        query = select(LOG_ENTRIES.c.leaf_hash).order_by(LOG_ENTRIES.c.index)
        with reading(self._engine) as connection:
            digests = connection.scalars(query).all()
        return [bytes.fromhex(digest.removeprefix("sha256:")) for digest in digests]

    def checkpoints(self) -> list[Checkpoint]:
        """Return every checkpoint ever signed, oldest first."""
        query = select(CHECKPOINTS).order_by(CHECKPOINTS.c.number)
        with reading(self._engine) as connection:
            return [_checkpoint(row) for row in connection.execute(query)]

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


def _find(connection: Connection, entry_id: str) -> LoggedEntry | None:
    query = select(LOG_ENTRIES).where(LOG_ENTRIES.c.entry_id == entry_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _logged(row)


def _insert(connection: Connection, entry: LogEntry, leaf: str) -> LoggedEntry:
    last = select(func.coalesce(func.max(LOG_ENTRIES.c.index), -1))
    logged = LoggedEntry(
        index=connection.scalars(last).one() + 1,
        leaf_hash="sha256:" + leaf_hash(leaf.encode()).hex(),
        entry=entry,
    )
    connection.execute(
        insert(LOG_ENTRIES).values(
            index=logged.index,
            entry_id=entry.entry_id,
            trial_id=entry.trial_id,
            leaf_hash=logged.leaf_hash,
            leaf=leaf,
        )
    )
    return logged


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
