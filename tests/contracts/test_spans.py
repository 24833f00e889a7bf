"""One suite for every engine that answers questions about spans.

The fake reads every frame and asks every span in plain code; the engines must give
the same answer to the same question, span by span.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from pydantic import ValidationError

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_chdb_raw import ChdbCheck
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.errors import EvidenceError, RecorderError
from sandbox.evidence.seal import seal_segment
from sandbox.model.record import digest_of
from sandbox.model.rule import Rulebook
from sandbox.model.trace import AttributeTest, SpanAnswer, SpanQuestion
from sandbox.monitor import observe_frames
from sandbox.ports import Spans
from sandbox.query import derive
from sandbox.recorder import decode_frames, encode_frame
from sandbox.rules import CompiledRules, compile_rules
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from sandbox.testing.spans import FakeSpans
from sandbox.testing.trial import RecordedTrial

TRIAL = "ride-1"
SECOND = 10**9
AT = datetime(2026, 4, 1, 12, tzinfo=UTC)
T0 = int(datetime(2026, 4, 1, 12, tzinfo=UTC).timestamp()) * SECOND
ENGINES = ("fake", "duckdb", "chdb")


def _rule(name: str, applies: str, requires: str) -> dict[str, Any]:
    value = {"value": 2.0, "reference": "r"}
    return {
        "rule": name,
        "text": "…",
        "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "parameters": {
            "max_s": {"unit": "s", "looser": "higher", "values": {"2024-01-01": value}}
        },
        "applies": applies,
        "requires": requires,
        "severity": "major",
        "waivable": True,
    }


def _rules() -> CompiledRules:
    rules = [
        _rule("offer/time", 'span.name == "/offer"', "span.duration_s <= params.max_s"),
        _rule("offer/by", 'span.service == "api"', 'span.attributes["by"] == "human"'),
    ]
    book = {
        "rulebook": "b",
        "version": 3,
        "title": "B",
        "owner": "o",
        "in_force_from": "2024-01-01",
        "rules": rules,
    }
    return compile_rules(Rulebook.model_validate(book))


RULES = _rules()


_PLAIN = {
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    bytes: "bytes_value",
    str: "string_value",
}


def _any(value: Any) -> AnyValue:
    """Return a value as OTLP writes it; None is an AnyValue without a value."""
    found = AnyValue()
    if type(value) in _PLAIN:
        setattr(found, _PLAIN[type(value)], value)
    elif isinstance(value, list):
        found.array_value.values.extend(_any(item) for item in value)
    elif isinstance(value, dict):
        found.kvlist_value.SetInParent()
        for key, item in value.items():
            found.kvlist_value.values.add(key=key).value.CopyFrom(_any(item))
    return found


class Subject:
    """A trial that is recorded, and the engine that is asked about it."""

    def __init__(self, engine: str, home: Path) -> None:
        self.segments = FakeSegments()
        self.trial = RecordedTrial(
            TRIAL, segments=self.segments, receive=self.segments.receive
        )
        self.home = home
        self.engine = engine
        self._opened: list[ChdbSpans] = []
        self.spans = self.open(engine)
        self._number = 0

    def open(self, engine: str) -> Spans:
        """Return an engine that knows nothing of what was asked before."""
        keys = [self.trial.signer.public_key]
        if engine == "fake":
            return FakeSpans(self.segments, lambda _: RULES, keys=keys)
        files = DerivedFiles(
            self.segments, lambda _: RULES, root=self.home / "derived", keys=keys
        )
        if engine == "duckdb":
            return DuckSpans(files, memory_mib=256, threads=1)
        spans = ChdbSpans(files, memory_mib=256, threads=1)
        self._opened.append(spans)
        return spans

    def close(self) -> None:
        """End the processes of engines that have one."""
        for spans in self._opened:
            spans.close()

    def send(
        self,
        *spans: dict[str, Any],
        resource: dict[str, Any] | None = None,
        seal: bool = True,
    ) -> None:
        """Record one request; each span is given as what differs from the usual."""
        request = ExportTraceServiceRequest()
        batch = request.resource_spans.add()
        for key, value in (resource or {}).items():
            batch.resource.attributes.add(key=key).value.CopyFrom(_any(value))
        scope = batch.scope_spans.add()
        scope.scope.name = "test"
        for given in spans:
            self._add(scope, given)
        self.trial.send(request)
        if seal:
            self.trial.seal()

    def _add(self, scope: Any, given: dict[str, Any]) -> None:
        self._number += 1
        start = given.get("start", T0 + self._number)
        span = scope.spans.add(
            trace_id=given.get("trace", bytes(15) + b"\1"),
            span_id=given.get("id", self._number.to_bytes(8, "big")),
            name=given.get("name", f"s{self._number}"),
            kind=given.get("kind", 2),
            start_time_unix_nano=start,
            end_time_unix_nano=given.get("end", start + SECOND),
        )
        for key, value in given.get("attributes", {}).items():
            span.attributes.add(key=key).value.CopyFrom(_any(value))
        for name, attributes in given.get("events", ()):
            event = span.events.add(name=name, time_unix_nano=start + 5)
            for key, value in attributes.items():
                event.attributes.add(key=key).value.CopyFrom(_any(value))
        for trace in given.get("links", ()):
            span.links.add(trace_id=trace, span_id=b"linkedto")

    def ask(self, **question: Any) -> list[str]:
        """Return the names of the spans found, in order."""
        return names(self.spans.search(TRIAL, SpanQuestion(**question)))

    def having(self, key: str, value: Any = None) -> list[str]:
        """Return the names of the spans with an attribute."""
        return self.ask(attributes=(AttributeTest(key=key, value=value),))


def names(answer: SpanAnswer) -> list[str]:
    return [item.span.name for item in answer.spans]


@pytest.fixture(name="subject", params=ENGINES)
def _subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    subject = Subject(request.param, tmp_path)
    yield subject
    subject.close()


def test_nothing_recorded(subject: Subject) -> None:
    """A trial without telemetry gives an empty answer, drawn from nothing."""
    answer = subject.spans.search("unknown-trial", SpanQuestion())
    assert (answer.spans, answer.more) == ((), False)
    assert (answer.evidence, answer.unsealed) == ((), 0)
    with pytest.raises(RecorderError, match="not a trial id"):
        subject.spans.search("../x", SpanQuestion())


def test_whole_span(subject: Subject) -> None:
    """Everything recorded of a span comes back, with its place and its verdicts."""
    subject.send(
        {
            "name": "/offer",
            "end": T0 + 9 * SECOND,
            "attributes": {"n": 1, "deep": {"a": [1, None, b"\0"]}, "by": "robot"},
            "events": [("tick", {"x": 2.5})],
            "links": [bytes(range(16))],
        },
        resource={"service.name": "api", "host": "h"},
    )
    (found,) = subject.spans.search(TRIAL, SpanQuestion()).spans
    span = found.span
    assert (span.name, span.service, span.span_kind) == ("/offer", "api", "server")
    assert span.attributes == {"n": 1, "deep": {"a": [1, None, "AA=="]}, "by": "robot"}
    assert span.resource == {"service.name": "api", "host": "h"}
    assert (span.start_unix_nano, span.end_unix_nano) == (T0 + 1, T0 + 9 * SECOND)
    assert [(item.name, item.attributes) for item in found.events] == [
        ("tick", {"x": 2.5})
    ]
    assert found.links[0].trace_id == bytes(range(16)).hex()
    assert (found.segment, found.frame, found.number) == (1, 0, 0)
    assert (found.producer, found.scope) == ("system", "test")
    assert [(item.rule, item.result) for item in found.verdicts] == [
        ("offer/time", "violated"),
        ("offer/by", "violated"),
    ]


def test_evidence(subject: Subject) -> None:
    """An answer names every sealed segment, and counts those not searched."""
    subject.send({"name": "a"})
    subject.send({"name": "b"})
    subject.send({"name": "late"}, seal=False)
    answer = subject.spans.search(TRIAL, SpanQuestion(operation="a"))
    raw = [
        entry.entry.body["segment"]["raw_digest"]  # type: ignore[index,call-overload]
        for entry in subject.trial.log.entries(TRIAL)
        if entry.entry.kind == "segment"
    ]
    assert [(item.number, item.raw_digest) for item in answer.evidence] == [
        (1, raw[0]),
        (2, raw[1]),
    ]
    assert (names(answer), answer.unsealed) == (["a"], 1)
    assert subject.ask(operation="late") == []


def test_an_erased_segment_is_counted(subject: Subject) -> None:
    """Nothing of it is found, also of what had been derived, and the answer says so."""
    for name in ("a", "b", "c"):
        subject.send({"name": name})
    assert subject.ask() == ["a", "b", "c"]
    subject.segments.erase(TRIAL, 2)
    for spans in (subject.spans, subject.open(subject.engine)):
        answer = spans.search(TRIAL, SpanQuestion())
        assert names(answer) == ["a", "c"]
        assert [item.number for item in answer.evidence] == [1, 3]
        assert (answer.unsealed, answer.erased) == (0, 1)
    assert subject.spans.sql(TRIAL, "SELECT name FROM spans").erased == 1


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1", ["text"]),
        (1, ["int"]),
        (1.0, ["double"]),
        (True, ["bool"]),
        (0, []),
        (None, ["text", "int", "double", "bool", "bytes", "list", "map", "empty"]),
        ("AQ==", []),
        ("null", []),
    ],
    ids=repr,
)
def test_attribute_types(subject: Subject, value: Any, found: list[str]) -> None:
    """An attribute is equal in type and value; asked without a value, it is there."""
    kinds = {
        "text": "1",
        "int": 1,
        "double": 1.0,
        "bool": True,
        "bytes": b"\1",
        "list": [1],
        "map": {"1": 1},
        "empty": None,
    }
    subject.send(
        *({"name": name, "attributes": {"k": item}} for name, item in kinds.items()),
        {"name": "without"},
    )
    assert subject.having("k", value) == found


@pytest.mark.parametrize("value", ["", "ключ\0✓", "'; DROP TABLE spans; --", '"', "\\"])
def test_text(subject: Subject, value: str) -> None:
    """Text is compared as it is: empty, beyond ASCII, with NUL, quotes or backslash."""
    subject.send(
        {"name": "it", "attributes": {value: value}},
        {"name": "other", "attributes": {value: value + "x"}},
        {"name": value or "empty"},
        resource={"service.name": value or "empty"},
    )
    assert subject.having(value, value) == ["it"]
    assert subject.ask(operation=value or "empty") == [value or "empty"]
    assert len(subject.ask(service=value or "empty")) == 3


def test_numbers(subject: Subject) -> None:
    """NaN is equal to nothing, minus zero to zero; whole numbers stay exact."""
    big = 2**63 - 1
    values = {"nan": float("nan"), "inf": float("inf"), "minus": -0.0, "big": big}
    subject.send(
        *({"name": name, "attributes": {"k": item}} for name, item in values.items()),
        {"name": "near", "attributes": {"k": big - 1}},
    )
    assert subject.having("k", float("nan")) == []
    assert subject.having("k", float("inf")) == ["inf"]
    assert subject.having("k", 0.0) == ["minus"]
    assert subject.having("k", big) == ["big"]
    assert subject.having("k", 2**70) == []
    found = subject.spans.search(TRIAL, SpanQuestion(operation="nan")).spans
    assert found[0].span.attributes == {"k": "NaN"}


def test_resource_attribute(subject: Subject) -> None:
    """An attribute may be of the span or of its resource; all asked must hold."""
    subject.send({"name": "a", "attributes": {"x": 1}}, resource={"k": "v"})
    subject.send({"name": "b", "attributes": {"k": "v"}})
    subject.send({"name": "c", "attributes": {"k": "w"}}, resource={"k": 1})
    assert subject.having("k", "v") == ["a", "b"]
    assert subject.having("k") == ["a", "b", "c"]
    both = (AttributeTest(key="k", value="v"), AttributeTest(key="x", value=1))
    assert subject.ask(attributes=both) == ["a"]


def test_equal_keys(subject: Subject) -> None:
    """Of equal keys the last counts, whatever its type."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="twice")
    span.attributes.add(key="k").value.string_value = "first"
    span.attributes.add(key="k").value.int_value = 2
    subject.trial.send(request)
    subject.trial.seal()
    assert subject.having("k", "first") == []
    assert subject.having("k", 2) == ["twice"]


