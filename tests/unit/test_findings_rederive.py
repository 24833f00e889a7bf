"""Deriving the verdicts of a trial again from its bundle.

Whoever holds the operator's key can write another verdict into a log and sign it; the
bundle of that log verifies, and the derivation finds the first thing that does not
follow from the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sandbox.errors import EvidenceError, RecordsError
from sandbox.evidence.verify import Result, verify_bundle
from sandbox.findings.rederive import first_difference, rederive_bundle
from sandbox.model.application import Harm, Hypothesis
from sandbox.model.damage import SegmentDamage
from sandbox.model.erasure import SegmentErasure
from sandbox.model.log import LogEntry
from sandbox.model.observation import Breach, RecorderOutage
from sandbox.model.party import Actor
from sandbox.model.trial import Pause, Transition
from sandbox.monitor import advance, start
from sandbox.recorder.producer import INSTANCE
from sandbox.rules import guardrail_of
from sandbox.testing.records import FakeLog
from workflows.activities.keeping import Bundles
from workflows.cli.evidence import application
from workflows.messages import EntryDraft

UNITS = 400


def derived(case, bundle: Path | None = None) -> Result:
    """Derive the case's bundle, or another, again; the bundle itself must verify."""
    path, key = bundle or case.bundle, case.signer.public_key
    verified = verify_bundle(path, key=key)
    assert verified.ok
    return rederive_bundle(path, verified)


Edit = Callable[[LogEntry], LogEntry | None]


def resigned(case, edit: Edit) -> Path:
    """Write the bundle of another history, signed with the operator's own key."""
    log = FakeLog()
    for item in case.ledger.log.entries():
        entry = edit(item.entry)
        if entry is not None:
            log.append(entry)
    forged = Bundles(case.folder / "forged")
    return Path(forged.write(case.ledger._replace(log=log), "t"))


def changing(entry_id: str, **fields: Any) -> Edit:
    """Return an edit that sets fields in the body of one entry."""

    def edit(entry: LogEntry) -> LogEntry:
        if entry.entry_id != entry_id:
            return entry
        return entry.model_copy(update={"body": {**entry.body, **fields}})

    return edit


def leaving_out(entry_id: str) -> Edit:
    return lambda entry: None if entry.entry_id == entry_id else entry


def test_a_truthful_bundle_is_derived_again(case) -> None:
    """Each step is said in words, with the counts and the verdicts."""
    case.record(list(range(41, 41 + UNITS)))
    case.close()
    result = derived(case)
    assert result.ok, result.steps[-1]
    words = [step.detail for step in result.steps[-7:]]
    assert "trial/t/1 over calls version 1" in words[0]
    assert "400 observations; in-time: 400 satisfied, 0 violated" in words[2]
    assert "looks; 0 of the monitor" in words[4]
    assert words[5] == "in-time: inconclusive"
    assert result.spans == UNITS


MEAN = {"mean": "span.duration_s", "of": "calls/time", "claim": "at_most"}
ARMS = {"by": "span.attributes.arm", "treated": "a", "control": "b"}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"design": "one-sided-sequence"}, "met"),
        ({"design": "fixed"}, "met"),
        ({"design": "two-stage", "stages": {"p1": 0.99, "beta": 0.2}}, "met"),
        ({"design": "two-arm", "threshold": 0, "arms": ARMS}, "inconclusive"),
        (
            {
                "design": "one-sided-sequence",
                "estimand": {**MEAN, "least": 0, "most": 10},
                "threshold": 3,
            },
            "met",
        ),
    ],
)
def test_every_design_is_derived_again(case, changes, verdict: str) -> None:
    """Values and arms are read from the spans, and the same verdict comes out."""
    (goal,) = case.application.plan.goals
    other = Hypothesis.model_validate({**goal.model_dump(), **changes})
    plan = case.application.plan.model_copy(update={"goals": (other,)})
    case.lock(case.application.model_copy(update={"plan": plan}))
    case.record(list(range(1, 1 + UNITS)))
    report = case.close()
    assert [item.verdict for item in report.findings] == [verdict]
    assert report.findings[0].log_evalue is not None
    result = derived(case)
    assert result.ok, result.steps[-1]
    forged = resigned(case, changing(FINDING, log_evalue=99.0))
    assert "log_evalue is 99.0 in the log" in derived(case, forged).steps[-1].detail


