"""Merkle tree hashes and proofs.

Rules of this module, all from RFC 6962, section 2.1 (proof verification after RFC 9162,
sections 2.1.3.2 and 2.1.4.2):

* A leaf hashes as SHA-256(0x00 || data), a node as SHA-256(0x01 || left || right).
* The tree over n > 1 leaves splits at the largest power of two below n.
* The hash of the empty tree is SHA-256 of nothing.
* A proof that has one step too many or too few does not verify.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from sandbox.errors import EvidenceError

RootOf = Callable[[int, int], bytes]
"""The root over the leaves from a first one up to, not including, an end."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaves given as data."""
    return root_of_hashes([leaf_hash(leaf) for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaves given as leaf hashes."""
    level = list(hashes)
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = pair_hashes(level) + odd
    return level[0]


def pair_hashes(row: Sequence[bytes]) -> list[bytes]:
    """Return the hash of every two hashes of a row; an odd last one is left out."""
    # Written out: calling `node_hash` takes as long as the hash itself.
    sha, pairs = hashlib.sha256, zip(row[::2], row[1::2], strict=False)
    return [sha(b"\x01" + left + right).digest() for left, right in pairs]


class _Subtrees:
    """Roots of ranges of leaves; each is computed once."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self._hashes = hashes
        self._roots: dict[tuple[int, int], bytes] = {}

    def root(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self._hashes[start]
        known = self._roots.get((start, end))
        if known is None:
            middle = start + split(end - start)
            known = node_hash(self.root(start, middle), self.root(middle, end))
            self._roots[start, end] = known
        return known


def split(size: int) -> int:
    """Return how many leaves the left half of a tree of `size` > 1 leaves has."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree over `hashes`.

    Raises:
        EvidenceError: There is no such leaf.
    """
    return inclusion_proofs([index], hashes)[0]


def inclusion_proofs(
    indexes: Iterable[int], hashes: Sequence[bytes]
) -> list[list[bytes]]:
    """Return the proofs of several leaves; inner nodes are hashed only once.

    Raises:
        EvidenceError: There is no such leaf.
    """
    trees = _Subtrees(hashes)
    return [inclusion_path(index, len(hashes), trees.root) for index in indexes]


def inclusion_path(index: int, size: int, root: RootOf) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of `size` leaves.

    Args:
        index: The leaf's place, from 0.
        size: Leaves of the tree.
        root: Gives the root of any subtree of it.

    Raises:
        EvidenceError: There is no such leaf.
    """
    if not 0 <= index < size:
        raise EvidenceError(f"there is no leaf {index} in a tree of {size} leaves")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(root(middle, end))
            end = middle
        else:
            path.append(root(start, middle))
            start = middle
    return path[::-1]


def consistency_proof(old: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Return the proof that the tree over the first `old` leaves grew into this one.

    Raises:
        EvidenceError: The tree has fewer leaves than that.
    """
    return consistency_path(old, len(hashes), _Subtrees(hashes).root)


def consistency_path(old: int, size: int, root: RootOf) -> list[bytes]:
    """Return the proof that a tree of `old` leaves grew into the one of `size`.

    Args:
        old: Leaves of the earlier tree.
        size: Leaves of the later tree.
        root: Gives the root of any subtree of the later tree.

    Raises:
        EvidenceError: The later tree has fewer leaves than that.
    """
    if not 0 <= old <= size:
        raise EvidenceError(f"a tree of {size} leaves never had {old} of them")
    if old in (0, size):
        return []
    proof: list[bytes] = []
    start, end, whole = 0, size, True
    while old != end:
        middle = start + split(end - start)
        if old <= middle:
            proof.append(root(middle, end))
            end = middle
        else:
            proof.append(root(start, middle))
            start, whole = middle, False
    return ([] if whole else [root(start, end)]) + proof[::-1]


def verify_inclusion(
    *, leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf stands at `index` of the tree with that root.

    Args:
        leaf_hash: The leaf's hash, computed by the one who checks.
        index: Its place, from 0.
        size: Leaves of the tree.
        proof: Sibling hashes from the leaf upwards.
        root: Root of the tree.

    Raises:
        EvidenceError: The proof does not lead to the root.
    """
    if not 0 <= index < size:
        raise EvidenceError(f"there is no leaf {index} in a tree of {size} leaves")
    place, last, computed = index, size - 1, leaf_hash
    for step in proof:
        if last == 0:
            raise EvidenceError(f"the proof of leaf {index} is too long")
        if place % 2 or place == last:
            computed = node_hash(step, computed)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            computed = node_hash(computed, step)
        place, last = place >> 1, last >> 1
    if last or computed != root:
        raise EvidenceError(f"the proof of leaf {index} does not lead to the root")


def verify_consistency(
    *,
    old_size: int,
    new_size: int,
    proof: Sequence[bytes],
    old_root: bytes,
    new_root: bytes,
) -> None:
    """Check that the tree with `new_root` continues the one with `old_root`.

    Raises:
        EvidenceError: It does not, or the proof does not show it.
    """
    if old_size in (0, new_size):
        _check_trivial(old_size, proof, old_root, new_root)
        return
    if not 0 < old_size < new_size or not proof:
        raise EvidenceError(f"nothing shows that {old_size} leaves became {new_size}")
    steps = list(proof)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    if _climb(old_size, new_size, steps) != (old_root, new_root):
        raise EvidenceError(
            f"the tree of {new_size} leaves does not continue the one of {old_size}"
        )


def _check_trivial(
    old_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    expected = new_root if old_size else root_of_hashes([])
    if proof or old_root != expected:
        raise EvidenceError(f"the root of {old_size} leaves is not what it must be")


def _climb(
    old_size: int, new_size: int, steps: Sequence[bytes]
) -> tuple[bytes, bytes] | None:
    place, last = old_size - 1, new_size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return None
        if place % 2 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    return None if last else (old, new)
