"""Erased segments before the verifier: accepted if the log says so, and only then."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import main
from sandbox.evidence.attest import (
    SEGMENT_PREDICATE,
    Subject,
    open_envelope,
    sha256,
    statement,
)
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.erased import check_erased, read_erasures
from sandbox.evidence.expire import Custody, expire, record_erasures
from sandbox.evidence.hold import Order, place_hold
from sandbox.evidence.unseal import SegmentCount, check_segment
from sandbox.evidence.verify import Result, verify_bundle
from sandbox.model.log import Verification
from sandbox.model.segment import EvidenceSegment, SealedSegment
from sandbox.testing.custody import AFTER, LAW, OPERATOR, custody_of, ended_trial
from sandbox.testing.insider import resign
from sandbox.testing.trial import STARTED_AT, RecordedTrial

STEP = "What was erased was erased lawfully, and is said"
NOTHING = SegmentCount(frames=0, spans=0, last_sequence=0)


def bundle_of(trial: RecordedTrial, place: Path) -> Path:
    write_bundle(place, trial_id=trial.trial_id, source=trial.source())
    return place


def first_only(trial: RecordedTrial) -> Custody:
    """Return custody at a moment when only the first segment is due."""
    last = STARTED_AT.replace(year=2029, second=1)
    return custody_of(trial, at=last)


def said(result: Result, step: str = STEP) -> str:
    (found,) = [item for item in result.steps if item.step == step]
    return found.detail


def entries_of(trial: RecordedTrial) -> list[dict[str, Any]]:
    return [item.entry.model_dump(mode="json") for item in trial.log.entries()]


@pytest.fixture(name="erased")
def _erased(tmp_path: Path) -> Path:
    """The bundle of a trial whose first segment was erased."""
    trial = ended_trial()
    expire(first_only(trial), "ride-1", by=OPERATOR)
    return bundle_of(trial, tmp_path / "bundle")


def test_an_erased_segment_is_its_statement_and_the_log_s_word(erased: Path) -> None:
    """It verifies; the step names segment, time, person and law."""
    names = sorted(item.name for item in (erased / "segments").iterdir())
    assert names == ["000001.dsse.json", "000002.dsse.json", "000002.gz"]
    result = verify_bundle(erased)
    assert result.ok, result
    assert said(result) == (
        "segment 1 was erased on 2029-01-01T00:00:01Z by Platform team because of "
        f"P3Y from recorded: {LAW}"
    )


def test_counts_of_erased_segments_are_marked_as_not_recounted(
    erased: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come from the statement and stand apart, in words and in JSON."""
    result = verify_bundle(erased)
    assert (result.frames, result.spans) == (1, 1)
    assert (result.erased_frames, result.erased_spans) == (2, 2)
    assert Verification.model_validate(result.as_dict()).erased_spans == 2
    assert main(["verify", str(erased)]) == 0
    told = capsys.readouterr().out
    assert "1 frames, 1 spans; besides these, 2 frames, 2 spans were erased" in told
    assert told.splitlines()[-1].endswith(
        "not counted again, because erased: 2 frames, 2 spans"
    )


def test_everything_may_be_erased(tmp_path: Path) -> None:
    """What is left is the procedure, and what the statements say."""
    trial = ended_trial()
    expire(custody_of(trial), "ride-1", by=OPERATOR)
    result = verify_bundle(bundle_of(trial, tmp_path / "b"))
    assert result.ok
    assert (result.frames, result.erased_frames) == (0, 3)


def test_a_missing_segment_without_an_erasure_still_fails(tmp_path: Path) -> None:
    """Also for who signs the manifest anew."""
    trial = ended_trial()
    bundle = bundle_of(trial, tmp_path / "b")
    (bundle / "segments" / "000001.gz").unlink()
    resign(bundle, trial.signer)
    result = verify_bundle(bundle)
    assert not result.ok
    assert "segments/000001.gz is missing" in result.steps[-1].detail


