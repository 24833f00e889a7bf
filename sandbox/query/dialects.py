"""How the SQL of compiled expressions is written for each engine.

Rules of this module:

* Every operator stands here in each engine's own words, chosen so that both say what
  the CEL engine says; no statement may fail for the values of one span.
* Whole numbers have 64 bits; a result outside of them is NULL, not wrapped around.
* `.` matches no line break: RE2's default, which ClickHouse changes.
"""

from __future__ import annotations

from typing import Protocol

from sandbox.query.clickhouse import DURATION as CLICKHOUSE_DURATION
from sandbox.query.clickhouse import ClickHouseDialect

_SIGNS = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/"}


class SqlDialect(Protocol):
    """One engine's words for what expressions ask.

    Arguments that are SQL may be NULL, and then the result is NULL.
    """

    def value(self, value: str | int | float | bool | bytes) -> str:
        """Return a literal."""
        ...

    def unknown(self) -> str:
        """Return NULL as a truth value."""
        ...

    def no_text(self) -> str:
        """Return NULL as a text."""
        ...

    def column(self, name: str) -> str:
        """Return a column."""
        ...

    def entry(self, name: str, key: str) -> str:
        """Return what a map column holds under a key, NULL where it has none."""
        ...

    def has(self, name: str, key: str) -> str:
        """Return whether a map column has a key."""
        ...

    def count(self, name: str) -> str:
        """Return how many keys a map column has."""
        ...

    def has_key_with_nul(self, name: str) -> str:
        """Return whether a map column has a key with the character NUL in it."""
        ...

    def has_nul(self, text: str) -> str:
        """Return whether a text has the character NUL in it."""
        ...

    def nanoseconds(self, name: str) -> str:
        """Return an instant in nanoseconds since 1970, NULL from 2**63."""
        ...

    def duration(self) -> str:
        """Return the duration in seconds."""
        ...

    def hexadecimal(self, name: str) -> str:
        """Return the bytes of a column as lower-case hexadecimal digits."""
        ...

    def whole(self, function: str, one: str, other: str) -> str:
        """Return a result of arithmetic on whole numbers, NULL where CEL has none.

        Args:
            function: `_+_`, `_-_`, `_*_`, `_/_` or `_%_`.
            one: The left number.
            other: The right number.
        """
        ...

    def floating(self, function: str, one: str, other: str) -> str:
        """Return a result of arithmetic on floating-point numbers (IEEE 754)."""
        ...

    def is_nan(self, number: str) -> str:
        """Return whether a floating-point number is NaN."""
        ...

    def is_finite(self, number: str) -> str:
        """Return whether a floating-point number is neither NaN nor infinite."""
        ...

    def to_double(self, number: str) -> str:
        """Return a whole number as the nearest floating-point number."""
        ...

    def to_int(self, number: str) -> str:
        """Return a floating-point number without its fraction, NULL out of range."""
        ...

    def to_text(self, number: str) -> str:
        """Return a whole number in decimal digits."""
        ...

    def to_whole(self, text: str) -> str:
        """Return the whole number that a text of at most 18 digits writes."""
        ...

    def concatenated(self, one: str, other: str) -> str:
        """Return two texts as one."""
        ...

    def extracted(self, text: str, pattern: str) -> str:
        """Return what the group of a pattern matches first; empty for nothing."""
        ...

    def days(self, text: str) -> str:
        """Return the days from 1970 to a date between 1900 and 2199, YYYY-MM-DD."""
        ...

    def length(self, text: str) -> str:
        """Return the number of code points of a text."""
        ...

    def tested(self, function: str, text: str, part: str) -> str:
        """Return whether a text has a part: `startsWith`, `endsWith`, `contains`."""
        ...

    def matches(self, text: str, pattern: str) -> str:
        """Return whether a regular expression (RE2) matches a part of a text."""
        ...


