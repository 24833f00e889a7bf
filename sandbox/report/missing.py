"""What the report says of evidence that is missing, in words for a regulator.

Rules of this module:

* Where losses would not have been noticed, the report says *not known*, never zero.
* Figures are those of the exit report; nothing is computed again.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.model.segment import Completeness, Gap, ProducerCompleteness


class ProducerRow(NamedTuple):
    """One producer of evidence: what came of it, and what is known not to have."""

    producer: str
    spans: str
    numbered: str
    lost: str
    orphans: str
    twice: str
    odd: str
    """Contents or times that contradict."""
    silences: str


class GapRow(NamedTuple):
    """One gap: between when, of whom, and what."""

    since: str
    until: str
    producer: str
    detail: str


class Missing(NamedTuple):
    """The section of the report on what is missing."""

    summary: tuple[str, ...]
    producers: tuple[ProducerRow, ...]
    gaps: tuple[GapRow, ...]


def missing_section(found: Completeness) -> Missing:
    """Return what is known to be missing, as sentences and rows."""
    return Missing(
        summary=_summary(found),
        producers=tuple(_producer_row(item) for item in found.producers),
        gaps=tuple(_gap_row(item) for item in found.gaps),
    )


def _summary(found: Completeness) -> tuple[str, ...]:
    seen = [item for item in found.producers if item.spans]
    lost = sum(item.lost for item in seen)
    dark = [item.producer for item in seen if item.unnumbered and item.dropped is None]
    said = []
    if not seen:
        said.append("No spans were received, so nothing can be said of their loss.")
    if lost:
        spans = "span is" if lost == 1 else "spans are"
        said.append(f"{lost:,} {spans} known to have been lost on the way.")
    elif len(dark) < len(seen):
        said.append("Where losses would have been noticed, none was.")
    if dark:
        said.append(
            "Whether spans were lost on the way is not known of"
            f" {', '.join(dark)}: not all of what was sent was numbered, and no"
            " counters of losses came with it."
        )
    return tuple(said)


def _producer_row(item: ProducerCompleteness) -> ProducerRow:
    orphans = "–"
    if item.local_children:
        share = item.orphans / item.local_children
        orphans = f"{item.orphans:,} of {item.local_children:,} ({share:.1%})"
    return ProducerRow(
        producer=item.producer,
        spans=f"{item.spans:,}",
        numbered=_numbered(item),
        lost=_lost(item),
        orphans=orphans,
        twice=f"{item.duplicates:,}",
        odd=_odd(item),
        silences=f"{item.silences:,}",
    )


def _numbered(item: ProducerCompleteness) -> str:
    if not item.spans:
        return "–"
    if not item.numbered:
        return "not numbered"
    return f"{item.numbered:,}" if item.unnumbered else "all"


def _lost(item: ProducerCompleteness) -> str:
    if not item.numbered and item.dropped is None:
        return "not known" if item.spans else "–"
    words = f"{item.lost:,}"
    if not item.exact:
        words = f"about {words}"
    elif item.unnumbered:
        words = f"at least {words}"
    if item.dropped is not None:
        words += f" (its own counters: {item.dropped:,})"
    return words


def _odd(item: ProducerCompleteness) -> str:
    parts = []
    if item.conflicts:
        parts.append(f"{item.conflicts:,} with two contents")
    if item.skewed:
        parts.append(f"{item.skewed:,} with impossible times")
    return ", ".join(parts) or "none"


def _gap_row(gap: Gap) -> GapRow:
    return GapRow(
        since=f"{gap.since:%Y-%m-%d %H:%M:%S}" if gap.since else "–",
        until=f"{gap.until:%Y-%m-%d %H:%M:%S}" if gap.until else "–",
        producer=gap.producer,
        detail=gap.detail,
    )