def test_one_erasure_does_not_cover_for_another_segment(
    erased: Path, tmp_path: Path
) -> None:
    """The segment after the erased one is missed as before."""
    (erased / "segments" / "000002.gz").unlink()
    resign(erased, ended_trial().signer)
    assert "segments/000002.gz is missing" in verify_bundle(erased).steps[-1].detail


def test_bytes_that_are_there_although_erased_are_reported(
    erased: Path, tmp_path: Path
) -> None:
    """They are counted, for they are what was recorded; and it is said."""
    trial = ended_trial()
    whole = bundle_of(trial, tmp_path / "whole")
    packed = (whole / "segments" / "000001.gz").read_bytes()
    (erased / "segments" / "000001.gz").write_bytes(packed)
    resign(erased, trial.signer)
    result = verify_bundle(erased)
    assert result.ok
    assert "segment 1 is here although it was erased" in result.steps[-1].detail
    assert (result.frames, result.erased_frames) == (3, 0)


def test_a_bundle_holds_no_bytes_that_the_log_says_are_erased(tmp_path: Path) -> None:
    """An interrupted expiry hands out nothing either."""
    trial = ended_trial()
    record_erasures(custody_of(trial), "ride-1", by=OPERATOR)
    assert [item.state for item in trial.segments.files("ride-1")] == ["sealed"] * 2
    bundle = bundle_of(trial, tmp_path / "b")
    assert list((bundle / "segments").glob("*.gz")) == []
    assert verify_bundle(bundle).ok


def test_bytes_that_were_lost_are_not_called_erased(tmp_path: Path) -> None:
    """No bundle is written, and the diagnosis says what is missing."""
    trial = ended_trial()
    trial.segments.erase("ride-1", 2)
    with pytest.raises(EvidenceError, match="segment 2 of trial ride-1 are gone"):
        bundle_of(trial, tmp_path / "b")


def test_an_erasure_entry_is_needed_in_the_bundle(erased: Path) -> None:
    """Taking its line out is missed, although every other line is proven."""
    path = erased / "entries.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b"segment-erasure" not in line))
    resign(erased, ended_trial().signer)
    assert "segments/000001.gz is missing" in verify_bundle(erased).steps[-1].detail


def _swap(entries: list[dict[str, Any]]) -> None:
    entries.insert(0, entries.pop())


def _other_statement(entries: list[dict[str, Any]]) -> None:
    entries[-1]["body"]["statement_digest"] = "sha256:" + "0" * 64


def _twice(entries: list[dict[str, Any]]) -> None:
    entries.append(copy.deepcopy(entries[-1]))


def _early(entries: list[dict[str, Any]]) -> None:
    entries[-1]["recorded_at"] = "2028-12-31T23:59:59Z"


def _held(entries: list[dict[str, Any]]) -> None:
    trial = ended_trial()
    place_hold(trial.log, "ride-1", Order(OPERATOR, "An audit.", AFTER))
    entries.insert(-1, entries_of(trial)[-1])


def _unplaced(entries: list[dict[str, Any]]) -> None:
    _held(entries)
    entries[-2]["body"]["act"] = "release"


def _other_regime(entries: list[dict[str, Any]]) -> None:
    filed = {"regime_digest": "sha256:" + "0" * 64}
    application = {"kind": "application", "entry_id": "file/1", "trial_id": "ride-1"}
    entries.insert(0, {**application, "body": filed})


def _unknown(entries: list[dict[str, Any]]) -> None:
    entries[-1]["body"]["kind"] = "world-erasure"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_swap, "was not in the log by then"),
        (_other_statement, "another statement"),
        (_twice, "a second time"),
        (_early, "before 2029-01-01T00:00:01Z"),
        (_held, "while hold 1 is in force"),
        (_unplaced, "hold 1 cannot be released here"),
        (_other_regime, "another regime"),
        (_unknown, "knows not"),
    ],
)
def test_an_erasure_out_of_order_fails(change: Any, why: str) -> None:
    """Too early, too late, of something else, twice, or under a hold."""
    trial = ended_trial()
    record_erasures(first_only(trial), "ride-1", by=OPERATOR)
    entries = entries_of(trial)
    assert list(read_erasures(entries, "ride-1").segments) == [1]
    change(entries)
    with pytest.raises(EvidenceError, match=why):
        read_erasures(entries, "ride-1")


