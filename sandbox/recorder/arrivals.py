"""What arrived of one producer: how many spans, under which numbers, with what times.

Rules of this module:

* At most `MOST_INSTANCES` numbering instances are kept apart; spans of further ones are
  counted, but their holes are not known, and the figures say that they are not exact.
* A span that ended after it was received, by more than the time a unit takes to settle,
  or that began as much before the trial, has a time that cannot be true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sandbox.model.instants import at_unix_nano
from sandbox.model.segment import Gap
from sandbox.recorder.extent import Extent
from sandbox.recorder.frame import Frame
from sandbox.recorder.numbering import Numbers
from sandbox.recorder.producer import INSTANCE, SEQUENCE

MOST_INSTANCES = 1000
_NAMED_HOLES = 5


@dataclass
class _Instance:
    """The numbers of one process, and when its spans came."""

    numbers: Numbers = field(default_factory=Numbers)
    received: Extent = field(default_factory=Extent)


@dataclass
class Arrivals:
    """Adds up the spans of one producer, in the order of their reception."""

    spans: int = 0
    numbered: int = 0
    ahead: Extent = field(default_factory=Extent)
    early: Extent = field(default_factory=Extent)
    _most_ahead: timedelta = timedelta()
    _instances: dict[str, _Instance] = field(default_factory=dict)
    _full: bool = False

    @property
    def instances(self) -> int:
        """How many instances numbered their spans."""
        return len(self._instances)

    @property
    def holes(self) -> int:
        """How many numbers below the highest of their instance did not come."""
        return sum(item.numbers.missing for item in self._instances.values())

    @property
    def exact(self) -> bool:
        """Whether `holes` is exact, and of all instances."""
        each = all(item.numbers.exact for item in self._instances.values())
        return each and not self._full

    def read(
        self, frame: Frame, span: Span, *, since: datetime, slack_s: float
    ) -> None:
        """Take in a span of a frame.

        Args:
            frame: The frame it came in.
            span: The span.
            since: When the trial began.
            slack_s: Seconds by which its times may be wrong without meaning anything.
        """
        self.spans += 1
        instance, number = _number_of(span)
        if instance and number > 0:
            self._number(frame, instance, number)
        slack = timedelta(seconds=slack_s)
        ahead = at_unix_nano(span.end_time_unix_nano) - frame.received_at
        if ahead > slack:
            self.ahead.note(frame.received_at)
            self._most_ahead = max(self._most_ahead, ahead)
        elif at_unix_nano(span.start_time_unix_nano) < since - slack:
            self.early.note(frame.received_at)

    def gaps(self, producer: str) -> list[Gap]:
        """Return what is missing or cannot be true, as gaps of that producer."""
        found = [
            _hole_gap(producer, name, item)
            for name, item in self._instances.items()
            if item.numbers.missing
        ]
        if self.ahead.count:
            seconds = self._most_ahead.total_seconds()
            detail = (
                f"{self.ahead.count} spans say that they ended after they were"
                f" received, at most {seconds:.3f} s after"
            )
            found.append(self.ahead.gap(producer, "clock-skew", detail))
        if self.early.count:
            detail = f"{self.early.count} spans say that they began before the trial"
            found.append(self.early.gap(producer, "clock-skew", detail))
        return found

    def _number(self, frame: Frame, instance: str, number: int) -> None:
        self.numbered += 1
        if instance not in self._instances and self.instances >= MOST_INSTANCES:
            self._full = True
            return
        known = self._instances.setdefault(instance, _Instance())
        known.numbers.add(number)
        known.received.note(frame.received_at)


def _hole_gap(producer: str, instance: str, item: _Instance) -> Gap:
    numbers = item.numbers
    holes = numbers.holes()
    named = ", ".join(
        str(first) if first == last else f"{first}–{last}"
        for first, last in holes[:_NAMED_HOLES]
    )
    more = ", …" if len(holes) > _NAMED_HOLES else ""
    most = "" if numbers.exact else "at most "
    return Gap(
        producer=producer,
        reason="sequence-hole",
        detail=f"{most}{numbers.missing} of the numbers 1–{numbers.highest} of instance"
        f" {instance[:32]} never came" + (f": {named}{more}" if named else ""),
        count=numbers.missing,
        since=item.received.since,
        until=item.received.until,
    )


def _number_of(span: Span) -> tuple[str, int]:
    """Return instance and number of a span; ("", 0) where it has none."""
    instance, number = "", 0
    for item in span.attributes:
        if item.key == INSTANCE:
            instance = item.value.string_value
        elif item.key == SEQUENCE:
            number = item.value.int_value
    return instance, number
