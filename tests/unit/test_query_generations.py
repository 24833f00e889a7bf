"""Which segments share a derived file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.query import Range, wanted_files

trials = st.dictionaries(st.integers(1, 90), st.integers(0, 100), max_size=90)


@given(trials, st.integers(1, 500))
def test_every_segment_once(spans: dict[int, int], most: int) -> None:
    """Every sealed segment is in exactly one file, and no other is."""
    files = wanted_files(spans, most=most)
    numbers = [n for file in files for n in range(file.first, file.last + 1)]
    assert numbers == sorted(spans)


@given(trials, st.integers(1, 500))
def test_no_file_too_large(spans: dict[int, int], most: int) -> None:
    """Several segments share a file only if memory bears their spans together."""
    for file in wanted_files(spans, most=most):
        total = sum(spans[n] for n in range(file.first, file.last + 1))
        assert file.first == file.last or total <= most


def test_growing() -> None:
    """As segments are added, files are joined four by four and never split."""
    seen: list[list[Range]] = [
        wanted_files(dict.fromkeys(range(1, count + 1), 1)) for count in range(1, 70)
    ]
    assert seen[2] == [Range(1, 1), Range(2, 2), Range(3, 3)]
    assert seen[3] == [Range(1, 4)]
    assert seen[15] == [Range(1, 16)]
    assert seen[68] == [Range(1, 64), Range(65, 68), Range(69, 69)]
    assert max(len(files) for files in seen) <= 10


def test_a_hole() -> None:
    """A segment that is not sealed yet keeps its neighbours apart."""
    assert wanted_files({1: 1, 2: 1, 4: 1}) == [Range(1, 1), Range(2, 2), Range(4, 4)]
