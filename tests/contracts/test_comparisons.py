"""One suite for every engine that asks two versions of the rules of recorded spans.

The fake judges every span by itself under both; the engines must give the same figures.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.adapters.comparison import SqlComparisons
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.errors import RuleError
from sandbox.model.backtest import EvidenceTimes
from sandbox.model.comparison import Comparison, ComparisonAnswer, Side
from sandbox.model.record import Interval
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.ports import Comparisons
from sandbox.rules import expression_problem, reference
from sandbox.testing.comparison import FakeComparisons
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

TRIAL = "ride-1"
FROM, UNTIL = (datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in (4, 12))
_BEGUN = int(FROM.timestamp()) * 10**9
_TIMES = EvidenceTimes(
    until_ns=_BEGUN + 6 * 10**11,
    settling_ns=5 * 10**9,
    gaps=((_BEGUN + 2 * 10**11, _BEGUN + 3 * 10**11),),
)
DATED = {"2020-01-01": 2.0, "2026-01-01": 3.0}


class Subject:
    """A recorded trial, the engine that is asked about it, and the reference."""

    def __init__(self, engine: str, home: Path) -> None:
        segments = FakeSegments()
        self.trial = RecordedTrial(TRIAL, segments=segments, receive=segments.receive)
        keys = [self.trial.signer.public_key]
        self.reference = FakeComparisons(
            FakeSpans(segments, lambda _: NO_RULES, keys=keys)
        )
        self.chdb = ChdbCounting(memory_mib=1024, threads=1)
        duck = DuckCounting(memory_mib=256, threads=1)
        files = DerivedFiles(
            segments, lambda _: NO_RULES, root=home / "derived", keys=keys
        )
        engines: dict[str, Comparisons] = {
            "fake": self.reference,
            "duckdb": SqlComparisons(files, duck),
            "chdb": SqlComparisons(files, self.chdb),
        }
        self.comparisons = engines[engine]

    def record(self, chance: random.Random, spans: int) -> None:
        """Record a request of random spans, and seal it."""
        self.record_request(random_request(chance, spans))

    def record_request(self, payload: bytes) -> None:
        """Record a request, and seal it."""
        self.trial.send(ExportTraceServiceRequest.FromString(payload))
        self.trial.seal()

    def agreed(self, asked: Comparison) -> ComparisonAnswer:
        """Return the answer, which is that of the reference."""
        found, expected = (
            port.compare(asked) for port in (self.comparisons, self.reference)
        )
        assert figures(found) == figures(expected), asked.model_dump_json()
        return found


@pytest.fixture(name="subject", params=["fake", "duckdb", "chdb"])
def _subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    subject = Subject(request.param, tmp_path)
    yield subject
    subject.chdb.close()


def figures(answer: ComparisonAnswer) -> dict[str, Any]:
    """Everything an answer says besides how it was found."""
    rules = [item.model_dump(exclude={"singly", "statements"}) for item in answer.rules]
    return {**answer.model_dump(exclude={"rules", "engine"}), "rules": rules}


def _book(**texts: tuple[str, str]) -> Rulebook:
    parameters = {
        name: {
            "unit": "s",
            "looser": "higher",
            "values": {d: {"value": v, "reference": "r"} for d, v in values.items()},
        }
        for name, values in {"limit": DATED, "big": {"1970-01-01": 1e300}}.items()
    }
    rules = [
        {
            "rule": name,
            "text": "…",
            "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
            "goal": "g",
            "mechanism": "regulation",
            "parameters": parameters,
            "applies": applies,
            "requires": requires,
            "severity": "major",
            "waivable": True,
        }
        for name, (applies, requires) in texts.items()
    ]
    book = {"rulebook": "b", "version": 3, "title": "B", "owner": "o", "rules": rules}
    return Rulebook.model_validate({**book, "in_force_from": "2100-01-01"})


def _excepted(book: Rulebook, under: Iterator[str]) -> TemporaryRule:
    waived = Waiver(
        label="l0",
        exception_to="both",
        kind="waiver",
        compensates=("other",),
        under=next(under),
    )
    changed = Waiver(
        label="l1",
        exception_to="other",
        kind="modification",
        set={"limit": 1e9},
        under=next(under),
    )
    return TemporaryRule(
        temporary_rule=f"trial/{TRIAL}",
        trial_id=TRIAL,
        of=reference(book),
        in_force=Interval(start=FROM, end=UNTIL),
        scope=Scope(participants="p", area="a"),
        overlays=(waived, changed),
        guardrails=(),
        plan_digest="sha256:" + "0" * 64,
    )


def _sound(chance: random.Random) -> Iterator[str]:
    for expression in random_expressions(chance, 10**6):
        if expression_problem(expression.text, {"limit", "big"}) is None:
            yield expression.text


def _side(texts: Iterator[str], own: str, *, is_excepted: bool) -> Side:
    names = ("both", "other", own)
    book = _book(**{name: (next(texts), next(texts)) for name in names})
    overlay = _excepted(book, texts) if is_excepted else None
    return Side(rulebook=book, overlay=overlay)


def test_random_versions(subject: Subject, pytestconfig: pytest.Config) -> None:
    """Of two random versions over random spans, as many are one thing before and
    another after as judging every span by itself under both says.
    """
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(2):
        subject.record(chance, 60)
    texts = _sound(chance)
    for round_ in range(8):
        asked = Comparison(
            trial_id=TRIAL,
            before=_side(texts, "gone", is_excepted=True),
            after=_side(texts, "come", is_excepted=round_ % 2 == 0),
            rules=("both", "other", "gone", "come"),
        )
        for rule in subject.agreed(asked).rules:
            assert sum(item.units for item in rule.shifts) == 120


def _ordered(chance: random.Random, patterns: list[dict[str, Any]]) -> Side:
    """Return rules about the order of spans; now and then one is about single spans."""
    book = _book(**{f"r{number}": ("true", "true") for number in range(len(patterns))})
    rules = []
    for rule, pattern in zip(book.rules, patterns, strict=True):
        said = {key: random_predicate(chance) for key in ("applies", "requires")}
        raw = rule.model_dump(mode="json") | said
        if "at_most" in pattern:
            raw["parameters"]["limit"]["unit"] = "count"
        is_single = chance.random() < 0.2 and "at_most" not in pattern
        ordered = {"requires": "", "pattern": pattern}
        rules.append(raw | ({} if is_single else ordered))
    return Side(rulebook=Rulebook.model_validate({**book.model_dump(), "rules": rules}))


def test_random_versions_of_rules_about_order(
    subject: Subject, pytestconfig: pytest.Config
) -> None:
    """Of two versions of rules about the order of spans, as many spans are one thing
    before and another after as judging all together under each says; SQL gives it.
    """
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(2):
        subject.record_request(random_order(chance, FROM))
    changed = 0
    for round_ in range(12):
        before, after = (_ordered(chance, random_patterns(chance)) for _ in range(2))
        asked = Comparison(
            trial_id=TRIAL,
            before=before,
            after=after,
            rules=tuple(f"r{number}" for number in range(6)),
            times=_TIMES if round_ % 2 else None,
        )
        found = subject.agreed(asked)
        for rule in found.rules:
            assert sum(item.units for item in rule.shifts) == 170
            assert rule.singly == (170 if found.engine == "fake" else 0)
            assert "parquet" not in " ".join(rule.statements)
            changed += sum(x.units for x in rule.shifts if x.before != x.after)
    assert changed > 1000


def test_order_of_odd_spans(subject: Subject) -> None:
    """Where SQL cannot tell a value of one version, all are judged under both."""
    subject.record(random.Random(3), 60)
    pattern = {"every": "true", "preceded_by": "span.attributes.a == 1"}
    ordered = _ordered(random.Random(1), [{**pattern, "same": ["attributes.b"]}])
    plain = Side(rulebook=_book(r0=("true", "span.duration_s < 1.0")))
    for before, after in ((ordered, plain), (plain, ordered)):
        asked = Comparison(trial_id=TRIAL, before=before, after=after, rules=("r0",))
        assert subject.agreed(asked).rules[0].singly == 60


def test_outside_of_sql(subject: Subject) -> None:
    """Where SQL cannot tell under one version, spans are judged by themselves."""
    subject.record(random.Random(3), 20)
    outside = "size(span.name.matches(span.kind) ? [1] : [1, 2]) == 2"
    before = Side(rulebook=_book(r=("true", outside)))
    after = Side(rulebook=_book(r=("true", "span.duration_s < 1.0")))
    asked = Comparison(trial_id=TRIAL, before=before, after=after, rules=("r",))
    assert subject.agreed(asked).rules[0].singly == 20


def test_inserted_and_repealed(subject: Subject) -> None:
    """A rule is asked of no span where its version has it not."""
    subject.record(random.Random(3), 20)
    before, after = (
        Side(rulebook=_book(**{name: ("true", "true")})) for name in ("gone", "come")
    )
    rules = ("gone", "come")
    asked = Comparison(trial_id=TRIAL, before=before, after=after, rules=rules)
    gone, come = ([*item.shifts] for item in subject.agreed(asked).rules)
    assert [(x.before, x.after, x.units) for x in gone] == [
        ("satisfied", "not_under", 20)
    ]
    assert [(x.before, x.after, x.units) for x in come] == [
        ("not_under", "satisfied", 20)
    ]


def test_unknown_rule(subject: Subject) -> None:
    """A rule that neither version has is refused by name."""
    side = Side(rulebook=_book(r=("true", "true")))
    asked = Comparison(trial_id=TRIAL, before=side, after=side, rules=("s",))
    with pytest.raises(RuleError, match="has no rule `s`"):
        subject.comparisons.compare(asked)


def test_nothing_recorded(subject: Subject) -> None:
    """A trial without telemetry gives no shifts, drawn from nothing."""
    side = Side(rulebook=_book(r=("true", "true")))
    asked = Comparison(trial_id=TRIAL, before=side, after=side, rules=("r",))
    found = subject.agreed(asked)
    assert (found.rules[0].shifts, found.evidence.segments) == ((), ())
