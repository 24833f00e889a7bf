"""Two versions of a rule, of which one or both ask for the order of spans.

Rules of this module:

* Units are joined by the place at which their span was delivered first. A span that is
  a unit under neither version is not under the rule in both.
* Where SQL cannot tell something under one version, all spans are judged under both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sandbox.adapters.backtest_engine import Case, CountingEngine, check_whole
from sandbox.adapters.backtest_files import judge_file, judge_together
from sandbox.adapters.backtest_order import as_published, known_of
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.model.backtest import EvidenceTimes
from sandbox.query.comparison import Sides
from sandbox.query.patterns import SpanTable, pattern_sql
from sandbox.query.verdicts import NOT_UNDER, UNSURE, verdict_sql
from sandbox.rules import CompiledRules, Known

STEP = 8
"""What the statements give: so many times the number of before, plus that of after."""
Pair = tuple[int, int]
_JOIN = "a.segment = b.segment AND a.frame = b.frame AND a.number = b.number"


class ComparingOrder:
    """One rule asked of one trial, under two versions.

    Args:
        engine: What is asked.
        sides: Both versions, with the rule alone.
        files: The derived files of the trial; those without spans left out.
        times: Of which times all spans are known; None: up to the last span.
    """

    def __init__(
        self,
        engine: CountingEngine,
        sides: Sides,
        files: Sequence[DerivedFile],
        times: EvidenceTimes | None,
    ) -> None:
        self._engine = engine
        self._sides = sides
        self._files = list(files)
        self._known = known_of(times, self._files)
        self.statements: tuple[str, ...] = ()
        self.singly = 0
        self._spans = sum(file.origin.spans for file in self._files)

    def pairs(self) -> Counter[Pair]:
        """Return how many spans are one thing before, and one after."""
        if not self._spans:
            return Counter()
        cases = [Case(file, str(NOT_UNDER)) for file in self._files]
        check_whole(self._engine.count(cases).total(), cases)
        before, after = (self._units(side) for side in self._sides)
        if before is None or after is None:
            self.singly = self._spans
            counted = self._judged()
        else:
            counted = self._joined(before, after)
        counted[NOT_UNDER, NOT_UNDER] += self._spans - counted.total()
        return +counted

    def _joined(self, before: str, after: str) -> Counter[Pair]:
        sql = (
            f"SELECT COALESCE(a.given, {NOT_UNDER}) * {STEP} "
            f"+ COALESCE(b.given, {NOT_UNDER}) AS pair, count(*) "
            f"FROM ({before}) AS a FULL OUTER JOIN ({after}) AS b ON {_JOIN} "
            "GROUP BY pair"
        )
        self.statements = (as_published(sql, self._engine, self._files),)
        rows = self._engine.rows(sql)
        return Counter({divmod(int(pair), STEP): int(units) for pair, units in rows})

    def _units(self, side: CompiledRules) -> str | None:
        """Return a statement of one version's units; None where SQL cannot tell one."""
        if not side.rules:
            nothing = self._plain([str(NOT_UNDER)] * len(self._files))
            return f"{nothing} WHERE FALSE"
        [rule] = side.rules
        return self._alone(side) if rule.pattern is None else self._ordered(side)

    def _ordered(self, side: CompiledRules) -> str | None:
        [rule] = side.rules
        made = pattern_sql(
            side,
            rule,
            tables=[SpanTable(x.origin, self._engine.source(x)) for x in self._files],
            dialect=self._engine.dialect,
            known=self._known,
        )
        if self._any(made.unsure):
            return None
        return f"SELECT given, segment, frame, number FROM ({made.units}) AS t"

    def _alone(self, side: CompiledRules) -> str | None:
        """Return what a rule about single spans says of each."""
        [rule] = side.rules
        given = self._plain(
            [
                verdict_sql(
                    side, rule, origin=x.origin, dialect=self._engine.dialect
                ).sql
                for x in self._files
            ]
        )
        unsure = f"SELECT count(*) FROM ({given} WHERE given = {UNSURE}) AS u"
        return None if self._any(unsure) else f"{given} WHERE given <> {NOT_UNDER}"

    def _any(self, counting: str) -> bool:
        return bool(int(self._engine.rows(counting)[0][0] or 0))

    def _plain(self, verdicts: Sequence[str]) -> str:
        parts = " UNION ALL ".join(
            f"SELECT {sql} AS given, segment, frame, number "
            f"FROM {self._engine.source(file)}"
            for sql, file in zip(verdicts, self._files, strict=True)
        )
        return f"SELECT given, segment, frame, number FROM ({parts}) AS v"

    def _judged(self) -> Counter[Pair]:
        before, after = (_told(side, self._files, self._known) for side in self._sides)
        places = before.keys() | after.keys()
        return Counter(
            (before.get(place, NOT_UNDER), after.get(place, NOT_UNDER))
            for place in places
        )


def _told(
    side: CompiledRules, files: Sequence[DerivedFile], known: Known
) -> dict[tuple[int, int, int], int]:
    """Return what one version says, by place, of spans that are under it."""
    if not side.rules:
        return {}
    if side.patterns:
        told = judge_together(files, side, known)
    else:
        told = [x for file in files for x in judge_file(file, side, lambda _: True)]
    return {place[:3]: code for place, code in told if code != NOT_UNDER}
