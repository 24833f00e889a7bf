"""Whether the derived files say what the raw segments say, told by chDB.

Rules of this module:

* chDB reads both: the derived Parquet, and the recorded requests as the segment has
  them (its format `Protobuf` is the segment's framing). Neither the derivation nor the
  protobuf reader of this product is asked.
* The bytes are those whose digests the signed statement names.
* Except which frames are of traces: that is read from their trailers here, by the same
  reader the derivation uses, for protobuf allows no schema to declare their field.
  Requests are handed over unchanged, trailer included.
* One derived file and one segment at a time: time and memory do not grow with a trial.
* What is compared stands in `sandbox.query.tally`.
"""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.adapters.spans_chdb_process import TIME_LIMIT_S, ChdbProcess
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.model.trace import SegmentDigest
from sandbox.ports import Segments
from sandbox.query.clickhouse import text
from sandbox.query.flat_proto import REQUEST, flat_proto
from sandbox.query.opening import open_raw
from sandbox.query.tally import (
    Group,
    Sums,
    check_tallies,
    derived_statement,
    recorded_statement,
)
from sandbox.recorder import decode_frames


class ChdbCheck:
    """Compares the derived files of a trial with its sealed segments.

    Args:
        files: The derived files of every trial.
        segments: Where sealed segments are read.
        memory_mib: Memory one statement may use.
        threads: Threads one statement may use; 0 is one for each core.
    """

    def __init__(
        self,
        files: DerivedFiles,
        segments: Segments,
        *,
        memory_mib: int = 1024,
        threads: int = 0,
    ) -> None:
        self._files = files
        self._segments = segments
        self._memory_mib = memory_mib
        self._threads = threads

    def check(self, trial_id: str) -> tuple[SegmentDigest, ...]:
        """Check every sealed segment of a trial; return which they are.

        Raises:
            EvidenceError: Something else was derived than was recorded, or a segment is
                damaged; names the segment.
            RecorderError: Segments cannot be read, or derived files not written.
        """
        derived = self._files.current(trial_id)
        try:
            return self._compare(trial_id, derived)
        except EvidenceError:
            if all(file.path.exists() for file in derived.files):
                raise
        # Another process merged files meanwhile.
        return self._compare(trial_id, self._files.current(trial_id))

    def _compare(self, trial_id: str, derived: Derived) -> tuple[SegmentDigest, ...]:
        left = dict(derived.said)
        with self._new_process() as process:
            _set_schema(process)
            for file in derived.files:
                recorded: dict[Group, Sums] = {}
                for source in file.origin.sources:
                    said = left.pop(source.number)
                    sealed, _ = self._segments.read_sealed(trial_id, said.number)
                    raw = open_raw(sealed, said)
                    recorded.update(_recorded(raw, source.number, process))
                check_tallies(recorded, _derived(file, process))
        if left:
            raise EvidenceError(f"segments {sorted(left)} are in no derived file")
        return derived.evidence

    def _new_process(self) -> ChdbProcess:
        return ChdbProcess(
            memory_mib=self._memory_mib,
            threads=self._threads,
            time_limit_s=TIME_LIMIT_S,
        )


def _derived(file: DerivedFile, process: ChdbProcess) -> dict[Group, Sums]:
    if not file.origin.spans:
        return {}
    return _tally(process, derived_statement(file.path, file.origin))


def _recorded(raw: bytes, number: int, process: ChdbProcess) -> dict[Group, Sums]:
    path = process.folder / "requests"
    if not _write_traces(raw, path):
        return {}
    return _tally(process, recorded_statement(number, path))


def _set_schema(process: ChdbProcess) -> None:
    path = process.folder / "otlp.proto"
    path.write_text(flat_proto())
    process.run(f"SET format_schema = {text(f'{path}:{REQUEST}')}")
    process.run("SET input_format_protobuf_oneof_presence = 1")


def _write_traces(raw: bytes, path: Path) -> int:
    """Write the frames of traces as they are; return how many bytes they are."""
    frames, _ = decode_frames(raw)
    ends = [*(frame.offset for frame in frames[1:]), len(raw)]
    parts = [
        raw[frame.offset : end]
        for frame, end in zip(frames, ends, strict=True)
        if frame.signal == "traces"
    ]
    return path.write_bytes(b"".join(parts))


def _tally(process: ChdbProcess, statement: str) -> dict[Group, Sums]:
    lines = process.run(statement, "JSONCompactEachRow").splitlines()
    rows = (json.loads(line) for line in lines)
    return {
        Group(segment, service, operation): Sums(*sums)
        for segment, service, operation, *sums in rows
    }
