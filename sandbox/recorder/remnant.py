"""How far a closed segment was numbered, even where it can no longer be read whole.

Rules of this module:

* A number that may have been given is never given again; one that was never given
  leaves a hole, and a hole says, truthfully, that evidence was damaged here.
* The last frame tells its number where its checksum holds, so that a segment which is
  restored from a copy fits without a hole.
* What was cut off the end of a closed file leaves no trace in it, and is not counted:
  the note of its end is asked first (`ending.py`), and these bytes without one.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.recorder.frame import TRAILER_BYTES, final_sequence, salvage_frames

_SMALLEST_FRAME = TRAILER_BYTES + 1
"""An empty request: its length and its trailer."""


class Sequences(NamedTuple):
    """Which numbers a segment used up."""

    last: int | None
    """The highest number read; None where no frame can be read."""
    beyond: int
    """How many numbers may have been used after it, or from the segment's first."""


def sequences_in(raw: bytes) -> Sequences:
    """Return which numbers the frames of a closed segment used up.

    Args:
        raw: The segment, whole, damaged or not.
    """
    salvage = salvage_frames(raw)
    last = salvage.frames[-1].sequence if salvage.frames else None
    rest = raw[salvage.consumed :]
    limit = -(-len(rest) // _SMALLEST_FRAME)
    final = final_sequence(rest)
    # The limit also bounds what a request could make look like a frame of its own.
    if last is not None and final is not None and last < final <= last + limit:
        return Sequences(final, 0)
    return Sequences(last, limit)
