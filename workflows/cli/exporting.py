"""What leaves: recorded requests as they were sent, or as another tool reads them.

Rules of this module:

* Everything is read from the raw frames; what the log says of a sealed segment is
  compared with its bytes before anything of it leaves.
* Every span of an answer leaves, from the very bytes the answer was drawn from; one
  that is not there is an error.
* One segment at a time is held in memory.
* What is read again is the same, also while the trial is being recorded: neither later
  segments nor later requests of the open one.
* A file appears once it is whole.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sandbox.errors import EvidenceError, InputError
from sandbox.model.application import Defect
from sandbox.model.record import digest_of
from sandbox.model.segment import SealedSegment, Signal
from sandbox.model.trace import SpanAnswer
from sandbox.ports import SegmentFile
from sandbox.query.jaeger import jaeger_file
from sandbox.query.otlp_file import count_spans, delimited, json_line, payload_of
from sandbox.query.selection import Chosen, choose, places_in
from sandbox.recorder import Frame, decode_frames, is_unusual
from workflows.activities.keeping import Ledger


class Form(StrEnum):
    """How what leaves is written."""

    otlp = "otlp"
    otlp_proto = "otlp-proto"
    jaeger = "jaeger"


class Wanted(NamedTuple):
    """What is to leave of a trial."""

    trial_id: str
    signal: Signal
    answer: SpanAnswer | None = None
    """Names the spans that are meant; None means every request."""


class Source:
    """Reads what is wanted from the raw frames, and counts it.

    Args:
        ledger: The ports the record is kept through.
        wanted: What is to leave.
    """

    def __init__(self, ledger: Ledger, wanted: Wanted) -> None:
        self._ledger = ledger
        self._wanted = wanted
        answer = wanted.answer
        self._places = None if answer is None else places_in(answer)
        evidence = () if answer is None else answer.evidence
        self._searched = {item.number: item.raw_digest for item in evidence}
        self.segments: dict[int, str] = {}
        """Number → state of each segment that something was taken of, or was erased."""
        self.requests = 0
        self.spans = 0
        self.unusual = 0
        """Requests of `lines` with fields that this version of OTLP does not know."""
        self._ends: dict[int, int] = {}
        """Where the last whole frame of each segment ended when it was read first."""

    @cached_property
    def _files(self) -> list[SegmentFile]:
        """The segments to read, as they were when they were first asked for.

        Raises:
            EvidenceError: There are none, or one that the answer names is not there.
        """
        files = self._ledger.segments.files(self._wanted.trial_id)
        if not files:
            raise EvidenceError(
                f"nothing is recorded of a trial {self._wanted.trial_id};"
                " `sandbox trial list` names the trials there are"
            )
        if self._places is None:
            return files
        there = {file.number: file for file in files if file.state != "erased"}
        for number, frames in sorted(self._places.items()):
            if number not in there:
                frame = min(frames)
                raise self._not_there(number, frame, min(frames[frame]))
        return [there[number] for number in sorted(self._places)]

    def read(self) -> Iterator[Chosen]:
        """Yield what is wanted, in order, the same each time; counts anew.

        Raises:
            EvidenceError: A segment is damaged, or is not the one that the log or the
                answer names; a span of the answer is not there.
            RecorderError: A segment cannot be read.
        """
        self.segments, self.requests, self.spans = {}, 0, 0
        trial_id, signal, _ = self._wanted
        digests = self._logged_digests()
        for file in self._files:
            if file.state == "erased":
                self.segments[file.number] = file.state
                continue
            raw = self._ledger.segments.read(trial_id, file.number)
            self._check_same(file.number, raw, digests.get(file.number, ""))
            frames, end = decode_frames(raw[: self._ends.get(file.number)])
            self._ends[file.number] = end
            self._check_there(file.number, frames)
            for chosen in choose(
                file.number, frames, signal=signal, places=self._places
            ):
                self._count(chosen, file.state)
                yield chosen

    def lines(self) -> Iterator[bytes]:
        """Yield what is wanted as lines of JSON; counts what they cannot hold.

        Raises:
            EvidenceError: As `read`.
            RecorderError: A segment cannot be read.
        """
        self.unusual = 0
        for chosen in self.read():
            payload = payload_of(chosen)
            self.unusual += is_unusual(self._wanted.signal, payload)
            yield json_line(self._wanted.signal, payload)

    def _logged_digests(self) -> dict[int, str]:
        sealed = (
            SealedSegment.model_validate(item.entry.body).segment
            for item in self._ledger.log.entries(self._wanted.trial_id)
            if item.entry.kind == "segment"
        )
        return {segment.number: segment.raw_digest for segment in sealed}

    def _check_same(self, number: int, raw: bytes, logged: str) -> None:
        if logged and digest_of(raw) != logged:
            raise EvidenceError(
                f"segment {number} of trial {self._wanted.trial_id} is not the one of"
                f" which the log keeps the digest {logged}: its bytes were changed;"
                " restore it from a bundle"
            )
        searched = self._searched.get(number)
        if searched and digest_of(raw) != searched:
            raise EvidenceError(
                f"segment {number} of trial {self._wanted.trial_id} is not the one of"
                f" digest {searched} that the answer was drawn from; ask again, and"
                " export the new answer"
            )

    def _check_there(self, number: int, frames: Sequence[Frame]) -> None:
        """Check that every span of the answer lies in the segment where it says.

        Raises:
            EvidenceError: One does not; the first is named.
        """
        places = {} if self._places is None else self._places[number]
        for index, numbers in sorted(places.items()):
            frame = frames[index] if 0 <= index < len(frames) else None
            spans = 0 if frame is None else count_spans(frame.signal, frame.payload)
            for place in sorted(numbers):
                if not 0 <= place < spans:
                    raise self._not_there(number, index, place)

    def _not_there(self, segment: int, frame: int, number: int) -> EvidenceError:
        return EvidenceError(
            f"the answer names a span at segment {segment}, frame {frame}, number"
            f" {number} of trial {self._wanted.trial_id}, and there is none: erased"
            " since, or of another installation; ask again, and export the new answer"
        )

    def _count(self, chosen: Chosen, state: str) -> None:
        self.segments[chosen.segment] = state
        self.requests += 1
        if chosen.numbers is not None:
            self.spans += len(chosen.numbers)
        else:
            self.spans += count_spans(chosen.frame.signal, chosen.frame.payload)


def pieces(source: Source, form: Form) -> Iterator[bytes]:
    """Yield what is wanted in one of the forms, piece by piece.

    Raises:
        EvidenceError: As `Source.read`.
        RecorderError: A segment cannot be read.
    """
    if form is Form.jaeger:
        yield from (piece.encode() for piece in jaeger_file(source.read))
    elif form is Form.otlp:
        yield from source.lines()
    else:
        yield from (delimited(payload_of(chosen)) for chosen in source.read())


def write_out(file: Path | None, parts: Iterable[bytes]) -> str:
    """Write to a file that appears once it is whole, or to standard output.

    Returns:
        The digest of what was written.

    Raises:
        InputError: The file cannot be written.
    """
    if file is None:
        return _pour(sys.stdout.buffer, parts)
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as target:
            digest = _pour(target, parts)
        partial.replace(file)
    except OSError as error:
        defect = Defect(
            code="export/unwritable",
            what=f"cannot be written: {error.strerror}",
            remedy="Name a file in a folder that exists and has room",
            file=str(file),
        )
        raise InputError([defect]) from error
    finally:
        partial.unlink(missing_ok=True)
    return digest


def _pour(target: BinaryIO, parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
        target.write(part)
    target.flush()
    return f"sha256:{digest.hexdigest()}"
