"""Merkle trees: known vectors of RFC 6962, and every small tree and proof."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    root_hash,
    root_of_hashes,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves of the test vectors of Certificate Transparency implementations.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    halves = naive_root(leaves[:split]) + naive_root(leaves[split:])
    return hashlib.sha256(b"\1" + halves).digest()


def tree(size: int) -> list[bytes]:
    return [leaf_hash(bytes([number])) for number in range(size)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_known_ones(size: int) -> None:
    """Trees of 0 to 8 leaves have the published roots."""
    assert root_hash(LEAVES[:size]).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    """The level-by-level computation equals the recursive definition."""
    assert root_hash(leaves) == naive_root(leaves)


@pytest.mark.parametrize("size", range(1, 41))
def test_every_leaf_is_proven_and_no_other_place_is(size: int) -> None:
    """Each proof verifies at its place only, and not with any step changed."""
    hashes = tree(size)
    root = root_of_hashes(hashes)
    proofs = inclusion_proofs(range(size), hashes)
    for index, proof in enumerate(proofs):
        assert proof == inclusion_proof(index, hashes)
        asked = {"leaf_hash": hashes[index], "size": size, "root": root}
        verify_inclusion(index=index, proof=proof, **asked)
        for other in set(range(-1, size + 1)) - {index}:
            with pytest.raises(EvidenceError):
                verify_inclusion(index=other, proof=proof, **asked)
        for wrong in (*_changed(proof), [*proof, root]):
            with pytest.raises(EvidenceError):
                verify_inclusion(index=index, proof=wrong, **asked)


def _changed(proof: list[bytes]) -> list[list[bytes]]:
    changed = [proof[:-1]] if proof else []
    for place, step in enumerate(proof):
        flipped = bytes([step[0] ^ 1]) + step[1:]
        changed.append([*proof[:place], flipped, *proof[place + 1 :]])
    return changed


@pytest.mark.parametrize("size", range(1, 41))
def test_every_earlier_tree_is_shown_to_be_continued(size: int) -> None:
    """Each proof verifies for its sizes and roots, and for no changed step or root."""
    hashes = tree(size)
    new_root = root_of_hashes(hashes)
    for old in range(size + 1):
        proof = consistency_proof(old, hashes)
        old_root = root_of_hashes(hashes[:old])
        asked = {"old_size": old, "new_size": size, "new_root": new_root}
        verify_consistency(proof=proof, old_root=old_root, **asked)
        for wrong in (*_changed(proof), [*proof, new_root]):
            with pytest.raises(EvidenceError):
                verify_consistency(proof=wrong, old_root=old_root, **asked)
        with pytest.raises(EvidenceError):
            verify_consistency(proof=proof, old_root=b"\0" * 32, **asked)


def test_a_rewritten_log_is_not_a_continuation() -> None:
    """One changed old leaf makes every proof fail."""
    old, new = tree(5), tree(9)
    new[2] = leaf_hash(b"rewritten")
    with pytest.raises(EvidenceError, match="does not continue"):
        verify_consistency(
            old_size=5,
            new_size=9,
            proof=consistency_proof(5, new),
            old_root=root_of_hashes(old),
            new_root=root_of_hashes(new),
        )


def test_what_cannot_be_proven_is_refused() -> None:
    """No leaf beyond the tree, no tree larger than the log, no shrinking."""
    with pytest.raises(EvidenceError, match="no leaf 3"):
        inclusion_proof(3, tree(3))
    with pytest.raises(EvidenceError, match="never had 4"):
        consistency_proof(4, tree(3))
    with pytest.raises(EvidenceError):
        verify_consistency(
            old_size=4,
            new_size=3,
            proof=[b"\0" * 32],
            old_root=root_of_hashes(tree(4)),
            new_root=root_of_hashes(tree(3)),
        )
