"""What the spans of a track say together, as SQL with windows.

Rules of this module:

* Given are spans with their track `k`, start `t`, end `e`, ids `i` and `c`, place, gate
  `g`, and a column for each predicate, as `sandbox.query.patterns` writes them.
* Each span counts once: the first by start, end and place. Spans that cannot matter to
  a pattern are left out before anything is put in order.
* What is asked is what `sandbox.rules.pattern` asks, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sandbox.query.verdicts import NOT_EVALUABLE, NOT_UNDER, SATISFIED, VIOLATED
from sandbox.rules import Known
from sandbox.rules.pattern import CompiledPattern

JUDGED, ELSEWHERE = 5, 6
"""What a gate says besides the numbers of `verdicts`: the pattern decides of the span;
the span is judged with other values in force."""
PLACE = "segment, frame, number"

_LONGEST = 2**61
"""Times and instants in nanoseconds that are computed with are not above this."""
_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_AFTER = "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING"
_TRACK = "PARTITION BY k ORDER BY t, e, i, c"


Cases = list[tuple[str, int]]
"""Conditions, and what is given where the first of them holds."""


class _Shape(NamedTuple):
    """What one shape of pattern asks."""

    matters: str
    """Which spans can matter to the result of any."""
    windows: dict[str, str]
    cases: Cases
    numbered: bool = False
    """Whether windows ask for the number `r` of a span in its track."""


def column_of(predicate: str) -> str:
    """Return the column of a predicate, by the name of its field."""
    return "p_" + predicate.replace(".", "_")


def units_sql(
    pattern: CompiledPattern,
    spans: str,
    params: Mapping[str, float],
    *,
    known: Known,
) -> str:
    """Return a statement that gives the result and the place of each unit.

    Args:
        pattern: The pattern.
        spans: The statement that gives the spans.
        params: Parameters in force for them.
        known: Of which times all spans are known.
    """
    shape = _Writing(pattern, params, known).shape()
    rows = f"SELECT * FROM ({_once(spans, shape.matters)}) AS o"
    if pattern.ends:
        rows += _track_ends(spans)
    if shape.numbered:
        rows = f"SELECT *, row_number() OVER ({_TRACK}) AS r FROM ({rows}) AS y"
    windows = "".join(f", {sql} AS {name}" for name, sql in shape.windows.items())
    whens = " ".join(f"WHEN {when} THEN {given}" for when, given in shape.cases)
    return (
        f"SELECT CASE {whens} ELSE {VIOLATED} END AS given, {PLACE}, c, i "
        f"FROM (SELECT *{windows} FROM ({rows}) AS p) AS q "
        f"WHERE g IN ({JUDGED}, {NOT_EVALUABLE})"
    )


def _once(spans: str, matters: str) -> str:
    """Return each span that matters once, in its first delivery."""
    ids = f"SELECT c, i FROM ({spans}) AS m WHERE {matters}"
    numbered = f"row_number() OVER (PARTITION BY c, i ORDER BY t, e, {PLACE}) AS d"
    rows = f"SELECT *, {numbered} FROM ({spans}) AS s WHERE (c, i) IN ({ids})"
    return f"SELECT * FROM ({rows}) AS n WHERE d = 1 AND ({matters})"


def _track_ends(spans: str) -> str:
    ends = f"SELECT k AS zk, max(t) AS z FROM ({spans}) AS x GROUP BY k"
    return f" LEFT JOIN ({ends}) AS f ON o.k = f.zk"


class _Writing:
    """One pattern on its way into SQL, with one set of parameters."""

    def __init__(
        self, pattern: CompiledPattern, params: Mapping[str, float], known: Known
    ) -> None:
        self._pattern = pattern
        self._params = params
        self._known = known

    def shape(self) -> _Shape:
        """Return what the pattern asks."""
        name = self._pattern.pattern.shape
        if name in ("never", "always"):
            return self._scoped(name)
        absent = set(self._pattern.pattern.parameters()) - set(self._params)
        if absent:
            of = column_of("of" if name == "at_most" else "every")
            return _Shape(_not_false(of), {}, [*_units(of), ("TRUE", NOT_EVALUABLE)])
        if name == "at_most":
            return self._counted()
        return self._preceded() if name == "preceded_by" else self._followed()

    def _within(self) -> int | None:
        within = self._pattern.within(self._params)
        return None if within is None else min(within, _LONGEST)

    def _preceded(self) -> _Shape:
        of, found = column_of("every"), column_of("preceded_by")
        within = self._within()
        earliest = None if within is None else f"t - {within}"
        cases: Cases = [
            *_units(of),
            (f"a >= {earliest}" if earliest else "a IS NOT NULL", SATISFIED),
            (f"b >= {earliest}" if earliest else "b IS NOT NULL", NOT_EVALUABLE),
            (self._doubt(earliest, "t"), NOT_EVALUABLE),
        ]
        windows = {"a": _over("max", _true(found)), "b": _over("max", _null(found))}
        return _Shape(_either(of, found), windows, cases)

    def _followed(self) -> _Shape:
        of, found = column_of("every"), column_of("followed_by")
        within = self._within()
        latest = [] if within is None else [f"t + {within}"]
        last = list(latest)
        if self._pattern.ends:
            last.append(f"z + {min(self._known.settling, _LONGEST)}")
        end = last[0] if len(last) == 1 else f"least({', '.join(last)})"
        cases: Cases = [
            *_units(of),
            (f"a <= {latest[0]}" if latest else "a IS NOT NULL", SATISFIED),
            (f"b <= {latest[0]}" if latest else "b IS NOT NULL", NOT_EVALUABLE),
            (self._doubt("t", end), NOT_EVALUABLE),
        ]
        windows = {
            "a": _over("min", _true(found), _AFTER),
            "b": _over("min", _null(found), _AFTER),
        }
        return _Shape(_either(of, found), windows, cases)

    def _counted(self) -> _Shape:
        # Too many count exactly where the span so many places before is too near.
        of, most = column_of("of"), self._pattern.most(self._params)
        frame = f"ROWS BETWEEN {most} PRECEDING AND {most} PRECEDING"
        within = self._within() or 0
        alike = f"PARTITION BY k, {_is_true(of)} ORDER BY t, e, i, c"
        known = f"CASE WHEN {_not_false(of)} THEN t END"
        cases: Cases = [
            *_units(of),
            (f"a > t - {within}", VIOLATED),
            (f"b > t - {within}", NOT_EVALUABLE),
            (self._doubt(f"t - {within} + 1", "t"), NOT_EVALUABLE),
            ("TRUE", SATISFIED),
        ]
        windows = {
            "a": f"max({_true(of)}) OVER ({alike} {frame})",
            "b": f"max({known}) OVER ({_TRACK} {frame})",
        }
        return _Shape(_not_false(of), windows, cases)

    def _scoped(self, name: str) -> _Shape:
        said = column_of(name)
        held = f"NOT {said}" if name == "never" else said
        last: Cases = [
            (f"g = {NOT_EVALUABLE}", NOT_EVALUABLE),
            (f"{said} IS NULL", NOT_EVALUABLE),
            (held, SATISFIED),
        ]
        judged = f"g IN ({JUDGED}, {NOT_EVALUABLE})"
        if not self._pattern.pattern.between:
            return _Shape(judged, {}, last)
        opens, closes = column_of("between.from"), column_of("between.to")
        windows = {
            "o1": _over("max", f"CASE WHEN {_is_true(opens)} THEN r END"),
            "o0": _over("max", f"CASE WHEN {opens} IS NULL THEN r END"),
            "c1": _over("max", f"CASE WHEN {_is_true(closes)} THEN r END"),
            "c0": _over("max", f"CASE WHEN {closes} IS NULL THEN r END"),
            "s": _over(
                "max", f"CASE WHEN {_is_true(opens)} OR {_is_true(closes)} THEN t END"
            ),
        }
        decided = "greatest(COALESCE(o1, 0), COALESCE(c1, 0))"
        is_open = "(o1 IS NOT NULL AND o1 >= COALESCE(c1, 0))"
        cases: Cases = [
            ("k IS NULL", NOT_EVALUABLE),
            (f"{is_open} AND COALESCE(c0, 0) > {decided}", NOT_EVALUABLE),
            (
                f"NOT {is_open} AND o0 IS NOT NULL AND o0 >= {decided}",
                NOT_EVALUABLE,
            ),
            (self._doubt("COALESCE(s, 0)", "t"), NOT_EVALUABLE),
            (f"NOT {is_open}", NOT_UNDER),
            *last,
        ]
        matters = f"{judged} OR {_either(opens, closes)}"
        return _Shape(matters, windows, cases, numbered=True)

    def _doubt(self, first: str | None, last: str) -> str:
        """Return whether a span that starts in a stretch may not have come."""
        doubts = []
        if self._known.until < 2**63:
            doubts.append(f"{last} >= {self._known.until}")
        for begun, over in self._known.gaps:
            touches = f"{begun} <= {last}"
            touches += f" AND {over} >= {first}" if first else ""
            doubts.append(f"({touches})")
        return " OR ".join(doubts) or "FALSE"


def _units(of: str) -> Cases:
    """Return what is said where the pattern need not be asked."""
    return [
        (f"NOT COALESCE({of}, TRUE)", NOT_UNDER),
        (f"g = {NOT_EVALUABLE} OR k IS NULL OR {of} IS NULL", NOT_EVALUABLE),
    ]


def _over(function: str, value: str, frame: str = _BEFORE) -> str:
    return f"{function}({value}) OVER ({_TRACK} {frame})"


def _is_true(column: str) -> str:
    return f"COALESCE({column}, FALSE)"


def _not_false(column: str) -> str:
    return f"COALESCE({column}, TRUE)"


def _either(one: str, other: str) -> str:
    return f"{_not_false(one)} OR {_not_false(other)}"


def _true(column: str) -> str:
    return f"CASE WHEN {_is_true(column)} THEN t END"


def _null(column: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN t END"
