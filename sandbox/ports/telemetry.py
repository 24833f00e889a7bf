"""Who may send telemetry, where it lies, and what is asked of it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from sandbox.model.backtest import Backtest, BacktestAnswer
from sandbox.model.comparison import Comparison, ComparisonAnswer
from sandbox.model.segment import RecorderHealth, RefusalWindow
from sandbox.model.trace import SpanAnswer, SpanQuestion, SqlAnswer


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

    def files(self, trial_id: str, *, since: int = 1) -> list[SegmentFile]:
        """Return the trial's segments from number `since` on, in order."""
        ...

    def read(self, trial_id: str, number: int, *, offset: int = 0) -> bytes:
        """Return the raw bytes from `offset`; sealed segments are decompressed.

        An open segment may end in a frame that is not yet complete.
        """
        ...

    def roll(self, trial_id: str) -> None:
        """Ask the recorder to close the open segment, and wait until it has."""
        ...

    def stage_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Lay the sealed form durably beside a closed segment, which stays closed.

        Done before the log names it: whoever goes on after a crash finds these bytes.
        """
        ...

    def read_staged(self, trial_id: str, number: int) -> tuple[bytes, bytes] | None:
        """Return (compressed file, DSSE envelope) laid beside a closed segment."""
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


class Backtests(Protocol):
    """Asks rules of the recorded spans of trials, all at once.

    Raises `RuleError` for rules that are not sound, `EvidenceError` for evidence that
    cannot be read, `RecorderError` for a disk that fails.
    """

    def backtest(self, asked: Backtest) -> BacktestAnswer:
        """Return what the rules say of every recorded span of the trials."""
        ...


class Comparisons(Protocol):
    """Asks two versions of the rules of the recorded spans of a trial, at once.

    Raises `RuleError` for rules that are not sound, `EvidenceError` for evidence that
    cannot be read, `RecorderError` for a disk that fails.
    """

    def compare(self, asked: Comparison) -> ComparisonAnswer:
        """Return every recorded span of the trial, by what both versions say of it."""
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
