"""What does a person see of the whole trial?

`render_report` turns a `TrialStory` into one HTML file without scripts: the outcome in
a sentence, the course of the case, charts with their tables, findings, the redline, the
consultation, and how to verify it all.
"""

from sandbox.report.html import render_report
from sandbox.report.story import TrialStory

__all__ = ["TrialStory", "render_report"]
