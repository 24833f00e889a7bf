"""What is kept beside a closed segment: its size, and the number of its last frame.

Rules of this module:

* A segment that was cut between two frames looks whole, so its end is written down
  apart from it, before it is closed.
* The note has a fixed size: rewritten in place it needs no room on the disk.
* CRC-32C covers the rest; a note that does not fit it says nothing.

Layout, little-endian: size (8 bytes), last sequence (8), CRC-32C (4).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import google_crc32c

_NUMBERS = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


class Ending(NamedTuple):
    """Where a segment ends."""

    size: int
    """Of the raw file, in bytes."""
    last_sequence: int
    """Number of its last frame within the trial."""


def encode_ending(ending: Ending) -> bytes:
    """Return the note of where a segment ends."""
    numbers = _NUMBERS.pack(*ending)
    return numbers + _CRC.pack(google_crc32c.value(numbers))


def decode_ending(data: bytes) -> Ending | None:
    """Return what a note says, or None if it is damaged."""
    if len(data) != _NUMBERS.size + _CRC.size:
        return None
    numbers, crc = data[: _NUMBERS.size], data[_NUMBERS.size :]
    if crc != _CRC.pack(google_crc32c.value(numbers)):
        return None
    return Ending(*_NUMBERS.unpack(numbers))
