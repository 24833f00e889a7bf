"""What a rule with a pattern says of each unit of a trial, as one statement in SQL.

Rules of this module:

* It is `sandbox.rules.pattern` written once more, with windows over the spans of a
  track in order; one pass over the files for each set of parameters in force.
* A span that is no unit gives no row. Where SQL cannot tell something of one span, it
  may matter to any other: the rule is then judged by the engine that has all spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from sandbox.query.columns import Scope
from sandbox.query.dialects import SqlDialect
from sandbox.query.fields import Fields, MapValue
from sandbox.query.origin import Origin
from sandbox.query.predicates import Outside, Predicate, predicate_sql
from sandbox.query.typed import FALSE, Typed, either
from sandbox.query.verdicts import NOT_EVALUABLE, NOT_UNDER, by, cuts_of, day_of
from sandbox.query.windows import ELSEWHERE, JUDGED, PLACE, column_of, units_sql
from sandbox.rules import CompiledRule, CompiledRules, Known, values_on
from sandbox.rules.cel import Expression
from sandbox.rules.pattern import CompiledPattern

_LATEST = 2**62
"""Instants from here on are not computed with."""


class SpanTable(NamedTuple):
    """A derived file as a statement reads it."""

    origin: Origin
    sql: str
    """What stands behind FROM."""


class PatternSql(NamedTuple):
    """A rule with a pattern, as statements."""

    units: str
    """Gives `given`, segment, frame, number, trace id and span id of each unit; `given`
    is one of the numbers of `sandbox.query.verdicts`, never `NOT_UNDER`."""
    unsure: str
    """Gives one number: of how many spans SQL cannot tell something that is asked."""
    outside: tuple[Outside, ...]


class _Values(NamedTuple):
    """Parameters that are in force for some spans, and for which."""

    begins: int | None
    until: int | None
    params: dict[str, float]
    exception: str
    """How the exception of a trial takes part: `none`, `waived`, `base`, `special`."""
    before: dict[str, float] | None = None
    """Parameters by which it is asked whether the exception holds, where others."""


def pattern_sql(
    rules: CompiledRules,
    rule: CompiledRule,
    *,
    tables: Sequence[SpanTable],
    dialect: SqlDialect,
    known: Known,
) -> PatternSql:
    """Return what a rule with a pattern says of the spans of derived files.

    Args:
        rules: The rulebook with the exceptions of a trial.
        rule: One of its rules, with a pattern.
        tables: All files of the trial; at least one.
        dialect: How the engine writes it.
        known: Of which times all spans are known.
    """
    assert rule.pattern is not None
    writing = _Writing(rule, rule.pattern, dialect, known)
    firsts = min(table.origin.first_start_ns for table in tables)
    lasts = max(table.origin.last_start_ns for table in tables)
    units, unsure = [], []
    for values in _values_in_force(rules, rule, firsts, lasts):
        spans = writing.spans(tables, values)
        units.append(units_sql(rule.pattern, spans, values.params, known=known))
        unsure.append(f"SELECT count(*) AS n FROM ({spans}) AS s WHERE u")
    whole = " UNION ALL ".join(units)
    counted = " UNION ALL ".join(unsure)
    return PatternSql(
        f"SELECT given, {PLACE}, c, i FROM ({whole}) AS w WHERE given <> {NOT_UNDER}",
        f"SELECT sum(n) FROM ({counted}) AS w",
        tuple(dict.fromkeys(writing.outside)),
    )


def _values_in_force(
    rules: CompiledRules, rule: CompiledRule, first: int, last: int
) -> Iterator[_Values]:
    """Yield every set of parameters that is in force for spans of these times."""
    excepted = rules.excepted_ns if rule.overlay else (0, 0)
    cuts = cuts_of(rule, excepted, first, last)
    for begins, until in pairwise([None, *cuts, None]):
        start = first if begins is None else begins
        params = values_on(rule.rule, day_of(start))
        if rule.overlay is None or not excepted[0] <= start < excepted[1]:
            yield _Values(begins, until, params, "none")
        elif rule.overlay.waiver.kind == "waiver":
            yield _Values(begins, until, params, "waived")
        else:
            yield _Values(begins, until, params, "base")
            special = {**params, **rule.overlay.waiver.set}
            yield _Values(begins, until, special, "special", before=params)


class _Writing:
    """One rule with a pattern on its way into SQL."""

    def __init__(
        self,
        rule: CompiledRule,
        pattern: CompiledPattern,
        dialect: SqlDialect,
        known: Known,
    ) -> None:
        self.outside: list[Outside] = []
        self._rule = rule
        self._pattern = pattern
        self._sql = dialect
        self._known = known

    def spans(self, tables: Sequence[SpanTable], values: _Values) -> str:
        """Return every span with what the pattern asks of it.

        Its columns: `k` what it has in common with others, `t`, `e`, `i`, `c` start,
        end, span and trace id, its place, `g` whether it is judged, `u` whether SQL
        cannot tell, and one for each predicate of the pattern.
        """
        return " UNION ALL ".join(self._table(table, values) for table in tables)

    def _table(self, table: SpanTable, values: _Values) -> str:
        asking = _Asking(table.origin, values.params, self._sql)
        key = self._key(asking)
        start = self._sql.nanoseconds("start_ns")
        asking.unsure.append(f"COALESCE({start} >= {_LATEST}, TRUE)")
        predicates = {
            name: self._predicate(asking, name, expression)
            for name, expression in self._pattern.predicates.items()
        }
        gate = self._gate(asking, values)
        self.outside += asking.outside
        columns = {
            "k": key,
            "t": f"COALESCE({start}, {self._sql.value(0)})",
            "e": self._sql.column("end_ns"),
            "i": self._sql.column("span_id"),
            "c": self._sql.column("trace_id"),
            "g": gate,
            "u": either(asking.unsure),
            **{column_of(name): sql for name, sql in predicates.items()},
        }
        named = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        return f"SELECT {named}, {PLACE} FROM {table.sql}"

    def _predicate(self, asking: _Asking, name: str, expression: Expression) -> str:
        said = asking.truth(expression)
        if name != "of":
            return said
        # What is counted are spans to which the rule applies.
        return f"({asking.truth(self._rule.applies)} AND {said})"

    def _gate(self, asking: _Asking, values: _Values) -> str:
        """Return whether the pattern decides of a span, or what else is to be said."""
        judged = self._if_applies(asking, str(JUDGED))
        gate = judged
        if values.exception != "none":
            assert self._rule.overlay is not None
            unknown = self._if_applies(asking, str(NOT_EVALUABLE))
            held, other = {
                "waived": (str(NOT_UNDER), judged),
                "base": (str(ELSEWHERE), judged),
                "special": (judged, str(ELSEWHERE)),
            }[values.exception]
            unknown = str(ELSEWHERE) if values.exception == "special" else unknown
            under = asking.ask(self._rule.overlay.under, values.before)
            gate = by(under, held, other, unknown)
        start = self._sql.column("start_ns")
        outside = [f"{start} < {values.begins}"] if values.begins is not None else []
        outside += [f"{start} >= {values.until}"] if values.until is not None else []
        if not outside:
            return gate
        return f"(CASE WHEN {' OR '.join(outside)} THEN {ELSEWHERE} ELSE {gate} END)"

    def _if_applies(self, asking: _Asking, verdict: str) -> str:
        applies = asking.ask(self._rule.applies)
        return by(applies, verdict, str(NOT_UNDER), str(NOT_EVALUABLE))

    def _key(self, asking: _Asking) -> str:
        """Return what a span has in common with others; NULL where it lacks a key."""
        if self._pattern.pattern.same == ("trace",):
            return self._sql.column("trace_id")
        parts = [self._part(asking, name) for name in self._pattern.pattern.same]
        whole = parts[0]
        for part in parts[1:]:
            whole = self._sql.concatenated(whole, part)
        return whole

    def _part(self, asking: _Asking, name: str) -> str:
        """Return one key with its type and its length, so that parts stay apart."""
        if name == "trace":
            return self._tagged("t", self._sql.hexadecimal("trace_id"))
        scope, _, key = name.partition(".")
        value = asking.attribute(scope, key)
        texts = {
            "string": lambda sql: sql,
            "int": self._sql.to_text,
            "bool": _truth_text,
        }
        found = [
            self._tagged(kind[0], texts[kind](sql))
            for kind, sql in value.kinds.items()
            if kind in texts
        ]
        # Texts of no kind: the span belongs to no track.
        nothing = self._sql.no_text()
        return f"COALESCE({', '.join([*found, nothing])})" if found else nothing

    def _tagged(self, kind: str, text: str) -> str:
        length = self._sql.to_text(self._sql.length(text))
        return self._sql.concatenated(
            self._sql.concatenated(f"'{kind}'", length),
            self._sql.concatenated("':'", text),
        )


def _truth_text(sql: str) -> str:
    return f"(CASE {sql} WHEN TRUE THEN '1' WHEN FALSE THEN '0' END)"


class _Asking:
    """One derived file, asked with one set of values."""

    def __init__(
        self, origin: Origin, params: dict[str, float], dialect: SqlDialect
    ) -> None:
        self.unsure: list[str] = []
        self.outside: list[Outside] = []
        self._origin = origin
        self._params = params
        self._sql = dialect

    def ask(
        self, expression: Expression, params: dict[str, float] | None = None
    ) -> Predicate:
        """Return an expression as SQL, and remember where it is unsure."""
        given = self._params if params is None else params
        found = predicate_sql(expression, given, origin=self._origin, dialect=self._sql)
        self.outside += found.outside
        self.unsure.append(found.unsure)
        return found._replace(unsure=FALSE)

    def truth(self, expression: Expression) -> str:
        """Return the truth of an expression: TRUE, FALSE or NULL."""
        return self.ask(expression).truth

    def attribute(self, scope: str, key: str) -> Typed:
        """Return an attribute, and remember where SQL cannot tell its value."""
        fields = Fields(self._origin, self._params, self._sql)
        found = fields.get(MapValue(_SCOPES[scope]), key)
        assert isinstance(found, Typed)
        self.unsure.append(f"COALESCE({either(sorted(found.unsure))}, FALSE)")
        return found


_SCOPES: dict[str, Scope] = {"attributes": "attributes", "resource": "resource"}
