"""Roots and proofs of a long log from a few stored hashes.

Rules of this module:

* Stored are the leaf hashes, and the hash over every 256 hashes of a level that are
  full: level 1 stands for 256 leaves each, level 2 for 65,536, and so on (RFC 6962
  hashing; the levels of C2SP tlog-tiles). A full hash never changes, so nothing stored
  is ever changed.
* A root or a proof reads at most two runs of 256 hashes on each level, whatever the
  length of the log.
* What is stored above the leaves is a copy of what follows from them, and is not
  believed: every full run that is read is hashed and compared with the hash stored for
  it, up to the top.
* Nothing is read and nothing is written here: a `ReadHashes` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.merkle import (
    consistency_path,
    inclusion_path,
    node_hash,
    pair_hashes,
    root_of_hashes,
    split,
)
from sandbox.evidence.tiles import WIDTH

ReadHashes = Callable[[int, int, int], Sequence[bytes]]
"""Returns the hashes of a level from a first number up to, not including, an end."""


class FullHash(NamedTuple):
    """The hash over 256 hashes of the level below."""

    level: int
    """From 1: it stands for 256 ** level leaves."""
    number: int
    """Its place on the level, from 0."""
    hash: bytes


class HashTree:
    """The tree over the first entries of a log.

    What was read is remembered, so that many proofs of one tree read little more than
    one. No error but `EvidenceError` comes from here; `read` may raise its own.

    Args:
        read: Reads stored hashes.
        size: Leaves of the tree; what is stored beyond is not looked at.
    """

    def __init__(self, read: ReadHashes, size: int) -> None:
        self._read = read
        self.size = size
        self._runs: dict[tuple[int, int], _Run] = {}
        self._roots: dict[tuple[int, int], bytes] = {}

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves; over all when None.

        Raises:
            EvidenceError: There are fewer leaves, or a stored hash is wrong.
        """
        end = self.size if size is None else size
        if not 0 <= end <= self.size:
            raise EvidenceError(f"a tree of {self.size} leaves never had {end} of them")
        return self._root(0, end) if end else root_of_hashes([])

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Return the proof that leaf `index` is in the tree.

        Raises:
            EvidenceError: There is no such leaf, or a stored hash is wrong.
        """
        return inclusion_path(index, self.size, self._root)

    def consistency_proof(self, old: int) -> list[bytes]:
        """Return the proof that the tree over the first `old` leaves grew into this.

        Raises:
            EvidenceError: There are fewer leaves, or a stored hash is wrong.
        """
        return consistency_path(old, self.size, self._root)

    def check_since(self, old: int) -> None:
        """Check the hashes stored for leaves that came after the first `old`.

        Takes time in proportion to the leaves that came.

        Raises:
            EvidenceError: A stored hash is wrong.
        """
        for number in range(old // WIDTH, self.size // WIDTH):
            self._run(0, number)

    def _root(self, start: int, end: int) -> bytes:
        known = self._roots.get((start, end))
        if known is None:
            known = self._roots[start, end] = self._compute(start, end)
        return known

    def _compute(self, start: int, end: int) -> bytes:
        # Every subtree that RFC 6962 names begins at a multiple of its own width.
        length, level, width = end - start, 0, 1
        while width * WIDTH <= length:
            level, width = level + 1, width * WIDTH
        if length & (length - 1) == 0:
            number, at = divmod(start // width, WIDTH)
            return self._run(level, number).over(at, length // width)
        middle = start + split(length)
        return node_hash(self._root(start, middle), self._root(middle, end))

    def _run(self, level: int, number: int) -> _Run:
        """Return up to 256 hashes of a level, checked where a hash over them exists."""
        run = self._runs.get((level, number))
        if run is None:
            start = number * WIDTH
            end = min(start + WIDTH, self.size // WIDTH**level)
            hashes = self._read(level, start, end)
            if len(hashes) != end - start:
                raise _wrong(level, start, "hashes of it are missing")
            run = self._runs[level, number] = _Run(hashes)
            if len(hashes) == WIDTH:
                self._check(level, number, run)
        return run

    def _check(self, level: int, number: int, run: _Run) -> None:
        above, at = divmod(number, WIDTH)
        if self._run(level + 1, above).over(at, 1) != run.over(0, WIDTH):
            raise _wrong(level, number * WIDTH, "the hash stored over it is another")


class _Run:
    """Up to 256 hashes of a level, and those over two, four, eight … of them."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self._rows = [hashes]
        while len(self._rows[-1]) > 1:
            self._rows.append(pair_hashes(self._rows[-1]))

    def over(self, at: int, count: int) -> bytes:
        """Return the hash over `count` of them, a power of two that divides `at`."""
        return self._rows[count.bit_length() - 1][at // count]


def full_hashes(read: ReadHashes, *, old: int, new: int) -> Iterator[FullHash]:
    """Yield the hashes that became full when a log grew, lowest level first.

    Each must be readable through `read` once it was yielded.

    Args:
        read: Reads stored hashes, the new leaf hashes among them.
        old: Leaves before.
        new: Leaves now.
    """
    level, width = 1, WIDTH
    while new // width > 0:
        for number in range(old // width, new // width):
            below = read(level - 1, number * WIDTH, (number + 1) * WIDTH)
            yield FullHash(level, number, root_of_hashes(below))
        level, width = level + 1, width * WIDTH


def _wrong(level: int, start: int, what: str) -> EvidenceError:
    first = start * WIDTH**level
    last = first + WIDTH ** (level + 1) - 1
    return EvidenceError(
        f"the stored hashes of level {level} of the log, of entries {first} to {last}, "
        f"cannot be relied on: {what}; `sandbox evidence log --check` says which "
        "entries still have their hash; restore the records database from a copy"
    )
