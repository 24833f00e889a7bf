"""What a derived file says of itself: what it was made from, and what is in it.

Rules of this module:

* A derived file names the raw digest of every segment in it, the digest of the rules
  that judged, and the version of the derivation. Where any differs from what holds now,
  the file is not used.
* Two derived files are the same if their contents are: how Parquet writes them differs
  from one version of a library to the next.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from sandbox.errors import EvidenceError
from sandbox.query.arrange import Arranged, in_order
from sandbox.query.columns import Kind, Place, Scope, map_name
from sandbox.query.maps import put_back
from sandbox.query.traces import TraceIndex, index_traces, pack, unpack

VERSION = 3
"""Raised with every change of what a derivation gives."""
_KEY = b"regulatory-sandbox"
_TRACES = b"regulatory-sandbox.traces"


class Source(NamedTuple):
    """One segment that a file holds."""

    number: int
    raw_digest: str


class Origin(NamedTuple):
    """What a derived file was made from, and what is in it."""

    sources: tuple[Source, ...]
    rules_digest: str
    rules: tuple[str, ...]
    promoted: tuple[Place, ...]
    """Attributes that rules read; they have a column in every file of these rules."""
    own: tuple[Place, ...]
    """All attributes that have a column of their own here."""
    keys: dict[str, list[str] | None]
    spans: int
    first_start_ns: int
    last_start_ns: int
    version: int = VERSION

    @property
    def first(self) -> int:
        """Number of the first segment."""
        return self.sources[0].number

    @property
    def last(self) -> int:
        """Number of the last segment."""
        return self.sources[-1].number

    def may_have(self, scope: Scope, kind: Kind, key: str) -> bool:
        """Return whether a span of the file may have such an attribute."""
        known = self.keys[map_name(scope, kind)]
        return known is None or key in known


def origin_of(
    arranged: Arranged,
    *,
    sources: Sequence[Source],
    rules_digest: str,
    rules: tuple[str, ...],
) -> Origin:
    """Return what is to be said of an arranged table."""
    starts = arranged.table["start_ns"]
    rows = arranged.table.num_rows
    return Origin(
        sources=tuple(sources),
        rules_digest=rules_digest,
        rules=rules,
        promoted=arranged.promoted,
        own=arranged.own,
        keys=arranged.keys,
        spans=rows,
        first_start_ns=starts[0].as_py() if rows else 0,
        last_start_ns=starts[rows - 1].as_py() if rows else 0,
    )


def metadata_of(table: pa.Table, origin: Origin) -> dict[bytes, bytes]:
    """Return what a file says of itself: its origin, and an index of its traces."""
    text = json.dumps(origin._asdict(), sort_keys=True)
    index = base64.b64encode(pack(index_traces(table)))
    return {_KEY: text.encode(), _TRACES: index}


def read_origin(metadata: Mapping[bytes, bytes]) -> Origin:
    """Return the origin that a file's metadata holds.

    Raises:
        EvidenceError: It holds none that can be read.
    """
    try:
        data: dict[str, Any] = json.loads(metadata[_KEY])
        return Origin(
            **{
                **data,
                "sources": tuple(Source(*item) for item in data["sources"]),
                "rules": tuple(data["rules"]),
                "promoted": tuple(Place(*item) for item in data["promoted"]),
                "own": tuple(Place(*item) for item in data["own"]),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            "the file does not say what it was derived from; remove the folder of "
            "derived files, they are made again"
        ) from error


def read_traces(metadata: Mapping[bytes, bytes]) -> TraceIndex:
    """Return the index of traces that a file's metadata holds."""
    return unpack(base64.b64decode(metadata[_TRACES]))


def same_content(one: pa.Table, other: pa.Table) -> bool:
    """Return whether two tables hold the same spans and say the same of them.

    Args:
        one: As derived, or whole again (`sandbox.query.maps.put_back`).
        other: Likewise.
    """
    if one.schema.names != other.schema.names or one.num_rows != other.num_rows:
        return False
    first, second = (put_back(in_order(table), ()) for table in (one, other))
    # Arrow takes NaN for another value than NaN; as text they are the same.
    same_values = repr(first.to_pylist()) == repr(second.to_pylist())
    return same_values and bool(first.schema.equals(second.schema))
