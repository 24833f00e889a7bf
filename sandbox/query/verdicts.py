"""What a rule says of the spans of a derived file, as SQL.

Rules of this module:

* It is the judging of `sandbox.rules.expression`, written once more as one expression:
  parameters by the span's own date (UTC), exceptions by the instant at which it starts.
* A date at which nothing changes for the spans of the file costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import NamedTuple

from sandbox.errors import RuleError
from sandbox.model.backtest import Backtest
from sandbox.model.instants import at_unix_nano, unix_nano_of
from sandbox.query.dialects import SqlDialect
from sandbox.query.origin import Origin
from sandbox.query.predicates import Outside, Predicate, predicate_sql
from sandbox.query.typed import FALSE, TRUE
from sandbox.rules import (
    CompiledRule,
    CompiledRules,
    compile_rules,
    rule_named,
    values_on,
)
from sandbox.rules.cel import Expression

NOT_UNDER, SATISFIED, VIOLATED, NOT_EVALUABLE, UNSURE = range(5)
"""What the SQL gives of a span: it is not under the rule; the three results; it is to
be judged by itself."""


class VerdictSql(NamedTuple):
    """What one rule says of each span, as SQL."""

    sql: str
    """Gives one of the five numbers above; never NULL."""
    outside: tuple[Outside, ...]
    """Why spans are to be judged by themselves, where the rule is the reason."""


def asked_rules(asked: Backtest, trial_id: str) -> CompiledRules:
    """Return the rules that are asked of a trial, with its exceptions.

    Raises:
        RuleError: They are not sound, or one that is named does not exist.
    """
    for name in asked.rules:
        if rule_named(asked.rulebook, name).about != "span":
            raise RuleError(
                f"`{name}` is not about spans; leave it out of the backtest"
            )
    rules = compile_rules(asked.rulebook, asked.overlays.get(trial_id))
    return rules.only(asked.rules) if asked.rules else rules


def verdict_sql(
    rules: CompiledRules, rule: CompiledRule, *, origin: Origin, dialect: SqlDialect
) -> VerdictSql:
    """Return what a rule says of the spans of a derived file.

    Args:
        rules: The rulebook with the exceptions of a trial.
        rule: One of its rules.
        origin: What the file says of itself.
        dialect: How the engine writes it.
    """
    writing = _Writing(rule, origin, dialect)
    excepted = rules.excepted_ns if rule.overlay else (0, 0)
    cuts = cuts_of(rule, excepted, origin.first_start_ns, origin.last_start_ns)
    cases = [
        (until, writing.period(begins, excepted[0] <= begins < excepted[1]))
        for begins, until in pairwise([origin.first_start_ns, *cuts, None])
        if begins is not None
    ]
    *earlier, (_, last) = cases
    start = dialect.column("start_ns")
    whens = [f"WHEN {start} < {until} THEN {sql}" for until, sql in earlier]
    sql = f"(CASE {' '.join(whens)} ELSE {last} END)" if whens else last
    return VerdictSql(sql, tuple(dict.fromkeys(writing.outside)))


def cuts_of(
    rule: CompiledRule, excepted: tuple[int, int], first: int, last: int
) -> list[int]:
    """Return the instants from `first` to `last` at which what is in force changes.

    Args:
        rule: Of which rule.
        excepted: From when and until when the exceptions of a trial are in force.
        first: Start of the first span, in nanoseconds since 1970.
        last: Start of the last.
    """
    days = {day for item in rule.rule.parameters.values() for day in item.values}
    instants = {unix_nano_of(datetime.combine(day, time(), UTC)) for day in days}
    return [it for it in sorted(instants | set(excepted)) if first < it <= last]


class _Writing:
    """One rule on its way into SQL."""

    def __init__(self, rule: CompiledRule, origin: Origin, dialect: SqlDialect) -> None:
        self.outside: list[Outside] = []
        self._rule = rule
        self._origin = origin
        self._dialect = dialect

    def period(self, begins: int, is_excepted: bool) -> str:
        """Return what the rule says while nothing changes.

        Args:
            begins: An instant of the period, in nanoseconds since 1970.
            is_excepted: Whether the trial's exceptions are in force.
        """
        params = values_on(self._rule.rule, day_of(begins))
        overlay = self._rule.overlay
        if overlay is None or not is_excepted:
            return self._verdict(params)
        held = self._predicate(overlay.under, params)
        excepted = str(NOT_UNDER)
        if overlay.waiver.kind == "modification":
            excepted = self._verdict({**params, **overlay.waiver.set})
        unknown = self._if_applies(params, str(NOT_EVALUABLE))
        return by(held, excepted, self._verdict(params), unknown)

    def _verdict(self, params: dict[str, float]) -> str:
        assert self._rule.requires is not None
        required = self._predicate(self._rule.requires, params)
        found = by(required, str(SATISFIED), str(VIOLATED), str(NOT_EVALUABLE))
        return self._if_applies(params, found)

    def _if_applies(self, params: dict[str, float], verdict: str) -> str:
        applies = self._predicate(self._rule.applies, params)
        return by(applies, verdict, str(NOT_UNDER), str(NOT_EVALUABLE))

    def _predicate(self, expression: Expression, params: dict[str, float]) -> Predicate:
        found = predicate_sql(
            expression, params, origin=self._origin, dialect=self._dialect
        )
        self.outside += found.outside
        return found


def by(predicate: Predicate, true: str, false: str, unknown: str) -> str:
    """Return one of three by a predicate's truth, and `UNSURE` where it has none."""
    truth = predicate.truth
    if predicate.unsure == TRUE:
        return str(UNSURE)
    cases = [(predicate.unsure, str(UNSURE))] if predicate.unsure != FALSE else []
    if truth in (TRUE, FALSE):
        last = true if truth == TRUE else false
    else:
        cases += [(truth, true), (f"(NOT {truth})", false)]
        last = unknown
    return _cased(cases, last)


def _cased(cases: Iterable[tuple[str, str]], last: str) -> str:
    whens = " ".join(f"WHEN {when} THEN {sql}" for when, sql in cases)
    return f"(CASE {whens} ELSE {last} END)" if whens else last


def day_of(unix_nano: int) -> date:
    """Return the day (UTC) of an instant in nanoseconds since 1970."""
    return at_unix_nano(unix_nano).date()
