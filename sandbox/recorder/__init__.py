"""What happened, byte for byte: frames, segments, spans, gaps, completeness.

Acknowledged means durable; durable means unchanged; what is missing is said.
"""

from sandbox.recorder.completeness import Expected, assess
from sandbox.recorder.ending import Ending, decode_ending, encode_ending
from sandbox.recorder.frame import (
    MAX_PRODUCER_BYTES,
    Frame,
    Salvage,
    decode_frames,
    encode_frame,
    final_sequence,
    salvage_frames,
)
from sandbox.recorder.gaps import (
    RECORDER,
    gap_request,
    gaps_in,
    restart_gaps,
    silences,
)
from sandbox.recorder.otlp_json import Converted, from_json, origin_digest
from sandbox.recorder.remnant import Sequences, sequences_in
from sandbox.recorder.request import check_request, is_unusual
from sandbox.recorder.segment import (
    FileKind,
    RollingPolicy,
    SegmentName,
    file_name,
    folder_name,
    parse_name,
    segment_files,
)
from sandbox.recorder.spans import count_spans, spans_in

__all__ = [
    "MAX_PRODUCER_BYTES",
    "RECORDER",
    "Converted",
    "Ending",
    "Expected",
    "FileKind",
    "Frame",
    "RollingPolicy",
    "Salvage",
    "SegmentName",
    "Sequences",
    "assess",
    "check_request",
    "count_spans",
    "decode_ending",
    "decode_frames",
    "encode_ending",
    "encode_frame",
    "file_name",
    "final_sequence",
    "folder_name",
    "from_json",
    "gap_request",
    "gaps_in",
    "is_unusual",
    "origin_digest",
    "parse_name",
    "restart_gaps",
    "salvage_frames",
    "segment_files",
    "sequences_in",
    "silences",
    "spans_in",
]