def test_keys_that_differ_in_case(subject: Subject) -> None:
    """Attributes are told apart by case, in one file and across files."""
    keys = (
        "user.id",
        "User.Id",
        "USER.ID",
        "^User.^Id",
        "user.id_1",
        "É",
        "é",
        "\u212a",
    )
    for key in (*keys, "k", "K"):
        subject.send({"name": key, "attributes": {key: "v"}})
    subject.send({"name": "each", "attributes": {key: key for key in keys}})
    for key in keys:
        assert subject.having(key, "v") == [key]
        assert subject.having(key) == [key, "each"]
    found = subject.spans.search(TRIAL, SpanQuestion()).spans
    assert [item.span.attributes for item in found] == [
        *({key: "v"} for key in (*keys, "k", "K")),
        {key: key for key in keys},
    ]
    if subject.engine != "fake":
        statement = (
            "SELECT attributes_string['user.id'], attributes_string['User.Id'] "
            "FROM spans WHERE name IN ('user.id', 'each') ORDER BY start_ns"
        )
        found_rows = subject.spans.sql(TRIAL, statement).rows
        assert [row[0] for row in found_rows] == ["v", "user.id"]
        assert found_rows[1] == ("user.id", "User.Id")


def test_service_in_text_only(subject: Subject) -> None:
    """A service that is not text names none; a span without one is found otherwise."""
    subject.send({"name": "a"}, resource={"service.name": 1})
    subject.send({"name": "b"}, resource={"service.name": "1"})
    assert subject.ask(service="1") == ["b"]
    assert subject.ask() == ["a", "b"]


