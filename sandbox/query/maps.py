"""Taking attributes out of the typed maps into columns of their own, and back.

Rules of this module:

* An attribute stands once in a file: in its own column where it has one, else in its
  map. Both ways together change nothing that can be asked.
* Maps that are put back whole are in order of their keys, so that equal contents are
  equal tables.
* Work is done on whole columns; no loop goes over spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.query.columns import KINDS, SCOPES, TYPES, Kind, Place, map_name, map_type

_Ints = npt.NDArray[np.int64]


class Entries(NamedTuple):
    """The entries of one map column, one after the other, in order of their rows."""

    rows: _Ints
    """Number of the row each entry belongs to."""
    codes: _Ints
    """Which of `keys` each entry has."""
    keys: list[str]
    """Every key that occurs, sorted."""
    values: pa.Array

    def chosen(self, which: npt.NDArray[Any]) -> Entries:
        """Return the entries at these indices."""
        values = self.values.take(pa.array(which))
        return Entries(self.rows[which], self.codes[which], self.keys, values)


def count_keys(table: pa.Table) -> Counter[Place]:
    """Return how many spans have each attribute, in a table whose maps are whole."""
    counted: Counter[Place] = Counter()
    for scope in SCOPES:
        for kind in KINDS:
            entries = _entries(table[map_name(scope, kind)], kind)
            counts = np.bincount(entries.codes, minlength=len(entries.keys))
            for key, count in zip(entries.keys, counts, strict=True):
                counted[Place(scope, kind, key)] = int(count)
    return counted


def set_apart(table: pa.Table, own: Sequence[Place]) -> pa.Table:
    """Return a table with columns for some attributes, which their maps lose.

    Args:
        table: One whose maps are whole.
        own: The attributes, in the order of the columns to be.
    """
    columns: dict[Place, pa.Array] = {}
    for (scope, kind), places in _by_map(own).items():
        name = map_name(scope, kind)
        entries = _entries(table[name], kind)
        taken = [entries.keys.index(p.key) for p in places if p.key in entries.keys]
        for place in places:
            columns[place] = _column(entries, place, table.num_rows)
        kept = entries.chosen(np.flatnonzero(~np.isin(entries.codes, taken)))
        table = _with_map(table, name, _map(kept, kind, table.num_rows))
    for place in own:
        field = pa.field(place.column, TYPES[place.kind])
        table = table.append_column(field, columns[place])
    return table


def put_back(table: pa.Table, own: Sequence[Place]) -> pa.Table:
    """Return a table whose maps are whole, without columns of their own.

    Args:
        table: One as `set_apart` gives it.
        own: The attributes that have columns.
    """
    apart = _by_map(own)
    for scope in SCOPES:
        for kind in KINDS:
            name = map_name(scope, kind)
            places = apart.get((scope, kind), [])
            parts = [_entries(table[name], kind)]
            parts += [_entries_of(table[place.column], place) for place in places]
            whole = _map(_joined(parts, kind), kind, table.num_rows)
            table = _with_map(table, name, whole)
    return table.drop_columns([place.column for place in own])


def _by_map(own: Iterable[Place]) -> dict[tuple[Any, Kind], list[Place]]:
    found: dict[tuple[Any, Kind], list[Place]] = {}
    for place in own:
        found.setdefault((place.scope, place.kind), []).append(place)
    return found


def _entries(column: pa.ChunkedArray, kind: Kind) -> Entries:
    maps = _one(column, map_type(kind))
    offsets = maps.offsets.to_numpy()
    start, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    rows = np.repeat(np.arange(len(maps)), np.diff(offsets))
    keys, codes = _coded(maps.keys.slice(start, count))
    return Entries(rows, codes, keys, maps.items.slice(start, count))


def _entries_of(column: pa.ChunkedArray, place: Place) -> Entries:
    values = _one(column, TYPES[place.kind])
    rows = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    codes = np.zeros(len(rows), dtype=np.int64)
    return Entries(rows, codes, [place.key], values.drop_null())


def _coded(keys: pa.Array) -> tuple[list[str], _Ints]:
    coded = keys.dictionary_encode()
    words = coded.dictionary.to_pylist()
    ordered = sorted(words)
    places = {word: number for number, word in enumerate(ordered)}
    rank = np.array([places[word] for word in words], dtype=np.int64)
    return ordered, rank[coded.indices.to_numpy()] if words else rank


def _joined(parts: Sequence[Entries], kind: Kind) -> Entries:
    """Return the entries of all parts, by row and then by key."""
    keys = sorted({key for part in parts for key in part.keys})
    places = {key: number for number, key in enumerate(keys)}
    codes = [
        np.array([places[key] for key in part.keys], dtype=np.int64)[part.codes]
        for part in parts
        if part.keys
    ]
    whole = Entries(
        np.concatenate([part.rows for part in parts if part.keys] or [_NONE]),
        np.concatenate(codes or [_NONE]),
        keys,
        pa.concat_arrays(
            [part.values.cast(TYPES[kind]) for part in parts if part.keys]
            or [pa.array([], TYPES[kind])]
        ),
    )
    order = np.argsort(whole.rows * max(1, len(keys)) + whole.codes, kind="stable")
    return whole.chosen(order)


_NONE: _Ints = np.array([], dtype=np.int64)


def _column(entries: Entries, place: Place, rows: int) -> pa.Array:
    if place.key not in entries.keys:
        return pa.nulls(rows, TYPES[place.kind])
    which = np.flatnonzero(entries.codes == entries.keys.index(place.key))
    where = np.full(rows, -1, dtype=np.int64)
    where[entries.rows[which]] = which
    return entries.values.take(pa.array(where, mask=where < 0))


def _map(entries: Entries, kind: Kind, rows: int) -> pa.Array:
    counts = np.bincount(entries.rows, minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    keys = pa.array(entries.keys, pa.string()).take(pa.array(entries.codes))
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), keys, entries.values, type=map_type(kind)
    )


def _with_map(table: pa.Table, name: str, maps: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), maps)


def _one(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """Return a column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], kind)
