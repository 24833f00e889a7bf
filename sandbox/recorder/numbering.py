"""Which numbers of a producer's instance came, and which did not.

Rules of this module:

* Numbers come in any order and more than once; only ranges of those that came are
  kept, so an unbroken run takes the place of one number, however long it is.
* At most `MOST_RANGES` ranges are kept of an instance. Beyond that the two lowest
  become one: the hole between them stays counted, and a number that still comes out of
  it can no longer be told from a repetition. Then the count is a limit from above.
* Missing are the numbers from 1 up to the highest that came. Nothing can be said of
  numbers above it.
"""

from __future__ import annotations

from bisect import bisect_right

MOST_RANGES = 1024


class Numbers:
    """The numbers of one instance.

    Args:
        most_ranges: How many ranges are kept apart, at least 1.
    """

    def __init__(self, *, most_ranges: int = MOST_RANGES) -> None:
        self._most = most_ranges
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._distinct = 0
        self._joined = False
        self.exact = True
        """False: `missing` is a limit from above."""

    @property
    def highest(self) -> int:
        """The highest number that came; 0 before the first."""
        return self._ends[-1] if self._ends else 0

    @property
    def missing(self) -> int:
        """How many numbers below the highest did not come."""
        return self.highest - self._distinct

    def add(self, number: int) -> None:
        """Take in a number from 1."""
        place = bisect_right(self._starts, number)
        if place and number <= self._ends[place - 1]:
            # Of two ranges that were joined, a number in between may be new.
            self.exact = self.exact and not (self._joined and place == 1)
            return
        self._distinct += 1
        self._insert(place, number)
        if len(self._starts) > self._most:
            del self._starts[1], self._ends[0]
            self._joined = True

    def _insert(self, place: int, number: int) -> None:
        after = place > 0 and self._ends[place - 1] == number - 1
        before = place < len(self._starts) and self._starts[place] == number + 1
        if after and before:
            del self._ends[place - 1], self._starts[place]
        elif after:
            self._ends[place - 1] = number
        elif before:
            self._starts[place] = number
        else:
            self._starts.insert(place, number)
            self._ends.insert(place, number)

    def holes(self) -> list[tuple[int, int]]:
        """Return the ranges that did not come, as (first, last), lowest first.

        Holes between ranges that were joined are counted but no longer known.
        """
        ends = [0, *self._ends]
        return [
            (end + 1, start - 1)
            for end, start in zip(ends, self._starts, strict=False)
            if end + 1 < start
        ]
