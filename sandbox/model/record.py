"""What every record is made of: frozen models, digests, instants, intervals.

Rules of this module:

* A record is immutable and closed: unknown fields are refused.
* Every instant carries a time zone and is kept in UTC.
* What is hashed or signed is the canonical JSON of a record: UTF-8, keys sorted by
  code point, no insignificant space, no NaN (after RFC 8785).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import isodate
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    model_validator,
)

_IDENTIFIER = r"^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$"

TrialId = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,53}[a-z0-9])?$")
]
"""Lower-case letters, digits, hyphens; at most 55, so `trial-{id}` is a DNS label."""

Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER, max_length=200)]
"""Names a rule, goal or condition in its document, such as `dispatch/offer-time`."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 of some bytes, written `sha256:` and 64 lower-case hexadecimal digits."""


def _to_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _check_period(value: str) -> str:
    try:
        isodate.parse_duration(value)
        # isodate also takes a sign and a time part without figures.
        lawful = value.startswith("P") and not value.endswith("T")
    except (isodate.ISO8601Error, ValueError, TypeError):
        lawful = False
    if not lawful:
        raise ValueError(
            "is not an ISO 8601 period; write for example PT30S, P10D or P3M"
        )
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A point in time; written with any offset, kept in UTC."""

Period = Annotated[str, AfterValidator(_check_period)]
"""A length of time as ISO 8601 text; civil units (P1M) keep their meaning."""


class Record(BaseModel):
    """Base of every record: frozen, closed, comparable by value."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )


class Interval(Record):
    """A half-open stretch of time: `start` belongs to it, `end` does not."""

    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Interval:
        if self.end <= self.start:
            raise ValueError("ends before it starts; give an end after the start")
        return self

    def holds(self, instant: datetime) -> bool:
        """Return whether `instant` lies inside."""
        return self.start <= instant < self.end


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Record | dict[str, Any] | list[Any]) -> bytes:
    """Return the one byte form of `value` that is hashed and signed.

    Args:
        value: A record, or JSON-ready data.

    Returns:
        UTF-8 JSON, keys sorted, no insignificant space.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    data = value.model_dump(mode="json") if isinstance(value, Record) else value
    return _CANONICAL.encode(data).encode()


def digest_of(value: Record | dict[str, Any] | list[Any] | bytes) -> str:
    """Return the `Digest` of bytes, or of the canonical JSON of anything else."""
    data = value if isinstance(value, bytes) else canonical_json(value)
    return "sha256:" + hashlib.sha256(data).hexdigest()
