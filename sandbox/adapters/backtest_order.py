"""A rule about the order of spans, asked of one trial.

Rules of this module:

* One statement gives every unit of all files together. Where SQL cannot tell something
  of a span that is asked about, all spans are read and judged as they were when the
  trial was closed.
* A unit counts once, however often its span was delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sandbox.adapters.backtest_engine import (
    Case,
    CountingEngine,
    SpanPlace,
    check_whole,
)
from sandbox.adapters.backtest_files import judge_together
from sandbox.adapters.spans_files import Derived
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.model.backtest import BacktestCount, EvidenceTimes, ViolatingSpan
from sandbox.query.patterns import SpanTable, pattern_sql
from sandbox.query.verdicts import NOT_EVALUABLE, NOT_UNDER, SATISFIED, VIOLATED
from sandbox.rules import CompiledRule, CompiledRules, Known

_WRITTEN_OUT = "SQL cannot tell a value of {count} spans; all were judged together"


class AskingOrder:
    """One rule about the order of spans, asked of one trial.

    Args:
        engine: What is asked.
        asked: The rulebook with the exceptions of the trial, and the rule.
        derived: The derived files of the trial.
        times: Of which times all spans are known; None: up to the last span.
    """

    def __init__(
        self,
        engine: CountingEngine,
        asked: tuple[CompiledRules, CompiledRule],
        derived: Derived,
        times: EvidenceTimes | None,
    ) -> None:
        rules, self._rule = asked
        self._engine = engine
        self._rules = rules.only([self._rule.rule.rule])
        self._files = [file for file in derived.files if file.origin.spans]
        self._known = known_of(times, self._files)
        self._found: list[tuple[SpanPlace, int]] = []
        self._reasons: tuple[str, ...] = ()
        self.statements: list[str] = []

    def count(self, trial_id: str, most: int) -> BacktestCount:
        """Return the figures of the rule."""
        spans = sum(file.origin.spans for file in self._files)
        counted = self._in_sql(most) if self._files else Counter()
        singly = 0
        if counted is None:
            self._found = judge_together(self._files, self._rules, self._known)
            counted = Counter(code for _, code in self._found)
            singly = spans
        return BacktestCount(
            trial_id=trial_id,
            rule=self._rule.rule.rule,
            satisfied=counted[SATISFIED],
            violated=counted[VIOLATED],
            not_evaluable=counted[NOT_EVALUABLE],
            not_under=spans - counted.total(),
            singly=singly,
            reasons=self._reasons,
        )

    def violating(self, trial_id: str, most: int) -> list[ViolatingSpan]:
        """Return the first violating spans, in order of place, after `count`."""
        places = sorted(place for place, code in self._found if code == VIOLATED)
        name = self._rule.rule.rule
        return [
            ViolatingSpan(trial_id=trial_id, rule=name, **place._asdict())
            for place in places[:most]
        ]

    def _in_sql(self, most: int) -> Counter[int] | None:
        """Count with one statement; None where SQL cannot tell."""
        cases = [Case(file, str(NOT_UNDER)) for file in self._files]
        check_whole(self._engine.count(cases).total(), cases)
        made = pattern_sql(
            self._rules,
            self._rule,
            tables=[SpanTable(x.origin, self._engine.source(x)) for x in self._files],
            dialect=self._engine.dialect,
            known=self._known,
        )
        self.statements = [as_published(made.units, self._engine, self._files)]
        self._reasons = tuple(part.sentence() for part in made.outside)
        unsure = int(self._engine.rows(made.unsure)[0][0] or 0)
        if unsure:
            self._reasons += (_WRITTEN_OUT.format(count=unsure),)
            return None
        rows = self._engine.rows(
            f"SELECT given, count(*) FROM ({made.units}) AS u GROUP BY given"
        )
        if most:
            self._found = self._violations(made.units, most)
        return Counter({int(given): int(count) for given, count in rows})

    def _violations(self, units: str, most: int) -> list[tuple[SpanPlace, int]]:
        rows = self._engine.rows(
            "SELECT segment, frame, number, lower(hex(c)), lower(hex(i)) "
            f"FROM ({units}) AS u WHERE given = {VIOLATED} "
            f"ORDER BY segment, frame, number LIMIT {most}"
        )
        return [(SpanPlace(*row), VIOLATED) for row in rows]


def known_of(times: EvidenceTimes | None, files: Sequence[DerivedFile]) -> Known:
    """Return of which times all spans are known; without a word, up to the last."""
    if times is not None:
        return Known(times.until_ns, times.settling_ns, times.gaps)
    last = max((file.origin.last_start_ns for file in files), default=0)
    return Known(last + 1, 0)


def as_published(
    statement: str, engine: CountingEngine, files: Sequence[DerivedFile]
) -> str:
    """Return a statement with names for its files, not where they lie here."""
    for file in files:
        name = f"segments_{file.range.first}_to_{file.range.last}"
        statement = statement.replace(engine.source(file), name)
    return statement
