"""Names, states and rolling of segments; gaps and silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.errors import EvidenceError, RecorderError
from sandbox.model.segment import Gap
from sandbox.ports import SegmentFile
from sandbox.recorder import (
    RECORDER,
    Frame,
    RollingPolicy,
    file_name,
    folder_name,
    gap_request,
    gaps_in,
    parse_name,
    restart_gaps,
    segment_files,
    silences,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)


def frame(second: float, producer: str = "p", payload: bytes = b"") -> Frame:
    at = AT + timedelta(seconds=second)
    return Frame(0, 0, "logs", producer, at, payload, 1)


def test_names_are_read_back() -> None:
    """Every kind of file; nothing else is a segment."""
    for kind in ("open", "closed", "torn", "zst", "dsse.json"):
        parsed = parse_name(file_name(12, kind))
        assert parsed == (12, kind)
    for name in ("12.open", "000012.tmp", ".000012.zst.partial", "000012.open~", ""):
        assert parse_name(name) is None


@pytest.mark.parametrize("trial", ["", "..", "a/b", "A", "_lock", "-a", "a" * 56])
def test_a_folder_cannot_be_escaped(trial: str) -> None:
    """Only a trial id names a folder."""
    with pytest.raises(RecorderError, match="not a trial id"):
        folder_name(trial)


def test_a_segment_is_sealed_only_with_its_statement() -> None:
    """Half-written sealing does not hide the raw file."""
    sizes = {
        "000001.zst": 10,
        "000001.dsse.json": 5,
        "000002.closed": 100,
        "000002.dsse.json": 5,
        "000003.open": 7,
        "000003.torn": 2,
        "notes.txt": 1,
    }
    assert segment_files(sizes) == [
        SegmentFile(1, "sealed", 10),
        SegmentFile(2, "closed", 100),
        SegmentFile(3, "open", 7),
    ]


def test_rolling_is_by_size_or_age_and_never_of_nothing() -> None:
    """Whichever comes first; an empty segment is not closed."""
    policy = RollingPolicy(seconds=10, size_bytes=100)
    assert policy.is_due(size=1, age_s=10)
    assert policy.is_due(size=100, age_s=0)
    assert not policy.is_due(size=99, age_s=9.9)
    assert not policy.is_due(size=0, age_s=1000)
    assert policy.is_full(size=50, more=51)
    assert not policy.is_full(size=50, more=50)
    assert not policy.is_full(size=0, more=1000)


def test_a_gap_survives_its_way_through_a_frame() -> None:
    """What the recorder wrote down is read back as it was."""
    gaps = restart_gaps([frame(1)], torn_bytes=17, damage="frame 3 …", at=AT)
    frames = [frame(2, RECORDER, gap_request(gap, at=AT)) for gap in gaps]
    assert gaps_in(frames) == gaps
    assert [gap.reason for gap in gaps] == ["torn-frame", "recorder-down"]
    assert gaps[0].since == AT + timedelta(seconds=1)
    assert "17 bytes" in gaps[0].detail


def test_only_the_recorder_can_record_a_gap() -> None:
    """A producer that sends a gap's bytes has sent a log record, nothing more."""
    gap = Gap(producer="p", reason="refused", detail="made up")
    assert gaps_in([frame(0, "p", gap_request(gap, at=AT))]) == ()


def test_a_gap_that_cannot_be_read_is_an_error() -> None:
    """A damaged frame of the recorder is not passed over."""
    gap = Gap(producer="p", reason="refused", detail="refused")
    payload = gap_request(gap, at=AT).replace(b'"reason"', b'"raisin"')
    with pytest.raises(EvidenceError, match="gap that cannot be read"):
        gaps_in([frame(0, RECORDER, payload)])


def test_silence_is_found_between_frames_and_at_the_end() -> None:
    """Per producer, longer than allowed; the recorder itself is never silent."""
    frames = [frame(0, "a"), frame(0, "b"), frame(0, RECORDER), frame(5, "a")]
    found = silences(frames, longest_s=4, until=AT + timedelta(seconds=8))
    assert [(gap.producer, gap.since, gap.until) for gap in found] == [
        ("a", AT, AT + timedelta(seconds=5)),
        ("b", AT, AT + timedelta(seconds=8)),
    ]
    assert silences(frames, longest_s=8, until=AT + timedelta(seconds=8)) == ()
    assert silences(frames, longest_s=5) == ()
