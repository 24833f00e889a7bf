"""The files of one segment: how its bytes are read, and what lies beside it.

Rules of this module:

* A closed segment is read only as long as the note of its end says (`.end`): what was
  cut between two frames looks whole.
* What is laid beside a closed segment to become its sealed form has a name that no
  reader takes for evidence, and may still be replaced.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import zstandard

from sandbox.errors import RecorderError
from sandbox.recorder import decode_ending, file_name


def read_raw(folder: Path, number: int, offset: int) -> bytes:
    """Return the raw bytes of a segment from `offset`, in whatever form it is kept.

    Raises:
        OSError: It is not there, or cannot be read.
        RecorderError: It is closed and not as long as it was then.
        zstandard.ZstdError: It is sealed and damaged.
    """
    # A segment only moves forward, so looking in this order cannot miss it.
    for kind in ("open", "closed"):
        with contextlib.suppress(FileNotFoundError):
            path = folder / file_name(number, kind)
            with path.open("rb") as file:
                file.seek(offset)
                if kind == "closed":
                    _check_end(path, os.fstat(file.fileno()).st_size)
                return file.read()
    compressed = (folder / file_name(number, "zst")).read_bytes()
    return decompress(compressed)[offset:]


def decompress(compressed: bytes) -> bytes:
    """Return what one whole stream holds.

    Raises:
        zstandard.ZstdError: It is not that.
    """
    reader = zstandard.ZstdDecompressor().decompressobj()
    data = reader.decompress(compressed)
    if not reader.eof or reader.unused_data:
        raise zstandard.ZstdError("it is not one whole stream")
    return data


def staged_name(number: int) -> str:
    """Return the name of a compressed file before it is a sealed segment's."""
    return f".{file_name(number, 'zst')}.staged"


def _check_end(path: Path, size: int) -> None:
    """Compare a closed segment with the note of its end, where there is one."""
    note = path.with_suffix(".end")
    if not note.exists():
        return
    ending = decode_ending(note.read_bytes())
    if ending is None:
        raise RecorderError(
            f"{note} is damaged, so whether {path.name} is whole is not known; restore "
            "both from a copy",
            retryable=False,
        )
    if size != ending.size:
        raise RecorderError(
            f"{path} has {size} bytes and had {ending.size} when it was closed: it was "
            "cut or changed since; restore it from a copy",
            retryable=False,
        )