def test_durations(subject: Subject) -> None:
    """Bounds belong to the answer; a span may end before it starts."""
    for name, seconds in {"short": 1, "long": 2, "back": -1}.items():
        subject.send({"name": name, "start": T0, "end": T0 + seconds * SECOND})
    subject.send({"name": "odd", "start": T0 + 1, "end": T0 + SECOND})
    assert subject.ask(min_duration_s=1.0) == ["short", "long"]
    assert subject.ask(max_duration_s=1.0) == ["short", "back", "odd"]
    assert subject.ask(min_duration_s=1.0, max_duration_s=1.0) == ["short"]
    assert subject.ask(max_duration_s=float("nan")) == []


def test_extreme_times(subject: Subject) -> None:
    """Times fill 64 bits without a sign; nothing overflows."""
    top = 2**64 - 1
    subject.send(
        {"name": "whole", "start": 0, "end": top},
        {"name": "last", "start": top, "end": 0},
    )
    assert subject.ask() == ["whole", "last"]
    assert subject.ask(min_duration_s=1e10) == ["whole"]
    assert subject.ask(since=datetime(2500, 1, 1, tzinfo=UTC)) == ["last"]
    assert subject.ask(until=datetime(9999, 1, 1, tzinfo=UTC)) == ["whole", "last"]


