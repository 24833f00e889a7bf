"""What missing evidence means for findings: lost units, and losses not known.

Rules of this module:

* Of a lost span nobody knows whether it was a unit. Every span known to be lost by a
  producer of a rule's units may have been one, so all of them are counted, both ways.
* Of a producer that neither numbers its spans nor sends its SDK's counters, losses are
  not known. That is said; it is not taken for completeness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sandbox.model.observation import Observation
from sandbox.model.segment import Completeness, ProducerCompleteness

MOST_MISSING = 10_000_000
"""More are counted as this many: the interval then says nothing in either case."""


def missing_units(
    observations: Iterable[Observation],
    completeness: Completeness,
    producers: Mapping[tuple[int, int], str],
) -> dict[str, int]:
    """Return how many units of each rule may have been lost on the way, at most.

    Args:
        observations: Of all rules.
        completeness: What is known to be missing of the trial.
        producers: (segment, frame) → who sent it, for every observation.

    Returns:
        Rule → spans known to be lost by the producers of its units; rules without any
        are left out.
    """
    lost = {item.producer: item.lost for item in completeness.producers}
    bearing: dict[str, set[str]] = {}
    for item in observations:
        sender = producers[item.segment, item.frame]
        bearing.setdefault(item.rule, set()).add(sender)
    counts = {
        rule: min(sum(lost.get(name, 0) for name in names), MOST_MISSING)
        for rule, names in bearing.items()
    }
    return {rule: count for rule, count in counts.items() if count}


def damage_limits(damaged: Mapping[int, str]) -> tuple[str, ...]:
    """Return which segments are not judged, one sentence for each.

    Args:
        damaged: Segment → what is wrong with it.
    """
    return tuple(
        f"Damaged evidence: what segment {number} held is not judged: {cause}."
        for number, cause in damaged.items()
    )


def completeness_limits(completeness: Completeness) -> tuple[str, ...]:
    """Return what stays unknown of the evidence, one sentence for each producer."""
    seen = [item for item in completeness.producers if item.spans]
    limits = [_end(item) if not item.unnumbered else _unnumbered(item) for item in seen]
    limits += [
        f"Lost spans: those of {item.producer} are not counted exactly, for it numbered"
        " them in more pieces than are kept apart."
        for item in seen
        if not item.exact
    ]
    return tuple(sentence for sentence in limits if sentence)


def _end(item: ProducerCompleteness) -> str:
    if item.dropped is not None:
        return ""
    return (
        f"Losses at the end: {item.producer} numbers its spans, so lost ones are known"
        " up to the last that came, and not beyond it."
    )


def _unnumbered(item: ProducerCompleteness) -> str:
    share = f"did not number {item.unnumbered:,} of {item.spans:,} spans"
    if not item.numbered:
        share = "does not number its spans"
    if item.dropped is None:
        return (
            f"Lost spans: {item.producer} {share} and sends no counters of its own, so"
            " whether some were lost on the way is not known."
        )
    return (
        f"Lost spans: {item.producer} {share}; how many were lost rests on its own"
        " counters alone."
    )
