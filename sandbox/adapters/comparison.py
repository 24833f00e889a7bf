"""Two versions of a rule asked of the recorded spans of a trial, in one pass.

Rules of this module:

* What `sandbox.adapters.backtest` says of one version holds of each of the two.
* A span of which SQL cannot tell under one version is judged by itself under both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.adapters.backtest_engine import Case, CountingEngine, check_whole
from sandbox.adapters.backtest_files import (
    CurrentFiles,
    ask_current,
    evidence_of,
    judge_file,
)
from sandbox.adapters.comparison_order import STEP, ComparingOrder, Pair
from sandbox.adapters.spans_files import Derived
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.model.backtest import EvidenceTimes
from sandbox.model.comparison import (
    Comparison,
    ComparisonAnswer,
    RuleShifts,
    Standing,
    shifts_of,
)
from sandbox.model.record import digest_of
from sandbox.query.comparison import Sides, compiled_sides
from sandbox.query.verdicts import (
    NOT_EVALUABLE,
    NOT_UNDER,
    SATISFIED,
    UNSURE,
    VIOLATED,
    verdict_sql,
)
from sandbox.rules import CompiledRules

_STANDINGS: Mapping[int, Standing] = {
    SATISFIED: "satisfied",
    VIOLATED: "violated",
    NOT_EVALUABLE: "not_evaluable",
    NOT_UNDER: "not_under",
}


class SqlComparisons:
    """Asks two versions of the rules of recorded spans with one engine.

    Args:
        files: The derived files of every trial.
        engine: What counts.
    """

    def __init__(self, files: CurrentFiles, engine: CountingEngine) -> None:
        self._files = files
        self._engine = engine

    def compare(self, asked: Comparison) -> ComparisonAnswer:
        """Return every recorded span of the trial, by what both versions say of it."""
        sides = compiled_sides(asked)
        return ask_current(
            self._files,
            asked.trial_id,
            lambda derived: self._of(derived, sides, asked),
        )

    def _compare(
        self, rule: str, sides: Sides, derived: Derived, times: EvidenceTimes | None
    ) -> RuleShifts:
        only = Sides(*(side.only([rule]) for side in sides))
        if not any(side.patterns for side in only):
            return _compare_rule(rule, only, derived=derived, engine=self._engine)
        files = [file for file in derived.files if file.origin.spans]
        return _in_order(ComparingOrder(self._engine, only, files, times), rule)

    def _of(
        self, derived: Derived, sides: Sides, asked: Comparison
    ) -> ComparisonAnswer:
        evidence = evidence_of(asked.trial_id, derived)
        return ComparisonAnswer(
            rules=tuple(
                self._compare(rule, sides, derived, asked.times) for rule in asked.rules
            ),
            before_digest=sides.before.digest,
            after_digest=sides.after.digest,
            evidence=evidence,
            data_digest=digest_of([evidence.model_dump(mode="json")]),
            engine=self._engine.name,
        )


def _in_order(comparing: ComparingOrder, rule: str) -> RuleShifts:
    pairs = comparing.pairs()
    return RuleShifts(
        rule=rule,
        shifts=shifts_of({_named(pair): units for pair, units in pairs.items()}),
        singly=comparing.singly,
        statements=comparing.statements,
    )


def _compare_rule(
    rule: str, only: Sides, *, derived: Derived, engine: CountingEngine
) -> RuleShifts:
    pairs = [
        (file, _verdict(only.before, file, engine), _verdict(only.after, file, engine))
        for file in derived.files
        if file.origin.spans
    ]
    apart = [file for file, before, after in pairs if str(UNSURE) in (before, after)]
    cases = [
        Case(file, f"({before} * {STEP} + {after})")
        for file, before, after in pairs
        if str(UNSURE) not in (before, after)
    ]
    counted, singly = _counted(cases, only, engine)
    for file in apart:
        singly.update(_judge_both(file, only, lambda _: True))
    counted.update(singly)
    return RuleShifts(
        rule=rule,
        shifts=shifts_of({_named(pair): units for pair, units in counted.items()}),
        singly=singly.total(),
        statements=tuple(dict.fromkeys(case.sql for case in cases)),
    )


def _named(pair: Pair) -> tuple[Standing, Standing]:
    return _STANDINGS[pair[0]], _STANDINGS[pair[1]]


def _counted(
    cases: list[Case], sides: Sides, engine: CountingEngine
) -> tuple[Counter[Pair], Counter[Pair]]:
    """Return what SQL counted, and what was judged where it could not tell."""
    pairs: Counter[Pair] = Counter()
    counted = engine.count(cases) if cases else Counter[int]()
    check_whole(counted.total(), cases)
    for number, units in counted.items():
        pairs[divmod(number, STEP)] += units
    unsure = {pair: units for pair, units in pairs.items() if UNSURE in pair}
    for pair in unsure:
        del pairs[pair]
    return pairs, Counter(_judged(cases, unsure, sides, engine))


def _verdict(side: CompiledRules, file: DerivedFile, engine: CountingEngine) -> str:
    if not side.rules:
        return str(NOT_UNDER)
    [rule] = side.rules
    found = verdict_sql(side, rule, origin=file.origin, dialect=engine.dialect)
    return found.sql


def _judged(
    cases: list[Case],
    unsure: Mapping[Pair, int],
    sides: Sides,
    engine: CountingEngine,
) -> Iterator[Pair]:
    """Yield what both versions say of each span of which SQL could not tell."""
    for case in cases if unsure else ():
        spans = case.file.origin.spans
        places: set[tuple[Any, ...]] = set()
        for before, after in unsure:
            found = engine.find([case], before * STEP + after, spans)
            places |= {item[:3] for item in found}
        if places:
            yield from _judge_both(case.file, sides, places.__contains__)


def _judge_both(
    file: DerivedFile, sides: Sides, is_meant: Callable[[tuple[Any, ...]], bool]
) -> Iterator[Pair]:
    before, after = (
        [code for _, code in judge_file(file, side, is_meant)] for side in sides
    )
    yield from zip(before, after, strict=True)