def test_time_bounds(subject: Subject) -> None:
    """`since` belongs to the answer, `until` does not, to the nanosecond."""
    at = datetime(2026, 4, 1, 12, 0, 1, tzinfo=UTC)
    nano = T0 + SECOND
    for name, start in {"before": nano - 1, "at": nano, "after": nano + 1}.items():
        subject.send({"name": name, "start": start})
    assert subject.ask(since=at) == ["at", "after"]
    assert subject.ask(until=at) == ["before"]
    assert subject.ask(since=at, until=at + timedelta(microseconds=1)) == [
        "at",
        "after",
    ]
    assert subject.ask(until=datetime(1969, 1, 1, tzinfo=UTC)) == []


def test_order_and_limit(subject: Subject) -> None:
    """Spans come by start, ties by identity, then by place; more is said."""
    one, two = bytes(15) + b"\1", bytes(15) + b"\2"
    subject.send({"name": "c", "start": T0, "trace": two, "id": b"a" * 8})
    subject.send(
        {"name": "d", "start": T0 + 1, "trace": one},
        {"name": "b", "start": T0, "trace": one, "id": b"b" * 8},
        {"name": "a", "start": T0, "trace": one, "id": b"a" * 8},
    )
    assert subject.ask() == ["a", "b", "c", "d"]
    first = subject.spans.search(TRIAL, SpanQuestion(limit=3))
    assert (names(first), first.more) == (["a", "b", "c"], True)
    assert not subject.spans.search(TRIAL, SpanQuestion(limit=4)).more


def test_deliveries(subject: Subject) -> None:
    """A span delivered twice is two deliveries, each with its place."""
    again = {"name": "twice", "start": T0, "id": b"same-one"}
    subject.send(again, again)
    subject.send(again)
    found = subject.spans.search(TRIAL, SpanQuestion()).spans
    places = [(item.segment, item.frame, item.number) for item in found]
    assert places == [(1, 0, 0), (1, 0, 1), (2, 0, 0)]


