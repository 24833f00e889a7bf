"""Where in a derived file the spans of a trace lie.

Rules of this module:

* The index says between which rows the spans of a trace lie; it may say it of a trace
  that is not there (two ids of equal CRC-32C), and never leaves one out.
* It is written as zstd of three runs of little-endian 32-bit numbers: the CRC-32C of
  every trace id, sorted, each less the one before; its first row; its last row less
  the first.
"""

from __future__ import annotations

from typing import NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

_Ints = npt.NDArray[np.uint32]
_TYPE = np.dtype("<u4")


class TraceIndex(NamedTuple):
    """First and last row of each trace, by the CRC-32C of its id."""

    ids: _Ints
    first: _Ints
    last: _Ints

    def rows(self, trace_id: bytes) -> tuple[int, int] | None:
        """Return the first and last row that may be of a trace; None if none is."""
        wanted = _TYPE.type(google_crc32c.value(trace_id))
        start, end = (
            int(np.searchsorted(self.ids, wanted, side=side))
            for side in ("left", "right")
        )
        if start == end:
            return None
        return int(self.first[start:end].min()), int(self.last[start:end].max())


def index_traces(table: pa.Table) -> TraceIndex:
    """Return the index of a table, as it will be written."""
    coded = table["trace_id"].combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    codes = coded.indices.to_numpy()
    ids = [google_crc32c.value(item) for item in coded.dictionary.to_pylist()]
    _, first = np.unique(codes, return_index=True)
    _, last = np.unique(codes[::-1], return_index=True)
    crcs = np.array(ids, dtype=_TYPE)
    order = np.lexsort((first, crcs))
    return TraceIndex(
        crcs[order],
        first.astype(_TYPE)[order],
        (len(codes) - 1 - last).astype(_TYPE)[order],
    )


def pack(index: TraceIndex) -> bytes:
    """Return an index as bytes."""
    steps = np.diff(index.ids, prepend=_TYPE.type(0))
    parts = [steps, index.first, index.last - index.first]
    whole = b"".join(part.astype(_TYPE).tobytes() for part in parts)
    return zstandard.ZstdCompressor().compress(whole)


def unpack(data: bytes) -> TraceIndex:
    """Return the index that `pack` wrote."""
    whole = np.frombuffer(zstandard.ZstdDecompressor().decompress(data), dtype=_TYPE)
    steps, first, length = whole.reshape(3, -1)
    return TraceIndex(np.cumsum(steps, dtype=_TYPE), first, first + length)