def test_a_harm_with_a_pause_is_derived_again(case) -> None:
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
    plan = case.application.plan.model_copy(update={"harms": (harm,)})
    asked = case.application.model_copy(update={"plan": plan})
    case.lock(asked, guardrail_of(harm))
    case.record(list(range(1, 1 + UNITS)), slow=20)
    state, breach = start(guardrail_of(harm)), None
    for unit in case.ledger.observations("t"):
        state, signal = advance(state, unit, trial_id="t", at=unit.started_at)
        breach = breach or signal
    assert breach is not None
    case.ledger.write("breach", "breach/t/slow/1", "t", breach)
    resumed_at = breach.detected_at + timedelta(milliseconds=5)
    pause = Pause(reason="r", paused_at=breach.detected_at, resumed_at=resumed_at)
    report = case.close(pause)
    assert [item.verdict for item in report.findings] == ["inconclusive", "harm"]
    result = derived(case)
    assert result.ok, result.steps[-1]
    unpaused = resigned(case, changing("closing/t", pauses=[]))
    assert "in the log" in derived(case, unpaused).steps[-1].detail


AT = datetime(2026, 4, 1, 9, 0, 40, tzinfo=UTC)
OUTAGE = RecorderOutage(
    trial_id="t",
    condition="recorder-on",
    cause="the disk is full",
    since=AT - timedelta(seconds=9),
    detected_at=AT,
    limit_s=5,
)
DAMAGE = SegmentDamage(
    trial_id="t",
    condition="segments-whole",
    segment=9,
    cause="it ends in the middle of a frame",
    detected_at=AT,
)


@pytest.mark.parametrize("incident", [OUTAGE, DAMAGE], ids=["outage", "damage"])
def test_a_pause_for_an_incident_is_derived_again(case, incident) -> None:
    """A pause rests on a breach, an outage or a damaged segment, each in the log."""
    case.record(list(range(1, 1 + UNITS)))
    name = f"incident/t/{incident.condition}/1"
    case.ledger.write("incident", name, "t", incident)
    case.close(Pause(reason="r", paused_at=AT, resumed_at=AT + timedelta(seconds=20)))
    result = derived(case)
    assert result.ok, result.steps[-1]
    unsaid = resigned(case, leaving_out(name))
    assert "no breach or incident in the log" in derived(case, unsaid).steps[-1].detail


SPREAD = {
    "of": "true",
    "at_most": 50,
    "per": "50ms",
    "same": [f"attributes.{INSTANCE}"],
}


def test_a_rule_about_the_order_of_spans_is_derived_again(case) -> None:
    """Its units are judged with all other spans, at the closing and from the bundle."""
    case.add(pattern=SPREAD)
    case.record(list(range(1, 201)))
    (finding,) = case.close().findings
    assert derived(case).ok
    assert (finding.rule, finding.counts.satisfied) == ("calls/order", 200)


def test_a_lost_span_may_have_broken_a_pattern(case) -> None:
    """Where one is missing, units that it could have changed are not evaluable."""
    case.add(pattern={**SPREAD, "at_most": 49})
    case.record([*range(1, 100), *range(101, 202)])
    (finding,) = case.close().findings
    assert finding.counts.violated == 151
    assert finding.counts.not_evaluable == 49
    assert derived(case).ok


def test_what_came_after_the_closing_is_not_judged(case) -> None:
    """A later segment stands in the bundle, and changes no verdict."""
    case.record(list(range(1, 1 + UNITS)))
    case.close()
    case.record(list(range(1, 1 + UNITS)), number=2)
    result = derived(case, resigned(case, lambda entry: entry))
    assert result.ok, result.steps[-1]
    assert result.spans == 2 * UNITS
    assert f"{UNITS} observations" in result.steps[-5].detail


