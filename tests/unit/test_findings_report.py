"""The exit report: conditions only where they are shown, and what stays open."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.findings.report import TrialCourse, exit_report
from sandbox.model.application import TrialPlan
from sandbox.model.closing import TrialClosing
from sandbox.model.decision import Condition
from sandbox.model.finding import Counts, ExitReport, Finding
from sandbox.model.observation import Observation
from sandbox.model.record import Interval, digest_of
from sandbox.model.regime import Regime
from sandbox.model.rule import RulebookRef, Scope, TemporaryRule
from sandbox.model.segment import Completeness, ProducerCompleteness

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
REF = RulebookRef(rulebook="transport", version=3, digest=DIGEST)


HARM = {
    "harm": "h",
    "of": "r",
    "baseline_rate": 0.1,
    "signal": {"design": "maxsprt", "alpha": 0.01},
    "action": "pause",
}
PLAN = {
    "goals": [],
    "harms": [HARM],
    "order_of_analysis": [],
    "settling_time": "PT1S",
}


def regime(author: str) -> Regime:
    return Regime.model_validate(
        {
            "regime": "r",
            "name": "R",
            "law": ["L"],
            "time_zone": "UTC",
            "authorities": [{"authority": "transport", "name": "T"}],
            "clocks": [],
            "longest_trial": "PT10M",
            "minimum_consultation": "PT3S",
            "monitoring_window": "PT5S",
            "exit_report_by": author,
        }
    )


def course(
    *conditions: Condition, checked: dict[str, str] | None = None
) -> TrialCourse:
    rule = TemporaryRule(
        temporary_rule="trial/t",
        trial_id="t",
        of=REF,
        in_force=Interval(start=T0, end=T0 + timedelta(minutes=5)),
        scope=Scope(participants="c", area="a"),
        overlays=(),
        conditions=conditions,
        guardrails=(),
        plan_digest=DIGEST,
    )
    seen = [
        Observation(
            trial_id="t",
            rule="r",
            result="satisfied",
            rulebook_version=3,
            trace_id=f"{n:032x}",
            span_id=f"{n:016x}",
            started_at=T0 + timedelta(seconds=n),
            duration_s=1,
            segment=1,
            frame=n,
        )
        for n in range(90)
    ]
    closing = TrialClosing(
        trial_id="t",
        regime=regime("authority"),
        plan=TrialPlan.model_validate(PLAN),
        tried="Automatic dispatch.",
        started_at=T0,
        ended_at=T0 + timedelta(minutes=2),
        pauses=(),
    )
    return TrialCourse(
        closing=closing,
        temporary_rule=rule,
        observations=tuple(seen + seen),
        checked=checked or {},
    )


def finding(name: str, verdict: str, *limits: str) -> Finding:
    return Finding.model_validate(
        {
            "finding": name,
            "trial_id": "t",
            "subject": "in-time",
            "purpose": "goal",
            "rule": "r",
            "verdict": verdict,
            "statement": "…",
            "limits": limits,
            "counts": Counts(),
            "estimate": None,
            "bounds": None,
            "alpha": 0.05,
            "threshold": 0.9,
            "looks": 1,
            "plan_digest": DIGEST,
            "data_digest": DIGEST,
            "rulebook": REF,
        }
    )


def write(
    told: TrialCourse, *findings: Finding, author: str = "authority"
) -> ExitReport:
    closing = told.closing.model_copy(update={"regime": regime(author)})
    return exit_report(
        told._replace(closing=closing),
        findings=findings,
        evidence={"bundle": DIGEST},
        how_to_verify="verify it",
    )


def cap(**caps: float) -> Condition:
    return Condition(id="cap", text="…", source="Art. 9", caps=caps)


@pytest.mark.parametrize("author", ["participant", "authority"])
def test_the_regime_says_who_writes_it(author: str) -> None:
    """Japan's participant, Europe's authority."""
    report = write(course(), author=author)
    assert report.author == author
    assert report.tried == "Automatic dispatch."
    assert report.temporary_rule_digest == digest_of(course().temporary_rule)


def test_a_rate_cap_is_checked_against_the_busiest_minute() -> None:
    """Sixty units a minute keep a cap of sixty and break one of fifty."""
    (kept,) = write(course(cap(requests_per_minute=60))).conditions
    (broken,) = write(course(cap(requests_per_minute=50))).conditions
    assert (kept.kept, broken.kept) == (True, False)
    assert "At most 60 units" in kept.evidence


def test_what_no_record_shows_is_left_to_a_person() -> None:
    """A cap on customers is not claimed to be kept, also not beside one that is."""
    (alone,) = write(course(cap(customers=500))).conditions
    (both,) = write(course(cap(customers=500, requests_per_minute=60))).conditions
    assert (alone.kept, both.kept) == (None, None)
    assert "Of customers a person has to say" in both.evidence


def test_a_gate_that_was_checked_is_kept_by_that_evidence() -> None:
    """The gate's own evidence is cited."""
    gate = Condition(id="insurance", text="…", source="Art. 14", manual=True)
    (kept,) = write(course(gate, checked={"insurance": "policy 17"})).conditions
    assert (kept.kept, kept.evidence) == (True, "policy 17")


def test_what_stays_open_is_said_once() -> None:
    """Undecided findings come first, then every limit, without repetition."""
    report = write(
        course(),
        finding("F-1", "inconclusive", "night hours"),
        finding("F-2", "met", "night hours", "rare harm"),
    )
    assert report.uncertain == (
        "F-1 (in-time) is inconclusive.",
        "night hours",
        "rare harm",
    )


def test_what_is_missing_is_part_of_the_report() -> None:
    """As it was found, and read back the same."""
    known = Completeness(
        trial_id="t",
        producers=(ProducerCompleteness(producer="p", spans=9, numbered=9, holes=2),),
    )
    report = write(course()._replace(completeness=known))
    assert report.completeness == known
    assert ExitReport.model_validate_json(report.model_dump_json()) == report
    assert write(course()).completeness is None
