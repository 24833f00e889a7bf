"""What is known to be missing from the evidence, or may be.

Rules of this module:

* The recorder writes a gap where it happened: as a frame of its own, an OTLP log record
  from the producer `@recorder`, so gaps are evidence like everything else.
* No token can name `@recorder`; a gap frame of another producer is not a gap.
* What can be said of some frames alone is said of them alone: gaps the recorder wrote
  down, and losses that producers' own counters name. What needs the whole trial is
  found by `sandbox.recorder.completeness`.
* Silence is not loss, but it is reported: whoever judges decides what it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from pydantic import ValidationError

from sandbox.errors import EvidenceError
from sandbox.model.record import canonical_json
from sandbox.model.segment import Gap
from sandbox.model.trial import Pause
from sandbox.recorder.counters import LossCounters
from sandbox.recorder.frame import Frame
from sandbox.recorder.request import parse_as

RECORDER = "@recorder"
"""Producer of the recorder's own frames."""
GAP_EVENT = "regulatory_sandbox.gap"
"""Event name of the log record that holds a gap."""


def gap_request(gap: Gap, *, at: datetime) -> bytes:
    """Return the OTLP logs request that records a gap.

    Args:
        gap: What is missing.
        at: When the recorder found it.
    """
    request = ExportLogsServiceRequest()
    batch = request.resource_logs.add()
    service = batch.resource.attributes.add(key="service.name")
    service.value.string_value = "recorder"
    record = batch.scope_logs.add().log_records.add(event_name=GAP_EVENT)
    record.time_unix_nano = int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
    record.body.string_value = canonical_json(gap).decode()
    return request.SerializeToString(deterministic=True)


def gaps_in(frames: Sequence[Frame]) -> tuple[Gap, ...]:
    """Return the gaps that are known from these frames alone.

    Those the recorder wrote down come first, then what the producers' own counters say
    was lost. A cumulative counter speaks of the time since its start: of two runs of
    frames both may name the same losses, with the stretch of time they lie in.

    Raises:
        EvidenceError: A frame cannot be read.
    """
    counters = LossCounters()
    for frame in frames:
        counters.read(frame)
    return (*recorded_gaps(frames), *counters.gaps(unsettled=False))


def recorded_gaps(frames: Iterable[Frame]) -> tuple[Gap, ...]:
    """Return the gaps that frames of the recorder itself record.

    Raises:
        EvidenceError: Such a frame cannot be read.
    """
    return tuple(
        gap
        for frame in frames
        if frame.producer == RECORDER and frame.signal == "logs"
        for gap in _gaps_of(frame)
    )


def _gaps_of(frame: Frame) -> list[Gap]:
    request = parse_as(ExportLogsServiceRequest, frame.payload)
    try:
        return [
            Gap.model_validate_json(record.body.string_value)
            for batch in request.resource_logs
            for scope in batch.scope_logs
            for record in scope.log_records
            if record.event_name == GAP_EVENT
        ]
    except ValidationError as error:
        raise EvidenceError(
            f"frame {frame.index} of the recorder holds a gap that cannot be read: "
            f"{error}"
        ) from error


def restart_gaps(
    frames: Sequence[Frame], *, torn_bytes: int, damage: str, at: datetime
) -> tuple[Gap, ...]:
    """Return the gaps that an unclean end of the recorder leaves in a segment.

    Args:
        frames: What could be read of the segment that was open.
        torn_bytes: How many bytes after them could not, and were set aside.
        damage: Why they could not be read.
        at: When the recorder was back.
    """
    since = frames[-1].received_at if frames else None
    down = Gap(
        producer=RECORDER,
        reason="recorder-down",
        detail="the recorder ended without closing this segment; nothing could be "
        "recorded until it was back",
        since=since,
        until=at,
    )
    if not torn_bytes:
        return (down,)
    torn = Gap(
        producer=RECORDER,
        reason="torn-frame",
        detail=f"the last {torn_bytes} bytes cannot be read and were set aside: "
        f"{damage}",
        since=since,
        until=at,
    )
    return torn, down


def silences(
    frames: Iterable[Frame], *, longest_s: float, until: datetime | None = None
) -> tuple[Gap, ...]:
    """Return the stretches in which a producer was silent for longer than allowed.

    Args:
        frames: In the order of their reception.
        longest_s: Seconds of silence that mean nothing.
        until: Up to when producers were expected; None asks only between frames.
    """
    watch = SilenceWatch(longest_s=longest_s)
    for frame in frames:
        watch.read(frame)
    return watch.gaps(until=until)


class SilenceWatch:
    """Finds silences of producers, frame by frame.

    Args:
        longest_s: Seconds of silence that mean nothing.
        pauses: While the trial was paused nothing was expected; that time is left out.
    """

    def __init__(self, *, longest_s: float, pauses: Sequence[Pause] = ()) -> None:
        self._longest_s = longest_s
        self._pauses = tuple(pauses)
        self._last: dict[str, datetime] = {}
        self._found: list[Gap] = []

    def read(self, frame: Frame) -> None:
        """Take in the next frame, in the order of reception."""
        since = self._last.get(frame.producer, frame.received_at)
        self._found.extend(self._silence(frame.producer, since, frame.received_at))
        self._last[frame.producer] = frame.received_at

    def gaps(self, *, until: datetime | None = None) -> tuple[Gap, ...]:
        """Return the silences found, and those that last until an instant."""
        found = list(self._found)
        for producer, since in self._last.items() if until else ():
            found.extend(self._silence(producer, since, until or since))
        return tuple(found)

    def _silence(
        self, producer: str, since: datetime, until: datetime
    ) -> tuple[Gap, ...]:
        paused = sum(
            (_overlap(item, since, until) for item in self._pauses), timedelta()
        )
        seconds = (until - since - paused).total_seconds()
        if producer == RECORDER or seconds <= self._longest_s:
            return ()
        outside = ", pauses of the trial not counted" if paused else ""
        detail = f"nothing was received for {seconds:g} s{outside}"
        return (
            Gap(
                producer=producer,
                reason="silence",
                detail=detail,
                since=since,
                until=until,
            ),
        )


def _overlap(pause: Pause, since: datetime, until: datetime) -> timedelta:
    end = until if pause.resumed_at is None else min(pause.resumed_at, until)
    return max(end - max(pause.paused_at, since), timedelta())
