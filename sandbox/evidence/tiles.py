"""The log as static files that any C2SP client can read.

Rules of this module (C2SP tlog-tiles):

* `tile/<L>/<N>` holds 256 hashes of level L; the last one may hold fewer and is then
  called `tile/<L>/<N>.p/<W>`. Only full tiles are hashed into the level above.
* `tile/entries/<N>` holds the entries under `tile/0/<N>`, each after its length
  as a big-endian uint16; so no entry can have more than 65,535 bytes.
* N is written in groups of three digits; all but the last begin with `x`.
* From leaves to files: nothing is read and nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sandbox.errors import EvidenceError
from sandbox.evidence.merkle import leaf_hash, root_of_hashes

WIDTH = 256
"""Hashes of a full tile."""
LARGEST_ENTRY = 0xFFFF
"""Bytes of the largest entry that a file of entries can hold."""

Files = Iterator[tuple[str, bytes]]
"""Files by their name under the log's folder, with their content."""


def log_files(checkpoint: bytes, leaves: Sequence[bytes]) -> Files:
    """Yield every file of a log: tiles, entries, and the checkpoint last.

    Args:
        checkpoint: The signed note over exactly these leaves.
        leaves: The data of every leaf, in order.

    Raises:
        EvidenceError: An entry is too large; nothing has been yielded before.
    """
    for index, leaf in enumerate(leaves):
        if len(leaf) > LARGEST_ENTRY:
            raise EvidenceError(
                f"entry {index} of the log has {len(leaf)} bytes; a file of entries "
                f"holds at most {LARGEST_ENTRY} (C2SP tlog-tiles): export the tiles "
                "without the entries, and hand this one over in a bundle"
            )
    yield from entry_files(leaves)
    yield from hash_files([leaf_hash(leaf) for leaf in leaves])
    yield "checkpoint", checkpoint


def hash_files(hashes: Sequence[bytes]) -> Files:
    """Yield the tiles of the tree over leaf hashes, level by level.

    Args:
        hashes: RFC 6962 leaf hashes, 32 bytes each.
    """
    level, row = 0, list(hashes)
    while row:
        for number, tile in _tiles(row):
            yield tile_name(str(level), number, len(tile)), b"".join(tile)
        full = len(row) // WIDTH
        row = [root_of_hashes(row[at * WIDTH : (at + 1) * WIDTH]) for at in range(full)]
        level += 1


def entry_files(leaves: Sequence[bytes]) -> Files:
    """Yield the files of entries.

    Args:
        leaves: The data of every leaf, each at most `LARGEST_ENTRY` bytes.
    """
    for number, bundle in _tiles(leaves):
        data = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in bundle)
        yield tile_name("entries", number, len(bundle)), data


def tile_name(level: str, number: int, width: int) -> str:
    """Return the name of a tile or of a file of entries.

    Args:
        level: The level in decimal, or `entries`.
        number: Index of the tile within the level, from 0.
        width: Hashes or entries in it, 1 to 256; fewer than 256 make it partial.
    """
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def _tiles(row: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    for number, start in enumerate(range(0, len(row), WIDTH)):
        yield number, row[start : start + WIDTH]
