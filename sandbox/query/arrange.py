"""How the spans of one or more segments lie in one file, so that questions are fast.

Rules of this module:

* Spans lie by start, ties by identity and place: the order of an answer. The spans of a
  trace then lie close together, and the first answers to a question do too.
* The attributes that rules read, and those that many spans of the file have, get
  columns of their own.
* The file says which keys occur in it, so that a question about others is not asked of
  it. Where there are too many to say, it says nothing.
* Equal tables are arranged equally, whatever they were merged from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.query.columns import (
    KINDS,
    ORDER,
    PLAIN,
    SCOPES,
    TYPES,
    Place,
    core_schema,
    map_name,
)
from sandbox.rules.mentions import Path

_COMMON = 0.05
"""A key that at least this share of spans has gets a column of its own."""
_COLUMNS = 64
"""Not more such columns than this; the most frequent keys have them."""
_KEYS = 4096
"""Not more keys than this are said to occur, of each map."""


class Arranged(NamedTuple):
    """A table ready to be written."""

    table: pa.Table
    promoted: tuple[Place, ...]
    """Attributes that have a column in every file."""
    own: tuple[Place, ...]
    """Attributes that have a column of their own."""
    keys: dict[str, list[str] | None]
    """The keys that occur, by map; None where there are too many."""


def promoted(mentions: Iterable[Path]) -> tuple[Place, ...]:
    """Return where attributes stand that rules read, of any plain type."""
    return tuple(
        Place(scope, kind, path[2])
        for path in mentions
        for scope in SCOPES
        for kind in PLAIN
        if path[:2] == ("span", scope) and len(path) > 2
    )


def arrange(
    tables: Sequence[pa.Table], *, rules: tuple[str, ...], always: tuple[Place, ...]
) -> Arranged:
    """Return the spans of all tables, sorted, with columns for frequent attributes.

    Args:
        tables: As derived, or as read from derived files.
        rules: Names of the rules.
        always: Attributes that get a column however rare they are.
    """
    names = core_schema(rules).names
    whole = pa.concat_tables([table.select(names) for table in tables])
    whole = whole.combine_chunks()
    order = pc.sort_indices(whole, sort_keys=[(name, "ascending") for name in ORDER])
    whole = whole.take(order).combine_chunks()
    counted = _counted(whole)
    own = tuple(dict.fromkeys((*always, *_frequent(counted, whole.num_rows))))
    for place in own:
        field = pa.field(place.column, TYPES[place.kind])
        whole = whole.append_column(field, _column(whole, place))
    return Arranged(whole, always, own, _keys(counted))


def _counted(table: pa.Table) -> Counter[Place]:
    counted: Counter[Place] = Counter()
    for scope in SCOPES:
        for kind in KINDS:
            for chunk in table[map_name(scope, kind)].chunks:
                for item in pc.value_counts(chunk.keys):
                    place = Place(scope, kind, item["values"].as_py())
                    counted[place] += item["counts"].as_py()
    return counted


def _frequent(counted: Counter[Place], rows: int) -> list[Place]:
    plain = [place for place in counted if place.kind in PLAIN]
    common = [place for place in plain if counted[place] >= max(1, _COMMON * rows)]
    common.sort(key=lambda place: (-counted[place], place))
    return sorted(common[:_COLUMNS])


def _column(table: pa.Table, place: Place) -> pa.ChunkedArray:
    maps = table[map_name(place.scope, place.kind)]
    found = [
        pc.map_lookup(chunk, pa.scalar(place.key), "first") for chunk in maps.chunks
    ]
    return pa.chunked_array(found, TYPES[place.kind])


def _keys(counted: Counter[Place]) -> dict[str, list[str] | None]:
    keys: dict[str, list[str] | None] = {}
    for scope in SCOPES:
        for kind in KINDS:
            found = sorted(p.key for p in counted if (p.scope, p.kind) == (scope, kind))
            keys[map_name(scope, kind)] = found if len(found) <= _KEYS else None
    return keys
