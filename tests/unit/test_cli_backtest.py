"""`sandbox rule backtest`, with an engine that judges every span by itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from typer.testing import CliRunner, Result

from sandbox.errors import InputError, RuleError
from sandbox.model.backtest import Backtest, BacktestAnswer
from sandbox.model.record import Interval
from sandbox.model.rule import RulebookRef, Scope, TemporaryRule, Waiver
from sandbox.testing.backtest import FakeBacktests
from sandbox.testing.differential import NO_RULES
from sandbox.testing.segments import FakeSegments
from sandbox.testing.spans import FakeSpans
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.cli import backtest
from workflows.cli.rule import app

TRIAL = "ride-1"
RULE = {
    "rule": "offer/time",
    "text": "within {max_s} seconds",
    "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
    "goal": "g",
    "mechanism": "regulation",
    "parameters": {
        "max_s": {
            "unit": "s",
            "looser": "higher",
            "values": {"2024-01-01": {"value": 2.0, "reference": "r"}},
        }
    },
    "applies": 'span.name == "/offer"',
    "requires": "span.duration_s <= params.max_s",
    "severity": "major",
    "waivable": True,
}
BOOK = {
    "rulebook": "b",
    "version": 1,
    "title": "B",
    "owner": "o",
    "in_force_from": "2024-01-01",
    "rules": [RULE],
}


def _temporary_rule(trial_id: str) -> TemporaryRule:
    changed = {
        "kind": "modification",
        "set": {"max_s": 10.0},
        "under": 'span.kind == "client"',
    }
    waivers = [
        {"label": "longer", "exception_to": "offer/time", **changed},
        {"label": "gone", "exception_to": "offer/by", **changed},
    ]
    return TemporaryRule(
        temporary_rule=f"trial/{trial_id}",
        trial_id=trial_id,
        of=RulebookRef(rulebook="b", version=9, digest="sha256:" + "0" * 64),
        in_force=Interval(start=STARTED_AT, end=STARTED_AT.replace(year=2027)),
        scope=Scope(participants="p", area="a"),
        overlays=tuple(Waiver.model_validate(item) for item in waivers),
        guardrails=(),
        plan_digest="sha256:" + "0" * 64,
    )


@pytest.fixture(name="book")
def _book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rulebook, and a trial of three spans: 1 s, 3 s, and 3 s by a client."""
    segments = FakeSegments()
    trial = RecordedTrial(TRIAL, segments=segments, receive=segments.receive)
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    start = int(STARTED_AT.timestamp()) * 10**9
    for seconds, kind in ((1, 2), (3, 2), (3, 3)):
        scope.spans.add(
            name="/offer",
            kind=kind,
            start_time_unix_nano=start,
            end_time_unix_nano=start + seconds * 10**9,
        )
    trial.send(request)
    trial.seal()
    spans = FakeSpans(segments, lambda _: NO_RULES, keys=[trial.signer.public_key])
    ledger = SimpleNamespace(temporary_rule=_temporary_rule)
    monkeypatch.setattr(backtest, "open_ledger", lambda _: (ledger, None))
    monkeypatch.setattr(backtest, "open_backtests", lambda *_: FakeBacktests(spans))
    file = tmp_path / "rulebook.yaml"
    file.write_text(yaml.safe_dump(BOOK))
    return file


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def counts(result: Result) -> dict[str, Any]:
    found = json.loads(result.stdout)["counts"][0]
    return {name: found[name] for name in ("satisfied", "violated", "not_under")}


def test_with_exceptions(book: Path) -> None:
    """A rulebook is asked with the exceptions of the trial; one that is for a rule it
    does not have is left out, and that is said.
    """
    result = call(book, TRIAL, "-o", "json")
    assert counts(result) == {"satisfied": 2, "violated": 1, "not_under": 0}
    assert "`gone` is left out, its rule is not asked" in result.stderr


def test_without_exceptions(book: Path) -> None:
    """The rulebook alone is asked where exceptions are to be left out."""
    result = call(book, TRIAL, "--no-exceptions", "-o", "json")
    assert counts(result) == {"satisfied": 1, "violated": 2, "not_under": 0}


def test_other_values(book: Path) -> None:
    """A parameter is given another value, and the answer says of which rules it is."""
    usual, looser = (
        call(book, TRIAL, "--rule", "offer/time", *more, "-o", "json")
        for more in ([], ["--value", "max_s=3.5"])
    )
    assert counts(looser) == {"satisfied": 3, "violated": 0, "not_under": 0}
    one, other = (json.loads(item.stdout) for item in (usual, looser))
    assert one["rulebook_digest"] != other["rulebook_digest"]
    assert one["data_digest"] == other["data_digest"]


def test_table(book: Path) -> None:
    """A table shows the figures, and beside it stand violations and digests."""
    result = call(book, TRIAL, "--violations", 5)
    assert "offer/time" in result.stdout
    assert "offer/time is violated by" in result.stderr
    assert "frame 0, span 1" in result.stderr
    assert "data sha256:" in result.stderr


def test_bad_input(book: Path) -> None:
    """A value that is no number, of no rule, or of an unknown parameter, is refused."""
    result = call(book, TRIAL, "--value", "max_s=1")
    assert isinstance(result.exception, InputError)
    assert "Name the rule with --rule" in str(result.exception)
    result = call(book, TRIAL, "--rule", "offer/time", "--value", "max_s=much")
    assert isinstance(result.exception, InputError)
    assert "NAME=NUMBER" in str(result.exception)
    result = call(book, TRIAL, "--rule", "offer/time", "--value", "min_s=1")
    assert isinstance(result.exception, RuleError)
    assert "has no `min_s`; its parameters: max_s" in str(result.exception)


def test_one_engine_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A backtest of both engines at once is refused; each is asked by itself."""
    file = tmp_path / "rulebook.yaml"
    file.write_text(yaml.safe_dump(BOOK))
    ledger = SimpleNamespace(temporary_rule=_temporary_rule)
    monkeypatch.setattr(backtest, "open_ledger", lambda _: (ledger, None))
    result = call(file, TRIAL, "--engine", "both")
    assert isinstance(result.exception, InputError)


def test_evidence_that_is_not_asked_is_said(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments that are erased or not sealed; and a trial of which there is nothing."""
    asked = backtest.open_backtests(*[None] * 3)  # type: ignore[arg-type]

    class Partly:
        def backtest(self, question: Backtest) -> BacktestAnswer:
            answer = asked.backtest(question)
            (evidence,) = answer.evidence
            lost = evidence.model_copy(
                update={"segments": (), "erased": 2, "unsealed": 1}
            )
            return answer.model_copy(update={"evidence": (lost,)})

    assert "were not asked" not in call(book, TRIAL).stderr
    monkeypatch.setattr(backtest, "open_backtests", lambda *_: Partly())
    told = call(book, TRIAL).stderr
    assert "ride-1: 2 segments are erased and were not asked" in told
    assert "ride-1: 1 segments are not sealed and were not asked" in told
    assert "ride-1: nothing sealed is recorded of it" in told
