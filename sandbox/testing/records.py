"""The records database in memory: documents, log, tokens.

Each keeps to the rules of its adapter; one contract suite runs on both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.errors import RecordsError
from sandbox.evidence.merkle import leaf_hash, root_of_hashes
from sandbox.model.log import Checkpoint, LogEntry, LoggedEntry, Timestamp
from sandbox.model.record import Record, canonical_json, digest_of
from sandbox.model.rule import Rulebook, RulebookRef
from sandbox.ports import Clock, Producer
from sandbox.testing.clock import FixedClock


class FakeLog:
    """Implements `sandbox.ports.Log`."""

    def __init__(self) -> None:
        self._entries: dict[str, LoggedEntry] = {}
        self._checkpoints: list[Checkpoint] = []
        self._cosigned: list[Checkpoint] = []
        self._timestamps: list[Timestamp] = []

    def append(self, entry: LogEntry) -> LoggedEntry:
        """Append, or return the entry of that id that is already there.

        Raises:
            RecordsError: The id is taken by an entry with other content.
        """
        leaf = _json_bytes(entry)
        first = self._entries.get(entry.entry_id)
        if first is None:
            logged = LoggedEntry(
                index=len(self._entries),
                leaf_hash="sha256:" + leaf_hash(leaf).hex(),
                entry=LogEntry.model_validate_json(leaf),
            )
            self._entries[entry.entry_id] = logged
            return logged
        repeated = entry.model_copy(update={"recorded_at": first.entry.recorded_at})
        if _json_bytes(repeated) != _json_bytes(first.entry):
            raise _refused(f"log entry {entry.entry_id!r} has other content already")
        return first

    def append_all(self, entries: Sequence[LogEntry]) -> list[LoggedEntry]:
        """Append in this order, all or none; return each with its place.

        Raises:
            RecordsError: An id is taken by an entry with other content.
        """
        return self.append_if("", lambda _: entries)

    def append_if(
        self,
        trial_id: str,
        decide: Callable[[Sequence[LoggedEntry]], Sequence[LogEntry]],
    ) -> list[LoggedEntry]:
        """Append what `decide` makes of the trial's entries, nothing coming between."""
        before = dict(self._entries)
        try:
            return [self.append(entry) for entry in decide(self.entries(trial_id))]
        except RecordsError:
            self._entries = before
            raise

    def entry(self, entry_id: str) -> LoggedEntry | None:
        """Return the entry of an id, or None where there is none."""
        return self._entries.get(entry_id)

    def entries(self, trial_id: str = "") -> list[LoggedEntry]:
        """Return entries in log order, of one trial or of all."""
        return [
            logged
            for logged in self._entries.values()
            if trial_id in ("", logged.entry.trial_id)
        ]

    def size(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def misfiled(self, start: int, end: int) -> int | None:
        """Return None: they are found by what they say."""

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Return what was hashed of the entries from `start` up to `end`."""
        logged = list(self._entries.values())[start:end]
        return [_json_bytes(item.entry) for item in logged]

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Return hashes of a level; nothing is stored, they are made anew."""
        row = self.leaf_hashes()
        for _ in range(level):
            full = range(0, len(row) // 256 * 256, 256)
            row = [root_of_hashes(row[at : at + 256]) for at in full]
        return row[start:end]

    def leaf_hashes(self) -> list[bytes]:
        """Return the RFC 6962 leaf hash of every entry, in order."""
        return [
            bytes.fromhex(logged.leaf_hash.removeprefix("sha256:"))
            for logged in self._entries.values()
        ]

    def checkpoints(self) -> list[Checkpoint]:
        """Return every checkpoint ever signed, oldest first."""
        return list(self._checkpoints)

    def largest_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of the most entries, the newest of them; or None."""
        newest_first = reversed(self._checkpoints)
        return max(newest_first, key=lambda item: item.size, default=None)

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a signed checkpoint; idempotent.

        Raises:
            RecordsError: The log has another root for that size.
        """
        place = (checkpoint.origin, checkpoint.size)
        for kept in self._checkpoints:
            if (kept.origin, kept.size) == place and kept.root != checkpoint.root:
                raise _refused(f"log {place[0]} has another root at size {place[1]}")
        if checkpoint not in self._checkpoints:
            self._checkpoints.append(checkpoint)

    def cosigned(self) -> list[Checkpoint]:
        """Return every checkpoint that came back cosigned, in the order of keeping."""
        return list(self._cosigned)

    def keep_cosigned(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint with its cosigned note; idempotent."""
        if checkpoint not in self._cosigned:
            self._cosigned.append(checkpoint)

    def timestamps(self, size: int | None = None) -> list[Timestamp]:
        """Return the timestamps of checkpoints of a size, or all, as they were kept."""
        return [item for item in self._timestamps if size in (None, item.size)]

    def keep_timestamp(self, timestamp: Timestamp) -> None:
        """Store a timestamp; idempotent."""
        if timestamp not in self._timestamps:
            self._timestamps.append(timestamp)


class FakeRecords:
    """Implements `sandbox.ports.Records`.

    Args:
        clock: Dates the list of cases.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or FixedClock()
        self._documents: dict[tuple[str, str], bytes] = {}
        self._rulebooks: dict[tuple[str, int], bytes] = {}
        self._cases: dict[str, dict[str, Any]] = {}

    def put_document(self, trial_id: str, name: str, document: Record) -> str:
        """Store a record as the newest under (trial, name); return its digest."""
        body = _json_bytes(document)
        self._documents[trial_id, name] = body
        return digest_of(body)

    def get_document(self, trial_id: str, name: str) -> dict[str, Any]:
        """Return the newest document of that name as JSON-ready data.

        Raises:
            RecordsError: There is none.
        """
        try:
            body = self._documents[trial_id, name]
        except KeyError:
            raise _refused(f"{trial_id} has no document {name!r}") from None
        data: dict[str, Any] = json.loads(body)
        return data

    def find_documents(self, trial_id: str, prefix: str = "") -> dict[str, Any]:
        """Return the newest documents whose name starts with `prefix`, by name."""
        return {
            name: json.loads(body)
            for (owner, name), body in sorted(self._documents.items())
            if owner == trial_id and name.startswith(prefix)
        }

    def publish_rulebook(self, rulebook: Rulebook) -> RulebookRef:
        """Store a version; the same content again is the same version.

        Raises:
            RecordsError: That version exists with other content.
        """
        name, version = rulebook.rulebook, rulebook.version
        body = _json_bytes(rulebook)
        if self._rulebooks.setdefault((name, version), body) != body:
            raise _refused(f"rulebook {name} version {version} has other content")
        return RulebookRef(rulebook=name, version=version, digest=digest_of(body))

    def rulebook(self, rulebook: str, version: int | None = None) -> Rulebook:
        """Return a version; the newest when none is named.

        Raises:
            RecordsError: It was never published.
        """
        known = [number for name, number in self._rulebooks if name == rulebook]
        wanted = max(known, default=0) if version is None else version
        if wanted not in known:
            raise _refused(f"rulebook {rulebook} version {wanted} was never published")
        return Rulebook.model_validate_json(self._rulebooks[rulebook, wanted])

    def versions(self, rulebook: str) -> list[Rulebook]:
        """Return every published version, oldest first; none where there is none."""
        return [
            Rulebook.model_validate_json(body)
            for (name, _), body in sorted(self._rulebooks.items())
            if name == rulebook
        ]

    def set_case(self, trial_id: str, state: str, summary: Mapping[str, Any]) -> None:
        """Update the projection that lists show."""
        self._cases[trial_id] = {
            "trial_id": trial_id,
            "state": state,
            "updated_at": self._clock.now().isoformat(),
            "summary": json.loads(_json_bytes(summary)),
        }

    def cases(self) -> list[dict[str, Any]]:
        """Return the projection of every case, by trial id."""
        return [dict(case) for _, case in sorted(self._cases.items())]


class FakeTokens:
    """Implements `sandbox.ports.Tokens`."""

    def __init__(self) -> None:
        self._producers: dict[str, Producer] = {}
        self._revoked: set[str] = set()

    def issue(self, trial_id: str, producer: str, token: str) -> None:
        """Enrol a token; the same again for the same producer is no change.

        Raises:
            RecordsError: The token is empty, revoked, or names another producer.
        """
        if not token:
            raise _refused(f"the token for {producer} of {trial_id} is empty")
        named = Producer(trial_id, producer)
        if token in self._revoked or self._producers.get(token, named) != named:
            raise _refused(f"the token for {producer} of {trial_id} was used already")
        self._producers[token] = named

    def revoke(self, trial_id: str) -> int:
        """Revoke every token of the trial; return how many were in force."""
        theirs = {
            token
            for token, named in self._producers.items()
            if named.trial_id == trial_id
        }
        in_force = theirs - self._revoked
        self._revoked |= in_force
        return len(in_force)

    def identify(self, token: str) -> Producer | None:
        """Return whom the token names, or None if unknown or revoked."""
        return None if token in self._revoked else self._producers.get(token)


def _json_bytes(value: Record | Mapping[str, Any]) -> bytes:
    try:
        return canonical_json(value if isinstance(value, Record) else dict(value))
    except (TypeError, ValueError) as error:
        raise _refused(f"has no JSON form: {error}") from error


def _refused(what: str) -> RecordsError:
    return RecordsError(f"{what}; nothing was changed", retryable=False)
