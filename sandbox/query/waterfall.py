"""The rows of a trace: its spans as a tree in time.

Rules of this module:

* Every delivery is a row; nothing is merged, repaired or left out. A later delivery of
  a span follows the first: *duplicate* when it says the same, *conflict* when not.
* A span whose parent is not among the rows is an *orphan*; spans that are each other's
  ancestors are a *loop*. Both are shown at the top, as what they are.
* Times are shown as recorded. A time that cannot be true (no start, an end before the
  start, an end more than an hour after the span was received) does not set the scale,
  and neither does a span far from the others; their bars are cut off at its edges.
* Siblings are in order of their start, ties by span id, then by place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from statistics import median_low
from typing import Literal, NamedTuple

from sandbox.model.instants import at_unix_nano, unix_nano_of
from sandbox.model.observation import Span
from sandbox.model.trace import RecordedSpan

Standing = Literal["root", "child", "orphan", "loop", "duplicate", "conflict"]
"""How a row belongs to its trace."""
_HOUR_NS = 3_600_000_000_000
_LENGTHS = 10
"""Spans that began further away than this many lengths of the longest are far."""


class Stretch(NamedTuple):
    """A stretch of time, in nanoseconds since 1970 UTC."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Its length; never negative."""
        return max(self.end_ns - self.start_ns, 0)


class WaterfallRow(NamedTuple):
    """One delivery of a span in the tree."""

    recorded: RecordedSpan
    depth: int
    """0 for what stands at the top."""
    standing: Standing
    offset_ns: int
    """From the beginning of the scale to its start; negative when it began before."""
    left: float
    """Where its bar begins, as a share of the scale, from 0 to 1."""
    width: float
    """Length of its bar, as a share of the scale; 0 for what takes no time."""
    is_off_scale: bool
    """It does not lie within the scale, or its times cannot be true."""
    is_before_parent: bool
    """It says that it began before its parent: their clocks differ."""


class Waterfall(NamedTuple):
    """A trace, ready to be drawn."""

    scale: Stretch
    rows: tuple[WaterfallRow, ...]


class _Node(NamedTuple):
    """The deliveries of one span; the first one stands for it."""

    key: str
    deliveries: tuple[RecordedSpan, ...]

    @property
    def first(self) -> RecordedSpan:
        return self.deliveries[0]


class _Seat(NamedTuple):
    """A node with its place in the tree."""

    node: _Node
    depth: int
    standing: Standing
    parent: _Node | None


def waterfall(spans: Iterable[RecordedSpan]) -> Waterfall:
    """Return the rows of one trace, parents before their children.

    Args:
        spans: Every recorded delivery of the spans of one trace, in any order.
    """
    nodes = _nodes(spans)
    scale = _scale([item for node in nodes.values() for item in node.deliveries])
    rows = [row for seat in _seats(nodes) for row in _rows(seat, scale)]
    return Waterfall(scale, tuple(rows))


def start_of(scale: Stretch) -> datetime:
    """Return when a scale begins, in UTC, to the microsecond."""
    # 64 bits of nanoseconds end in the year 2554, which a datetime can hold.
    return at_unix_nano(scale.start_ns)


def _nodes(spans: Iterable[RecordedSpan]) -> dict[str, _Node]:
    found: dict[str, list[RecordedSpan]] = defaultdict(list)
    for item in sorted(spans, key=_place):
        # Spans without an id cannot be told to be the same one.
        key = item.span.span_id or str(_place(item))
        found[key].append(item)
    return {key: _Node(key, tuple(items)) for key, items in found.items()}


def _place(item: RecordedSpan) -> tuple[int, int, int]:
    return item.segment, item.frame, item.number


def _order(node: _Node) -> tuple[int, str]:
    return node.first.span.start_unix_nano, node.key


def _seats(nodes: dict[str, _Node]) -> Iterator[_Seat]:
    children: dict[str, list[_Node]] = defaultdict(list)
    tops: list[tuple[_Node, Standing]] = []
    for node in sorted(nodes.values(), key=_order):
        parent = node.first.span.parent_span_id
        if parent in nodes:
            children[parent].append(node)
        else:
            tops.append((node, "orphan" if parent else "root"))
    seated: set[str] = set()
    for node, standing in tops:
        yield from _below(_Seat(node, 0, standing, None), children, seated)
    # What is left has only ancestors among itself: there is no top to begin from.
    for node in sorted(nodes.values(), key=_order):
        if node.key not in seated:
            yield from _below(_Seat(node, 0, "loop", None), children, seated)


def _below(
    top: _Seat, children: dict[str, list[_Node]], seated: set[str]
) -> Iterator[_Seat]:
    waiting = [top]
    while waiting:
        seat = waiting.pop()
        if seat.node.key in seated:
            continue
        seated.add(seat.node.key)
        yield seat
        waiting += [
            _Seat(child, seat.depth + 1, "child", seat.node)
            for child in reversed(children[seat.node.key])
        ]


def _rows(seat: _Seat, scale: Stretch) -> Iterator[WaterfallRow]:
    first = seat.node.first
    for item in seat.node.deliveries:
        standing = seat.standing
        if item is not first:
            standing = "duplicate" if _says_the_same(item, first) else "conflict"
        yield _row(item, seat, standing, scale)


def _says_the_same(one: RecordedSpan, other: RecordedSpan) -> bool:
    said = ("span", "status_message", "scope", "events", "links", "producer")
    return all(getattr(one, name) == getattr(other, name) for name in said)


def _row(
    item: RecordedSpan, seat: _Seat, standing: Standing, scale: Stretch
) -> WaterfallRow:
    start, end = item.span.start_unix_nano, item.span.end_unix_nano
    length = scale.length_ns or 1
    left = _share(start - scale.start_ns, length)
    right = _share(end - scale.start_ns, length)
    within = scale.start_ns <= start and end <= scale.end_ns
    parent = seat.parent.first.span.start_unix_nano if seat.parent else start
    return WaterfallRow(
        recorded=item,
        depth=seat.depth,
        standing=standing,
        offset_ns=start - scale.start_ns,
        left=left,
        width=max(right - left, 0.0),
        is_off_scale=not within or not _is_plausible(item),
        is_before_parent=start < parent,
    )


def _share(nanos: int, length: int) -> float:
    return min(max(nanos / length, 0.0), 1.0)


def _scale(spans: Sequence[RecordedSpan]) -> Stretch:
    credible = [item for item in spans if _is_plausible(item)]
    near = _near([item.span for item in credible or spans])
    start = min((item.start_unix_nano for item in near), default=0)
    end = max((item.end_unix_nano for item in near), default=0)
    return Stretch(start, max(start, end))


def _near(spans: list[Span]) -> list[Span]:
    """Return the spans that began near the one in the middle."""
    if not spans:
        return []
    middle = median_low(item.start_unix_nano for item in spans)
    longest = max(item.end_unix_nano - item.start_unix_nano for item in spans)
    reach = max(_HOUR_NS, _LENGTHS * longest)
    return [item for item in spans if abs(item.start_unix_nano - middle) <= reach]


def _is_plausible(item: RecordedSpan) -> bool:
    span = item.span
    received_ns = unix_nano_of(item.received_at)
    latest = received_ns + _HOUR_NS
    return 0 < span.start_unix_nano <= span.end_unix_nano <= latest
