"""What producers' SDKs say themselves of spans they lost.

Rules of this module:

* Read are the counters of OpenTelemetry's semantic conventions for SDK metrics, also
  under their older names that end in `.count`: `otel.sdk.processor.span.processed` and
  `otel.sdk.exporter.span.exported`, where `error.type` says that a span was lost;
  `otel.sdk.exporter.span.inflight` and `otel.sdk.processor.span.queue.size`, whose last
  reading says how many had not been settled.
* A cumulative counter counts by its highest value since its start, a delta counter by
  the sum; a point no newer than the last of its stream is a redelivery.
* At most `MOST_STREAMS` streams are kept; beyond them the sum is a limit from below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    NumberDataPoint,
)

from sandbox.model.instants import at_unix_nano
from sandbox.model.segment import Gap, GapReason
from sandbox.recorder.extent import Extent
from sandbox.recorder.frame import Frame
from sandbox.recorder.request import parse_as

MOST_STREAMS = 10_000
_SETTLED = ("otel.sdk.processor.span.processed", "otel.sdk.exporter.span.exported")
_UNSETTLED = ("otel.sdk.exporter.span.inflight", "otel.sdk.processor.span.queue.size")


class _Kind(NamedTuple):
    """What a counter counts."""

    producer: str
    metric: str
    error: str
    """Why spans were lost; empty where they were not."""

    @property
    def unsettled(self) -> bool:
        return self.metric in _UNSETTLED


@dataclass
class _Stream:
    """One counter of one process, as far as it was read."""

    kind: _Kind
    since: int
    time: int = 0
    last: int = 0
    before: int = 0
    """What it had counted before it began anew."""

    @property
    def total(self) -> int:
        return self.last if self.kind.unsettled else self.before + self.last

    def read(self, point: NumberDataPoint, *, delta: bool) -> None:
        value = _value(point)
        if value is None or (self.time and point.time_unix_nano <= self.time):
            return
        if delta or value < self.last:
            self.before += self.last
        self.time, self.last = point.time_unix_nano, value


class LossCounters:
    """Adds up the counters of all producers over frames, in order."""

    def __init__(self) -> None:
        self._streams: dict[tuple[_Kind, bytes], _Stream] = {}
        self._heard: set[str] = set()
        self._full = False

    def read(self, frame: Frame) -> None:
        """Read the counters in a frame; frames of other signals have none.

        Raises:
            EvidenceError: The frame's payload is not a metrics request.
        """
        if frame.signal != "metrics":
            return
        request = parse_as(ExportMetricsServiceRequest, frame.payload)
        for batch in request.resource_metrics:
            source = batch.resource.SerializeToString(deterministic=True)
            for scope in batch.scope_metrics:
                for metric in scope.metrics:
                    self._read_metric(metric, frame.producer, source)

    def lost(self, producer: str) -> int | None:
        """Return how many spans a producer says it lost; None if it counts none."""
        if producer not in self._heard:
            return None
        return sum(
            stream.total
            for stream in self._streams.values()
            if stream.kind.producer == producer and stream.kind.error
        )

    def gaps(self, *, unsettled: bool) -> tuple[Gap, ...]:
        """Return what was counted, one gap for each producer, counter and error.

        Args:
            unsettled: Also spans that had not been settled at the last reading.
        """
        extents: dict[_Kind, Extent] = {}
        for stream in self._streams.values():
            kind = stream.kind
            if stream.total > 0 and (kind.error or (unsettled and kind.unsettled)):
                extent = extents.setdefault(kind, Extent())
                extent.note(
                    at_unix_nano(stream.since or stream.time), count=stream.total
                )
                extent.note(at_unix_nano(stream.time), count=0)
        return tuple(self._gap(kind, extents[kind]) for kind in sorted(extents))

    def _read_metric(self, metric: Metric, producer: str, source: bytes) -> None:
        name = metric.name.removesuffix(".count")
        if name not in _SETTLED + _UNSETTLED:
            return
        temporality = metric.sum.aggregation_temporality
        delta = temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        for point in (*metric.sum.data_points, *metric.gauge.data_points):
            error = "".join(_texts(point, "error.type")) if name in _SETTLED else ""
            kind = _Kind(producer, name, error)
            if stream := self._stream(kind, _identity(source, point, delta), point):
                stream.read(point, delta=delta and not kind.unsettled)

    def _stream(
        self, kind: _Kind, identity: bytes, point: NumberDataPoint
    ) -> _Stream | None:
        if not kind.unsettled:
            self._heard.add(kind.producer)
        if not kind.error and not kind.unsettled:
            return None
        known = self._streams.get((kind, identity))
        if known is None and len(self._streams) >= MOST_STREAMS:
            self._full = True
            return None
        if known is None:
            known = _Stream(kind, point.start_time_unix_nano)
            self._streams[kind, identity] = known
        return known

    def _gap(self, kind: _Kind, extent: Extent) -> Gap:
        least = "at least " if self._full else ""
        if kind.unsettled:
            reason: GapReason = "sdk-in-flight"
            detail = (
                f"{least}{extent.count} spans were on their way at the last reading of"
                f" {kind.metric}; the counter does not tell whether they arrived"
            )
        else:
            reason = "sdk-dropped"
            detail = (
                f"its own counter {kind.metric} says that {least}{extent.count} spans"
                f" were lost before they could arrive ({kind.error})"
            )
        return extent.gap(kind.producer, reason, detail)


def _identity(source: bytes, point: NumberDataPoint, delta: bool) -> bytes:
    """Tell streams apart; delta points carry the start of their own interval."""
    attributes = sorted(
        item.SerializeToString(deterministic=True) for item in point.attributes
    )
    start = 0 if delta else point.start_time_unix_nano
    return b"\0".join((source, *attributes, start.to_bytes(8, "big")))


def _texts(point: NumberDataPoint, key: str) -> Iterator[str]:
    for item in point.attributes:
        if item.key == key:
            yield item.value.string_value or "unnamed"


def _value(point: NumberDataPoint) -> int | None:
    if point.WhichOneof("value") == "as_int":
        return max(point.as_int, 0)
    return round(max(point.as_double, 0)) if math.isfinite(point.as_double) else None
