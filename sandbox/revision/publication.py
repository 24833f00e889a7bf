"""Everything the public is told of one proposal, in Markdown.

Rules of this module:

* What is published is what stands in the log; nothing is left out for being awkward:
  support that is missing, limits of the figures, comments not accepted.
* Text of others cannot become markup: cells are escaped, and lines stay one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sandbox.model.impact import ImpactFigure, ImpactStatement
from sandbox.model.proposal import (
    Adoption,
    Consultation,
    Publication,
    RevisionProposal,
    SupportLabel,
)
from sandbox.revision.redline import cell, parts_markdown, redline_markdown


def publication_markdown(published: Publication) -> str:
    """Return a proposal and what became of it as one Markdown document."""
    proposal = published.proposal
    amends = proposal.amends
    lines = [
        f"# {proposal.proposal} on {amends.rulebook} v{amends.version}",
        "",
        _outcome(published),
        "",
        *_text(proposal),
        *_section("Reasons", (f"* {cell(item)}" for item in proposal.reasons)),
        *_section("How far the evidence reaches", _support(proposal.support)),
        *_section("What would have been different", _impact(published.impact)),
        *_section(
            "Other ways to the same goal",
            _table(
                ("mechanism", "what", "for and against"),
                (
                    (item.mechanism, item.description, item.reasons)
                    for item in proposal.alternatives
                ),
            ),
        ),
        *_section("Consultation", _consultation(published.consultation)),
        *_section("Draft and adopted text", _differences(published.adoption)),
        *_section("Running trials", _running(published.adoption)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def shift_words(figure: ImpactFigure) -> str:
    """Return what changes for how many units, and for how many nothing does."""
    changed = [
        f"{shift.units} {_word(shift.before)} → {_word(shift.after)}"
        for shift in figure.shifts
        if shift.before != shift.after
    ]
    same = sum(x.units for x in figure.shifts if x.before == x.after)
    return "; ".join([*changed, f"{same} as before"])


def support_words(item: SupportLabel) -> str:
    """Return a label in words."""
    return item.label or "no label"


def _outcome(published: Publication) -> str:
    if published.adoption is not None:
        adoption = published.adoption
        return (
            f"Adopted as v{adoption.after.version} by {cell(adoption.by.name)} on"
            f" {adoption.at:%Y-%m-%d}: {cell(adoption.reason)}"
        )
    if published.retention is not None:
        kept = published.retention
        return (
            f"v{kept.retained.version} was retained by {cell(kept.by.name)} on"
            f" {kept.at:%Y-%m-%d}: {cell(kept.reason)}"
        )
    return f"Proposed on {published.proposal.proposed_at:%Y-%m-%d}; not decided yet."


def _text(proposal: RevisionProposal) -> Iterator[str]:
    yield "## Text"
    yield ""
    if not proposal.amendments:
        yield "No change is proposed."
        yield ""
        return
    yield redline_markdown(proposal.redline)
    parts = parts_markdown(proposal.redline)
    if parts:
        yield "Part by part:"
        yield ""
        yield parts


def _support(labels: Sequence[SupportLabel]) -> Iterator[str]:
    yield from _table(
        ("rule", "value", "recorded under", "label", "units", "why"),
        (
            (
                item.rule,
                f"{item.parameter} = {item.value:g}",
                f"v{item.source.stratum.version}" if item.source else "",
                support_words(item),
                str(item.units),
                item.reason,
            )
            for item in labels
        ),
    )


def _impact(statement: ImpactStatement | None) -> Iterator[str]:
    if statement is None:
        return
    yield from _table(
        ("figure", "trial", "recorded under", "rule", "compared with", "units"),
        (
            (
                item.figure,
                item.trial_id,
                f"v{item.source.stratum.version}",
                item.rule,
                item.compared_with.replace("-", " "),
                shift_words(item),
            )
            for item in statement.figures
        ),
    )
    if statement.figures:
        yield ""
    yield from (f"* {cell(limit)}" for limit in statement.limits)


def _consultation(consultation: Consultation | None) -> Iterator[str]:
    if consultation is None:
        return
    opened = consultation.open
    yield f"Open from {opened.start:%Y-%m-%d %H:%M} to {opened.end:%Y-%m-%d %H:%M} UTC."
    yield ""
    answers = {item.comment_id: item for item in consultation.dispositions}
    rows = []
    for item in consultation.comments:
        answer = answers.get(item.comment_id)
        told = (answer.outcome, answer.reason) if answer else ("not answered", "")
        rows.append((item.by.name, item.text, *told))
    yield from _table(("by", "comment", "outcome", "reason"), rows)


def _differences(adoption: Adoption | None) -> Iterator[str]:
    if adoption is None:
        return
    if not adoption.differs_from_draft:
        yield "None: the draft was adopted as it was consulted on."
    if not adoption.differences:  # Older records have sentences only.
        yield from (f"* {cell(said)}" for said in adoption.differs_from_draft)
    for item in adoption.differences:
        yield f"* `{item.rule}`: {cell(item.difference)}. Reason: {cell(item.reason)}"
    parts = [
        (item.rule, part.part, part.now or "(none)", part.proposed or "(none)")
        for item in adoption.differences
        for part in item.parts
    ]
    if parts:
        yield ""
        yield from _table(("rule", "part", "draft", "adopted"), parts)


def _running(adoption: Adoption | None) -> Iterator[str]:
    if adoption is None:
        return
    yield from _table(
        ("trial", "under", "what becomes of it", "would comply", "why"),
        (
            (
                item.preview.trial_id,
                f"v{item.preview.under.version}",
                item.effect,
                "yes" if item.preview.would_comply else "no",
                " ".join((*item.preview.unfit, *item.preview.touched)),
            )
            for item in adoption.running
        ),
    )


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a section; nothing where it would be empty."""
    body = list(lines)
    if body:
        yield f"## {title}"
        yield ""
        yield from body
        yield ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    body = [f"| {' | '.join(map(cell, row))} |" for row in rows]
    if body:
        yield f"| {' | '.join(head)} |"
        yield "|" + "---|" * len(head)
        yield from body


def _word(standing: str) -> str:
    return standing.replace("_", " ")