def refuted(p: float, kept: int, units: int) -> float:
    """Return how far the units speak against the proportion, unit by unit.

    It is the log of an urn's chance of the units over their chance at `p`. The urn
    holds weights in the proportion `p`, and each unit adds one of its own kind (Howard
    and others, Proposition 7); what it holds is tuned to the 200 units of the plan.
    """
    spread = 2 * math.log(20)
    weight = 200 / (spread + math.log(1 + spread)) - 1
    good, bad, total = weight * p, weight * (1 - p), 0.0
    for _ in range(kept):
        total += math.log(good / (good + bad) / p)
        good += 1
    for _ in range(units - kept):
        total += math.log(bad / (good + bad) / (1 - p))
        bad += 1
    return total


@pytest.mark.parametrize(
    ("lost", "slow", "verdict"),
    [
        (0, 0, "met"),
        (0, 2, "met"),
        (0, 20, "inconclusive"),
        (40, 0, "inconclusive"),
        (0, 60, "not_met"),
        (40, 40, "not_met"),
        (40, 20, "inconclusive"),
    ],
)
def test_the_verdict_is_what_the_arithmetic_of_the_plan_gives(
    case, lost: int, slow: int, verdict: str
) -> None:
    """Counts, limits and verdict in the log agree with sums that use no judging code.

    At least 95 % must be in time, at alpha 5 %: a proportion is refuted where its urn
    reaches log 20. Lost units count as late below, and as in time above.
    """
    case.record(list(range(1 + lost, 1 + lost + UNITS)), slow=slow, evenly=True)
    case.close()
    (body,) = (
        item.entry.body
        for item in case.ledger.log.entries()
        if item.entry.entry_id == FINDING
    )
    units, kept = UNITS + lost, UNITS - slow
    assert (body["counts"]["satisfied"], body["counts"]["violated"]) == (kept, slow)
    assert body["missing"] == lost
    limit, threshold = math.log(20), 0.95
    low, high = body["bounds"]["lower"], body["bounds"]["upper"]
    assert low < kept / units
    assert refuted(low, kept, units) == pytest.approx(limit)
    most = kept + lost
    if most < units:
        assert high > most / units
        assert refuted(high, most, units) == pytest.approx(limit)
    else:
        assert high == 1
    by_hand = "inconclusive"
    if kept / units > threshold and refuted(threshold, kept, units) >= limit:
        by_hand = "met"
    if most / units < threshold and refuted(threshold, most, units) >= limit:
        by_hand = "not_met"
    assert by_hand == verdict
    assert body["verdict"] == by_hand


FINDING, REPORT = "finding/t/F-1", "exit-report/t"
LOOK = "look/t/judged/in-time/1"
PAUSE = {
    "reason": "r",
    "paused_at": "2026-04-01T09:00:30Z",
    "kind": "pause",
}


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
        (leaving_out("trial/t/1"), "no entry of kind temporary-rule"),
        (leaving_out("rulebook/calls/1"), "no version 1 of the rulebook calls"),
        (changing("rulebook/calls/1", title="other"), "no version 1 of the rulebook"),
        (changing("closing/t", pauses=[PAUSE]), "when no breach or incident in"),
        (changing("closing/t", tried="more"), f"{REPORT}: tried is '…' in the log"),
    ],
)
def test_what_was_falsified_and_signed_again_is_found(
    case, edit: Edit, named: str
) -> None:
    """The signature holds, the bundle verifies; the first difference is named."""
    case.record(list(range(41, 101)))
    case.close()
    result = derived(case, resigned(case, edit))
    assert not result.ok
    assert named in result.steps[-1].detail


def test_a_plan_changed_after_it_was_locked_is_judged_invalid(case) -> None:
    """The findings say so, and so does the derivation."""
    case.record(list(range(1, 1 + UNITS)))
    asked = case.application
    (goal,) = asked.plan.goals
    easier = (goal.model_copy(update={"threshold": 0.5}),)
    plan = asked.plan.model_copy(update={"goals": easier})
    changed = asked.model_copy(update={"plan": plan})
    case.ledger.records.put_document("t", "application", changed)
    (finding,) = case.close().findings
    assert finding.verdict == "invalid"
    assert "is not the locked plan" in finding.statement
    assert derived(case).ok


