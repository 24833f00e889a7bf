"""Closing a trial on fakes, and deriving its verdicts again from the bundle.

What is missing reaches findings and exit report. Whoever holds the operator's key can
write another verdict into a log and sign it; the bundle of that log verifies, and the
derivation finds the first thing that does not follow from the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from temporalio.testing import ActivityEnvironment
from typer.testing import CliRunner

from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.evidence.verify import Result, verify_bundle
from sandbox.findings.rederive import first_difference, rederive_bundle
from sandbox.model.application import Application, Harm
from sandbox.model.finding import ExitReport
from sandbox.model.observation import Breach
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
from sandbox.model.segment import LogEntry
from sandbox.model.trial import Pause, Transition
from sandbox.monitor import advance, start
from sandbox.recorder import encode_frame
from sandbox.recorder.producer import INSTANCE, SEQUENCE
from sandbox.rules import guardrail_of
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.closing import close
from workflows.activities.keeping import Bundles, Ledger, publish_rulebook
from workflows.cli.evidence import app
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
    ledger.write("plan", "plan/t", "t", asked.plan)
    ledger.write("temporary-rule", rule.temporary_rule, "t", rule)
    return ledger


def record(
    ledger: Ledger, sequences: list[int | None], *, number: int = 1, slow: int = 0
) -> None:
    """Record one unit for each sequence, the last of them slow, as one segment."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for place, sequence in enumerate(sequences, start=1):
        start = int(T0.timestamp()) * 10**9 + place * 10**6
        span = spans.add(
            trace_id=place.to_bytes(16, "big"),
            span_id=place.to_bytes(8, "big"),
            name="call",
            start_time_unix_nano=start,
            end_time_unix_nano=start
            + (9 if place > len(sequences) - slow else 1) * 10**9,
        )
        if sequence is not None:
            span.attributes.add(key=INSTANCE).value.string_value = "a"
            span.attributes.add(key=SEQUENCE).value.int_value = sequence
    raw = encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="calls",
        sequence=number,
        received_at=T0 + timedelta(seconds=30),
    )
    segments = ledger.segments
    assert isinstance(segments, FakeSegments)
    segments.receive("t", raw)
    segments.roll("t")
    sealed = seal_segment(
        raw, trial_id="t", number=number, rulebook_digest=digest_of(b"r"), signer=SIGNER
    )
    segments.put_sealed(
        "t", number, compressed=sealed.compressed, envelope=sealed.envelope
    )
    ledger.log.append(segment_entry(sealed, recorded_at=T0))


