"""Disclosure: one request is proven, no other is shown, and no byte can be changed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import canonical
from sandbox.evidence.disclose import (
    DisclosureResult,
    LogHead,
    SegmentEvidence,
    make_disclosure,
    verify_disclosure,
)
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.log import key_history, sign_checkpoint
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.log import LogEntry
from sandbox.model.record import digest_of
from sandbox.recorder import encode_frame
from sandbox.testing.records import FakeLog
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
SIGNER = ThrowawaySigner("log.example/trials")
Change = Callable[[dict[str, Any]], object]


def frame(sequence: int, name: str) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name=name)
    return encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="hotrod",
        sequence=sequence,
        received_at=AT,
    )


FRAMES = [frame(number, f"secret-{number}") for number in range(1, 6)]


def parts(frames: list[bytes]) -> tuple[SegmentEvidence, LogHead]:
    """Seal frames, log the segment between two other entries, sign a checkpoint."""
    log = FakeLog()
    raw = b"".join(frames)
    sealed = seal_segment(
        raw,
        trial_id="ride-1",
        number=1,
        rulebook_digest=digest_of(b"rulebook"),
        signer=SIGNER,
    )
    for name in ("before", "segment", "after"):
        if name == "segment":
            logged = log.append(segment_entry(sealed, recorded_at=AT))
        else:
            other = {"kind": "plan", "entry_id": name, "trial_id": "ride-1"}
            log.append(LogEntry.model_validate(other | {"recorded_at": AT}))
    note = sign_checkpoint(log, SIGNER).note.encode()
    entry = logged.entry.model_dump(mode="json")
    evidence = SegmentEvidence(raw, sealed.envelope, entry, logged.index)
    tree = HashTree(log.hashes, log.size())
    return evidence, LogHead(note, tree, key_history(log, SIGNER))


def verify(data: bytes) -> DisclosureResult:
    return verify_disclosure(data, SIGNER.public_key)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_every_frame_can_be_disclosed(number: int) -> None:
    """It comes back byte for byte, said in words with producer, time and place."""
    result = verify(make_disclosure(*parts(FRAMES), frame=number))
    assert result.ok
    assert result.frame == FRAMES[number - 1]
    words = "\n".join(step.detail for step in result.steps)
    assert f"frame {number} of 5" in words
    assert "segment 1 of trial ride-1" in words
    assert f"traces of hotrod, request {number} of the trial" in words
    assert "received 2026-01-01T12:00:00.000005+00:00, 1 spans" in words


def test_a_segment_of_one_frame_needs_no_proof() -> None:
    """The frame's hash is then the root."""
    data = make_disclosure(*parts(FRAMES[:1]), frame=1)
    assert json.loads(data)["frame"]["proof"] == []
    assert verify(data).ok


def test_the_other_frames_are_not_in_it() -> None:
    """Neither as bytes nor as base64 does another request's name occur."""
    data = make_disclosure(*parts(FRAMES), frame=3)
    shown = data + verify(data).frame
    assert b"secret-3" in shown
    for other in (1, 2, 4, 5):
        assert b"secret-%d" % other not in shown


@pytest.mark.parametrize("number", [0, 6, -1])
def test_a_frame_that_is_not_there_cannot_be_disclosed(number: int) -> None:
    """The error says which there are."""
    with pytest.raises(EvidenceError, match="from 1 to 5"):
        make_disclosure(*parts(FRAMES), frame=number)


def test_every_changed_byte_is_detected() -> None:
    """Any byte changed in its lowest, case or highest bit, or left out."""
    data = make_disclosure(*parts(FRAMES[:2]), frame=2)
    assert verify(data).ok
    for place in range(len(data)):
        shorter = data[:place] + data[place + 1 :]
        for bit in (0x01, 0x20, 0x80):
            flipped = bytearray(data)
            flipped[place] ^= bit
            assert not verify(bytes(flipped)).ok, (place, bit)
        assert not verify(shorter).ok, place
    assert not verify(data + b"\n").ok


def test_another_key_is_not_enough() -> None:
    """What someone else signed does not verify, and nothing is given out."""
    data = make_disclosure(*parts(FRAMES), frame=1)
    result = verify_disclosure(data, ThrowawaySigner(seed="x").public_key)
    assert not result.ok
    assert result.frame == b""
    assert result.steps[-1].step == "The key you gave is one of the log's"


def _other_frame(data: dict[str, Any]) -> None:
    other = json.loads(make_disclosure(*parts(FRAMES), frame=2))
    data["frame"]["bytes"] = other["frame"]["bytes"]


def _other_segment(data: dict[str, Any]) -> None:
    other = json.loads(make_disclosure(*parts(FRAMES[:4]), frame=1))
    data["statement"] = other["statement"]
    data["frame"] = other["frame"]


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (_other_frame, "The frame is the one the statement covers"),
        (_other_segment, "The segment's statement is the one the log names"),
        (lambda d: d["frame"].update(index=1), "The frame is the one"),
        (lambda d: d["frame"].update(index=True), "The frame is the one"),
        (lambda d: d["frame"].update(index=-1), "The frame is the one"),
        (lambda d: d["frame"]["proof"].pop(), "The frame is the one"),
        (lambda d: d["entry"].update(index=2), "The segment's entry stands"),
        (lambda d: d["entry"]["entry"].update(kind="plan"), "The segment's entry"),
        (lambda d: d.update(more=1), "The file is a disclosure"),
        (lambda d: d.update(format=1), "The file is a disclosure"),
        (lambda d: d.update(format=True), "The file is a disclosure"),
        (lambda d: d.update(checkpoint=7), "The checkpoint is signed"),
        (lambda d: d.update(statement=None), "The segment's statement"),
        (lambda d: d.update(frame=[]), "The frame is the one"),
        (
            lambda d: d.update(
                checkpoint=d["checkpoint"] + "\u2014 witness.example AAAAAAA=\n"
            ),
            "The checkpoint is signed",
        ),
    ],
)
def test_what_does_not_fit_together_fails_at_its_step(
    change: Change, step: str
) -> None:
    """Parts of another frame or segment, wrong places, further fields, wrong types."""
    data = json.loads(make_disclosure(*parts(FRAMES), frame=1))
    change(data)
    result = verify(canonical(data))
    assert not result.ok
    assert result.steps[-1].step.startswith(step)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 99_999])
def test_what_is_no_disclosure_is_a_failed_step(data: bytes) -> None:
    """Malformed input of any kind is reported, never raised."""
    result = verify(data)
    assert [step.ok for step in result.steps] == [False]


LISTS_MODULES = """
import sys
from pathlib import Path
from sandbox.evidence.disclose import verify_disclosure
result = verify_disclosure(Path(sys.argv[1]).read_bytes(), bytes.fromhex(sys.argv[2]))
print(*sorted({name.split(".")[0] for name in sys.modules}))
sys.exit(0 if result.ok else 1)
"""


def test_the_check_needs_only_cryptography(tmp_path: Path) -> None:
    """In a fresh process nothing else from outside the standard library is loaded."""
    file = tmp_path / "disclosure.json"
    file.write_bytes(make_disclosure(*parts(FRAMES), frame=4))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            LISTS_MODULES,
            str(file),
            SIGNER.public_key.hex(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    foreign = {
        name
        for name in set(done.stdout.split()) - set(sys.stdlib_module_names)
        if name.strip("_") and not name.startswith(("_", "sitecustomize"))
    }
    assert {"sandbox", "cryptography"} <= foreign | {"sandbox"}
    assert foreign <= {"sandbox", "cryptography"}
