"""One suite for every engine that asks rules of recorded spans.

The fake judges every span by itself; the engines must give the same figures.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.adapters.backtest import SqlBacktests
from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.adapters.spans_files import Derived, DerivedFiles
from sandbox.errors import EvidenceError, RuleError
from sandbox.model.backtest import Backtest, BacktestAnswer, EvidenceTimes
from sandbox.model.record import Interval
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.ports import Backtests
from sandbox.rules import (
    expression_problem,
    over,
    reference,
    with_values,
)
from sandbox.testing.backtest import FakeBacktests
from sandbox.testing.differential import NO_RULES
from sandbox.testing.random_order import (
    random_order,
    random_patterns,
    random_predicate,
)
from sandbox.testing.random_rules import random_expressions, random_request
from sandbox.testing.segments import FakeSegments
from sandbox.testing.spans import FakeSpans
from sandbox.testing.trial import RecordedTrial

ENGINES = ("fake", "duckdb", "chdb")
TRIALS = ("ride-1", "ride-2")
PARAMETERS = {"limit", "big"}
FROM, UNTIL = (datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in (4, 12))


class Subject:
    """Two recorded trials, and the engine that is asked about them."""

    def __init__(self, engine: str, home: Path) -> None:
        self.segments = FakeSegments()
        self.trials = {
            name: RecordedTrial(
                name, segments=self.segments, receive=self.segments.receive
            )
            for name in TRIALS
        }
        self._keys = [item.signer.public_key for item in self.trials.values()]
        self._chdb = ChdbCounting(memory_mib=1024, threads=1)
        self.fake = FakeBacktests(
            FakeSpans(self.segments, lambda _: NO_RULES, keys=self._keys)
        )
        self.backtests = self._opened(engine, home)

    def _opened(self, engine: str, home: Path) -> Backtests:
        self.files = DerivedFiles(
            self.segments, lambda _: NO_RULES, root=home / "derived", keys=self._keys
        )
        duck = DuckCounting(memory_mib=256, threads=1)
        self.counting = self._chdb if engine == "chdb" else duck
        if engine == "fake":
            return self.fake
        return SqlBacktests(self.files, self.counting)

    def close(self) -> None:
        """End the process of the engine that has one."""
        self._chdb.close()

    def record(self, payload: bytes, trial: str = TRIALS[0]) -> None:
        """Record one request, and seal it."""
        self.trials[trial].send(ExportTraceServiceRequest.FromString(payload))
        self.trials[trial].seal()


@pytest.fixture(name="subject", params=ENGINES)
def _subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    subject = Subject(request.param, tmp_path)
    yield subject
    subject.close()


def _rule(name: str, applies: str, requires: str) -> dict[str, Any]:
    dates = {
        "limit": {"2020-01-01": 2.0, "2026-01-01": 3.0},
        "big": {"1970-01-01": 1e300},
    }
    if name == "late":
        dates["big"] = {"2030-01-01": 1.0}
    return {
        "rule": name,
        "text": "…",
        "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "parameters": {
            parameter: {
                "unit": "s",
                "looser": "higher",
                "values": {
                    day: {"value": value, "reference": "r"}
                    for day, value in values.items()
                },
            }
            for parameter, values in dates.items()
        },
        "applies": applies,
        "requires": requires,
        "severity": "major",
        "waivable": True,
    }


def _book(*rules: dict[str, Any]) -> Rulebook:
    book = {
        "rulebook": "b",
        "version": 3,
        "title": "B",
        "owner": "o",
        "in_force_from": "2100-01-01",
        "rules": rules,
    }
    return Rulebook.model_validate(book)


def _overlay(book: Rulebook, *waivers: Waiver) -> TemporaryRule:
    return TemporaryRule(
        temporary_rule="trial/ride-1",
        trial_id="ride-1",
        of=reference(book),
        in_force=Interval(start=FROM, end=UNTIL),
        scope=Scope(participants="p", area="a"),
        overlays=waivers,
        guardrails=(),
        plan_digest="sha256:" + "0" * 64,
    )


def _sound(chance: random.Random) -> Iterator[str]:
    for expression in random_expressions(chance, 10**6):
        if expression_problem(expression.text, PARAMETERS) is None:
            yield expression.text


def _random_case(chance: random.Random) -> Backtest:
    texts = _sound(chance)
    names = ("r0", "r1", "r2", "late")
    book = _book(*(_rule(name, next(texts), next(texts)) for name in names))
    waiver = {"compensates": ("r2",), "label": "l0", "exception_to": "r0"}
    change = {"set": {"limit": 1e9}, "label": "l1", "exception_to": "r1"}
    overlay = _overlay(
        book,
        Waiver.model_validate({**waiver, "kind": "waiver", "under": next(texts)}),
        Waiver.model_validate({**change, "kind": "modification", "under": next(texts)}),
    )
    return Backtest(
        rulebook=book,
        trials=TRIALS,
        overlays={TRIALS[0]: overlay},
        violations=chance.choice((0, 3, 500)),
    )


def figures(answer: BacktestAnswer) -> dict[str, Any]:
    """Everything an answer says besides how it was found."""
    counts = [item.model_dump(exclude={"singly", "reasons"}) for item in answer.counts]
    rest = answer.model_dump(exclude={"counts", "statements", "engine"})
    return {**rest, "counts": counts}


def test_random_rulebooks(subject: Subject, pytestconfig: pytest.Config) -> None:
    """Of random rulebooks with dated parameters and exceptions, over random spans, the
    figures are those of judging every span by itself.
    """
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for trial in (*TRIALS, TRIALS[0]):
        subject.record(random_request(chance, 60), trial)
    for _ in range(8):
        asked = _random_case(chance)
        found, expected = (
            subject.backtests.backtest(asked),
            subject.fake.backtest(asked),
        )
        assert figures(found) == figures(expected), (seed, asked.model_dump_json())


def _random_order(chance: random.Random) -> Backtest:
    """Return rules about the order of spans, with dates and exceptions."""
    rules = []
    for number, pattern in enumerate(random_patterns(chance)):
        rule = _rule(f"r{number}", random_predicate(chance), "")
        if "at_most" in pattern:
            rule["parameters"]["limit"]["unit"] = "count"
        rules.append(rule | {"pattern": pattern})
    book = _book(*rules)
    exceptions = [
        {"kind": "waiver", "compensates": ("r5",), "label": "l0", "exception_to": "r0"},
        {"kind": "modification", "label": "l1", "exception_to": "r2"},
        {"kind": "modification", "label": "l2", "exception_to": "r4"},
    ]
    for exception in exceptions:
        exception["under"] = random_predicate(chance)
        exception["set"] = {} if exception["kind"] == "waiver" else {"limit": 40.0}
    begins = int(FROM.timestamp()) * 10**9
    gap = (begins + 2 * 10**11, begins + 3 * 10**11)
    times = EvidenceTimes(
        until_ns=begins + 6 * 10**11, settling_ns=5 * 10**9, gaps=(gap,)
    )
    return Backtest(
        rulebook=book,
        trials=TRIALS,
        overlays={TRIALS[0]: _overlay(book, *map(Waiver.model_validate, exceptions))},
        times={TRIALS[0]: times} if chance.random() < 0.5 else {},
        violations=chance.choice((0, 500)),
    )


def test_random_rules_about_order(
    subject: Subject, pytestconfig: pytest.Config
) -> None:
    """Of random rules about the order of spans, with dates, exceptions and gaps, the
    figures are those of judging all spans together, and SQL alone gives them.
    """
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for trial in (*TRIALS, TRIALS[0]):
        subject.record(random_order(chance, FROM), trial)
    units = 0
    for _ in range(20):
        asked = _random_order(chance)
        found, expected = (
            subject.backtests.backtest(asked),
            subject.fake.backtest(asked),
        )
        assert figures(found) == figures(expected), (seed, asked.model_dump_json())
        units += sum(item.satisfied + item.violated for item in found.counts)
        if found.engine != "fake":
            assert [item.singly for item in found.counts] == [0] * len(found.counts)
            assert "FROM segments_1_to_" in " ".join(found.statements)
            assert "parquet" not in " ".join(found.statements)
    assert units > 1000


def test_what_is_sorted_may_be_larger_than_memory() -> None:
    """DuckDB writes what has no room, and takes it away with itself."""
    engine = DuckCounting(memory_mib=128, threads=1)
    before = set(Path(gettempdir()).glob("rsbx-backtest-*"))
    numbered = "SELECT i, row_number() OVER (ORDER BY hash(i)) AS r FROM range({}) t(i)"
    asked = f"SELECT count(*), max(r) FROM ({numbered.format(10**7)})"
    assert engine.rows(asked) == [(10**7, 10**7)]
    made = set(Path(gettempdir()).glob("rsbx-backtest-*")) - before
    assert made
    del engine
    gc.collect()
    assert not [folder for folder in made if folder.exists()]


def test_order_among_odd_spans(subject: Subject) -> None:
    """Where SQL cannot tell a value that is asked for, all spans are judged together,
    and that is said.
    """
    subject.record(random_request(random.Random(3), 60))
    pattern = {"every": "true", "preceded_by": "span.attributes.a == 1"}
    rule = _rule("r", "true", "") | {"pattern": {**pattern, "same": ["attributes.b"]}}
    asked = Backtest(rulebook=_book(rule), trials=TRIALS[:1], violations=30)
    found = subject.backtests.backtest(asked)
    assert figures(found) == figures(subject.fake.backtest(asked))
    if found.engine != "fake":
        assert found.counts[0].singly == 60
        assert "all were judged together" in found.counts[0].reasons[0]


def test_outside_of_sql(subject: Subject) -> None:
    """A rule that is not put into SQL has its figures all the same, and says why."""
    subject.record(random_request(random.Random(3), 20))
    rule = _rule("r", "true", "size(span.name.matches(span.kind) ? [1] : [1, 2]) == 2")
    asked = Backtest(rulebook=_book(rule), trials=TRIALS[:1], violations=30)
    found = subject.backtests.backtest(asked)
    assert found.counts[0].singly == 20
    assert figures(found) == figures(subject.fake.backtest(asked))
    if found.engine != "fake":
        assert "is put into SQL where it is written" in found.counts[0].reasons[0]


def test_candidate_values(subject: Subject) -> None:
    """A parameter with another value is asked by itself, over the trial's exceptions;
    figures say from which rules and which evidence they follow.
    """
    subject.record(random_request(random.Random(3), 40))
    book = _book(_rule("r", "true", "span.duration_s <= params.limit"))
    overlay = _overlay(book)
    looser = with_values(book, "r", {"limit": 1e9})
    first, second = (
        subject.backtests.backtest(
            Backtest(
                rulebook=item,
                trials=TRIALS[:1],
                rules=("r",),
                overlays={TRIALS[0]: over(item, overlay)},
            )
        )
        for item in (book, looser)
    )
    assert first.counts[0].violated > second.counts[0].violated == 0
    assert first.rulebook_digest != second.rulebook_digest
    assert first.data_digest == second.data_digest
    assert len(first.evidence[0].segments) == 1


def test_unknown_rule(subject: Subject) -> None:
    """A rule that the rulebook does not have, or that is not about spans, is refused
    by name.
    """
    about = {"about": "object"}
    book = _book(_rule("r", "true", "true"), _rule("o", "true", "true") | about)
    with pytest.raises(RuleError, match="`o` is not about spans"):
        subject.backtests.backtest(Backtest(rulebook=book, trials=TRIALS, rules=("o",)))
    with pytest.raises(RuleError, match="has no rule `s`"):
        subject.backtests.backtest(Backtest(rulebook=book, trials=TRIALS, rules=("s",)))


class _Gone:
    """Names derived files that are no longer there."""

    def __init__(self, files: DerivedFiles) -> None:
        self._files = files

    def current(self, trial_id: str) -> Derived:
        derived = self._files.current(trial_id)
        gone = [
            file._replace(path=file.path.with_name("000009-000009-00000000.parquet"))
            for file in derived.files
        ]
        return derived._replace(files=tuple(gone))


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_missing_file(engine: str, tmp_path: Path) -> None:
    """A derived file that is gone is an error, never a smaller figure."""
    subject = Subject(engine, tmp_path)
    subject.record(random_request(random.Random(3), 4))
    gone = SqlBacktests(_Gone(subject.files), subject.counting)
    book = _book(_rule("r", 'span.name == ""', "true"))
    with pytest.raises(EvidenceError):
        gone.backtest(Backtest(rulebook=book, trials=TRIALS[:1]))
    subject.close()


def test_nothing_recorded(subject: Subject) -> None:
    """A trial without telemetry gives zeros, drawn from nothing."""
    book = _book(_rule("r", "true", "true"))
    [found] = subject.backtests.backtest(
        Backtest(rulebook=book, trials=TRIALS[:1])
    ).counts
    assert (found.satisfied, found.violated, found.not_evaluable) == (0, 0, 0)
