"""Who writes a bundle writes alone, and packs only what the log names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from sandbox.errors import EvidenceError
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.place import writing_alone
from sandbox.evidence.verify import verify_bundle
from sandbox.testing.custody import ended_trial
from sandbox.testing.segments import FakeSegments
from sandbox.testing.trial import RecordedTrial


class Damaged(FakeSegments):
    """Segments whose second sealed file turned into something else."""

    after = b""

    def read_sealed(self, trial_id: str, number: int) -> tuple[bytes, bytes]:
        """Return the file, the second one changed."""
        compressed, envelope = super().read_sealed(trial_id, number)
        return (self.after if number == 2 else compressed), envelope


def test_eight_writers_leave_a_whole_bundle(tmp_path: Path) -> None:
    """Written by eight at the same time, the bundle is there and verifies."""
    trial = ended_trial()
    place = tmp_path / "bundles" / "b"

    def write(_: int) -> None:
        for _ in range(5):
            write_bundle(place, trial_id=trial.trial_id, source=trial.source())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert verify_bundle(place).ok
    assert sorted(item.name for item in place.parent.iterdir()) == [".b.lock", "b"]


def test_what_is_in_a_bundle_is_decided_alone(tmp_path: Path) -> None:
    """A writer who had to wait sees what came into the log meanwhile."""
    trial = ended_trial()
    with ThreadPoolExecutor(1) as pool:
        with writing_alone(tmp_path / "b"):
            told = pool.submit(
                write_bundle, tmp_path / "b", trial_id="ride-1", source=trial.source()
            )
            with pytest.raises(TimeoutError):
                told.result(timeout=0.2)
            trial.add("decision", "late")
        assert told.result()["entries"] == len(trial.log.entries("ride-1"))


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (b"no zstandard", "segment 2 of ride-1 cannot be unpacked"),
        (zstandard.compress(b"other"), "segment 2 of ride-1 does not hold the bytes"),
    ],
)
def test_a_damaged_segment_is_named(tmp_path: Path, after: bytes, words: str) -> None:
    """A sealed file that is not what its entry names stops the bundle."""
    segments = Damaged()
    segments.after = after
    trial = ended_trial(RecordedTrial(segments=segments, receive=segments.receive))
    with pytest.raises(EvidenceError, match=words):
        write_bundle(tmp_path / "b", trial_id="ride-1", source=trial.source())
    assert not (tmp_path / "b").exists()
