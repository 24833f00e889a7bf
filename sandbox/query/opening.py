"""From a sealed segment to its frames, checked before anything of them is used.

Rules of this module:

* The statement must be signed by a trusted key and speak of this very segment.
* Both digests the statement gives, of the compressed and of the raw bytes, must be
  those of the bytes at hand. Nothing is expanded beyond the size it gives.
* Damage is told by segment and byte: the first frame that cannot be read, found by its
  CRC-32C.
"""

from __future__ import annotations

from collections.abc import Sequence

import zstandard
from pydantic import ValidationError

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import SEGMENT_PREDICATE, open_envelope, read_statement
from sandbox.model.record import digest_of
from sandbox.model.segment import EvidenceSegment
from sandbox.recorder import Frame, salvage_frames

_CHUNK = 1 << 16


def read_segment_statement(
    envelope: bytes, *, keys: Sequence[bytes], trial_id: str, number: int
) -> EvidenceSegment:
    """Return what the signed statement of a segment says.

    Args:
        envelope: The DSSE envelope beside the segment.
        keys: Raw public keys one trusts.
        trial_id: Whose segment it must be.
        number: Which segment it must be.

    Raises:
        EvidenceError: It is not signed by one of the keys, or of another segment.
    """
    what = f"the statement of segment {number} of trial {trial_id}"
    payload = open_envelope(envelope, keys, what=what)
    data = read_statement(payload, predicate_type=SEGMENT_PREDICATE, what=what)
    try:
        said = EvidenceSegment.model_validate(data.get("predicate"))
    except ValidationError as error:
        raise EvidenceError(f"{what} does not describe a segment: {error}") from error
    if (said.trial_id, said.number) != (trial_id, number):
        raise EvidenceError(
            f"{what} speaks of segment {said.number} of trial {said.trial_id}; files "
            "were exchanged"
        )
    return said


def open_segment(compressed: bytes, said: EvidenceSegment) -> list[Frame]:
    """Return the frames of a sealed segment.

    Args:
        compressed: The sealed file.
        said: What its signed statement says.

    Raises:
        EvidenceError: The file is not what was sealed; names the segment and the byte.
    """
    raw = open_raw(compressed, said)
    salvage = salvage_frames(raw)
    if salvage.damage:
        raise _damage(raw, said)
    return salvage.frames


def open_raw(compressed: bytes, said: EvidenceSegment) -> bytes:
    """Return the raw bytes of a sealed segment.

    Args:
        compressed: The sealed file.
        said: What its signed statement says.

    Raises:
        EvidenceError: The file is not what was sealed; names the segment and the byte.
    """
    raw = _decompress(compressed, said.raw_size)
    sealed = digest_of(compressed) == said.compressed_digest
    if not sealed or digest_of(raw) != said.raw_digest:
        raise _damage(raw, said)
    return raw


def _damage(raw: bytes, said: EvidenceSegment) -> EvidenceError:
    salvage = salvage_frames(raw)
    where = f"segment {said.number} of trial {said.trial_id}"
    if salvage.damage:
        return EvidenceError(
            f"{where} is damaged: {salvage.damage}, of the raw segment; restore it "
            "from a bundle or a backup"
        )
    return EvidenceError(
        f"{where} is not what was sealed: {len(raw)} bytes can be read up to byte "
        f"{salvage.consumed} of the raw segment, but their digest or that of the "
        f"file is not the one that was signed; restore it from a bundle or a backup"
    )


def _decompress(compressed: bytes, most: int) -> bytes:
    """Return what can be decompressed, and not more than was sealed."""
    reader = zstandard.ZstdDecompressor().stream_reader(compressed)
    raw = bytearray()
    try:
        while part := reader.read(min(_CHUNK, most - len(raw))):
            raw += part
    except zstandard.ZstdError:
        # What came before the damage is enough to say where it is.
        pass
    return bytes(raw)
