"""A small recorded trial: entries, spans and sealed segments, on any ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.evidence.bundle import BundleSource
from sandbox.evidence.rotation import change_key
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.log import LogEntry, LoggedEntry
from sandbox.model.record import digest_of
from sandbox.ports import Log, Segments, Signer
from sandbox.recorder import encode_frame
from sandbox.testing.records import FakeLog
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first span comes; each further one comes a second later."""


class RecordedTrial:
    """Tells the story of one trial, step by step; it begins with the application.

    Args:
        trial_id: Name of the trial.
        log: Where its entries go.
        segments: Where its segments are sealed.
        signer: Signs statements.
        receive: Adds raw frames to the trial's open segment; None: `segments` is fake.
    """

    def __init__(
        self,
        trial_id: str = "ride-1",
        *,
        log: Log | None = None,
        segments: Segments | None = None,
        signer: Signer | None = None,
        receive: Callable[[str, bytes], None] | None = None,
    ) -> None:
        fake = FakeSegments()
        self.trial_id = trial_id
        self.log: Log = log or FakeLog()
        self.segments: Segments = segments or fake
        self.signer: Signer = signer or ThrowawaySigner("log.example/trials")
        self._receive = receive or fake.receive
        self._spans = 0
        if not self.log.entries(trial_id):
            self.add("application", f"{trial_id}/submit")

    @property
    def now(self) -> datetime:
        """When the next span comes."""
        return STARTED_AT + timedelta(seconds=self._spans)

    def add(self, kind: str, name: str, owner: str = "", **body: Any) -> LoggedEntry:
        """Append an entry of the trial, or of another owner."""
        entry = {"kind": kind, "entry_id": name, "trial_id": owner or self.trial_id}
        whole = {**entry, "body": body, "recorded_at": self.now}
        return self.log.append(LogEntry.model_validate(whole))

    def move(self, before: str, after: str, version: int) -> LoggedEntry:
        """Append a transition of the case."""
        name = f"{self.trial_id}/transition/{version}"
        return self.add("transition", name, version=version, before=before, after=after)

    def record(self, *names: str, attributes: Mapping[str, str] | None = None) -> None:
        """Receive one request per name, each with one span of that name."""
        for name in names:
            request = ExportTraceServiceRequest()
            span = request.resource_spans.add().scope_spans.add().spans.add(name=name)
            for key, value in (attributes or {}).items():
                span.attributes.add(key=key).value.string_value = value
            self.send(request)

    def send(
        self, request: ExportTraceServiceRequest, producer: str = "system"
    ) -> None:
        """Receive one request as it is."""
        frame = encode_frame(
            request.SerializeToString(),
            signal="traces",
            producer=producer,
            sequence=self._spans + 1,
            received_at=self.now,
        )
        self._spans += 1
        self._receive(self.trial_id, frame)

    def seal(self) -> None:
        """Close the open segment, seal it, and record that."""
        self.segments.roll(self.trial_id)
        number = len(self.segments.files(self.trial_id))
        sealed = seal_segment(
            self.segments.read(self.trial_id, number),
            trial_id=self.trial_id,
            number=number,
            rulebook_digest=digest_of(b"rulebook"),
            signer=self.signer,
        )
        self.segments.put_sealed(
            self.trial_id,
            number,
            compressed=sealed.compressed,
            envelope=sealed.envelope,
        )
        self.log.append(segment_entry(sealed, recorded_at=self.now))

    def rotate(self, new: Signer) -> LoggedEntry:
        """Put a new key of the log in force; it signs from here on."""
        entry = change_key(self.log, self.signer, new, at=self.now)
        self.signer = new
        return entry

    def source(self, **more: Any) -> BundleSource:
        """Return where a bundle of the trial comes from."""
        return BundleSource(self.log, self.segments, self.signer, **more)
