"""Which segments share a derived file, so that a long trial is not thousands of files.

Rules of this module:

* A file holds one segment, or 4, 16, 64, … neighbours that begin at a multiple of their
  number: which they are follows from the sealed segments alone, so that every process
  wants the same files.
* A file of several segments holds no more spans than memory bears to sort. Segments
  that are larger stay alone.
* Only sealed segments without a hole between them share a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

MERGED_SPANS = 400_000
"""The most spans that a file of several segments holds."""
_FACTOR = 4
_LARGEST = 4**8


class Range(NamedTuple):
    """Neighbouring segments, both ends included."""

    first: int
    last: int


def wanted_files(spans: Mapping[int, int], *, most: int = MERGED_SPANS) -> list[Range]:
    """Return which segments are to share a file, in order of their numbers.

    Args:
        spans: Spans of each sealed segment, by its number, from 1.
        most: The most spans that several segments may have together.
    """
    wanted: list[Range] = []
    for number in sorted(spans):
        if not wanted or number > wanted[-1].last:
            wanted.append(_widest(number, spans, most))
    return wanted


def _widest(number: int, spans: Mapping[int, int], most: int) -> Range:
    for size in _sizes():
        block = range(number, number + size)
        aligned = (number - 1) % size == 0
        if aligned and all(item in spans for item in block):
            if sum(spans[item] for item in block) <= most:
                return Range(number, number + size - 1)
    return Range(number, number)


def _sizes() -> Iterator[int]:
    size = _LARGEST
    while size > 1:
        yield size
        size //= _FACTOR
