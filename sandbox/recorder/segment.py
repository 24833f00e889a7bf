"""Segments: how their files are named, and when one is closed.

Rules of this module:

* A trial's segments are numbered from 1 without holes; a number is never used twice.
* A file goes `000001.open` → `000001.closed` → `000001.zst` with `000001.dsse.json`,
  of which only `000001.dsse.json` is left when the segment is erased.
  Beside the raw file lie `000001.end`, which says where it ends once it is closed, and
  `000001.torn`, where a tail was cut.
* A segment is closed by size or by age, whichever comes first, also when nothing more
  arrives; an empty segment is never closed.
* A trial's folder is named by its id and nothing else can be reached through it.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from sandbox.errors import RecorderError
from sandbox.ports import SegmentFile

FileKind = Literal["open", "closed", "end", "torn", "zst", "dsse.json"]

_NAME = re.compile(r"^(\d{6,})\.(open|closed|end|torn|zst|dsse\.json)$")
_TRIAL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,53}[a-z0-9])?$")
_KINDS: dict[str, FileKind] = {
    "open": "open",
    "closed": "closed",
    "end": "end",
    "torn": "torn",
    "zst": "zst",
    "dsse.json": "dsse.json",
}


class SegmentName(NamedTuple):
    """What a file in a trial's folder is."""

    number: int
    kind: FileKind


class RollingPolicy(NamedTuple):
    """When a segment is closed."""

    seconds: float
    """Age at which it is closed."""
    size_bytes: int
    """Size of the raw file at which it is closed."""

    def is_due(self, *, size: int, age_s: float) -> bool:
        """Return whether a segment of that size and age is to be closed."""
        return size > 0 and (size >= self.size_bytes or age_s >= self.seconds)

    def is_full(self, *, size: int, more: int) -> bool:
        """Return whether `more` bytes belong into a new segment."""
        return size > 0 and size + more > self.size_bytes


def file_name(number: int, kind: FileKind) -> str:
    """Return the name of a segment's file."""
    return f"{number:06d}.{kind}"


def parse_name(name: str) -> SegmentName | None:
    """Return what a file is, or None if it is not a segment's."""
    match = _NAME.match(name)
    return SegmentName(int(match[1]), _KINDS[match[2]]) if match else None


def folder_name(trial_id: str) -> str:
    """Return the name of the trial's folder.

    Raises:
        RecorderError: It is not a trial id.
    """
    if not _TRIAL.match(trial_id):
        raise RecorderError(
            f"{trial_id!r} is not a trial id (lower-case letters, digits, hyphens; at "
            "most 55), so it has no evidence folder",
            retryable=False,
        )
    return trial_id


def segment_files(sizes: dict[str, int]) -> list[SegmentFile]:
    """Return the segments that a folder's files are, in order of their numbers.

    A segment is sealed once both its compressed file and its statement are there; until
    then the raw file counts, whatever else lies beside it.

    Args:
        sizes: Size in bytes by file name; other files are left out.
    """
    kinds: dict[int, dict[FileKind, int]] = {}
    for name, size in sizes.items():
        if parsed := parse_name(name):
            kinds.setdefault(parsed.number, {})[parsed.kind] = size
    found = (_segment_file(number, kinds[number]) for number in sorted(kinds))
    return [item for item in found if item is not None]


def _segment_file(number: int, kinds: dict[FileKind, int]) -> SegmentFile | None:
    if "zst" in kinds and "dsse.json" in kinds:
        return SegmentFile(number, "sealed", kinds["zst"])
    if "closed" in kinds:
        return SegmentFile(number, "closed", kinds["closed"])
    if "open" in kinds:
        return SegmentFile(number, "open", kinds["open"])
    if "dsse.json" in kinds:
        return SegmentFile(number, "erased", 0)
    return None
