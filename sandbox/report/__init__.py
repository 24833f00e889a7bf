"""What does a person see of the whole trial?

`render_report` turns a `TrialStory` into one HTML file without scripts: the outcome in
a sentence, the course of the case, charts with their tables, findings, the redline, the
consultation, and how to verify it all. `render_trace` turns a `TraceStory` into a page
of the same kind: one trace as a waterfall, with what each rule says of each span.
`render_proposal` does so for one proposal of a revision.
"""

from sandbox.report.html import render_report
from sandbox.report.proposal import render_proposal
from sandbox.report.reading import Readings, RuleReading, read_rules
from sandbox.report.story import TrialStory
from sandbox.report.trace import TraceStory, render_trace

__all__ = [
    "Readings",
    "RuleReading",
    "TraceStory",
    "TrialStory",
    "read_rules",
    "render_proposal",
    "render_report",
    "render_trace",
]
