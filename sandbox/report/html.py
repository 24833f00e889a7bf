"""The report: one self-contained HTML file, readable without scripts or network.

Rules of this module:

* Everything a reader sees is escaped, save the drawings and the redline, which are made
  and escaped here.
* The file refers to nothing outside itself and states a policy that forbids it.
* It is meant for people; what is to be trusted is the evidence bundle it points to.
"""

from __future__ import annotations

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sandbox import __version__
from sandbox.model.finding import Measure
from sandbox.report.missing import Missing, missing_section
from sandbox.report.sections import (
    attempts,
    comments,
    drawings,
    facts,
    headline,
    log_rows,
    verdict_word,
)
from sandbox.report.story import TrialStory
from sandbox.report.timeline import timeline
from sandbox.revision import parts_html, redline_html, shift_words, support_words


def render_report(story: TrialStory) -> str:
    """Render the story of a trial as one HTML document.

    Args:
        story: The records; sections without records are left out.

    Returns:
        A complete HTML document without scripts or outside references.
    """
    entries, entries_note = log_rows(story)
    redline = redline_html(story.proposal.redline) if story.proposal else ""
    return TEMPLATES.get_template("report.html.j2").render(
        story=story,
        version=__version__,
        headline=headline(story),
        facts=facts(story),
        timeline=timeline(story.entries),
        drawings=[(item, Markup(item.svg)) for item in drawings(story)],
        attempts=attempts(story.proof) if story.proof else [],
        redline=Markup(redline),
        parts=Markup(parts_html(story.proposal.redline) if story.proposal else ""),
        comments=comments(story.consultation) if story.consultation else [],
        entries=entries,
        entries_note=entries_note,
        loose_ends=_loose_ends(story),
        missing=_missing(story),
    )


def _loose_ends(story: TrialStory) -> list[str]:
    """What stays open, each once: from the exit report, or from the findings."""
    if story.exit_report is not None:
        return list(story.exit_report.uncertain)
    limits = [limit for finding in story.findings for limit in finding.limits]
    return list(dict.fromkeys(limits))


def _missing(story: TrialStory) -> Missing | None:
    report = story.exit_report
    if report is None or report.completeness is None:
        return None
    return missing_section(report.completeness)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f}\u00a0%"


def _figure(value: float | None, measure: Measure) -> str:
    """Write an estimate or a threshold: a mean in its own unit, else per cent."""
    if value is not None and measure == "mean":
        return f"{value:.4g}"
    return _percent(value)


TEMPLATES = Environment(
    loader=PackageLoader("sandbox.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The pages' templates; everything put into them is escaped."""
TEMPLATES.filters.update(
    moment=_moment,
    percent=_percent,
    figure=_figure,
    verdict=verdict_word,
    shifts=shift_words,
    supported=support_words,
)
