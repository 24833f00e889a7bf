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
    Place,
    core_schema,
    map_name,
)
from sandbox.query.maps import count_keys, put_back, set_apart
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
    """All attributes that have a column of their own."""
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
        tables: As derived, or whole again (`sandbox.query.maps.put_back`).
        rules: Names of the rules.
        always: Attributes that get a column however rare they are.
    """
    names = core_schema(rules).names
    whole = pa.concat_tables([table.select(names) for table in tables])
    whole = put_back(in_order(whole), ())
    counted = count_keys(whole)
    own = tuple(dict.fromkeys((*always, *_frequent(counted, whole.num_rows))))
    return Arranged(set_apart(whole, own), always, own, _keys(counted))


def in_order(table: pa.Table) -> pa.Table:
    """Return the spans of a table in the order of an answer."""
    table = table.combine_chunks()
    keys = [(name, "ascending") for name in ORDER]
    return table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()


def _frequent(counted: Counter[Place], rows: int) -> list[Place]:
    plain = [place for place in counted if place.kind in PLAIN]
    common = [place for place in plain if counted[place] >= max(1, _COMMON * rows)]
    common.sort(key=lambda place: (-counted[place], place))
    return sorted(common[:_COLUMNS])


def _keys(counted: Counter[Place]) -> dict[str, list[str] | None]:
    keys: dict[str, list[str] | None] = {}
    for scope in SCOPES:
        for kind in KINDS:
            found = sorted(p.key for p in counted if (p.scope, p.kind) == (scope, kind))
            keys[map_name(scope, kind)] = found if len(found) <= _KEYS else None
    return keys