def closed(ledger: Ledger, folder: Path, *pauses: Pause) -> ExitReport:
    task = CloseTrial(
        trial_id="t",
        regime=regime(),
        pauses=pauses,
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


def derived(bundle: Path) -> Result:
    """Verify a bundle, then derive it again; the bundle itself must verify."""
    assert verify_bundle(bundle, key=SIGNER.public_key).ok
    return rederive_bundle(bundle, key=SIGNER.public_key)


Edit = Callable[[LogEntry], LogEntry | None]


def resigned(ledger: Ledger, folder: Path, edit: Edit) -> Path:
    """Write the bundle of another history, signed with the operator's own key."""
    log = FakeLog()
    for item in ledger.log.entries():
        entry = edit(item.entry)
        if entry is not None:
            log.append(entry)
    return Path(Bundles(folder / "forged").write(ledger._replace(log=log), "t"))


def changing(entry_id: str, **fields: Any) -> Edit:
    """Return an edit that sets fields in the body of one entry."""

    def edit(entry: LogEntry) -> LogEntry:
        if entry.entry_id != entry_id:
            return entry
        return entry.model_copy(update={"body": {**entry.body, **fields}})

    return edit


def leaving_out(entry_id: str) -> Edit:
    return lambda entry: None if entry.entry_id == entry_id else entry


def test_a_truthful_bundle_is_derived_again(ledger: Ledger, tmp_path: Path) -> None:
    """Each step is said in words, with the counts and the verdicts."""
    record(ledger, list(range(41, 41 + UNITS)))
    closed(ledger, tmp_path)
    result = derived(tmp_path / "t")
    assert result.ok, result.steps[-1]
    words = [step.detail for step in result.steps[-7:]]
    assert "trial/t over calls version 1" in words[0]
    assert "400 observations; in-time: 400 satisfied, 0 violated" in words[2]
    assert "looks; 0 of the monitor" in words[4]
    assert words[5] == "in-time: inconclusive"
    assert result.spans == UNITS


def test_a_harm_with_a_pause_is_derived_again(ledger: Ledger, tmp_path: Path) -> None:
    """Live signal, replay, strata and looks of the harm come out the same."""
    harm = Harm.model_validate(
        {
            "harm": "slow",
            "of": "calls/time",
            "baseline_rate": 0.01,
            "signal": {"design": "maxsprt", "alpha": 0.01, "min_events": 3},
            "action": "pause",
        }
    )
    asked = application()
    plan = asked.plan.model_copy(update={"harms": (harm,)})
    rule = ledger.temporary_rule("t").model_copy(
        update={"plan_digest": digest_of(plan), "guardrails": (guardrail_of(harm),)}
    )
    ledger.records.put_document(
        "t", "application", asked.model_copy(update={"plan": plan})
    )
    ledger.write("temporary-rule", "trial/t/2", "t", rule)
    record(ledger, list(range(1, 1 + UNITS)), slow=20)
    state, breach = start(guardrail_of(harm)), None
    for unit in ledger.observations("t"):
        state, signal = advance(state, unit, trial_id="t", at=unit.started_at)
        breach = breach or signal
    assert breach is not None
    ledger.write("breach", "breach/t/slow/1", "t", breach)
    resumed_at = breach.detected_at + timedelta(milliseconds=5)
    pause = Pause(reason="r", paused_at=breach.detected_at, resumed_at=resumed_at)
    report = closed(ledger, tmp_path, pause)
    assert [item.verdict for item in report.findings] == ["inconclusive", "harm"]
    result = derived(tmp_path / "t")
    assert result.ok, result.steps[-1]
    unpaused = resigned(ledger, tmp_path, changing("closing/t", pauses=[]))
    assert "in the log" in derived(unpaused).steps[-1].detail


def test_what_came_after_the_closing_is_not_judged(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A later segment stands in the bundle, and changes no verdict."""
    record(ledger, list(range(1, 1 + UNITS)))
    closed(ledger, tmp_path)
    record(ledger, list(range(1, 1 + UNITS)), number=2)
    result = derived(resigned(ledger, tmp_path, lambda entry: entry))
    assert result.ok, result.steps[-1]
    assert result.spans == 2 * UNITS
    assert f"{UNITS} observations" in result.steps[-5].detail


FINDING, REPORT = "finding/t/F-1", "exit-report/t"
LOOK = "look/t/judged/in-time/1"
PAUSE = {"reason": "r", "paused_at": "2026-04-01T09:00:30Z", "kind": "pause"}


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (changing(FINDING, verdict="met"), f"{FINDING}: verdict is 'met' in the log"),
        (changing(FINDING, missing=0), f"{FINDING}: missing is 0 in the log, and deri"),
        (changing(FINDING, limits=[]), f"{FINDING}: limits has 0 parts, derived again"),
        (changing(LOOK, counts={"satisfied": 11}), f"{LOOK}: counts"),
        (changing(REPORT, uncertain=[]), f"{REPORT}: uncertain has 0 parts"),
        (leaving_out(LOOK), f"{LOOK} is not in the log"),
        (leaving_out(FINDING), f"{FINDING} is not in the log"),
        (leaving_out(REPORT), f"{REPORT} is not in the log"),
        (leaving_out("closing/t"), "holds 0 closings"),
        (leaving_out("trial/t"), "no entry of kind temporary-rule"),
        (leaving_out("rulebook/calls/1"), "no version 1 of the rulebook calls"),
        (changing("rulebook/calls/1", title="other"), "no version 1 of the rulebook"),
        (changing("closing/t", pauses=[PAUSE]), "when no breach in the log was"),
        (changing("closing/t", tried="more"), f"{REPORT}: tried is '…' in the log"),
    ],
)
def test_what_was_falsified_and_signed_again_is_found(
    ledger: Ledger, tmp_path: Path, edit: Edit, named: str
) -> None:
    """The signature holds, the bundle verifies; the first difference is named."""
    record(ledger, list(range(41, 41 + UNITS)))
    closed(ledger, tmp_path)
    result = derived(resigned(ledger, tmp_path, edit))
    assert not result.ok
    assert named in result.steps[-1].detail


def test_a_plan_changed_after_it_was_locked_is_judged_invalid(
    ledger: Ledger, tmp_path: Path
) -> None:
    """The findings say so, and so does the derivation."""
    record(ledger, list(range(1, 1 + UNITS)))
    asked = application()
    (goal,) = asked.plan.goals
    easier = (goal.model_copy(update={"threshold": 0.5}),)
    plan = asked.plan.model_copy(update={"goals": easier})
    changed = asked.model_copy(update={"plan": plan})
    ledger.records.put_document("t", "application", changed)
    (finding,) = closed(ledger, tmp_path).findings
    assert finding.verdict == "invalid"
    assert "is not the locked plan" in finding.statement
    assert derived(tmp_path / "t").ok


def test_an_easier_plan_put_in_afterwards_is_found(
    ledger: Ledger, tmp_path: Path
) -> None:
    """What was judged by the locked plan does not follow from another."""
    record(ledger, list(range(1, 1 + UNITS)))
    closed(ledger, tmp_path)
    plan = application().plan.model_dump(mode="json")
    plan["goals"][0]["threshold"] = 0.5
    result = derived(resigned(ledger, tmp_path, changing("closing/t", plan=plan)))
    difference = "threshold is 0.95 in the log, and derived again 0.5"
    assert difference in result.steps[-1].detail


def test_an_invented_breach_is_found(ledger: Ledger, tmp_path: Path) -> None:
    """A breach must speak of a span that some segment holds."""
    record(ledger, list(range(1, 1 + UNITS)))
    unit = next(iter(ledger.observations("t")))
    breach = Breach(
        trial_id="t",
        guardrail="slow",
        action="warn",
        events=5,
        units=9,
        expected=0.1,
        llr=9.0,
        threshold=3.0,
        first_signal=unit.model_copy(update={"span_id": "f" * 16}),
        detected_at=T0,
    )
    ledger.write("breach", "breach/t/slow/1", "t", breach)
    closed(ledger, tmp_path)
    result = derived(tmp_path / "t")
    assert "the breach of guardrail slow names the span ffff" in result.steps[-1].detail


def test_a_closing_that_contradicts_the_transitions_is_found(
    ledger: Ledger, tmp_path: Path
) -> None:
    """It cannot say that a trial ended before it was stopped."""
    record(ledger, list(range(1, 1 + UNITS)))
    stopped = Transition(
        trial_id="t",
        version=1,
        act="stop",
        before="running",
        after="closing",
        by="m",
        reason="r",
        at=T0 + timedelta(minutes=3),
    )
    ledger.write("transition", "transition/t/1", "t", stopped)
    closed(ledger, tmp_path)
    result = derived(tmp_path / "t")
    assert "but transition 1 (stop) was at" in result.steps[-1].detail


def test_nothing_is_derived_from_what_does_not_verify(
    ledger: Ledger, tmp_path: Path
) -> None:
    """With another key than the one trusted, verification ends where it did before."""
    record(ledger, list(range(1, 1 + UNITS)))
    closed(ledger, tmp_path)
    other = ThrowawaySigner(SIGNER.name, seed="other").public_key
    assert rederive_bundle(tmp_path / "t", key=other) == verify_bundle(
        tmp_path / "t", key=other
    )


def test_the_command_tells_every_step(ledger: Ledger, tmp_path: Path) -> None:
    """`sandbox evidence verify --rederive` ends in 0 for truth and 1 for a forgery."""
    record(ledger, list(range(1, 1 + UNITS)))
    closed(ledger, tmp_path)
    forged = resigned(ledger, tmp_path, changing(FINDING, verdict="not_met"))
    words = "The findings are those derived again"
    for bundle, code, line in (
        (tmp_path / "t", 0, f"ok      {words}: in-time: met"),
        (forged, 1, f"FAILED  {words}: {FINDING}: verdict is 'not_met'"),
    ):
        ran = CliRunner().invoke(app, ["verify", str(bundle), "--rederive"])
        assert (ran.exit_code, line in ran.output) == (code, True)
    assert CliRunner().invoke(app, ["verify", str(forged)]).exit_code == 0


@pytest.mark.parametrize(
    ("recorded", "again", "said"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a.1.b is 2 in the log, and"),
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, ""),
        ({"a": 1.0}, {"a": 1.0 + 1e-6}, "a is 1.0 in the log"),
        ({"a": 10**12}, {"a": 10**12 + 1}, "a is 1000000000000 in the log"),
        ({"a": True}, {"a": 1}, "a is True in the log"),
        ({"a": None}, {"a": 0}, "a is None in the log"),
        ({}, {"a": None, "b": 1}, "b is None in the log, and derived again 1"),
        ({"code_version": "1"}, {"code_version": "2"}, ""),
        ({"a": [1]}, {"a": [1, 2]}, "a has 1 parts, derived again 2"),
        ({"a": [1]}, {"a": {"0": 1}}, "a is [1] in the log"),
    ],
)
def test_the_first_difference(recorded: Any, again: Any, said: str) -> None:
    """Values of JSON are compared one by one; only rounding is let pass."""
    found = first_difference(recorded, again)
    assert found.startswith(said) and bool(found) == bool(said)