class DuckSql:
    """DuckDB 2.

    Args:
        table: Name that columns are asked of; none where there is only one table.
    """

    def __init__(self, table: str = "") -> None:
        self._before = f"{table}." if table else ""

    def value(self, value: str | int | float | bool | bytes) -> str:
        """Return a literal."""
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, int):
            return f"CAST('{value}' AS BIGINT)"
        if isinstance(value, float):
            return f"CAST('{value!r}' AS DOUBLE)"
        if isinstance(value, bytes):
            return f"unhex('{value.hex()}')"
        return "'" + value.replace("'", "''") + "'"

    def unknown(self) -> str:
        """Return NULL as a truth value."""
        return "CAST(NULL AS BOOLEAN)"

    def no_text(self) -> str:
        """Return NULL as a text."""
        return "CAST(NULL AS VARCHAR)"

    def column(self, name: str) -> str:
        """Return a column."""
        return self._before + '"' + name.replace('"', '""') + '"'

    def entry(self, name: str, key: str) -> str:
        """Return what a map column holds under a key, NULL where it has none."""
        return f"{self.column(name)}[{self.value(key)}]"

    def has(self, name: str, key: str) -> str:
        """Return whether a map column has a key."""
        return f"({self.entry(name, key)} IS NOT NULL)"

    def count(self, name: str) -> str:
        """Return how many keys a map column has."""
        return f"CAST(cardinality({self.column(name)}) AS BIGINT)"

    def has_key_with_nul(self, name: str) -> str:
        """Return whether a map column has a key with the character NUL in it."""
        tested = f"map_keys({self.column(name)}), lambda k: {self.has_nul('k')}"
        return f"(len(list_filter({tested})) > 0)"

    def has_nul(self, text: str) -> str:
        """Return whether a text has the character NUL in it."""
        return f"contains({text}, chr(0))"

    def nanoseconds(self, name: str) -> str:
        """Return an instant in nanoseconds since 1970, NULL from 2**63."""
        return f"TRY_CAST({self.column(name)} AS BIGINT)"

    def duration(self) -> str:
        """Return the duration in seconds."""
        end, start = (
            f"CAST({self.column(n)} AS HUGEINT)" for n in ("end_ns", "start_ns")
        )
        return f"(CAST({end} - {start} AS DOUBLE) / 1e9)"

    def hexadecimal(self, name: str) -> str:
        """Return the bytes of a column as lower-case hexadecimal digits."""
        return f"lower(hex({self.column(name)}))"

    def whole(self, function: str, one: str, other: str) -> str:
        """Return a result of arithmetic on whole numbers, NULL where CEL has none."""
        sign = {"_/_": "//", "_%_": "%"}.get(function) or _SIGNS[function]
        return f"TRY({one} {sign} {other})"

    def floating(self, function: str, one: str, other: str) -> str:
        """Return a result of arithmetic on floating-point numbers (IEEE 754)."""
        return f"({one} {_SIGNS[function]} {other})"

    def is_nan(self, number: str) -> str:
        """Return whether a floating-point number is NaN."""
        return f"isnan({number})"

    def is_finite(self, number: str) -> str:
        """Return whether a floating-point number is neither NaN nor infinite."""
        return f"isfinite({number})"

    def to_double(self, number: str) -> str:
        """Return a whole number as the nearest floating-point number."""
        return f"CAST({number} AS DOUBLE)"

    def to_int(self, number: str) -> str:
        """Return a floating-point number without its fraction, NULL out of range."""
        return f"TRY_CAST(trunc({number}) AS BIGINT)"

    def to_text(self, number: str) -> str:
        """Return a whole number in decimal digits."""
        return f"CAST({number} AS VARCHAR)"

    def to_whole(self, text: str) -> str:
        """Return the whole number that a text of at most 18 digits writes."""
        return f"TRY_CAST({text} AS BIGINT)"

    def concatenated(self, one: str, other: str) -> str:
        """Return two texts as one."""
        return f"({one} || {other})"

    def extracted(self, text: str, pattern: str) -> str:
        """Return what the group of a pattern matches first; empty for nothing."""
        return f"regexp_extract({text}, {self.value(pattern)}, 1)"

    def days(self, text: str) -> str:
        """Return the days from 1970 to a date between 1900 and 2199, YYYY-MM-DD."""
        return f"date_diff('day', DATE '1970-01-01', TRY_CAST({text} AS DATE))"

    def length(self, text: str) -> str:
        """Return the number of code points of a text."""
        return f"length({text})"

    def tested(self, function: str, text: str, part: str) -> str:
        """Return whether a text has a part."""
        names = {"startsWith": "starts_with", "endsWith": "suffix"}
        return f"{names.get(function, 'contains')}({text}, {part})"

    def matches(self, text: str, pattern: str) -> str:
        """Return whether a regular expression (RE2) matches a part of a text."""
        return f"regexp_matches({text}, {self.value(pattern)})"


