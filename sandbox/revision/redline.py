"""The comparison table: what is, what would be, and why.

Rules of this module:

* Rows are in words with the values in force on a date, the form in which most Japanese
  ordinances are amended (comparison table of new and old text).
* Beside the words stand the parts a machine reads: conditions, dated values, severity.
* The HTML marks deletions and insertions word by word and escapes everything it shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

from sandbox.model.proposal import RedlinePart, RedlineRow
from sandbox.model.rule import Amendment, Rulebook
from sandbox.revision.parts import parts_of
from sandbox.rules import rule_named, text_in_force

_NOTHING = "(none)"


def redline_rows(
    rulebook: Rulebook, amendments: Sequence[Amendment], on: date
) -> tuple[RedlineRow, ...]:
    """Return one row for each amendment.

    Args:
        rulebook: The version that is amended.
        amendments: In order.
        on: Date whose values the present text is shown with; the proposed text is shown
            with those of its entry into force.

    Raises:
        RuleError: An amendment names a rule the version does not have, or a value has
            no date in force.
    """
    return tuple(_row(rulebook, amendment, on) for amendment in amendments)


def redline_markdown(rows: Iterable[RedlineRow]) -> str:
    """Return the table in Markdown."""
    lines = ["| rule | now | proposed | because |", "|---|---|---|---|"]
    for row in rows:
        cells = (row.rule, row.now, row.proposed, row.because)
        lines.append("| " + " | ".join(cell(text) for text in cells) + " |")
    return "\n".join(lines) + "\n"


def parts_markdown(rows: Iterable[RedlineRow]) -> str:
    """Return every part that changes, in Markdown; empty where there is none."""
    lines = [
        "| " + " | ".join(map(cell, (row.rule, *_told(part)))) + " |"
        for row in rows
        for part in row.parts
    ]
    head = ["| rule | part | now | proposed |", "|---|---|---|---|"]
    return "\n".join([*head, *lines]) + "\n" if lines else ""


def parts_html(rows: Iterable[RedlineRow]) -> str:
    """Return every part that changes, in HTML, marked word by word."""
    body = "".join(_html_part(row.rule, part) for row in rows for part in row.parts)
    return (
        '<table class="redline"><caption>What changes, part by part</caption><thead>'
        '<tr><th scope="col">Rule</th><th scope="col">Part</th><th scope="col">Now</th>'
        f'<th scope="col">Proposed</th></tr></thead><tbody>{body}</tbody></table>'
    )


def redline_html(rows: Iterable[RedlineRow]) -> str:
    """Return the table in HTML, deletions and insertions marked word by word."""
    body = "".join(_html_row(row) for row in rows)
    return (
        '<table class="redline"><caption>Comparison of the text in force and the'
        ' proposed text</caption><thead><tr><th scope="col">Rule</th>'
        '<th scope="col">Now</th><th scope="col">Proposed</th>'
        f'<th scope="col">Because</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _row(rulebook: Rulebook, amendment: Amendment, on: date) -> RedlineRow:
    now = proposed = _NOTHING
    if amendment.operation != "insert":
        now = text_in_force(rule_named(rulebook, amendment.rule), on)
    if amendment.new is not None:
        proposed = text_in_force(amendment.new, max(on, amendment.in_force_from))
        proposed += f" [from {amendment.in_force_from:%Y-%m-%d}]"
    grounds = f" ({', '.join(amendment.grounds)})" if amendment.grounds else ""
    return RedlineRow(
        rule=amendment.rule,
        now=now,
        proposed=proposed,
        because=f"{amendment.why}{grounds}",
        parts=parts_of(rulebook, amendment),
    )


def cell(text: str) -> str:
    """Return text of others as one cell of a table, on one line, without markup."""
    line = " ".join(text.split())
    for sign in "\\|<`*_[&~":
        line = line.replace(sign, f"\\{sign}")
    return line


def _html_row(row: RedlineRow) -> str:
    now, proposed = _marked(row.now, row.proposed)
    return (
        f'<tr><th scope="row"><code>{escape(row.rule)}</code></th><td>{now}</td>'
        f"<td>{proposed}</td><td>{escape(row.because)}</td></tr>"
    )


def _html_part(rule: str, part: RedlinePart) -> str:
    now, proposed = _marked(part.now, part.proposed)
    return (
        f'<tr><th scope="row"><code>{escape(rule)}</code></th>'
        f"<td>{escape(part.part)}</td><td>{now}</td><td>{proposed}</td></tr>"
    )


def _told(part: RedlinePart) -> tuple[str, str, str]:
    return part.part, part.now or _NOTHING, part.proposed or _NOTHING


def _marked(now: str, proposed: str) -> tuple[str, str]:
    old, new = now.split(), proposed.split()
    left, right = [], []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        gone, come = escape(" ".join(old[a:b])), escape(" ".join(new[c:d]))
        if tag == "equal":
            left.append(gone)
            right.append(come)
            continue
        left.extend([f"<del>{gone}</del>"] if gone else [])
        right.extend([f"<ins>{come}</ins>"] if come else [])
    return " ".join(left), " ".join(right)
