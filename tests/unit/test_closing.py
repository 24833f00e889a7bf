"""Closing a trial on fakes: what is missing reaches findings and exit report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from temporalio.testing import ActivityEnvironment

from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.evidence.verify import verify_bundle
from sandbox.model.application import Application
from sandbox.model.finding import ExitReport
from sandbox.model.record import Interval, digest_of
from sandbox.model.regime import Regime
from sandbox.model.rule import (
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    RuleSource,
    Scope,
    TemporaryRule,
)
from sandbox.recorder import encode_frame
from sandbox.recorder.producer import INSTANCE, SEQUENCE
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.closing import close
from workflows.activities.keeping import Bundles, Ledger, publish_rulebook
from workflows.messages import CloseTrial

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
UNITS = 400
SIGNER = ThrowawaySigner("log.example/trials")


def rulebook() -> Rulebook:
    dated = {date(2024, 1, 1): ParameterValue(value=2, reference="r")}
    timed = Rule(
        rule="calls/time",
        text="Within {max_s} s.",
        parameters={"max_s": Parameter(unit="s", looser="higher", values=dated)},
        requires="span.duration_s <= params.max_s",
        source=RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        goal="quick",
        mechanism="regulation",
        applies="true",
        severity="major",
        waivable=True,
    )
    return Rulebook(
        rulebook="calls",
        version=1,
        title="t",
        owner="o",
        in_force_from=date(2024, 1, 1),
        rules=(timed,),
    )


def application() -> Application:
    goal = {
        "goal": "in-time",
        "claim": "c",
        "unit": "call",
        "estimand": {"proportion": "satisfied", "of": "calls/time"},
        "threshold": 0.95,
        "alpha": 0.05,
        "design": "confidence-sequence",
        "minimum_units": 200,
        "missing": "count-both-ways",
    }
    text = dict.fromkeys(("summary", "novelty", "public_benefit", "readiness"), "…")
    limits = {"cpu": "1", "memory": "64Mi", "pods": 2}
    return Application.model_validate(
        {
            "application": "t",
            "regime": "r",
            "rulebook": "calls",
            "applicant": {"name": "A", "contact": "a@example"},
            "innovation": text,
            "participants": {"class": "c", "max": 5, "consent": "c", "area": "a"},
            "period": {"length": "PT1M", "must_start_within": "PT1M"},
            "plan": {
                "goals": [goal],
                "order_of_analysis": ["in-time"],
                "settling_time": "PT5M",
            },
            "incidents": {"procedure": "p", "contact": "c"},
            "system": {
                "manifests": "system/",
                "images": {},
                "needs": {"limits": limits},
                "telemetry": {"protocol": "otlp-http", "services": ["s"]},
            },
        }
    )


def regime() -> Regime:
    return Regime.model_validate(
        {
            "regime": "r",
            "name": "R",
            "law": ["L"],
            "time_zone": "UTC",
            "authorities": [{"authority": "o", "name": "O"}],
            "clocks": [],
            "longest_trial": "PT10M",
            "minimum_consultation": "PT3S",
            "monitoring_window": "PT5S",
            "exit_report_by": "authority",
        }
    )


@pytest.fixture(name="ledger")
def _ledger() -> Ledger:
    """A trial up to its close, nothing recorded yet."""
    clock = FixedClock(T0)
    ledger = Ledger(FakeLog(), FakeRecords(), FakeSegments(), SIGNER, clock)
    asked, book = application(), publish_rulebook(ledger, rulebook())
    rule = TemporaryRule(
        temporary_rule="trial/t",
        trial_id="t",
        of=book,
        in_force=Interval(start=T0, end=T0 + timedelta(minutes=5)),
        scope=Scope(participants="c", area="a"),
        overlays=(),
        conditions=(),
        guardrails=(),
        plan_digest=digest_of(asked.plan),
    )
    ledger.records.put_document("t", "application", asked)
    ledger.records.put_document("t", "temporary-rule", rule)
    return ledger


def record(ledger: Ledger, sequences: list[int | None]) -> None:
    """Record one unit for each number, and seal it as one segment."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for place, sequence in enumerate(sequences, start=1):
        start = int(T0.timestamp()) * 10**9 + place * 10**6
        span = spans.add(
            trace_id=place.to_bytes(16, "big"),
            span_id=place.to_bytes(8, "big"),
            name="call",
            start_time_unix_nano=start,
            end_time_unix_nano=start + 10**9,
        )
        if sequence is not None:
            span.attributes.add(key=INSTANCE).value.string_value = "a"
            span.attributes.add(key=SEQUENCE).value.int_value = sequence
    raw = encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="calls",
        sequence=1,
        received_at=T0 + timedelta(seconds=30),
    )
    segments = ledger.segments
    assert isinstance(segments, FakeSegments)
    segments.receive("t", raw)
    segments.roll("t")
    sealed = seal_segment(
        raw, trial_id="t", number=1, rulebook_digest=digest_of(b"r"), signer=SIGNER
    )
    segments.put_sealed("t", 1, compressed=sealed.compressed, envelope=sealed.envelope)
    ledger.log.append(segment_entry(sealed, recorded_at=T0))


def closed(ledger: Ledger, folder: Path) -> ExitReport:
    task = CloseTrial(
        trial_id="t",
        regime=regime(),
        pauses=(),
        started_at=T0,
        ended_at=T0 + timedelta(minutes=2),
    )
    ActivityEnvironment().run(close, ledger, Bundles(folder), task)
    return ExitReport.model_validate(ledger.records.get_document("t", "exit-report"))


def test_units_lost_on_the_way_keep_a_goal_from_being_met(
    ledger: Ledger, tmp_path: Path
) -> None:
    """The holes in the numbers are counted, judged, and reported."""
    record(ledger, list(range(41, 41 + UNITS)))
    report = closed(ledger, tmp_path)
    (finding,) = report.findings
    assert (finding.verdict, finding.missing) == ("inconclusive", 40)
    assert report.completeness is not None
    (producer,) = report.completeness.producers
    assert (producer.producer, producer.holes) == ("calls", 40)
    assert [gap.reason for gap in report.completeness.gaps] == ["sequence-hole"]


def test_a_trial_that_is_whole_meets_its_goal(ledger: Ledger, tmp_path: Path) -> None:
    """All numbers came; that the end is not covered stays said."""
    record(ledger, list(range(1, 1 + UNITS)))
    report = closed(ledger, tmp_path)
    assert (report.findings[0].verdict, report.findings[0].missing) == ("met", 0)
    assert any("Losses at the end" in limit for limit in report.uncertain)


def test_a_trial_without_numbers_is_not_called_complete(
    ledger: Ledger, tmp_path: Path
) -> None:
    """The verdict stands on what came; that losses are not known is a limit of it."""
    record(ledger, [None] * UNITS)
    report = closed(ledger, tmp_path)
    assert report.findings[0].verdict == "met"
    assert any("does not number its spans" in item for item in report.uncertain)


def test_the_bundle_holds_the_regime_under_which_evidence_is_kept(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Whoever checks an erasure can read the period; the log has its digest."""
    record(ledger, list(range(1, 1 + UNITS)))
    digest = ledger.records.put_document("t", "regime", regime())
    closed(ledger, tmp_path)
    kept = (tmp_path / "t" / "documents" / "regime.json").read_bytes()
    assert digest_of(kept) == digest
    assert verify_bundle(tmp_path / "t").ok