class ClickHouseSql(ClickHouseDialect):
    """ClickHouse, as chDB 4 has it.

    Args:
        table: Name that columns are asked of; none where there is only one table.
    """

    def __init__(self, table: str = "") -> None:
        self._before = f"{table}." if table else ""

    def unknown(self) -> str:
        """Return NULL as a truth value."""
        return "CAST(NULL, 'Nullable(Bool)')"

    def no_text(self) -> str:
        """Return NULL as a text."""
        return "CAST(NULL, 'Nullable(String)')"

    def column(self, name: str) -> str:
        """Return a column."""
        return self._before + self.name(name)

    def entry(self, name: str, key: str) -> str:
        """Return what a map column holds under a key, NULL where it has none."""
        found = f"{self.column(name)}[{self.value(key)}]"
        return f"if({self.has(name, key)}, toNullable({found}), NULL)"

    def has(self, name: str, key: str) -> str:
        """Return whether a map column has a key."""
        return f"mapContains({self.column(name)}, {self.value(key)})"

    def count(self, name: str) -> str:
        """Return how many keys a map column has."""
        return f"toInt64(length({self.column(name)}))"

    def has_key_with_nul(self, name: str) -> str:
        """Return whether a map column has a key with the character NUL in it."""
        return f"arrayExists(k -> {self.has_nul('k')}, mapKeys({self.column(name)}))"

    def has_nul(self, text: str) -> str:
        """Return whether a text has the character NUL in it."""
        return f"(position({text}, char(0)) > 0)"

    def nanoseconds(self, name: str) -> str:
        """Return an instant in nanoseconds since 1970, NULL from 2**63."""
        return f"accurateCastOrNull({self.column(name)}, 'Int64')"

    def duration(self) -> str:
        """Return the duration in seconds."""
        if not self._before:
            return CLICKHOUSE_DURATION
        end, start = (f"toInt128({self.column(n)})" for n in ("end_ns", "start_ns"))
        return f"(toFloat64({end} - {start}) / 1e9)"

    def hexadecimal(self, name: str) -> str:
        """Return the bytes of a column as lower-case hexadecimal digits."""
        return f"lower(hex({self.column(name)}))"

    def whole(self, function: str, one: str, other: str) -> str:
        """Return a result of arithmetic on whole numbers, NULL where CEL has none."""
        one = f"toInt128({one})"
        if function in ("_/_", "_%_"):
            # A remainder that is zero may come of a quotient out of range.
            other = f"nullIf(toInt128({other}), toInt128(0))"
            quotient = f"accurateCastOrNull(intDiv({one}, {other}), 'Int64')"
            if function == "_/_":
                return quotient
            remainder = f"toInt64({one} % {other})"
            return f"if(isNull({quotient}), NULL, {remainder})"
        result = f"{one} {_SIGNS[function]} toInt128({other})"
        return f"accurateCastOrNull({result}, 'Int64')"

    def floating(self, function: str, one: str, other: str) -> str:
        """Return a result of arithmetic on floating-point numbers (IEEE 754)."""
        return f"({one} {_SIGNS[function]} {other})"

    def is_nan(self, number: str) -> str:
        """Return whether a floating-point number is NaN."""
        return f"isNaN({number})"

    def is_finite(self, number: str) -> str:
        """Return whether a floating-point number is neither NaN nor infinite."""
        return f"isFinite({number})"

    def to_double(self, number: str) -> str:
        """Return a whole number as the nearest floating-point number."""
        return f"toFloat64({number})"

    def to_int(self, number: str) -> str:
        """Return a floating-point number without its fraction, NULL out of range."""
        return f"accurateCastOrNull(trunc({number}), 'Int64')"

    def to_text(self, number: str) -> str:
        """Return a whole number in decimal digits."""
        return f"toString({number})"

    def to_whole(self, text: str) -> str:
        """Return the whole number that a text of at most 18 digits writes."""
        return f"toInt64OrNull({text})"

    def concatenated(self, one: str, other: str) -> str:
        """Return two texts as one."""
        return f"concat({one}, {other})"

    def extracted(self, text: str, pattern: str) -> str:
        """Return what the group of a pattern matches first; empty for nothing."""
        return f"extract({text}, {self.value(pattern)})"

    def days(self, text: str) -> str:
        """Return the days from 1970 to a date between 1900 and 2199, YYYY-MM-DD."""
        return f"toInt64(toInt32(toDate32OrNull({text})))"

    def length(self, text: str) -> str:
        """Return the number of code points of a text."""
        return f"toInt64(lengthUTF8({text}))"

    def tested(self, function: str, text: str, part: str) -> str:
        """Return whether a text has a part."""
        if function == "contains":
            return f"(position({text}, {part}) > 0)"
        return f"{function}({text}, {part})"

    def matches(self, text: str, pattern: str) -> str:
        """Return whether a regular expression (RE2) matches a part of a text."""
        return f"match({text}, {self.value('(?-s)' + pattern)})"
