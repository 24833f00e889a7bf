"""What of a trial arrived, and what is known to be missing.

Rules of this module:

* Frames are read in order, several times, and never kept: once for numbers, counters,
  silences and times, then as often as it takes to compare spans with each other while
  about `SPANS_AT_ONCE` of them are remembered.
* Absence of numbers is not completeness: spans without a number are counted as such.
* Numbers tell what was lost up to the highest that came; counters also speak of what
  came after it. Both can mean the same spans, so they are never added up.
* Only the token's name says who a producer is; `@recorder` is none.
* Of many gaps of one kind the first are listed, and the rest as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sandbox.model.segment import Completeness, Gap, ProducerCompleteness
from sandbox.model.trial import Pause
from sandbox.recorder.arrivals import Arrivals
from sandbox.recorder.counters import LossCounters
from sandbox.recorder.frame import Frame
from sandbox.recorder.gaps import RECORDER, SilenceWatch, recorded_gaps
from sandbox.recorder.identity import Identities, Relations, otlp_spans

SPANS_AT_ONCE = 500_000
"""Spans remembered at once when they are compared; about 300 bytes each."""
LISTED = 20
"""Gaps listed of one producer for one reason."""

ReadFrames = Callable[[], Iterable[Sequence[Frame]]]
"""Reads everything recorded of a trial from the beginning, in order, in some runs."""


class Expected(NamedTuple):
    """What a trial leads one to expect of its producers."""

    since: datetime
    """When it began; nothing that belongs to it began before."""
    until: datetime
    settling_s: float
    """The plan's settling time, in seconds: shorter silences and smaller differences
    between clocks mean nothing."""
    pauses: tuple[Pause, ...] = ()


def assess(trial_id: str, read: ReadFrames, expected: Expected) -> Completeness:
    """Find what is known to be missing of a whole trial.

    Args:
        trial_id: The trial.
        read: Reads its frames; called two times or more.
        expected: When the trial ran, and what it allows.

    Returns:
        Figures for each producer in order of their names, and all gaps.

    Raises:
        EvidenceError: A frame cannot be read.
    """
    first = _FirstReading(expected)
    for frame in _each(read):
        first.read(frame)
    spans = sum(item.spans for item in first.arrivals.values())
    relations = _relations(read, parts=max(1, -(-spans // SPANS_AT_ONCE)))
    silences = first.silences.gaps(until=expected.until)
    producers = tuple(
        _producer(name, first, relations[name], silences)
        for name in sorted(first.arrivals)
    )
    gaps = [
        *first.recorded,
        *(gap for name in sorted(first.arrivals) for gap in first.gaps_of(name)),
        *first.counters.gaps(unsettled=True),
        *(gap for name in sorted(relations) for gap in _related(name, relations[name])),
        *silences,
    ]
    return Completeness(trial_id=trial_id, producers=producers, gaps=_listed(gaps))


class _FirstReading:
    """All that can be said of each span by itself."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.arrivals: defaultdict[str, Arrivals] = defaultdict(Arrivals)
        self.counters = LossCounters()
        self.silences = SilenceWatch(
            longest_s=expected.settling_s, pauses=expected.pauses
        )
        self.recorded: list[Gap] = []

    def read(self, frame: Frame) -> None:
        self.silences.read(frame)
        if frame.producer == RECORDER:
            self.recorded.extend(recorded_gaps([frame]))
            return
        self.counters.read(frame)
        arrivals, expected = self.arrivals[frame.producer], self._expected
        for span, _ in otlp_spans(frame):
            arrivals.read(
                frame, span, since=expected.since, slack_s=expected.settling_s
            )

    def gaps_of(self, producer: str) -> list[Gap]:
        return self.arrivals[producer].gaps(producer)


def _each(read: ReadFrames) -> Iterable[Frame]:
    for frames in read():
        yield from frames


def _relations(read: ReadFrames, *, parts: int) -> defaultdict[str, Relations]:
    """Compare all spans, one part after another."""
    total: defaultdict[str, Relations] = defaultdict(Relations)
    for part in range(parts):
        identities = Identities(part=part, parts=parts)
        for frame in _each(read):
            identities.read(frame)
        for producer, found in identities.relations().items():
            total[producer].add(found)
    return total


def _producer(
    name: str, first: _FirstReading, found: Relations, silences: Sequence[Gap]
) -> ProducerCompleteness:
    arrivals = first.arrivals[name]
    quiet = [gap for gap in silences if gap.producer == name]
    return ProducerCompleteness(
        producer=name,
        spans=arrivals.spans,
        duplicates=found.duplicates,
        conflicts=found.conflicts.count,
        numbered=arrivals.numbered,
        instances=arrivals.instances,
        holes=arrivals.holes,
        exact=arrivals.exact,
        dropped=first.counters.lost(name),
        local_children=found.local_children,
        orphans=found.orphans.count,
        remote_unseen=found.remote_unseen,
        silences=len(quiet),
        skewed=arrivals.ahead.count + arrivals.early.count,
    )


def _related(producer: str, found: Relations) -> list[Gap]:
    gaps = []
    if found.orphans.count:
        detail = (
            f"the parents of {found.orphans.count} spans, of the same process, never"
            " came"
        )
        gaps.append(found.orphans.gap(producer, "orphan-parent", detail))
    if found.conflicts.count:
        detail = (
            f"{found.conflicts.count} spans came again with the same trace and span id"
            " but other contents; all are kept, and the one that began first is judged"
        )
        gaps.append(found.conflicts.gap(producer, "conflict", detail))
    return gaps


def _listed(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    kinds: dict[tuple[str, str], list[Gap]] = {}
    for gap in gaps:
        kinds.setdefault((gap.producer, gap.reason), []).append(gap)
    listed: list[Gap] = []
    for kind in kinds.values():
        listed.extend(kind[:LISTED])
        if rest := kind[LISTED:]:
            listed.append(_rest(rest))
    return tuple(listed)


def _rest(gaps: Sequence[Gap]) -> Gap:
    counts = [gap.count for gap in gaps if gap.count is not None]
    return Gap(
        producer=gaps[0].producer,
        reason=gaps[0].reason,
        detail=f"{len(gaps)} more like these",
        count=sum(counts) if counts else None,
        since=min((gap.since for gap in gaps if gap.since), default=None),
        until=max((gap.until for gap in gaps if gap.until), default=None),
    )
