"""Tiles: the static files are those of C2SP tlog-tiles, and suffice for every proof."""

from __future__ import annotations

import hashlib

import pytest

from sandbox.errors import EvidenceError
from sandbox.evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    root_of_hashes,
    verify_consistency,
    verify_inclusion,
)
from sandbox.evidence.tiles import entry_files, hash_files, log_files, tile_name

SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000]
HASHES = [hashlib.sha256(b"%d" % number).digest() for number in range(70_000)]


class Client:
    """Reads nothing but tiles: a reader of the specification, sharing no code."""

    def __init__(self, files: dict[str, bytes], size: int) -> None:
        self.files = files
        self.size = size
        self.read: set[str] = set()

    def stored(self, level: int, index: int) -> bytes:
        """Return hash `index` of tile level `level`."""
        number, place = divmod(index, 256)
        width = min(256, self.size // 256**level - number * 256)
        path = "/".join(
            ("x" if rest else "") + f"{number // 1000**rest % 1000:03d}"
            for rest in (2, 1, 0)
            if rest == 0 or number >= 1000**rest
        )
        name = f"tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")
        self.read.add(name)
        return self.files[name][place * 32 : place * 32 + 32]

    def node(self, start: int, end: int) -> bytes:
        """Return the hash of the tree over leaves `start` to `end` (RFC 6962, 2.1)."""
        length = end - start
        level = (length.bit_length() - 1) // 8
        if length == 256**level:
            return self.stored(level, start // length)
        split = 1 << ((length - 1).bit_length() - 1)
        left, right = self.node(start, start + split), self.node(start + split, end)
        return hashlib.sha256(b"\1" + left + right).digest()

    def inclusion(self, index: int) -> list[bytes]:
        """Return the audit path of a leaf (RFC 6962, 2.1.1), from tiles alone."""
        path, start, end = [], 0, self.size
        while end - start > 1:
            split = start + (1 << ((end - start - 1).bit_length() - 1))
            inside, outside = (start, split), (split, end)
            if index >= split:
                inside, outside = outside, inside
            path.insert(0, self.node(*outside))
            start, end = inside
        return path

    def consistency(self, old: int) -> list[bytes]:
        """Return the consistency proof from `old` (RFC 6962, 2.1.2), likewise."""
        return self.subproof(old, 0, self.size, whole=True)

    def subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        """SUBPROOF of RFC 6962, word by word."""
        if old == end:
            return [] if whole else [self.node(start, end)]
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old <= split:
            return [
                *self.subproof(old, start, split, whole=whole),
                self.node(split, end),
            ]
        return [
            *self.subproof(old, split, end, whole=False),
            self.node(start, split),
        ]


@pytest.mark.parametrize("size", SIZES)
def test_every_file_is_where_and_as_long_as_the_specification_says(size: int) -> None:
    """Full tiles of 256 hashes, at most one partial tile a level, no empty one."""
    files = dict(hash_files(HASHES[:size]))
    wanted, level = {}, 0
    while count := size // 256**level:
        wanted |= {tile_name(str(level), n, 256): 8192 for n in range(count // 256)}
        if rest := count % 256:
            wanted[tile_name(str(level), count // 256, rest)] = rest * 32
        level += 1
    assert {name: len(data) for name, data in files.items()} == wanted


def test_the_example_sizes_of_the_specification() -> None:
    """70,000 leaves and 256 leaves, as the section on partial tiles counts them."""
    names = set(dict(hash_files(HASHES)))
    assert len([name for name in names if name.startswith("tile/0/")]) == 274
    assert {name for name in names if not name.startswith("tile/0/")} == {
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    }
    assert "tile/0/273.p/112" in names
    assert set(dict(hash_files(HASHES[:256]))) == {"tile/0/000", "tile/1/000.p/1"}


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "tile/0/000"),
        (999, "tile/0/999"),
        (1000, "tile/0/x001/000"),
        (1234067, "tile/0/x001/x234/067"),
        (1000000, "tile/0/x001/x000/000"),
    ],
)
def test_long_numbers_are_written_in_groups(number: int, name: str) -> None:
    """1234067 is the specification's own example."""
    assert tile_name("0", number, 256) == name


@pytest.mark.parametrize("size", [size for size in SIZES if size])
def test_proofs_made_from_tiles_alone_are_the_proofs_of_the_log(size: int) -> None:
    """Root, inclusion and consistency, computed by a client that sees only tiles."""
    files = dict(hash_files(HASHES[:size]))
    client = Client(files, size)
    root = root_of_hashes(HASHES[:size])
    assert client.node(0, size) == root
    for index in sorted({0, 1, 255, 256, size // 2, size - 1} & set(range(size))):
        path = client.inclusion(index)
        assert path == inclusion_proof(index, HASHES[:size])
        leaf = client.stored(0, index)
        verify_inclusion(leaf_hash=leaf, index=index, size=size, proof=path, root=root)
    for old in sorted({1, 255, 256, 257, size // 2, size} & set(range(1, size + 1))):
        proof = client.consistency(old)
        assert proof == consistency_proof(old, HASHES[:size])
        before = root_of_hashes(HASHES[:old])
        verify_consistency(
            old_size=old, new_size=size, proof=proof, old_root=before, new_root=root
        )
    assert client.read <= set(files)


def test_entries_come_back_and_hash_to_their_tile() -> None:
    """Length and bytes of each, also of an empty one and of the largest."""
    leaves = [b"", b"x" * 65_535, *(b"%d" % number for number in range(300))]
    files = dict(log_files(b"note", leaves))
    assert files["checkpoint"] == b"note"
    assert {name for name in files if "entries" in name} == {
        "tile/entries/000",
        "tile/entries/001.p/46",
    }
    read, hashes = [], b""
    for name, data in entry_files(leaves):
        position, first = 0, len(read)
        while position < len(data):
            length = int.from_bytes(data[position : position + 2], "big")
            read.append(data[position + 2 : position + 2 + length])
            position += 2 + length
        hashes = b"".join(
            hashlib.sha256(b"\0" + leaf).digest() for leaf in read[first:]
        )
        assert files[name.replace("entries", "0")] == hashes
    assert read == leaves


def test_a_log_without_entries_is_a_checkpoint_alone() -> None:
    """Empty tiles must not be served."""
    assert dict(log_files(b"note", [])) == {"checkpoint": b"note"}


def test_an_entry_too_large_is_refused_before_any_file() -> None:
    """A uint16 cannot carry its length; the error names the entry."""
    files = log_files(b"note", [b"small", b"x" * 65_536])
    with pytest.raises(EvidenceError, match="entry 1 of the log has 65536 bytes"):
        next(files)