def test_trace(subject: Subject) -> None:
    """A trace is all its spans, from every segment; none is no error."""
    one, two = bytes(range(16)), bytes(16)
    subject.send({"name": "a", "trace": one}, {"name": "x", "trace": two})
    subject.send({"name": "b", "trace": one}, {"name": "odd", "trace": one[:4]})
    assert names(subject.spans.trace(TRIAL, one.hex())) == ["a", "b"]
    assert subject.ask(trace_id=two.hex()) == ["x"]
    assert subject.spans.trace(TRIAL, "f" * 32).spans == ()
    for wrong in ("", "F" * 32, one.hex()[:-1]):
        with pytest.raises(EvidenceError, match="not a trace id"):
            subject.spans.trace(TRIAL, wrong)


def test_rules(subject: Subject) -> None:
    """A rule and its result are asked for alone and together."""
    subject.send(
        {"name": "/offer", "end": T0 + SECOND, "attributes": {"by": "human"}},
        {"name": "/slow", "end": T0 + 9 * SECOND},
        resource={"service.name": "api"},
    )
    subject.send({"name": "/offer", "start": T0 + 99, "end": T0 + 9 * SECOND})
    assert subject.ask(rule="offer/time") == ["/offer", "/offer"]
    assert subject.ask(rule="offer/by") == ["/offer", "/slow"]
    assert subject.ask(result="violated") == ["/offer"]
    assert subject.ask(result="not_evaluable") == ["/slow"]
    assert subject.ask(rule="offer/by", result="satisfied") == ["/offer"]
    assert subject.ask(rule="offer/by", result="violated") == []
    assert subject.ask(rule="no/such") == []


def test_verdicts_as_observed(subject: Subject) -> None:
    """Verdicts are those of the monitor, rule by rule and reason by reason."""
    subject.send(
        {"name": "/offer", "end": T0 + 9 * SECOND},
        {"name": "/other", "attributes": {"by": 7}},
        resource={"service.name": "api"},
    )
    frames, _ = decode_frames(subject.segments.read(TRIAL, 1))
    observed = observe_frames(frames, rules=RULES, trial_id=TRIAL, segment=1)
    found = subject.spans.search(TRIAL, SpanQuestion()).spans
    assert [
        (span.span.span_id, item.rule, item.result, item.reason)
        for span in found
        for item in span.verdicts
    ] == [(item.span_id, item.rule, item.result, item.reason) for item in observed]


def test_other_signals(subject: Subject) -> None:
    """A segment without any span is evidence that was searched, and gives none."""
    subject.trial.send(ExportTraceServiceRequest())
    subject.trial.seal()
    answer = subject.spans.search(TRIAL, SpanQuestion())
    assert (answer.spans, len(answer.evidence)) == ((), 1)
    assert subject.spans.sql(TRIAL, "SELECT count(*) FROM spans").rows == ((0,),)


def test_damaged_segment(subject: Subject) -> None:
    """A changed bit is an error that names segment and byte, never an answer."""
    subject.send({"name": "a"})
    subject.send({"name": "b"})
    compressed, envelope = subject.segments.read_sealed(TRIAL, 2)
    for place in range(0, len(compressed), 7):
        damaged = bytearray(compressed)
        damaged[place] ^= 1 << place % 8
        subject.segments.tamper(TRIAL, 2, compressed=bytes(damaged), envelope=envelope)
        with pytest.raises(EvidenceError, match=r"segment 2 of trial ride-1.* byte \d"):
            subject.ask()
    subject.segments.tamper(TRIAL, 2, compressed=compressed, envelope=envelope)
    assert subject.ask() == ["a", "b"]


def test_exchanged_segment(subject: Subject) -> None:
    """A segment with the statement of another, or of another key, is refused."""
    subject.send({"name": "a"})
    subject.send({"name": "b"})
    first, said_first = subject.segments.read_sealed(TRIAL, 1)
    second, said_second = subject.segments.read_sealed(TRIAL, 2)
    subject.segments.tamper(TRIAL, 2, compressed=first, envelope=said_first)
    with pytest.raises(EvidenceError, match="speaks of segment 1"):
        subject.ask()
    subject.spans = subject.open(subject.engine)
    subject.segments.tamper(TRIAL, 2, compressed=first, envelope=said_second)
    with pytest.raises(EvidenceError, match="not what was sealed"):
        subject.ask()
    subject.spans = subject.open(subject.engine)
    forged = _sealed_by_another(subject, 2)
    subject.segments.tamper(TRIAL, 2, compressed=second, envelope=forged)
    with pytest.raises(EvidenceError, match="segment 2 .* not trusted"):
        subject.spans.search(TRIAL, SpanQuestion())


