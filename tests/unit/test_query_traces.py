"""The index of traces in a derived file."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.query.traces import index_traces, pack, unpack

ids = st.lists(st.sampled_from([b"", b"a", b"b" * 16, b"c" * 16, b"d"]), max_size=40)


def table(items: list[bytes]) -> pa.Table:
    return pa.table({"trace_id": pa.array(items, pa.binary())})


@settings(deadline=None)
@given(ids)
def test_every_span_is_between(items: list[bytes]) -> None:
    """Each trace lies exactly between the rows its index gives, also once written."""
    index = unpack(pack(index_traces(table(items))))
    for item in set(items):
        rows = [row for row, other in enumerate(items) if other == item]
        assert index.rows(item) == (rows[0], rows[-1])
    assert index.rows(b"never") is None


def test_equal_checksums() -> None:
    """Two ids of equal CRC-32C are both found, between rows that hold either."""
    one, other = b"\0" * 16, _of_equal_checksum(b"\0" * 16)
    index = index_traces(table([b"x", one, b"y", other, b"z"]))
    assert index.rows(one) == index.rows(other) == (1, 3)


def _of_equal_checksum(data: bytes) -> bytes:
    """Return other bytes of the same CRC-32C: any multiple of its polynomial added."""
    polynomial = (1 << 32 | 0x1EDC6F41) << 8
    reversed_bits = int(f"{polynomial:0{8 * len(data)}b}"[::-1], 2)
    flipped = int.from_bytes(data, "little") ^ reversed_bits
    return flipped.to_bytes(len(data), "little")
