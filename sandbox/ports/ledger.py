"""The log, what proves it, and the records beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sandbox.model.log import Checkpoint, LogEntry, LoggedEntry, Timestamp
from sandbox.model.record import Record
from sandbox.model.rule import Rulebook, RulebookRef


class Log(Protocol):
    """The transparency log of this installation; raises `RecordsError` only.

    One sequencer appends; its order is the order. The same `entry_id` is the same
    entry: appending it again returns the first.
    """

    def append(self, entry: LogEntry) -> LoggedEntry:
        """Append durably and return the entry with its place."""
        ...

    def append_all(self, entries: Sequence[LogEntry]) -> list[LoggedEntry]:
        """Append in this order, all or none; return each with its place."""
        ...

    def append_if(
        self,
        trial_id: str,
        decide: Callable[[Sequence[LoggedEntry]], Sequence[LogEntry]],
    ) -> list[LoggedEntry]:
        """Append what `decide` makes of the trial's entries, nothing coming between.

        All is appended or nothing. `decide` raises to refuse, and asks nothing of the
        log itself.
        """
        ...

    def entry(self, entry_id: str) -> LoggedEntry | None:
        """Return the entry of an id, or None where there is none."""
        ...

    def entries(self, trial_id: str = "") -> list[LoggedEntry]:
        """Return entries in log order, of one trial or of all."""
        ...

    def size(self) -> int:
        """Return the number of entries."""
        ...

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Return what was hashed of the entries from `start` up to `end`."""
        ...

    def misfiled(self, start: int, end: int) -> int | None:
        """Return the first of the entries that is not found by its own names.

        Entries are found by id and by trial; what was hashed of them says both.
        """
        ...

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Return stored hashes of a level, from number `start` up to `end`.

        Level 0 has the RFC 6962 leaf hashes; level L above it one hash for every full
        256 ** L leaves. What is not stored is left out.
        """
        ...

    def leaf_hashes(self) -> list[bytes]:
        """Return the RFC 6962 leaf hash of every entry, in order."""
        ...

    def checkpoints(self) -> list[Checkpoint]:
        """Return every checkpoint ever signed, oldest first."""
        ...

    def largest_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of the most entries, the newest of them; or None."""
        ...

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a signed checkpoint; idempotent."""
        ...

    def cosigned(self) -> list[Checkpoint]:
        """Return every checkpoint that came back cosigned, in the order of keeping."""
        ...

    def keep_cosigned(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint with its cosigned note; idempotent."""
        ...

    def timestamps(self, size: int | None = None) -> list[Timestamp]:
        """Return the timestamps of checkpoints of a size, or all, as they were kept."""
        ...

    def keep_timestamp(self, timestamp: Timestamp) -> None:
        """Store a timestamp; idempotent."""
        ...


class Timestamps(Protocol):
    """A time-stamping authority (RFC 3161); raises `EvidenceError` only."""

    def stamp(self, text: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Return a token over the SHA-256 of `text`, and the chain above its signer.

        Both are DER. The error is retryable where the authority did not answer.
        """
        ...


class Signer(Protocol):
    """Holds one Ed25519 key; the private half never leaves it."""

    @property
    def name(self) -> str:
        """Name of the key, as signed notes write it: the log's origin."""
        ...

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the public key (RFC 8032)."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `data`."""
        ...


class Records(Protocol):
    """Documents and rulebook versions; raises `RecordsError` only."""

    def put_document(self, trial_id: str, name: str, document: Record) -> str:
        """Store a record under (trial, name); return its digest. Idempotent."""
        ...

    def get_document(self, trial_id: str, name: str) -> dict[str, Any]:
        """Return the newest document of that name as JSON-ready data.

        Raises:
            RecordsError: There is none.
        """
        ...

    def find_documents(self, trial_id: str, prefix: str = "") -> dict[str, Any]:
        """Return the newest documents whose name starts with `prefix`, by name."""
        ...

    def publish_rulebook(self, rulebook: Rulebook) -> RulebookRef:
        """Store a version; the same content again is the same version.

        Raises:
            RecordsError: That version exists with other content.
        """
        ...

    def rulebook(self, rulebook: str, version: int | None = None) -> Rulebook:
        """Return a version; the newest when none is named."""
        ...

    def versions(self, rulebook: str) -> list[Rulebook]:
        """Return every published version, oldest first; none where there is none."""
        ...

    def set_case(self, trial_id: str, state: str, summary: Mapping[str, Any]) -> None:
        """Update the projection that lists show; workflows stay the truth."""
        ...

    def cases(self) -> list[dict[str, Any]]:
        """Return the projection of every case: trial_id, state, updated_at, summary."""
        ...
