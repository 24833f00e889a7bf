"""How a table of spans is written as Parquet, and read back.

Rules of this module:

* Row groups are small enough that a few spans can be read without the others.
* A file's name carries the CRC-32C of its bytes: a changed file is not used.
"""

from __future__ import annotations

from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.errors import EvidenceError
from sandbox.query import (
    Origin,
    TraceIndex,
    core_schema,
    metadata_of,
    put_back,
    read_origin,
    read_traces,
)

ROW_GROUP = 32_768
"""Spans in a row group."""
ZSTD_LEVEL = 3
_DELTA = ("start_ns", "end_ns", "segment", "frame", "number")
_PLAIN = ("trace_id", "span_id", "parent_span_id")


def to_parquet(table: pa.Table, origin: Origin) -> bytes:
    """Return a table and its origin as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=_dictionaries(table.schema),
        column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
        # What a file says of itself would be written a second time, within the schema.
        store_schema=False,
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(metadata_of(table, origin))
    return bytes(sink.getvalue())


def read_checked(path: Path, crc: str) -> tuple[Origin, TraceIndex]:
    """Return what a derived file says of itself, if it is whole.

    Raises:
        EvidenceError: Its bytes are not those of its name, or it has no origin.
        OSError: It cannot be read.
    """
    with pa.memory_map(str(path)) as file:
        data = file.read_buffer()
        if checksum(data) != crc:
            raise EvidenceError(f"{path} was changed; it is made again")
        metadata = pq.read_metadata(pa.BufferReader(data)).metadata or {}
    return read_origin(metadata), read_traces(metadata)


def read_whole(path: Path, origin: Origin) -> pa.Table:
    """Return the spans of a derived file as they were derived, with whole maps."""
    table = pq.read_table(path, use_threads=False).combine_chunks()
    return put_back(table, origin.own).cast(core_schema(origin.rules))


def checksum(data: bytes | pa.Buffer) -> str:
    """Return the CRC-32C of bytes as 8 hexadecimal digits."""
    return f"{google_crc32c.value(bytes(data)):08x}"


def _dictionaries(schema: pa.Schema) -> list[str]:
    columns: list[str] = []
    for field in schema:
        if pa.types.is_map(field.type):
            columns.append(f"{field.name}.key_value.key")
            if not pa.types.is_boolean(field.type.item_type):
                columns.append(f"{field.name}.key_value.value")
        elif field.name not in (*_DELTA, *_PLAIN) and (
            not pa.types.is_boolean(field.type)
        ):
            columns.append(field.name)
    return columns
