"""Closing a trial on fakes: what is missing reaches findings and exit report."""

from __future__ import annotations

from sandbox.errors import RecorderError
from sandbox.evidence.verify import verify_bundle
from sandbox.model.record import digest_of
from workflows.activities.damage import record_damage

UNITS = 400


def test_units_lost_on_the_way_keep_a_goal_from_being_met(case):
    """The holes in the numbers are counted, judged, and reported."""
    case.record(list(range(41, 41 + UNITS)))
    report = case.close()
    (finding,) = report.findings
    assert (finding.verdict, finding.missing) == ("inconclusive", 40)
    assert report.completeness is not None
    (producer,) = report.completeness.producers
    assert (producer.producer, producer.holes) == ("calls", 40)
    assert [gap.reason for gap in report.completeness.gaps] == ["sequence-hole"]


def test_a_trial_that_is_whole_meets_its_goal(case):
    """All numbers came; that the end is not covered stays said."""
    case.record(list(range(1, 1 + UNITS)))
    report = case.close()
    assert (report.findings[0].verdict, report.findings[0].missing) == ("met", 0)
    assert any("Losses at the end" in limit for limit in report.uncertain)


def test_a_trial_without_numbers_is_not_called_complete(case):
    """The verdict stands on what came; that losses are not known is a limit of it."""
    case.record([None] * UNITS)
    report = case.close()
    assert report.findings[0].verdict == "met"
    assert any("does not number its spans" in item for item in report.uncertain)


def test_the_bundle_holds_the_regime_under_which_evidence_is_kept(case):
    """Whoever checks an erasure can read the period; the log has its digest."""
    case.record(list(range(1, 1 + UNITS)))
    regime = case.ledger.records.get_document("t", "regime")
    case.close()
    kept = (case.bundle / "documents" / "regime.json").read_bytes()
    assert digest_of(kept) == digest_of(regime)
    assert verify_bundle(case.bundle).ok


def test_a_trial_with_a_damaged_segment_is_closed_without_it(case):
    """The report says so, and the bundle does not pass for a whole one."""
    case.record(list(range(1, 1 + UNITS)))
    case.receive([UNITS + 1], number=2)
    case.record([UNITS + 2], number=3)
    case.segments.damage("t", 2, RecorderError("it was cut", retryable=False))
    record_damage(case.ledger, "t", 2, "it was cut")
    report = case.close()
    said = "Damaged evidence: what segment 2 held is not judged: it was cut."
    assert said in report.findings[0].limits
    assert said in report.uncertain
    assert report.findings[0].missing == 1
    assert len(report.evidence) == 2
    steps = verify_bundle(case.bundle).steps
    assert [step for step in steps if not step.ok and "missing" in step.detail]
