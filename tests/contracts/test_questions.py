"""`sandbox evidence search`, `trace`, `sql` and `export` on a recorded trial.

The engine is the real one, the segment is sealed and on record, the rules are the
trial's own.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from typer.testing import CliRunner, Result

from sandbox.errors import EvidenceError, InputError
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.record import Interval, digest_of
from sandbox.model.rule import (
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    RuleSource,
    Scope,
    TemporaryRule,
)
from sandbox.model.trace import SpanAnswer
from sandbox.recorder import encode_frame
from sandbox.settings import Settings
from sandbox.testing.traces import BEGAN_NS, RECEIVED_AT, TRACE
from workflows.activities.keeping import Ledger, publish_rulebook
from workflows.cli.evidence import application
from workflows.worker import open_ledger

TRIAL = "ride-1"
OTHER = "0" * 31 + "7"
DAY = date(2024, 1, 1)
RULE = Rule(
    rule="calls/time",
    text="An offer within {max_s} seconds.",
    source=RuleSource(instrument="i", provision="1", as_of=DAY),
    goal="quick",
    mechanism="regulation",
    parameters={
        "max_s": Parameter(
            unit="s",
            looser="higher",
            values={DAY: ParameterValue(value=2.0, reference="r")},
        )
    },
    applies='span.name == "/offer"',
    requires='span.duration_s <= params.max_s && span.attributes["driver"] != ""',
    severity="major",
    waivable=True,
)
RULEBOOK = Rulebook(
    rulebook="calls", version=1, title="t", owner="o", in_force_from=DAY, rules=(RULE,)
)
SPANS: list[dict[str, Any]] = [
    {"id": "a", "name": "/ride", "s": (0, 4)},
    {"id": "b", "parent": "a", "name": "/offer", "s": (1, 3.5), "driver": "d1"},
    {"id": "c", "parent": "a", "name": "/offer", "s": (3, 4)},
    {"id": "d", "name": "/offer", "s": (9, 10), "driver": "d2", "trace": OTHER},
]


def request(spans: list[dict[str, Any]]) -> bytes:
    """Return a request with these spans of one service."""
    found = ExportTraceServiceRequest()
    batch = found.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = "dispatch"
    scope = batch.scope_spans.add()
    for item in spans:
        start, end = (BEGAN_NS + round(moment * 1e9) for moment in item["s"])
        span = scope.spans.add(
            trace_id=bytes.fromhex(item.get("trace", TRACE)),
            span_id=item["id"].encode() * 8,
            parent_span_id=item.get("parent", "").encode() * 8,
            name=item["name"],
            start_time_unix_nano=start,
            end_time_unix_nano=end,
        )
        span.attributes.add(key="zone").value.int_value = 3
        if "driver" in item:
            span.attributes.add(key="driver").value.string_value = item["driver"]
    return found.SerializeToString()


def put_rules(ledger: Ledger) -> None:
    """Publish the rulebook, and a temporary rule without exceptions over it."""
    ref = publish_rulebook(ledger, RULEBOOK)
    lasts = Interval.model_validate(
        {"start": "2025-12-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}
    )
    rule = TemporaryRule(
        temporary_rule=f"trial/{TRIAL}",
        trial_id=TRIAL,
        of=ref,
        in_force=lasts,
        scope=Scope(participants="p", area="a"),
        overlays=(),
        guardrails=(),
        plan_digest=digest_of(b"plan"),
    )
    ledger.records.put_document(TRIAL, "temporary-rule", rule)


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an installation with one sealed segment of two requests, and one open."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    ledger, _ = open_ledger(settings)
    put_rules(ledger)
    frames = [
        encode_frame(
            request(spans),
            signal="traces",
            producer="hotrod",
            sequence=sequence,
            received_at=RECEIVED_AT,
        )
        for sequence, spans in enumerate((SPANS[:2], SPANS[2:]), start=1)
    ]
    folder = settings.evidence_dir / TRIAL
    folder.mkdir(parents=True)
    (folder / "000001.closed").write_bytes(b"".join(frames))
    sealed = seal_segment(
        b"".join(frames),
        trial_id=TRIAL,
        number=1,
        rulebook_digest=digest_of(b"rulebook"),
        signer=ledger.signer,
    )
    ledger.segments.put_sealed(
        TRIAL, 1, compressed=sealed.compressed, envelope=sealed.envelope
    )
    ledger.log.append(segment_entry(sealed, recorded_at=RECEIVED_AT))
    (folder / "000002.open").write_bytes(frames[1])
    return settings.home


def run(home: Path, *arguments: object, given: str = "") -> Result:
    """Run `sandbox evidence …` in this process."""
    words = [str(item) for item in (*arguments, "--home", home)]
    return CliRunner().invoke(application(), words, input=given, env={"COLUMNS": "200"})


def call(home: Path, *arguments: object, given: str = "") -> Result:
    """Run `sandbox evidence …`, which must succeed."""
    ended = run(home, *arguments, given=given)
    assert ended.exit_code == 0, ended.exception
    return ended


def test_search_by_rule_and_attribute(home: Path) -> None:
    """What was asked is what is found, and the sealed segment is named."""
    asked = ("--result", "violated", "--attribute", "zone=3", "-o", "json")
    ended = call(home, "search", TRIAL, *asked)
    answer = SpanAnswer.model_validate_json(ended.stdout)
    assert [item.span.span_id for item in answer.spans] == [b"b".hex() * 8]
    assert [item.number for item in answer.evidence] == [1]
    assert "1 not sealed yet and not searched" in ended.stderr
    asked = ("--result", "violated", "--attribute", "zone=3.0", "-o", "json")
    ended = call(home, "search", TRIAL, *asked)
    assert SpanAnswer.model_validate_json(ended.stdout).spans == ()


@pytest.mark.parametrize("engine", ["chdb", "both"])
def test_another_engine_says_the_same(home: Path, engine: str) -> None:
    """Whatever answers, the answer is the same, and says what gave it."""
    for asked in (("search", TRIAL, "--attribute", "zone=3"), ("trace", TRIAL, TRACE)):
        first, other = (
            SpanAnswer.model_validate_json(
                call(home, *asked, "--engine", name, "-o", "json").stdout
            )
            for name in ("duckdb", engine)
        )
        assert other.model_copy(update={"engine": first.engine}) == first
        assert "chdb 4" in other.engine
        assert (first.engine in other.engine) == (engine == "both")


@pytest.mark.parametrize("engine", ["chdb", "both"])
def test_sql_of_another_engine(home: Path, engine: str) -> None:
    """A statement that means the same in both dialects has the same rows."""
    statement = "SELECT name, count(*) AS n FROM spans GROUP BY name ORDER BY name"
    ended = call(home, "sql", TRIAL, statement, "--engine", engine, "-o", "csv")
    rows = list(csv.reader(io.StringIO(ended.stdout)))
    assert rows == [["name", "n"], ["/offer", "3"], ["/ride", "1"]]


def test_a_rule_that_is_not_there_is_said(home: Path) -> None:
    """A misspelt rule is not an empty answer; the rules there are are named."""
    ended = run(home, "search", TRIAL, "--rule", "calls/tiem")
    assert isinstance(ended.exception, InputError)
    assert "--rule" in ended.exception.diagnosis
    assert "calls/time" in ended.exception.diagnosis
    ended = call(home, "search", TRIAL, "--rule", "calls/time")
    assert ended.stdout.count("/offer") == 3


def test_a_trace_with_what_the_rules_read(home: Path, tmp_path: Path) -> None:
    """The drawing has every span of it; the page says why a rule is not kept."""
    file = tmp_path / "trace.html"
    ended = call(home, "trace", TRIAL, TRACE, "--html", file)
    assert "3 spans of 1 service in 4.00 s" in ended.stdout
    assert "✗ calls/time violated: /offer (1/0/1)" in ended.stdout
    assert "? calls/time not evaluable: /offer (1/1/0)" in ended.stdout
    page = file.read_text()
    assert "An offer within 2 seconds." in page
    assert "span.duration_s = 2.5" in page
    assert "params.max_s = 2.0" in page


def test_sql_over_the_spans(home: Path) -> None:
    """Rows come as asked; the statement may come from standard input."""
    statement = "SELECT name, count(*) AS n FROM spans GROUP BY name ORDER BY name"
    ended = call(home, "sql", TRIAL, "-", "-o", "csv", given=statement)
    rows = list(csv.reader(io.StringIO(ended.stdout)))
    assert rows == [["name", "n"], ["/offer", "3"], ["/ride", "1"]]


def test_one_trace_leaves_for_jaeger(home: Path, tmp_path: Path) -> None:
    """Its spans and no others, though they lie among others in their requests."""
    file = tmp_path / "trace.json"
    ended = call(
        home, "export", TRIAL, "--trace", TRACE, "--format", "jaeger", "--to", file
    )
    (trace,) = json.loads(file.read_text())["data"]
    assert [span["operationName"] for span in trace["spans"]] == [
        "/ride",
        "/offer",
        "/offer",
    ]
    assert "exported 2 requests with 3 spans of 1 segment" in ended.stderr
    assert "1 segment not sealed yet" in ended.stderr


def test_an_answer_leaves_as_otlp(home: Path, tmp_path: Path) -> None:
    """What a search found is what leaves, with the requests around it."""
    found = tmp_path / "found.json"
    asked = ("--attribute", 'driver="d2"', "-o", "json")
    found.write_text(call(home, "search", TRIAL, *asked).stdout)
    ended = call(home, "export", TRIAL, "--found", found)
    (line,) = ended.stdout.splitlines()
    (batch,) = json.loads(line)["resourceSpans"]
    (scope,) = batch["scopeSpans"]
    assert [span["traceId"] for span in scope["spans"]] == [OTHER]
    assert batch["resource"]["attributes"][0]["key"] == "service.name"


def test_everything_leaves_also_what_is_not_sealed(home: Path) -> None:
    """Without a choice nothing is left out, and it is said what is not sealed."""
    ended = call(home, "export", TRIAL)
    assert len(ended.stdout.splitlines()) == 3
    assert "6 spans of 2 segments (1 of them not sealed yet)" in ended.stderr


def test_a_trial_without_evidence_is_said(home: Path, tmp_path: Path) -> None:
    """A misspelt trial, or trace, is not an empty file."""
    ended = run(home, "export", "ride-2", "--to", tmp_path / "out")
    assert isinstance(ended.exception, EvidenceError)
    ended = run(home, "export", TRIAL, "--trace", "f" * 32, "--to", tmp_path / "out")
    assert isinstance(ended.exception, EvidenceError)
    assert list(tmp_path.iterdir()) == []


def test_options_that_contradict_are_all_named(home: Path) -> None:
    """Traces cannot be chosen among logs, nor twice."""
    ended = run(
        *(home, "export", TRIAL, "--trace", TRACE, "--found", "x"),
        *("--signal", "logs", "--format", "jaeger"),
    )
    assert isinstance(ended.exception, InputError)
    assert len(ended.exception.defects) == 4


@pytest.mark.parametrize("text", ["[]", "{}", "oops", '{"trial_id": "other"}'])
def test_what_is_no_answer_is_refused(home: Path, text: str) -> None:
    """A file that `search` did not write chooses nothing."""
    ended = run(home, "export", TRIAL, "--found", "-", given=text)
    assert isinstance(ended.exception, InputError)
    assert "search" in ended.exception.diagnosis


def test_an_answer_about_another_trial_is_refused(home: Path) -> None:
    """Its places would mean other spans here."""
    found = call(home, "search", TRIAL, "-o", "json").stdout
    ended = run(home, "export", "ride-2", "--found", "-", given=found)
    assert isinstance(ended.exception, InputError)
    assert "is about trial ride-1" in ended.exception.diagnosis
