"""Rows of the timeline that have no page of their own."""

from __future__ import annotations

from sandbox.report.timeline import timeline
from sandbox.testing.trial import RecordedTrial


def test_imports_are_told() -> None:
    """That telemetry did not come live is seen in the course of the case."""
    trial = RecordedTrial()
    body = {
        "file": "a.jsonl",
        "requests": 3,
        "spans": 7,
        "producer": "lab",
        "by": "ann",
    }
    trial.add("import", "import/1/begin", act="begin", **body)
    trial.add("import", "import/1/end", act="end", **body)
    begin, end = timeline(trial.log.entries())
    assert begin.what == "Import begun: a.jsonl"
    assert end.what == "Telemetry imported: a.jsonl"
    assert end.detail == ("3 requests with 7 spans, recorded as producer lab, by ann")
