"""Which recorded spans are meant, and the frames they lie in.

Rules of this module:

* An answer names its spans by place; what leaves is read from the frames at those
  places, never from what was derived of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from sandbox.model.segment import Signal
from sandbox.model.trace import SpanAnswer
from sandbox.recorder.frame import Frame

Places = Mapping[int, Mapping[int, frozenset[int]]]
"""Segment → frame → numbers of the spans in the frame, the last two from 0."""


class Chosen(NamedTuple):
    """A frame, and which of its spans are meant."""

    segment: int
    frame: Frame
    numbers: frozenset[int] | None
    """Counted from 0 in the frame; None means the whole request."""


ReadChosen = Callable[[], Iterable[Chosen]]
"""Reads what was chosen from the beginning, segment by segment; called again, it reads
the same."""


def places_in(answer: SpanAnswer) -> Places:
    """Return where the spans of an answer lie."""
    found: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for item in answer.spans:
        found[item.segment][item.frame].add(item.number)
    return {
        segment: {frame: frozenset(numbers) for frame, numbers in frames.items()}
        for segment, frames in found.items()
    }


def choose(
    segment: int,
    frames: Iterable[Frame],
    *,
    signal: Signal,
    places: Places | None = None,
) -> Iterator[Chosen]:
    """Yield the frames of a segment that are meant.

    Args:
        segment: Its number.
        frames: Its frames.
        signal: Frames of other signals are passed over.
        places: Where the spans lie that are meant; None means every request.
    """
    wanted = None if places is None else places.get(segment, {})
    for frame in frames:
        if frame.signal != signal:
            continue
        if wanted is None:
            yield Chosen(segment, frame, None)
        elif frame.index in wanted:
            yield Chosen(segment, frame, wanted[frame.index])
