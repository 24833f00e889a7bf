"""The tree from few stored hashes says what the obvious functions say."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.evidence.hashtree import FullHash, HashTree, full_hashes
from sandbox.evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of_hashes,
)

LARGEST = 70_000
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(LARGEST)]


class Shelf:
    """Stored hashes in memory; counts what is read."""

    def __init__(self, size: int) -> None:
        self.levels: dict[int, list[bytes]] = {0: LEAVES[:size]}
        self.reads: list[tuple[int, int, int]] = []
        for full in full_hashes(self.read, old=0, new=size):
            self.add(full)
        self.reads.clear()

    def add(self, full: FullHash) -> None:
        row = self.levels.setdefault(full.level, [])
        assert full.number == len(row)
        row.append(full.hash)

    def read(self, level: int, start: int, end: int) -> Sequence[bytes]:
        self.reads.append((level, start, end))
        return self.levels.get(level, [])[start:end]


SHELF = Shelf(LARGEST)


def test_every_small_root() -> None:
    """The root of every size up to 600 is that over all its leaves."""
    for size in range(601):
        tree = HashTree(SHELF.read, size)
        assert tree.root() == root_of_hashes(LEAVES[:size])


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 511, 512, 513, 600])
def test_every_proof_of_small_trees(size: int) -> None:
    """Each proof, of every leaf and from every earlier size, is the obvious one."""
    tree, leaves = HashTree(SHELF.read, size), LEAVES[:size]
    for index in range(size):
        assert tree.inclusion_proof(index) == inclusion_proof(index, leaves)
    for old in range(size + 1):
        assert tree.consistency_proof(old) == consistency_proof(old, leaves)
        assert tree.root(old) == root_of_hashes(leaves[:old])


places = st.integers(0, LARGEST)


@given(places.filter(bool), places, places)
@settings(max_examples=12, deadline=None)
def test_proofs_of_any_size(size: int, index: int, old: int) -> None:
    """In trees of up to three levels, proofs and roots are the obvious ones."""
    tree, leaves = HashTree(SHELF.read, size), LEAVES[:size]
    index, old = index % size, old % (size + 1)
    assert tree.root() == root_of_hashes(leaves)
    assert tree.inclusion_proof(index) == inclusion_proof(index, leaves)
    assert tree.consistency_proof(old) == consistency_proof(old, leaves)


@given(st.lists(st.integers(0, 40_000), max_size=6))
@settings(max_examples=12, deadline=None)
def test_growing_in_any_steps(steps: list[int]) -> None:
    """However a log grew, what is stored is the same."""
    sizes = [0, *sorted(steps)]
    grown = Shelf(0)
    for old, new in zip(sizes, sizes[1:], strict=False):
        grown.levels[0] = LEAVES[:new]
        for full in full_hashes(grown.read, old=old, new=new):
            grown.add(full)
    assert grown.levels == Shelf(sizes[-1]).levels


def test_few_hashes_are_read() -> None:
    """A proof reads at most two runs of 256 on each of the three levels, once."""
    for place in random.Random(7).sample(range(LARGEST), 20):
        for ask in (HashTree.inclusion_proof, HashTree.consistency_proof):
            SHELF.reads.clear()
            ask(HashTree(SHELF.read, LARGEST), place)
            assert len(SHELF.reads) == len(set(SHELF.reads)) <= 6
            assert all(end - start <= 256 for _, start, end in SHELF.reads)


@pytest.mark.parametrize("index", [-1, 600, 601])
def test_no_such_leaf(index: int) -> None:
    """A leaf beyond the tree has no proof, though it is stored."""
    tree = HashTree(SHELF.read, 600)
    with pytest.raises(EvidenceError, match=f"no leaf {index}"):
        tree.inclusion_proof(index)


@pytest.mark.parametrize("old", [-1, 601])
def test_no_such_size(old: int) -> None:
    """A tree never had more leaves than it has."""
    tree = HashTree(SHELF.read, 600)
    for ask in (tree.root, tree.consistency_proof):
        with pytest.raises(EvidenceError, match="never had"):
            ask(old)


@pytest.mark.parametrize(("level", "number"), [(0, 300), (1, 1), (2, 0)])
def test_a_wrong_hash_is_found_on_the_way(level: int, number: int) -> None:
    """No proof is made through a full run whose stored hash is another."""
    shelf = Shelf(LARGEST)
    shelf.levels[level][number] = bytes(32)
    with pytest.raises(EvidenceError, match="log --check"):
        HashTree(shelf.read, LARGEST).inclusion_proof(301)


@pytest.mark.parametrize(("level", "number"), [(0, 300), (1, 1), (2, 0)])
def test_a_missing_hash_is_found(level: int, number: int) -> None:
    """Where fewer are stored than the size asks for, nothing is proven."""
    shelf = Shelf(LARGEST)
    del shelf.levels[level][number:]
    with pytest.raises(EvidenceError, match="are missing"):
        HashTree(shelf.read, LARGEST).inclusion_proof(301)


def test_new_hashes_are_checked() -> None:
    """What came since an earlier size is compared with the leaves under it."""
    shelf = Shelf(2000)
    shelf.levels[1][4] = bytes(32)
    tree = HashTree(shelf.read, 2000)
    tree.check_since(1280)
    with pytest.raises(EvidenceError, match="entries 1024 to 1279"):
        tree.check_since(1279)
