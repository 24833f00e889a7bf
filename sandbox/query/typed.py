"""What a part of an expression may be, as SQL: the values between CEL and an engine.

Rules of this module:

* An attribute may be text in one span and a number in the next, so a value has SQL for
  each kind it can be of: NULL unless the value is of that kind. At most one is not
  NULL; where all are, the expression gives an error there.
* An error is NULL: the `&&` and `||` of CEL absorb errors exactly as AND and OR of SQL
  absorb NULL.
* `unsure` are conditions under which SQL cannot tell, and the span is left to the
  engine that judges span by span. NULL among them means false.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from sandbox.rules.syntax import Scalar

ValueKind = Literal["string", "int", "double", "bool", "null", "timestamp", "duration"]
TRUE, FALSE = "TRUE", "FALSE"


class Known(NamedTuple):
    """A value that is known when the SQL is written."""

    value: Scalar


class Typed(NamedTuple):
    """A value of one or more possible kinds; of none, it is always an error."""

    kinds: Mapping[ValueKind, str]
    unsure: frozenset[str] = frozenset()
    known: Known | None = None
    is_finite: bool = True
    """Whether, as a floating-point number, it is neither NaN nor infinite."""

    @property
    def truth(self) -> str | None:
        """SQL of the value as a truth value; None where it never is one."""
        return self.kinds.get("bool")

    def but(self, others: Iterable[Typed]) -> Typed:
        """Return the same value, unsure also where one of the others is."""
        return self._replace(
            unsure=self.unsure.union(*(item.unsure for item in others))
        )


ERROR = Typed({})
"""What is an error in every span."""


def boolean(sql: str | None) -> Typed:
    """Return a truth value; None for one that is always an error."""
    if sql is None:
        return ERROR
    known = Known(sql == TRUE) if sql in (TRUE, FALSE) else None
    return Typed({"bool": sql}, known=known)


def defined(value: Typed) -> str:
    """Return the condition under which a value is no error; never NULL."""
    if value.known is not None:
        return TRUE
    return either(f"{sql} IS NOT NULL" for sql in value.kinds.values())


def negated(sql: str) -> str:
    """Return NOT of a condition."""
    return {TRUE: FALSE, FALSE: TRUE}.get(sql) or f"(NOT {sql})"


def either(parts: Iterable[str]) -> str:
    """Return whether any condition holds, in SQL's three values."""
    found = [part for part in dict.fromkeys(parts) if part != FALSE]
    if TRUE in found:
        return TRUE
    return _joined(found, " OR ") or FALSE


def every(parts: Iterable[str]) -> str:
    """Return whether all conditions hold, in SQL's three values."""
    found = [part for part in dict.fromkeys(parts) if part != TRUE]
    if FALSE in found:
        return FALSE
    return _joined(found, " AND ") or TRUE


def first_of(parts: Iterable[str]) -> str:
    """Return the first part that is not NULL; there is at least one part."""
    found = list(parts)
    return found[0] if len(found) == 1 else f"COALESCE({', '.join(found)})"


def where(condition: str, sql: str) -> str:
    """Return a value where a condition holds, else NULL."""
    return sql if condition == TRUE else f"(CASE WHEN {condition} THEN {sql} END)"


def _joined(parts: list[str], sign: str) -> str:
    return parts[0] if len(parts) == 1 else f"({sign.join(parts)})" if parts else ""