def test_another_plan_after_the_environment_exists_breaks_the_trial(case) -> None:
    """Even if the locked one is judged: nobody knows which was meant meanwhile."""
    (goal,) = case.application.plan.goals
    easier = (goal.model_copy(update={"threshold": 0.5}),)
    other = case.application.plan.model_copy(update={"goals": easier})
    case.ledger.append(
        EntryDraft(kind="environment", entry_id="begin/t", trial_id="t", body={})
    )
    case.ledger.write("plan", "plan/t/late", "t", other)
    case.record(list(range(1, 1 + UNITS)))
    (finding,) = case.close().findings
    assert finding.verdict == "invalid"
    assert "another plan was entered" in finding.statement
    assert derived(case).ok


def test_a_plan_cannot_be_locked_twice_with_other_content(case) -> None:
    """The log keeps the first; the second is refused and has no effect."""
    other = case.application.plan.model_copy(update={"settling_time": "PT9S"})
    with pytest.raises(RecordsError, match="other content"):
        case.ledger.write("plan", "plan/t/1", "t", other)


def test_a_plan_that_was_never_locked_gives_no_verdict(case) -> None:
    """A log without its entry does not bear out the findings."""
    case.record(list(range(1, 1 + UNITS)))
    case.close()
    unlocked = resigned(case, leaving_out("plan/t/1"))
    assert "log_evalue" in derived(case, unlocked).steps[-1].detail


def test_a_look_that_does_not_name_its_data_is_refused_and_that_is_recorded(
    case,
) -> None:
    """Nothing of what comes with it is appended; the refusal says what is missing."""
    case.record(list(range(1, 61)))
    case.close()
    look = case.ledger.log.entry(LOOK).entry.body
    body = {key: value for key, value in look.items() if key != "data_digest"}
    drafts = [
        EntryDraft(kind="look", entry_id=name, trial_id="t", body=data)
        for name, data in (("look/t/x/1", look), ("look/t/x/2", body))
    ]
    for _ in range(2):
        with pytest.raises(EvidenceError, match="`data_digest` is missing"):
            case.ledger.append_all(drafts)
    assert case.ledger.log.entry("look/t/x/1") is None
    refusal = case.ledger.log.entry("refusal/look/t/x/2").entry
    assert (refusal.kind, refusal.body["act"]) == ("refusal", "look")
    assert "`data_digest` is missing" in refusal.body["what"]


def test_a_look_of_the_monitor_that_names_no_data_is_found(case) -> None:
    """It is not derived again, but it must say on what it rested."""
    case.record(list(range(1, 61)))
    case.close()
    look = dict(case.ledger.log.entry(LOOK).entry.body)
    case.ledger.append(
        EntryDraft(kind="look", entry_id="look/t/1/slow", trial_id="t", body=look)
    )
    forged = resigned(case, changing("look/t/1/slow", data_digest=None))
    assert "look/t/1/slow" in derived(case, forged).steps[-1].detail


def test_an_easier_plan_put_in_afterwards_is_found(case) -> None:
    """What was judged by the locked plan does not follow from another."""
    case.record(list(range(1, 1 + UNITS)))
    case.close()
    plan = case.application.plan.model_dump(mode="json")
    plan["goals"][0]["threshold"] = 0.5
    result = derived(case, resigned(case, changing("closing/t", plan=plan)))
    difference = "threshold is 0.95 in the log, and derived again 0.5"
    assert difference in result.steps[-1].detail


def test_an_invented_breach_is_found(case) -> None:
    """A breach must speak of a span that some segment holds."""
    case.record(list(range(1, 61)))
    unit = next(iter(case.ledger.observations("t")))
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
        detected_at=case.started_at,
    )
    case.ledger.write("breach", "breach/t/slow/1", "t", breach)
    case.close()
    result = derived(case)
    assert "the breach of guardrail slow names the span ffff" in result.steps[-1].detail


