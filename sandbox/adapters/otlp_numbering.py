"""Where the numbers of a trial's frames go on after a restart.

Rules of this module:

* A sealed or erased segment is asked through its statement: that stays when the bytes
  go. Older statements do not state numbers; then frames are counted, segment by
  segment.
* A closed segment is asked through the note of its end. Without one, as older recorders
  left it, its bytes are asked, damaged or not (`sequences_in`).
* The statement is believed as the files beside it are: who can write to the folder can
  harm the recorder, but not what was signed and logged before.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import zstandard
from pydantic import ValidationError

from sandbox.errors import RecorderError
from sandbox.model.segment import EvidenceSegment
from sandbox.recorder import Sequences, decode_ending, file_name, sequences_in


def last_sequence(folder: Path, number: int) -> int:
    """Return a number that no frame up to a segment's end is above.

    Args:
        folder: The trial's.
        number: Of its last segment that is not open; 0 when there is none.

    Raises:
        OSError: A file cannot be read.
        RecorderError: Neither a segment's bytes nor its statement can be read.
        zstandard.ZstdError: The compressed bytes are damaged, and there is no
            statement.
    """
    beyond = 0
    for segment in range(number, 0, -1):
        found = _sequences(folder, segment)
        beyond += found.beyond
        if found.last is not None:
            return found.last + beyond
    return beyond


def _sequences(folder: Path, number: int) -> Sequences:
    closed = folder / file_name(number, "closed")
    note = folder / file_name(number, "end")
    if closed.exists():
        ending = decode_ending(note.read_bytes()) if note.exists() else None
        if ending is not None:
            return Sequences(ending.last_sequence, 0)
        return sequences_in(closed.read_bytes())
    statement = folder / file_name(number, "dsse.json")
    if statement.exists():
        segment = _unsafe_segment(statement)
        if segment.last_sequence is None:
            return Sequences(None, segment.frames)
        return Sequences(segment.last_sequence, 0)
    compressed = folder / file_name(number, "zst")
    if not compressed.exists():
        raise RecorderError(
            f"{folder}: segment {number} is missing; restore it, or its statement, "
            "from a copy, for otherwise numbers of frames could be given twice",
            retryable=False,
        )
    reader = zstandard.ZstdDecompressor().decompressobj()
    return sequences_in(reader.decompress(compressed.read_bytes()))


def _unsafe_segment(statement: Path) -> EvidenceSegment:
    """Return what a statement says, without checking who signed it."""
    try:
        envelope = json.loads(statement.read_bytes())
        payload = json.loads(base64.b64decode(envelope["payload"], validate=True))
        return EvidenceSegment.model_validate(payload["predicate"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise RecorderError(
            f"{statement} is not the statement of a segment ({type(error).__name__}); "
            "restore it from a copy or from a bundle of the trial",
            retryable=False,
        ) from error
