"""Spans that came twice, and parents that never came.

Rules of this module:

* A span is known by trace id and span id, whoever sent it. A second delivery whose
  bytes are equal (the span with its resource and scope) is a duplicate: OTLP allows
  retries. With other bytes it is a conflict: both are kept as evidence, none is merged.
* A parent is missing if it never comes in the whole trial, before or after its child.
* Whether the parent is of another process says the span's own flags (OTLP
  `SPAN_FLAGS_CONTEXT_IS_REMOTE`); where the exporter does not say, a span of kind
  server or consumer is taken to have a remote parent. A remote parent may lie outside
  the trial, so it is counted apart and is no orphan.
* A span whose trace state names a sampling threshold (`ot=th:…`, not 0) is left out:
  its parent may have been sampled out, which is no loss.
* Memory: one entry for each span of the part at hand. A trial is read in as many parts
  as keep that bounded; spans of one trace lie in the same part.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags

from sandbox.recorder.extent import Extent
from sandbox.recorder.frame import Frame
from sandbox.recorder.request import parse_as

_HAS_REMOTE = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_FROM_OUTSIDE = frozenset({Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER})
_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:(?!0(?:[;,\s]|$))")

Identity = tuple[bytes, bytes]
"""Trace id and span id."""


@dataclass
class Relations:
    """What the spans of one producer have to do with others."""

    duplicates: int = 0
    local_children: int = 0
    conflicts: Extent = field(default_factory=Extent)
    orphans: Extent = field(default_factory=Extent)
    remote_unseen: int = 0

    def add(self, other: Relations) -> None:
        """Take in what was found in another part of the trial."""
        self.duplicates += other.duplicates
        self.local_children += other.local_children
        self.conflicts.join(other.conflicts)
        self.orphans.join(other.orphans)
        self.remote_unseen += other.remote_unseen


class _Child(NamedTuple):
    """A span whose parent has not come yet."""

    producer: str
    received_at: datetime
    remote: bool


class Identities:
    """Compares the spans of a trial with each other, frame by frame.

    Args:
        part: Number of the part to read, from 0.
        parts: In how many parts the trial is read.
    """

    def __init__(self, *, part: int = 0, parts: int = 1) -> None:
        self._part, self._parts = part, parts
        self._seen: dict[Identity, bytes] = {}
        self._waiting: dict[Identity, list[_Child]] = {}
        self._found: defaultdict[str, Relations] = defaultdict(Relations)

    def read(self, frame: Frame) -> None:
        """Take in a frame.

        Raises:
            EvidenceError: The frame's payload is not a traces request.
        """
        for span, origin in otlp_spans(frame):
            if zlib.crc32(span.trace_id) % self._parts == self._part:
                self._read_span(frame, span, origin)

    def relations(self) -> Mapping[str, Relations]:
        """Return what was found, by producer, once every frame was read."""
        for children in self._waiting.values():
            for child in children:
                found = self._found[child.producer]
                if child.remote:
                    found.remote_unseen += 1
                else:
                    found.orphans.note(child.received_at)
        self._waiting.clear()
        return self._found

    def _read_span(self, frame: Frame, span: Span, origin: bytes) -> None:
        if not (any(span.trace_id) and any(span.span_id)):
            return  # no identity (OTLP): any number of spans may carry zeros
        identity, content = (span.trace_id, span.span_id), _content(span, origin)
        known = self._seen.get(identity)
        found = self._found[frame.producer]
        if known is None:
            self._seen[identity] = content
            self._waiting.pop(identity, None)
            self._await_parent(frame, span)
        elif known == content:
            found.duplicates += 1
        else:
            found.conflicts.note(frame.received_at)

    def _await_parent(self, frame: Frame, span: Span) -> None:
        if not any(span.parent_span_id) or _THRESHOLD.search(span.trace_state):
            return
        remote = _is_remote(span)
        self._found[frame.producer].local_children += not remote
        parent = span.trace_id, span.parent_span_id
        if parent not in self._seen:
            child = _Child(frame.producer, frame.received_at, remote)
            self._waiting.setdefault(parent, []).append(child)


def otlp_spans(frame: Frame) -> Iterator[tuple[Span, bytes]]:
    """Yield each span with the bytes that say where it is from."""
    if frame.signal != "traces":
        return
    for batch in parse_as(ExportTraceServiceRequest, frame.payload).resource_spans:
        resource = batch.resource.SerializeToString(deterministic=True)
        for scope in batch.scope_spans:
            origin = resource + scope.scope.SerializeToString(deterministic=True)
            for span in scope.spans:
                yield span, origin


def _content(span: Span, origin: bytes) -> bytes:
    content = blake2b(span.SerializeToString(deterministic=True), digest_size=16)
    content.update(origin)
    return content.digest()


def _is_remote(span: Span) -> bool:
    if span.flags & _HAS_REMOTE:
        return bool(span.flags & _REMOTE)
    return span.kind in _FROM_OUTSIDE
