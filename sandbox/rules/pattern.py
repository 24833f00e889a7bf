"""What does a pattern say of one span among those it belongs with?

Rules of this module:

* Spans that agree in every key of `same` make a track. A track is in order of the start
  of its spans; ties by end, then span id, then trace id. Each span stands once.
* A unit is a span for which `every` (or `of`, or with `never` and `always` nothing
  more) is true; *before* and *after* mean earlier and later in the track, and times are
  counted from start to start, both ends included; those of `per` without the far end.
* A result is true, false or neither. What would decide is missing where a predicate of
  a span that counts can be neither, where the evidence has a gap in the time in
  question, and where this time is not over.
* True and false are final: whatever may be missing could not change them. Only a span
  that comes although all were said to have come can.

The meaning is told with examples in `docs/patterns.md`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.model.pattern import Pattern
from sandbox.rules.cel import Expression, Truth
from sandbox.rules.mentions import Path

_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class Known(NamedTuple):
    """Of which times all spans are known."""

    until: int
    """Spans that start earlier have come, in nanoseconds since 1970."""
    settling: int
    """A trace in which no span started for so many nanoseconds has ended."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Stretches (first, last) in which spans may have started that never came."""

    def doubt(self, first: float, last: float) -> str:
        """Return why a span that starts from `first` to `last` may not have come."""
        if last >= self.until:
            return "the time in which a span would decide is not over"
        for begun, over in self.gaps:
            if begun <= last and over >= first:
                return (
                    "a span that would decide may be missing: the evidence has a gap "
                    f"from {_clock(begun)} to {_clock(over)} UTC"
                )
        return ""


class PatternTruth(NamedTuple):
    """What a pattern says of a unit, and what it was read from."""

    value: bool | None
    reason: str = ""
    read: dict[str, JsonValue] = {}


class Truths(NamedTuple):
    """What a predicate says of each span of a track."""

    values: tuple[Truth, ...]
    true_at: tuple[int, ...]
    """Places of the spans for which it is true."""
    unknown_at: tuple[int, ...]
    """Places of those for which it is neither."""


class CompiledPattern:
    """A pattern with its predicates compiled.

    Args:
        pattern: As written.

    Raises:
        RuleError: A predicate does not compile.
    """

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.predicates = {
            name: Expression(text) for name, text in pattern.predicates().items()
        }

    @property
    def mentions(self) -> tuple[Path, ...]:
        """Every field its predicates, times and counts read."""
        paths = [path for item in self.predicates.values() for path in item.mentions]
        paths += [("params", name) for name in self.pattern.parameters()]
        return tuple(dict.fromkeys(paths))

    @property
    def ends(self) -> bool:
        """Whether what may follow a unit ends with its track, as a trace does."""
        pattern = self.pattern
        return pattern.shape == "followed_by" and "trace" in pattern.same

    def within(self, values: Mapping[str, float]) -> int | None:
        """Return the time of `within` or `per` in nanoseconds; None without one."""
        text = self.pattern.within or self.pattern.per
        return nanoseconds(text, values) if text else None

    def most(self, values: Mapping[str, float]) -> int:
        """Return the number of times of `at_most`, rounded down."""
        given = self.pattern.at_most
        return int(values[given[7:]]) if isinstance(given, str) else given or 0


def nanoseconds(text: str, values: Mapping[str, float]) -> int:
    """Return a time of a pattern in nanoseconds.

    Args:
        text: A number with its unit, or `params.NAME`, which is in seconds.
        values: Parameters in force.
    """
    if text.startswith("params."):
        return round(values[text[7:]] * 10**9)
    number = text.rstrip("msh")
    return int(Decimal(number) * _UNITS_NS[text[len(number) :]])


class Track(NamedTuple):
    """The spans that belong together, and what predicates say of each."""

    starts: Sequence[int]
    """When each starts, in nanoseconds since 1970; ascending."""
    truths: Callable[[str], Truths]
    """Predicate of the pattern, by the name of its field → what it says."""
    last: int | None
    """When the last span of it starts; None where a track does not end by itself."""


def judge_unit(
    item: CompiledPattern,
    track: Track,
    place: int,
    values: Mapping[str, float],
    *,
    known: Known,
) -> PatternTruth | None:
    """Return what a pattern says of one span of a track; None if it is no unit.

    Args:
        item: The pattern.
        track: The spans that belong together.
        place: Which of them.
        values: Parameters in force for it.
        known: Of which times all spans are known.
    """
    shape = item.pattern.shape
    reading = _Reading(track, place, known)
    if shape == "never" or shape == "always":
        return reading.scoped(shape, is_scoped=item.pattern.between is not None)
    of = track.truths("of" if shape == "at_most" else "every").values[place]
    if of.value is False:
        return None
    if of.value is None:
        return PatternTruth(None, f"it is unknown whether it is a unit: {of.reason}")
    absent = [name for name in item.pattern.parameters() if name not in values]
    if absent:
        return PatternTruth(None, f"`{absent[0]}` has no value in force")
    within = item.within(values)
    if shape == "at_most":
        return reading.counted(item.most(values), within or 0)
    return (
        reading.preceded(within) if shape == "preceded_by" else reading.followed(within)
    )


