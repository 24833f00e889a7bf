"""Rules asked of all recorded spans of trials: SQL first, the rest span by span.

Rules of this module:

* An engine counts what the SQL of a rule gives. Spans of which SQL cannot tell are read
  from the file and judged as they were while the trial ran.
* The same question over the same evidence gives the same answer with every engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sandbox.adapters.backtest_engine import (
    CODES,
    Case,
    CountingEngine,
    SpanPlace,
    check_whole,
)
from sandbox.adapters.backtest_files import (
    CurrentFiles,
    ask_current,
    evidence_of,
    judge_file,
)
from sandbox.adapters.backtest_order import AskingOrder
from sandbox.adapters.spans_files import Derived
from sandbox.model.backtest import (
    Backtest,
    BacktestAnswer,
    BacktestCount,
    BacktestEvidence,
    ViolatingSpan,
)
from sandbox.model.record import digest_of
from sandbox.model.trace import RecordedSpan
from sandbox.monitor.observe import span_start
from sandbox.query.verdicts import (
    NOT_EVALUABLE,
    NOT_UNDER,
    SATISFIED,
    UNSURE,
    VIOLATED,
    VerdictSql,
    asked_rules,
    verdict_sql,
)
from sandbox.rules import CompiledRule, CompiledRules


class SqlBacktests:
    """Asks rules of recorded spans with one engine.

    Args:
        files: The derived files of every trial.
        engine: What counts.
    """

    def __init__(self, files: CurrentFiles, engine: CountingEngine) -> None:
        self._files = files
        self._engine = engine

    def backtest(self, asked: Backtest) -> BacktestAnswer:
        """Return what the rules say of every recorded span of the trials."""
        said = [self._trial(asked, trial_id) for trial_id in asked.trials]
        evidence = [item.evidence for item in said]
        statements = (sql for item in said for sql in item.statements)
        return BacktestAnswer(
            counts=tuple(count for item in said for count in item.counts),
            violations=tuple(span for item in said for span in item.violations),
            rulebook_digest=digest_of(asked.rulebook),
            rules_digests={item.evidence.trial_id: item.rules_digest for item in said},
            evidence=tuple(evidence),
            data_digest=digest_of([item.model_dump(mode="json") for item in evidence]),
            statements=tuple(dict.fromkeys(statements)),
            engine=self._engine.name,
        )

    def _trial(self, asked: Backtest, trial_id: str) -> _OfTrial:
        rules = asked_rules(asked, trial_id)
        return ask_current(
            self._files,
            trial_id,
            lambda derived: self._of(derived, rules, asked, trial_id),
        )

    def _of(
        self, derived: Derived, rules: CompiledRules, asked: Backtest, trial_id: str
    ) -> _OfTrial:
        most = asked.violations
        counts: list[BacktestCount] = []
        violations: list[ViolatingSpan] = []
        statements: list[str] = []
        for rule in rules.rules:
            asking: _Asking | AskingOrder
            if rule.pattern is None:
                asking = _Asking(self._engine, rules, rule, derived)
            else:
                times = asked.times.get(trial_id)
                asking = AskingOrder(self._engine, (rules, rule), derived, times)
            counts.append(asking.count(trial_id, most))
            violations += asking.violating(trial_id, most)
            statements += asking.statements
        evidence = evidence_of(trial_id, derived)
        return _OfTrial(evidence, rules.digest, counts, violations, statements)


class _OfTrial(NamedTuple):
    """What is said of one trial."""

    evidence: BacktestEvidence
    rules_digest: str
    counts: list[BacktestCount]
    violations: list[ViolatingSpan]
    statements: list[str]


class _Asking:
    """One rule asked of one trial."""

    def __init__(
        self,
        engine: CountingEngine,
        rules: CompiledRules,
        rule: CompiledRule,
        derived: Derived,
    ) -> None:
        self._engine = engine
        self._rules = rules.only([rule.rule.rule])
        self._name = rule.rule.rule
        files = [file for file in derived.files if file.origin.spans]
        written = [
            verdict_sql(rules, rule, origin=file.origin, dialect=engine.dialect)
            for file in files
        ]
        pairs = list(zip(files, written, strict=True))
        self._cases = [
            Case(file, item.sql) for file, item in pairs if not _says_nothing(item)
        ]
        self._apart = [file for file, item in pairs if _says_nothing(item)]
        self._singly: list[tuple[SpanPlace, int]] = []
        outside = dict.fromkeys(part for item in written for part in item.outside)
        self._reasons = tuple(part.sentence() for part in outside)
        self.statements = list(dict.fromkeys(item.sql for item in written))

    def count(self, trial_id: str, most: int) -> BacktestCount:
        """Return the figures of the rule."""
        found = self._engine.count(self._cases) if self._cases else Counter()
        check_whole(found.total(), self._cases)
        unsure = found.pop(UNSURE, 0)
        singly = self._judge(unsure, most)
        found.update(singly)
        return BacktestCount(
            trial_id=trial_id,
            rule=self._name,
            satisfied=found[SATISFIED],
            violated=found[VIOLATED],
            not_evaluable=found[NOT_EVALUABLE],
            not_under=found[NOT_UNDER],
            singly=singly.total(),
            reasons=self._reasons,
        )

    def violating(self, trial_id: str, most: int) -> list[ViolatingSpan]:
        """Return the first violating spans, in order of place, after `count`."""
        if not most:
            return []
        found = self._engine.find(self._cases, VIOLATED, most) if self._cases else []
        found += [place for place, code in self._singly if code == VIOLATED]
        return [
            ViolatingSpan(trial_id=trial_id, rule=self._name, **place._asdict())
            for place in sorted(found)[:most]
        ]

    def _judge(self, unsure: int, most: int) -> Counter[int]:
        """Judge by themselves the spans of which SQL cannot tell."""
        counted: Counter[int] = Counter()
        for place, code in self._judged(unsure):
            counted[code] += 1
            if code == VIOLATED and most:
                self._singly.append((place, code))
        return counted

    def _judged(self, unsure: int) -> Iterator[tuple[SpanPlace, int]]:
        for file in self._apart:
            yield from judge_file(file, self._rules, lambda _: True)
        for case in self._cases if unsure else ():
            spans = case.file.origin.spans
            found = self._engine.find([case], UNSURE, spans)
            if found:
                places = {item[:3] for item in found}
                yield from judge_file(case.file, self._rules, places.__contains__)


def _says_nothing(verdict: VerdictSql) -> bool:
    return verdict.sql == str(UNSURE)


def _judge_span(recorded: RecordedSpan, rules: CompiledRules) -> tuple[SpanPlace, int]:
    span = recorded.span
    judged = rules.judge(span, at=span_start(span).date())
    place = SpanPlace(
        recorded.segment,
        recorded.frame,
        recorded.number,
        span.trace_id,
        span.span_id,
    )
    return place, CODES[judged[0].result] if judged else NOT_UNDER
