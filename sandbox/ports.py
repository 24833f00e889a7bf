"""What the rooms need from outside, as small Protocols.

Every port has a fake in `sandbox.testing`, a real adapter in `sandbox.adapters`, and
one contract suite in `tests/contracts` that runs on both. Adapters raise only errors of
`sandbox.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from sandbox.model.record import Record
from sandbox.model.rule import Rulebook, RulebookRef
from sandbox.model.segment import (
    Checkpoint,
    LogEntry,
    LoggedEntry,
    RecorderHealth,
    RefusalWindow,
    Timestamp,
)
from sandbox.model.trace import SpanAnswer, SpanQuestion, SqlAnswer

KubernetesObject = dict[str, Any]
"""A Kubernetes object as plain data, exactly as it would stand in YAML."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present instant, in UTC."""
        ...


class Applied(NamedTuple):
    """One object after server-side apply."""

    api_version: str
    kind: str
    name: str
    uid: str
    resource_version: str


class ObjectRef(NamedTuple):
    """Names one Kubernetes object; `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Cluster(Protocol):
    """A Kubernetes cluster; raises `ClusterError` only."""

    def apply(
        self, objects: Sequence[KubernetesObject], *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        """Server-side apply in order, strict field validation, owner as manager.

        With `dry_run` nothing is kept; refusals of the whole set are raised as one
        `ClusterError` that names every refused object.
        """
        ...

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """Return the object, or None where there is none."""
        ...

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> list[KubernetesObject]:
        """Return the objects of a kind, in all namespaces where none is named."""
        ...

    def scale(self, ref: ObjectRef, replicas: int) -> None:
        """Set the replicas of a workload."""
        ...

    def delete(
        self, ref: ObjectRef, *, uid: str = "", grace_s: int | None = None
    ) -> bool:
        """Delete one object; with `uid`, only if it is still that very object.

        Returns:
            Whether there was something to delete.
        """
        ...

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Return what a container has printed."""
        ...

    def rights(self, namespace: str, service_account: str) -> list[str]:
        """Return what a service account may do in its namespace, one line per rule.

        Rights every authenticated account has (self reviews, discovery) are left out.
        """
        ...

    def namespaced_kinds(self) -> list[tuple[str, str]]:
        """Return (api_version, kind) of every listable namespaced kind."""
        ...


class SegmentFile(NamedTuple):
    """One segment of a trial as it lies on disk."""

    number: int
    state: Literal["open", "closed", "sealed", "erased"]
    """erased: the statement is there and the bytes are not; whether they were erased
    or lost, the log says."""
    size: int
    """Bytes of the raw file, of the compressed one when sealed, 0 when erased."""


class Segments(Protocol):
    """The recorder's segment files of each trial; raises `RecorderError` only."""

    def files(self, trial_id: str) -> list[SegmentFile]:
        """Return the trial's segments in order of their numbers."""
        ...

    def read(self, trial_id: str, number: int, *, offset: int = 0) -> bytes:
        """Return the raw bytes from `offset`; sealed segments are decompressed.

        An open segment may end in a frame that is not yet complete.
        """
        ...

    def roll(self, trial_id: str) -> None:
        """Ask the recorder to close the open segment, and wait until it has."""
        ...

    def put_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Replace a closed raw segment by its sealed form; idempotent."""
        ...

    def read_sealed(self, trial_id: str, number: int) -> tuple[bytes, bytes]:
        """Return (compressed file, DSSE envelope) of a sealed segment."""
        ...

    def read_envelope(self, trial_id: str, number: int) -> bytes:
        """Return the DSSE envelope of a sealed or erased segment."""
        ...

    def erase(self, trial_id: str, number: int) -> None:
        """Remove the bytes of a sealed segment, with all that was derived from them.

        Its statement stays. Idempotent; append the entry that says so first.
        """
        ...

    def health(self, trial_id: str) -> RecorderHealth:
        """Return whether what the trial's producers send now would be recorded.

        A recorder that does not answer is not well; it is no error.
        """
        ...

    def refusals(self) -> list[RefusalWindow]:
        """Return the closed windows of refused requests that are still kept."""
        ...

    def drop_refusals(self, name: str) -> None:
        """Keep a window no longer, now that it is in the log; idempotent."""
        ...


class Producer(NamedTuple):
    """Whom a recorder token names."""

    trial_id: str
    producer: str


class Tokens(Protocol):
    """Bearer tokens of telemetry producers; raises `RecordsError` only."""

    def issue(self, trial_id: str, producer: str, token: str) -> None:
        """Enrol a token; only its SHA-256 is kept."""
        ...

    def revoke(self, trial_id: str) -> int:
        """Revoke every token of the trial; return how many were in force."""
        ...

    def identify(self, token: str) -> Producer | None:
        """Return whom the token names, or None if unknown or revoked."""
        ...


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

    def entries(self, trial_id: str = "") -> list[LoggedEntry]:
        """Return entries in log order, of one trial or of all."""
        ...

    def size(self) -> int:
        """Return the number of entries."""
        ...

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Return what was hashed of the entries from `start` up to `end`."""
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

    def set_case(self, trial_id: str, state: str, summary: Mapping[str, Any]) -> None:
        """Update the projection that lists show; workflows stay the truth."""
        ...

    def cases(self) -> list[dict[str, Any]]:
        """Return the projection of every case: trial_id, state, updated_at, summary."""
        ...


class Objects(Protocol):
    """Immutable named blobs; raises `EvidenceError` only."""

    def put(self, name: str, data: bytes) -> None:
        """Store once; the same content again is accepted, other content refused."""
        ...

    def get(self, name: str, *, digest: str = "") -> bytes:
        """Return the bytes; with `digest`, only if they have it.

        Raises:
            EvidenceError: There is nothing of that name, or it was changed.
        """
        ...

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`.

        Raises:
            EvidenceError: The object has not all of them.
        """
        ...

    def size(self, name: str) -> int | None:
        """Return the number of bytes, or None where there is nothing of that name."""
        ...

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted."""
        ...


class Spans(Protocol):
    """Answers questions about the recorded spans of a trial.

    Raises `EvidenceError` for a question that cannot be asked or evidence that cannot
    be read, `RecorderError` for a disk that fails. An engine answers from files derived
    from sealed segments; those are made, or made again, where they are missing.
    """

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans for which everything asked holds, by start."""
        ...

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return every recorded span of one trace."""
        ...

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Run one reading statement over the view `spans` of the trial."""
        ...


class SubjectKey(NamedTuple):
    """The public half of a data subject's key."""

    subject: str
    """The subject's pseudonym in the trial."""
    public_key: bytes
    """32 raw bytes (X25519, RFC 7748)."""


class SubjectKeys(Protocol):
    """Private keys of data subjects, which never leave it; raises `EvidenceError` only.

    Subjects are named by pseudonyms.
    """

    def naming_key(self, trial_id: str) -> bytes:
        """Return the key under which subjects of a trial get their pseudonyms."""
        ...

    def create(self, trial_id: str, subject: str) -> SubjectKey:
        """Make the key of a subject, or return the one there is."""
        ...

    def list(self, trial_id: str) -> Sequence[SubjectKey]:
        """Return the keys of a trial's subjects, by pseudonym."""
        ...

    def open(
        self, trial_id: str, subject: str, *, sealed: bytes, info: bytes
    ) -> bytes | None:
        """Return what was sealed to a subject, or None where it does not open.

        Raises:
            EvidenceError: There is no such key.
        """
        ...

    def destroy(self, trial_id: str, subject: str) -> None:
        """Destroy the key of a subject for good; without one, do nothing."""
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