def _sealed_by_another(subject: Subject, number: int) -> bytes:
    return seal_segment(
        subject.segments.read(TRIAL, number),
        trial_id=TRIAL,
        number=number,
        rulebook_digest=digest_of(b"rulebook"),
        signer=ThrowawaySigner(seed="another"),
    ).envelope


def test_sql(subject: Subject) -> None:
    """A reading statement gives columns and rows, and says if there are more."""
    for name in ("a", "b", "b"):
        subject.send({"name": name}, resource={"service.name": "api"})
    found = subject.spans.sql(
        TRIAL, "SELECT name, count(*) AS n FROM spans GROUP BY name ORDER BY name;"
    )
    assert (found.columns, found.rows) == (("name", "n"), (("a", 1), ("b", 2)))
    assert (found.more, len(found.evidence)) == (False, 3)
    few = subject.spans.sql(TRIAL, "SELECT name FROM spans -- all", limit=2)
    assert (len(few.rows), few.more) == (2, True)
    own = "WITH t AS (SELECT trace_id, duration_s FROM spans) SELECT * FROM t LIMIT 1"
    assert subject.spans.sql(TRIAL, own).rows == (("0" * 30 + "01", 1.0),)


@pytest.fixture(name="chdb")
def _chdb(tmp_path: Path) -> Iterator[Subject]:
    subject = Subject("chdb", tmp_path)
    subject.send({"name": "a"})
    yield subject
    subject.close()


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "fake"])
def test_as_the_fake_says(tmp_path: Path, engine: str) -> None:
    """Hundreds of random questions about random spans are answered as by the fake."""
    subject = Subject("fake", tmp_path)
    chance = random.Random(11)
    for _ in range(21):
        _record_at_random(subject, chance)
    other = subject.open(engine)
    for _ in range(300):
        question = _question_at_random(chance)
        expected = subject.spans.search(TRIAL, question)
        found = other.search(TRIAL, question)
        assert found.model_copy(update={"engine": "fake"}) == expected, question
    subject.close()


_VALUES: list[Any] = ["1", 1, 1.0, True, False, 0, 0.0, "", "a", b"a", None, [1], {}]
_COMMON = ["k", "K", "by", "By", "^By", "http.route", "", "é"]
_RARE = [f"rare.{number}" for number in range(40)]
_KEYS = _COMMON * 4 + _RARE


def _record_at_random(subject: Subject, chance: random.Random) -> None:
    resource = {key: chance.choice(_VALUES) for key in chance.sample(_KEYS, 3)}
    resource["service.name"] = chance.choice(["api", "web"])
    spans = [
        {
            "name": chance.choice(["/offer", "/other", "b"]),
            "start": T0 + chance.randrange(6) * SECOND // 2,
            "end": T0 + chance.randrange(9) * SECOND // 2,
            "trace": bytes([chance.randrange(3)]) * 16,
            "id": chance.randbytes(8),
            "attributes": {
                key: chance.choice(_VALUES)
                for key in chance.sample(_KEYS, chance.randrange(4))
            },
            "events": [("e", {"v": chance.choice(_VALUES)})] * chance.randrange(2),
        }
        for _ in range(chance.randrange(5))
    ]
    subject.send(*spans, resource=resource)


def _question_at_random(chance: random.Random) -> SpanQuestion:
    at = datetime(2026, 4, 1, 12, tzinfo=UTC)
    half = timedelta(seconds=0.5)
    choices: dict[str, Callable[[], Any]] = {
        "trace_id": lambda: (bytes([chance.randrange(3)]) * 16).hex(),
        "service": lambda: chance.choice(["api", "web", "none"]),
        "operation": lambda: chance.choice(["/offer", "/other", "b"]),
        "min_duration_s": lambda: chance.randrange(-2, 4) / 2,
        "max_duration_s": lambda: chance.randrange(-2, 4) / 2,
        "attributes": lambda: tuple(
            _test_at_random(chance) for _ in range(chance.randrange(1, 3))
        ),
        "rule": lambda: chance.choice(["offer/time", "offer/by"]),
        "result": lambda: chance.choice(["satisfied", "violated", "not_evaluable"]),
        "since": lambda: at + chance.randrange(6) * half,
        "until": lambda: at + chance.randrange(6) * half,
        "limit": lambda: chance.randrange(1, 30),
    }
    asked = chance.sample(sorted(choices), chance.randrange(4))
    return SpanQuestion(**{field: choices[field]() for field in asked})