def test_a_closing_that_contradicts_the_transitions_is_found(case) -> None:
    """It cannot say that a trial ended before it was stopped."""
    case.record(list(range(1, 61)))
    stopped = Transition(
        trial_id="t",
        version=1,
        act="stop",
        before="running",
        after="closing",
        by="m",
        reason="r",
        at=case.started_at + timedelta(minutes=3),
    )
    case.ledger.write("transition", "transition/t/1", "t", stopped)
    case.close()
    result = derived(case)
    assert "but transition 1 (stop) was at" in result.steps[-1].detail


def test_nothing_is_derived_from_what_does_not_verify(case):
    """The command stops where the verifier did; the derivation itself refuses."""
    case.record(list(range(1, 61)))
    case.close()
    (case.bundle / "checkpoint").write_bytes(b"")
    ran = CliRunner().invoke(application(), ["verify", str(case.bundle), "--rederive"])
    assert (ran.exit_code, "derived again" in ran.output) == (1, False)
    with pytest.raises(EvidenceError, match="verify first"):
        rederive_bundle(case.bundle, verify_bundle(case.bundle))


def test_a_segment_that_is_gone_cannot_be_judged(case):
    """Where its bytes are no longer in the bundle, that is what is said."""
    case.record(list(range(1, 61)))
    case.close()
    verified = verify_bundle(case.bundle)
    (case.bundle / "segments" / "000001.gz").unlink()
    result = rederive_bundle(case.bundle, verified)
    assert "segment 1 is not in the bundle" in result.steps[-1].detail


def test_what_was_erased_lawfully_is_no_forgery(case) -> None:
    """It verifies, cannot be derived again, and the exit code is neither's."""
    case.record(list(range(1, 61)))
    case.close()
    body = case.ledger.log.entry("t/segment/000001").entry.body
    erasure = SegmentErasure(
        number=1,
        statement_digest=body["statement_digest"],
        raw_digest=body["segment"]["raw_digest"],
        kept_until=case.started_at,
        source="law",
        regime_digest=case.ledger.log.entry("t/submit").entry.body["regime_digest"],
        by=Actor(name="Platform team", role="platform-operator"),
    )
    case.ledger.write("erasure", "erasure/t/segment/000001", "t", erasure)
    case.segments.erase("t", 1)
    Bundles(case.folder).write(case.ledger, "t")
    ran = CliRunner().invoke(application(), ["verify", str(case.bundle), "--rederive"])
    assert "segment 1 was erased by entry erasure/t/segment/000001" in ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("VERIFIED: ")
    assert ran.exit_code == 2


def test_the_command_tells_every_step(case) -> None:
    """`sandbox evidence verify --rederive` ends in 0 for truth and 1 for a forgery."""
    case.record(list(range(1, 61)))
    case.close()
    forged = resigned(case, changing(FINDING, verdict="not_met"))
    words = "The findings are those derived again"
    for bundle, code, line in (
        (case.bundle, 0, f"ok      {words}: in-time: inconclusive"),
        (forged, 1, f"FAILED  {words}: {FINDING}: verdict is 'not_met'"),
    ):
        ran = CliRunner().invoke(application(), ["verify", str(bundle), "--rederive"])
        assert (ran.exit_code, line in ran.output) == (code, True)
    assert CliRunner().invoke(application(), ["verify", str(forged)]).exit_code == 0


def test_steps_are_written_as_text_or_as_json_and_not_otherwise(case) -> None:
    """No form is taken that would be written as another one."""
    case.record(list(range(1, 61)))
    case.close()
    for form, code, begin in (("text", 0, "ok "), ("json", 0, "{"), ("yaml", 2, "")):
        words = ["verify", str(case.bundle), "-o", form]
        ran = CliRunner().invoke(application(), words)
        assert (ran.exit_code, ran.stdout.startswith(begin)) == (code, True)


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
