"""Gaps that some frames tell by themselves: the recorder's own, and lost by count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.model.segment import Gap
from sandbox.model.trial import Pause
from sandbox.recorder import RECORDER, Frame, gap_request, gaps_in
from sandbox.recorder import counters as counters_file
from sandbox.recorder.counters import LossCounters
from sandbox.recorder.gaps import SilenceWatch

AT = datetime(2026, 1, 1, tzinfo=UTC)
PROCESSED = "otel.sdk.processor.span.processed"
EXPORTED = "otel.sdk.exporter.span.exported"
IN_FLIGHT = "otel.sdk.exporter.span.inflight"
CUMULATIVE, DELTA = 2, 1


def nanos(second: float) -> int:
    return int((AT.timestamp() + second) * 1e9)


def reading(
    value: float,
    *,
    at: float,
    start: float = 0,
    error: str = "queue_full",
    metric: str = PROCESSED,
    temporality: int = CUMULATIVE,
    process: str = "one",
    producer: str = "p",
) -> Frame:
    """A frame with one reading of one counter."""
    request = ExportMetricsServiceRequest()
    batch = request.resource_metrics.add()
    identity = batch.resource.attributes.add(key="service.instance.id")
    identity.value.string_value = process
    counter = batch.scope_metrics.add().metrics.add(name=metric).sum
    counter.aggregation_temporality = temporality  # type: ignore[assignment]
    point = counter.data_points.add(
        start_time_unix_nano=nanos(start), time_unix_nano=nanos(at)
    )
    if isinstance(value, float):
        point.as_double = value
    else:
        point.as_int = value
    if error:
        point.attributes.add(key="error.type").value.string_value = error
    received = AT + timedelta(seconds=at)
    return Frame(0, 0, "metrics", producer, received, request.SerializeToString(), 1)


def lost(*frames: Frame, producer: str = "p") -> int | None:
    counters = LossCounters()
    for frame in frames:
        counters.read(frame)
    return counters.lost(producer)


def test_a_cumulative_counter_counts_by_its_last_value() -> None:
    """Later readings hold the earlier ones; a redelivered one adds nothing."""
    first, second = reading(3, at=10), reading(5, at=20)
    assert lost(first, second) == 5
    assert lost(first, second, first, second) == 5


def test_a_process_that_begins_anew_keeps_what_it_had_lost() -> None:
    """Another start, another process, or a value that fell: each is added."""
    assert lost(reading(3, at=10), reading(2, at=30, start=25)) == 5
    assert lost(reading(3, at=10), reading(2, at=30, process="two")) == 5
    assert lost(reading(3, at=10), reading(2, at=30)) == 5


def test_a_delta_counter_is_added_up_once_for_each_interval() -> None:
    """The same interval delivered twice counts once."""
    first = reading(3, at=10, start=0, temporality=DELTA)
    second = reading(2, at=20, start=10, temporality=DELTA)
    assert lost(first, second, second) == 5


def test_dropped_and_not_exported_are_both_lost() -> None:
    """A span that never reached the exporter, and one the exporter gave up on."""
    frames = [
        reading(3, at=10),
        reading(4, at=10, metric=EXPORTED, error="timeout"),
        reading(2, at=10, metric=f"{EXPORTED}.count", error="rejected"),
        reading(90, at=10, metric=EXPORTED, error=""),
        reading(7, at=10, metric="http.server.requests"),
    ]
    assert lost(*frames) == 9


def test_counting_nothing_lost_differs_from_not_counting() -> None:
    """Who counts successes has lost none; who sends no counters has said nothing."""
    assert lost(reading(90, at=10, error="")) == 0
    assert lost(reading(90, at=10, metric="http.server.requests")) is None
    assert lost(reading(3, at=10), producer="q") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -4, -4.0])
def test_a_value_that_is_no_count_is_none(value: float) -> None:
    """What a broken SDK sends can neither stop the reading nor take losses back."""
    assert lost(reading(value, at=10)) == 0
    assert lost(reading(3.0, at=5), reading(float("nan"), at=10)) == 3


def test_no_more_streams_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the sum says that it is a limit from below."""
    monkeypatch.setattr(counters_file, "MOST_STREAMS", 2)
    frames = [reading(1, at=10, process=str(number)) for number in range(5)]
    assert lost(*frames) == 2
    (gap,) = gaps_in(frames)
    assert "at least 2 spans" in gap.detail


def test_the_statement_of_a_segment_names_what_counters_say() -> None:
    """After the recorder's own gaps: how many, why, and in which stretch of time."""
    own = Gap(producer=RECORDER, reason="recorder-down", detail="down", until=AT)
    frames = [
        reading(3, at=10),
        reading(5, at=20),
        reading(2, at=20, metric=EXPORTED, error="timeout", producer="q"),
        Frame(3, 0, "logs", RECORDER, AT, gap_request(own, at=AT), 4),
    ]
    recorded, dropped, failed = gaps_in(frames)
    assert recorded == own
    assert (dropped.producer, dropped.reason, dropped.count) == ("p", "sdk-dropped", 5)
    assert (dropped.since, dropped.until) == (AT, AT + timedelta(seconds=20))
    assert "queue_full" in dropped.detail
    assert (failed.producer, failed.count) == ("q", 2)


def test_spans_on_their_way_are_no_loss() -> None:
    """Only the last reading counts, and only where the whole trial is at hand."""
    counters = LossCounters()
    for value, at in ((9, 10), (4, 20)):
        counters.read(
            reading(value, at=at, metric=IN_FLIGHT, error="", temporality=CUMULATIVE)
        )
    assert counters.lost("p") is None
    assert counters.gaps(unsettled=False) == ()
    (gap,) = counters.gaps(unsettled=True)
    assert (gap.reason, gap.count) == ("sdk-in-flight", 4)


def test_metrics_that_cannot_be_read_are_an_error() -> None:
    """A frame of metrics that holds no metrics is not passed over."""
    with pytest.raises(EvidenceError, match="ExportMetricsServiceRequest"):
        gaps_in([Frame(0, 0, "metrics", "p", AT, b"\xff", 1)])


def frame(second: float) -> Frame:
    return Frame(0, 0, "logs", "p", AT + timedelta(seconds=second), b"", 1)


def test_a_pause_is_no_silence() -> None:
    """While the trial was paused nothing was expected; the rest still counts."""
    pause = Pause(
        reason="r",
        paused_at=AT + timedelta(seconds=2),
        resumed_at=AT + timedelta(seconds=12),
    )
    for longest_s, found in ((3, 1), (4, 0)):
        watch = SilenceWatch(longest_s=longest_s, pauses=(pause,))
        watch.read(frame(0))
        watch.read(frame(14))
        assert len(watch.gaps()) == found
    watch = SilenceWatch(longest_s=3, pauses=(pause,))
    watch.read(frame(0))
    watch.read(frame(14))
    assert watch.gaps()[0].detail == (
        "nothing was received for 4 s, pauses of the trial not counted"
    )


def test_a_pause_that_never_ended_covers_the_rest() -> None:
    """A trial that was stopped while paused was not silent."""
    watch = SilenceWatch(
        longest_s=3, pauses=(Pause(reason="r", paused_at=AT + timedelta(seconds=2)),)
    )
    watch.read(frame(0))
    assert watch.gaps(until=AT + timedelta(hours=1)) == ()