def _test_at_random(chance: random.Random) -> AttributeTest:
    plain = [item for item in _VALUES if not isinstance(item, bytes | list | dict)]
    return AttributeTest(key=chance.choice(_KEYS), value=chance.choice(plain))


def test_questions_are_bounded() -> None:
    """A limit below one or above ten thousand is no question."""
    for limit in (0, 10_001):
        with pytest.raises(ValidationError):
            SpanQuestion(limit=limit)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "fake"])
def test_maps_are_shown_whole(tmp_path: Path, engine: str) -> None:
    """In SQL a map has every attribute of its type, whatever has its own column."""
    subject = Subject(engine, tmp_path)
    subject.send({"name": "a", "attributes": {"k": 1, "by": "x", "b": True}})
    for number in range(30):
        subject.send(
            {"name": f"n{number}", "attributes": {f"rare'{number}": number, "d": 0.5}}
        )
    found = subject.spans.sql(
        TRIAL,
        "SELECT name, attributes_int, attributes_string, attributes_double, "
        'attributes_bool, "attributes_string:by", "rule:offer/by" FROM spans '
        "WHERE attributes_int['k'] = 1 OR attributes_int['rare''7'] = 7 ORDER BY name",
    )
    assert found.rows == (
        ("a", {"k": 1}, {"by": "x"}, {}, {"b": True}, "x", None),
        ("n7", {"rare'7": 7}, {}, {"d": 0.5}, {}, None, None),
    )
    subject.close()


def test_values_of_sql(tmp_path: Path) -> None:
    """Every value of a row is one that JSON can write."""
    subject = Subject("duckdb", tmp_path)
    found = subject.spans.sql(
        TRIAL,
        "SELECT 1, 2.5::DOUBLE, 'NaN'::DOUBLE, 1.50::DECIMAL(4, 2), NULL, TRUE, "
        "DATE '2026-04-01', TIMESTAMP '2026-04-01 12:00:00', unhex('00ff'), [1, NULL], "
        "MAP {'k': 'v'}, INTERVAL 1 SECOND, 170141183460469231731687303715884105727",
    )
    assert found.rows == (
        (
            *(1, 2.5, "nan", "1.50", None, True),
            *("2026-04-01", "2026-04-01T12:00:00", "00ff", [1, None], {"k": "v"}),
            *("0:00:01", 2**127 - 1),
        ),
    )


def test_endless_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that does not end is stopped, and the next one is answered."""
    monkeypatch.setattr("sandbox.adapters.spans_duckdb_sql.TIME_LIMIT_S", 0.2)
    subject = Subject("duckdb", tmp_path)
    subject.send({"name": "a"})
    endless = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    with pytest.raises(EvidenceError, match="took longer"):
        subject.spans.sql(TRIAL, endless)
    monkeypatch.undo()
    assert subject.spans.sql(TRIAL, "SELECT count(*) FROM spans").rows == ((1,),)


def test_values_of_clickhouse(chdb: Subject) -> None:
    """Every value of a row is one that JSON can write, and keeps what it says."""
    found = chdb.spans.sql(
        TRIAL,
        "SELECT 1, 2.5, nan, toDecimal64('1.50', 2), NULL, true, toDate('2026-04-01'), "
        "toDateTime('2026-04-01 12:00:00', 'UTC'), unhex('00ff'), [1, NULL], "
        "map('k', 'v'), toInt128('170141183460469231731687303715884105727'), "
        "arrayJoin([7])",
    )
    assert found.rows == (
        (
            *(1, 2.5, "nan", "1.5", None, True),
            *("2026-04-01", "2026-04-01T12:00:00Z", "00ff", [1, None], {"k": "v"}),
            *(2**127 - 1, 7),
        ),
    )


def test_endless_clickhouse(chdb: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that does not end is stopped, and the next one is answered."""
    endless = (
        "SELECT sum(a.number * b.number) FROM numbers(10000000) a, numbers(10000000) b"
    )
    with monkeypatch.context() as patch:
        patch.setattr("sandbox.adapters.spans_chdb.TIME_LIMIT_S", 0.5)
        with pytest.raises(EvidenceError, match="took longer"):
            chdb.spans.sql(TRIAL, endless)
    assert chdb.spans.sql(TRIAL, "SELECT count() FROM spans").rows == ((1,),)


