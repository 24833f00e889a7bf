"""What happened, byte for byte: frames, segments, spans, gaps, completeness.

Acknowledged means durable; durable means unchanged; what is missing is said.

| module | what it does |
|---|---|
| `request` | what an OTLP request must be before it is recorded |
| `otlp_json` | OTLP in JSON, turned once into the protobuf that is recorded |
| `frame` | one request as it came, and who sent it when |
| `segment` | names of segment files; when one is closed |
| `ending` | size and last number of a closed segment, kept beside it |
| `remnant` | how far a damaged segment was numbered |
| `spans` | from frames to spans, as rules see them |
| `completeness` | what arrived, and what is known to be missing |
| `arrivals` | what arrived of one producer |
| `numbering` | which numbers of a producer's instance came |
| `counters` | what SDKs say themselves of spans they lost |
| `identity` | spans that came twice, and parents that never came |
| `gaps` | what is known to be missing from the evidence, or may be |
| `extent` | how many, from when to when: what a gap says of itself |
| `producer` | for innovators: numbers the spans that leave a process |
| `sealing` | for innovators: seals a person's data before it is sent |
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
