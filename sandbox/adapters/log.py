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

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    and_,
    insert,
    select,
)

from sandbox.adapters.database import json_text, reading, writing
from sandbox.adapters.log_rows import (
    LEAVES,
    append_entries,
    entries_named,
    entries_of,
    first_misfiled,
    log_size,
    stored_hashes,
)
from sandbox.adapters.tables import (
    CHECKPOINTS,
    COSIGNED,
    TIMESTAMPS,
)
from sandbox.errors import RecordsError
from sandbox.model.log import Checkpoint, LogEntry, LoggedEntry, Timestamp


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
            return append_entries(connection, entries)

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
            return append_entries(connection, decide(entries_of(connection, trial_id)))

    def entry(self, entry_id: str) -> LoggedEntry | None:
        """Return the entry of an id, or None where there is none."""
        with reading(self._engine) as connection:
            return entries_named(connection, [entry_id]).get(entry_id)

    def entries(self, trial_id: str = "") -> list[LoggedEntry]:
        """Return entries in log order, of one trial or of all."""
        with reading(self._engine) as connection:
            return entries_of(connection, trial_id)

    def size(self) -> int:
        """Return the number of entries."""
        with reading(self._engine) as connection:
            return log_size(connection)

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Return what was hashed of the entries from `start` up to `end`."""
        with reading(self._engine) as connection:
            found = connection.scalars(LEAVES, {"start": start, "end": end}).all()
        return [leaf.encode() for leaf in found]

    def misfiled(self, start: int, end: int) -> int | None:
        """Return the first of the entries that is not found by its own names."""
        with reading(self._engine) as connection:
            return first_misfiled(connection, start, end)

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Return stored hashes of a level, from number `start` up to `end`."""
        with reading(self._engine) as connection:
            return stored_hashes(connection, level, start, end)

    def leaf_hashes(self) -> list[bytes]:
        """Return the RFC 6962 leaf hash of every entry, in order."""
        with reading(self._engine) as connection:
            return stored_hashes(connection, 0, 0, log_size(connection))

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