def _check(subject: Subject) -> ChdbCheck:
    keys = [subject.trial.signer.public_key]
    root = subject.home / "derived"
    files = DerivedFiles(subject.segments, lambda _: RULES, root=root, keys=keys)
    return ChdbCheck(files, subject.segments, memory_mib=256, threads=1)


def test_nothing_to_compare(tmp_path: Path) -> None:
    """A trial without telemetry, and a segment without spans, agree with nothing."""
    subject = Subject("duckdb", tmp_path)
    assert _check(subject).check(TRIAL) == ()
    subject.trial.send(ExportTraceServiceRequest())
    subject.trial.seal()
    metrics = encode_frame(
        b"\n\x02\x12\x00", signal="metrics", producer="p", sequence=2, received_at=AT
    )
    subject.segments.receive(TRIAL, metrics)
    subject.trial.seal()
    assert len(_check(subject).check(TRIAL)) == 2


def test_raw_bytes_that_changed(tmp_path: Path) -> None:
    """Raw requests that are not what was sealed are an error that names the segment."""
    subject = Subject("duckdb", tmp_path)
    for name in ("a", "b"):
        subject.send({"name": name})
    assert len(subject.ask()) == 2
    first, _ = subject.segments.read_sealed(TRIAL, 1)
    _, envelope = subject.segments.read_sealed(TRIAL, 2)
    subject.segments.tamper(TRIAL, 2, compressed=first, envelope=envelope)
    with pytest.raises(EvidenceError, match="segment 2 .* is not what was sealed"):
        _check(subject).check(TRIAL)


def test_derived_as_recorded(tmp_path: Path) -> None:
    """Read by chDB, raw segments and derived files of random spans come to the same."""
    subject = Subject("duckdb", tmp_path)
    chance = random.Random(5)
    for _ in range(7):
        _record_at_random(subject, chance)
    odd = {"start": 2**64 - 1, "end": 0, "trace": b"\xff", "id": b"", "name": "\0'\\"}
    numbers = {"nan": float("nan"), "low": -(2**63), "zero": -0.0, "text": "\0'\\é"}
    subject.send({**odd, "attributes": numbers}, {"events": [("e", {"k": 1})]})
    _send_equal_keys(subject)
    evidence = _check(subject).check(TRIAL)
    assert evidence == subject.spans.search(TRIAL, SpanQuestion()).evidence
    assert len(evidence) == 9


def _send_equal_keys(subject: Subject) -> None:
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    for name in ("first", "last"):
        named = batch.resource.attributes.add(key="service.name")
        named.value.string_value = name
    span = batch.scope_spans.add().spans.add(name="twice")
    span.attributes.add(key="k").value.string_value = "first"
    span.attributes.add(key="k").value.int_value = 2
    span.attributes.add(key="l").value.int_value = 2
    span.attributes.add(key="l").value.array_value.values.add().int_value = 1
    subject.trial.send(request)
    subject.trial.seal()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "b"}, "operation 'a': recorded are 1 spans .* derived are 0 spans"),
        ({"end_ns": T0}, "recorded are 1 spans of 1000000000 ns .* derived are 1 "),
        ({"trace_id": b"other"}, "service 'api', operation 'a'.*with content"),
        ({"service": "web"}, "service 'api'"),
        ({"attributes_int": [("k", 2)]}, "operation 'a'.*with content"),
        ({"segment": 7}, "recorded are 1 spans .* derived are 0 spans"),
        ({"attributes_bool": [("k", True)]}, "operation 'a'.*with content"),
        ({}, ""),
    ],
    ids=str,
)
def test_derived_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], words: str
) -> None:
    """A derivation that changes anything of a span is found, and the group is named."""

    def derive_wrongly(*arguments: Any, **options: Any) -> pa.Table:
        table = derive(*arguments, **options)
        for name, value in wrong.items():
            index = table.schema.get_field_index(name)
            field = table.schema.field(index)
            column = pa.array([value] * table.num_rows, field.type)
            table = table.set_column(index, field, column)
        return table

    monkeypatch.setattr("sandbox.adapters.spans_files.derive", derive_wrongly)
    subject = Subject("duckdb", tmp_path)
    given = {"name": "a", "start": T0, "attributes": {"k": 1}}
    subject.send(given, resource={"service.name": "api"})
    if words:
        with pytest.raises(EvidenceError, match=f"segment 1, .*{words}"):
            _check(subject).check(TRIAL)
    else:
        assert len(_check(subject).check(TRIAL)) == 1
