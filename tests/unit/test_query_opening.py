"""From a sealed segment to its frames."""

from __future__ import annotations

import tracemalloc

import pytest
import zstandard

from sandbox.errors import EvidenceError
from sandbox.query import open_segment, read_segment_statement
from sandbox.testing.segments import FakeSegments
from sandbox.testing.trial import RecordedTrial

TRIAL = "ride-1"


def test_no_more_than_was_sealed() -> None:
    """A file that expands to more than was sealed is refused, and not expanded."""
    segments = FakeSegments()
    trial = RecordedTrial(TRIAL, segments=segments, receive=segments.receive)
    trial.record("a", "b")
    trial.seal()
    sealed, envelope = segments.read_sealed(TRIAL, 1)
    keys = [trial.signer.public_key]
    said = read_segment_statement(envelope, keys=keys, trial_id=TRIAL, number=1)
    assert len(open_segment(sealed, said)) == said.frames
    large = zstandard.compress(segments.read(TRIAL, 1) + bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(EvidenceError, match="segment 1 .* is not what was sealed"):
        open_segment(large, said)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
