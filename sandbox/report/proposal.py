"""One proposal as a page of its own."""

from __future__ import annotations

from markupsafe import Markup

from sandbox import __version__
from sandbox.model.proposal import Publication
from sandbox.report.html import TEMPLATES
from sandbox.report.sections import comments
from sandbox.revision import parts_html, redline_html


def render_proposal(published: Publication) -> str:
    """Render a proposal and what became of it as one HTML document.

    Args:
        published: As it stands in the log.

    Returns:
        A complete HTML document without scripts or outside references.
    """
    rows = published.proposal.redline
    return TEMPLATES.get_template("proposal.html.j2").render(
        story=published,
        version=__version__,
        redline=Markup(redline_html(rows)),
        parts=Markup(parts_html(rows)),
        comments=comments(published.consultation) if published.consultation else [],
    )
