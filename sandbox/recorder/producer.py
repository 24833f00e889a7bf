"""For innovators: numbers the spans that leave a process, so that lost ones are seen.

OpenTelemetry SDKs drop spans by specification when a queue is full, and whoever
receives the rest cannot tell. `SequenceSpanProcessor` numbers every span before it
enters the queue: what is dropped afterwards leaves a hole in the numbers.

Use it around the processor that exports:

    provider.add_span_processor(
        SequenceSpanProcessor(BatchSpanProcessor(OTLPSpanExporter()))
    )

Rules of this module:

* It imports the standard library and opentelemetry-sdk, nothing else of this product,
  so this one file may be copied into a system under trial as it is.
* Two span attributes are added when a span ends: `sandbox.producer.instance` (32
  hexadecimal digits) and `sandbox.producer.sequence` (1, 2, 3 … within the instance).
  They are span attributes, not resource attributes, because a resource outlives a fork.
* An instance is one processor in one process. After a fork the child is a new instance
  and begins at 1; the parent's numbers go on.
* Only sampled spans are numbered: the others are not exported, and are not lost.
* What is lost after the last number that arrived leaves no hole; the SDK's own counters
  (`otel.sdk.processor.span.processed`) can show that, where they are exported.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from types import MappingProxyType

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.util.types import Attributes

INSTANCE = "sandbox.producer.instance"
"""Span attribute: which numbering the number belongs to."""
SEQUENCE = "sandbox.producer.sequence"
"""Span attribute: number within the instance, from 1, without holes."""


class SequenceSpanProcessor(SpanProcessor):
    """Numbers ended spans, then hands them to the processor that exports them.

    Safe to use from several threads and across `os.fork`.

    Args:
        exporting: The processor to hand spans to, in general a `BatchSpanProcessor`.
            With several of them, wrap each in a processor of its own and send each to
            another place: numbers count what one exporter is given.
    """

    def __init__(self, exporting: SpanProcessor) -> None:
        self._exporting = exporting
        self._begin()
        if hasattr(os, "register_at_fork"):
            # Weak: a hook cannot be taken back, and must not keep this alive.
            begin = weakref.WeakMethod(self._begin)

            def begin_in_child() -> None:
                if alive := begin():
                    alive()

            os.register_at_fork(after_in_child=begin_in_child)

    @property
    def instance(self) -> str:
        """The id under which this process numbers its spans."""
        return self._instance

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand on that a span has started."""
        self._exporting.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Number an ended span, if it is to be exported, and hand it on."""
        if span.context is None or not span.context.trace_flags.sampled:
            self._exporting.on_end(span)
            return
        with self._lock:
            self._last += 1
            numbers = (self._instance, self._last)
        self._exporting.on_end(_NumberedSpan(span, *numbers))

    def shutdown(self) -> None:
        """Shut the exporting processor down."""
        self._exporting.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have the exporting processor export what it holds."""
        return self._exporting.force_flush(timeout_millis)

    def _on_ending(self, span: Span) -> None:
        # The SDK's hook before the end; experimental there, so it has this name.
        self._exporting._on_ending(span)

    def _begin(self) -> None:
        # In a child the old lock may be held by a thread that was not copied.
        self._lock = threading.Lock()
        self._instance = uuid.uuid4().hex
        self._last = 0


class _NumberedSpan(ReadableSpan):
    """An ended span with two more attributes, beyond any limit of their number."""

    def __init__(self, span: ReadableSpan, instance: str, sequence: int) -> None:
        # The SDK closes a span's attributes before processors see that it has ended;
        # all else is shared, so that what the SDK dropped of it stays counted.
        vars(self).update(vars(span))
        self._instance, self._sequence = instance, sequence

    @property
    def attributes(self) -> Attributes:
        own = super().attributes or {}
        return MappingProxyType(
            {**own, INSTANCE: self._instance, SEQUENCE: self._sequence}
        )