def test_erasures_of_other_trials_do_not_count() -> None:
    """Each trial's own entries speak for it."""
    trial = ended_trial()
    record_erasures(custody_of(trial), "ride-1", by=OPERATOR)
    assert read_erasures(entries_of(trial), "ride-2").segments == {}


def sealed(trial: RecordedTrial, number: int) -> tuple[dict[str, Any], bytes]:
    """Return the log's body of a segment and its signed statement."""
    name = f"ride-1/segment/{number:06d}"
    (entry,) = [i.entry for i in trial.log.entries() if i.entry.entry_id == name]
    envelope = trial.segments.read_envelope("ride-1", number)
    payload = open_envelope(envelope, [trial.signer.public_key], what="it")
    return dict(entry.body), payload


def without_numbers(body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return a segment's body and statement as they were before numbers were stated."""
    old = {k: v for k, v in body["segment"].items() if not k.endswith("_sequence")}
    name = f"{old['number']:06d}"
    subjects = [
        Subject(f"{name}.zst", old["compressed_digest"]),
        Subject(f"ride-1/{name}", old["raw_digest"]),
    ]
    payload = statement(subjects, predicate_type=SEGMENT_PREDICATE, predicate=old)
    return {**body, "segment": old, "statement_digest": sha256(payload)}, payload


def test_numbers_go_on_across_an_erased_segment() -> None:
    """Its statement says which frames it held; they must be the next ones."""
    body, payload = sealed(ended_trial(), 2)
    after = check_erased(body, payload, before=NOTHING._replace(last_sequence=2))
    assert (after.last_sequence, after.erased_frames, after.frames) == (3, 1, 0)
    for last in (0, 1, 3):
        with pytest.raises(EvidenceError, match="evidence is missing"):
            check_erased(body, payload, before=NOTHING._replace(last_sequence=last))


def test_an_erased_segment_needs_the_statement_the_log_names() -> None:
    """Another segment's statement does not stand in for it."""
    trial = ended_trial()
    with pytest.raises(EvidenceError, match="not the statement that the log names"):
        check_erased(sealed(trial, 1)[0], sealed(trial, 2)[1], before=NOTHING)


def test_statements_without_numbers_stay_readable(tmp_path: Path) -> None:
    """Numbers then follow from the counts of frames, erased or not."""
    trial = ended_trial()
    body, payload = without_numbers(sealed(trial, 1)[0])
    assert EvidenceSegment.model_validate(body["segment"]).first_sequence is None
    assert SealedSegment.model_validate(body)
    assert check_erased(body, payload, before=NOTHING).last_sequence == 2
    bundle = bundle_of(trial, tmp_path / "b")
    packed = (bundle / "segments" / "000001.gz").read_bytes()
    assert check_segment(body, payload, packed, before=NOTHING).last_sequence == 2


def test_stated_numbers_are_those_of_the_frames(tmp_path: Path) -> None:
    """A statement that says others is refused while the bytes are there."""
    trial = ended_trial()
    body, _ = sealed(trial, 1)
    wrong = json.loads(json.dumps(body))
    wrong["segment"]["last_sequence"] = 9
    segment = EvidenceSegment.model_validate(wrong["segment"])
    subjects = [
        Subject("000001.zst", segment.compressed_digest),
        Subject("ride-1/000001", segment.raw_digest),
    ]
    payload = statement(
        subjects, predicate_type=SEGMENT_PREDICATE, predicate=wrong["segment"]
    )
    wrong["statement_digest"] = sha256(payload)
    packed = (bundle_of(trial, tmp_path / "b") / "segments/000001.gz").read_bytes()
    with pytest.raises(EvidenceError, match="last_sequence is 2"):
        check_segment(wrong, payload, packed, before=NOTHING)