class _Reading:
    """One unit in its track."""

    def __init__(self, track: Track, place: int, known: Known) -> None:
        self._track = track
        self._place = place
        self._known = known
        self._start = track.starts[place]

    def preceded(self, within: int | None) -> PatternTruth:
        """Look back for a span that is so."""
        truths = self._track.truths("preceded_by")
        earliest = -math.inf if within is None else self._start - within
        true, unknown = (
            self._latest(places, earliest)
            for places in (truths.true_at, truths.unknown_at)
        )
        if true is not None:
            return self._found(true)
        return self._not_found(unknown, truths, (earliest, self._start))

    def followed(self, within: int | None) -> PatternTruth:
        """Look ahead for a span that is so."""
        truths = self._track.truths("followed_by")
        latest = math.inf if within is None else self._start + within
        true, unknown = (
            self._earliest(places, latest)
            for places in (truths.true_at, truths.unknown_at)
        )
        if true is not None:
            return self._found(true)
        if self._track.last is not None:
            latest = min(latest, self._track.last + self._known.settling)
        return self._not_found(unknown, truths, (self._start, latest))

    def counted(self, most: int, within: int) -> PatternTruth:
        """Count the spans that are so, up to the unit."""
        truths = self._track.truths("of")
        first = bisect_right(self._track.starts, self._start - within)
        true, unknown = (
            bisect_right(places, self._place) - bisect_left(places, first)
            for places in (truths.true_at, truths.unknown_at)
        )
        read: dict[str, JsonValue] = {"pattern.count": true}
        if true > most:
            return PatternTruth(False, "", read)
        if true + unknown > most:
            reason = f"{unknown} more spans may count"
            return PatternTruth(None, reason, read)
        doubt = self._known.doubt(self._start - within + 1, self._start)
        return PatternTruth(None if doubt else True, doubt, read)

    def scoped(self, shape: str, *, is_scoped: bool) -> PatternTruth | None:
        """Ask of the unit itself, if its stretch is open."""
        said = self._track.truths(shape).values[self._place]
        scope = self._scope() if is_scoped else PatternTruth(True)
        if scope.value is False:
            return None
        if scope.value is None:
            return scope
        if said.value is None:
            return PatternTruth(None, said.reason)
        return PatternTruth(said.value == (shape == "always"))

    def _scope(self) -> PatternTruth:
        """Return whether the stretch is open where the unit stands.

        The last span that surely opens or closes it decides, unless one after it may,
        or a gap may hide one.
        """
        opens, closes = (
            self._track.truths(name) for name in ("between.from", "between.to")
        )
        opened, closed = (
            self._latest(item.true_at, -math.inf) for item in (opens, closes)
        )
        is_open = opened is not None and (closed is None or opened >= closed)
        decided = max(
            -1 if opened is None else opened, -1 if closed is None else closed
        )
        since = self._track.starts[decided] if decided >= 0 else -math.inf
        doubtful = closes if is_open else opens
        doubt = self._latest(doubtful.unknown_at, -math.inf)
        # A span that does both closes the stretch first and opens it again.
        if doubt is not None and (
            doubt > decided or (doubt == decided and not is_open)
        ):
            reason = doubtful.values[doubt].reason
            word = "closed" if is_open else "opened"
            return PatternTruth(None, f"it may be {word} before: {reason}")
        lost = self._known.doubt(since, self._start)
        return PatternTruth(None if lost else is_open, lost)

    def _latest(self, places: Sequence[int], earliest: float) -> int | None:
        """Return the last of the places before the unit, not earlier than a time."""
        number = bisect_left(places, self._place)
        if not number or self._track.starts[places[number - 1]] < earliest:
            return None
        return places[number - 1]

    def _earliest(self, places: Sequence[int], latest: float) -> int | None:
        """Return the first of the places after the unit, not later than a time."""
        number = bisect_right(places, self._place)
        if number == len(places) or self._track.starts[places[number]] > latest:
            return None
        return places[number]

    def _found(self, place: int) -> PatternTruth:
        distance = abs(self._track.starts[place] - self._start) / 1e9
        return PatternTruth(True, "", {"pattern.distance_s": distance})

    def _not_found(
        self, unknown: int | None, truths: Truths, stretch: tuple[float, float]
    ) -> PatternTruth:
        if unknown is not None:
            return PatternTruth(None, truths.values[unknown].reason)
        doubt = self._known.doubt(*stretch)
        return PatternTruth(None if doubt else False, doubt)


def _clock(unix_nano: int) -> str:
    return f"{datetime.fromtimestamp(unix_nano / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
