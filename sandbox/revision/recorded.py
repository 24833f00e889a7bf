"""The recorded trials of one version of a rulebook: a stratum of its own.

Rules of this module:

* Units recorded under different versions are never counted together: what people and
  systems did depends on the rules that were in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sandbox.model.backtest import BacktestEvidence, EvidenceTimes
from sandbox.model.impact import FigureSource
from sandbox.model.record import Digest, digest_of
from sandbox.model.rule import Rule, Rulebook, TemporaryRule
from sandbox.rules import reference


class Recorded(NamedTuple):
    """All recorded trials of one version."""

    rulebook: Rulebook
    trials: tuple[TemporaryRule, ...]
    """The temporary rule under which each ran."""
    times: Mapping[str, EvidenceTimes] = {}
    """By trial, of which times all spans are known: for rules about their order."""


class Drawn(NamedTuple):
    """What an answer was drawn from, and how."""

    rules_digests: Sequence[Digest]
    data_digest: Digest
    evidence: Sequence[BacktestEvidence]
    statements: Sequence[str]
    engine: str


def source_of(
    recorded: Recorded, drawn: Drawn, *, queries: dict[Digest, str]
) -> FigureSource:
    """Return the source of a figure, and keep the text of its question.

    Args:
        recorded: The stratum.
        drawn: From the answer.
        queries: Takes the text of the question under its digest.
    """
    text = ";\n".join(drawn.statements)
    digest = digest_of(text.encode())
    queries[digest] = text
    return FigureSource(
        stratum=reference(recorded.rulebook),
        trials=tuple(item.trial_id for item in drawn.evidence),
        rules_digest=digest_of(list(drawn.rules_digests)),
        data_digest=drawn.data_digest,
        segments=sum(len(item.segments) for item in drawn.evidence),
        unsealed=sum(item.unsealed for item in drawn.evidence),
        erased=sum(item.erased for item in drawn.evidence),
        query=digest,
        engine=drawn.engine,
    )


def why_not_labelled(rule: Rule) -> str:
    """Return why no label can be given to values of a rule; empty where one can."""
    if rule.pattern is not None and rule.pattern.between is not None:
        return (
            f"{rule.rule} is about spans between others; which are units does not"
            " follow from one span, so nothing is claimed of its values."
        )
    return why_not_asked(rule)


def why_not_asked(rule: Rule) -> str:
    """Return why recorded spans cannot be asked of a rule; empty where they can."""
    if rule.about != "span":
        return f"{rule.rule} is not about spans, so recorded units say nothing of it."
    return ""


def unasked(*rulebooks: Rulebook) -> dict[str, str]:
    """Return why rules cannot be asked, by rule, where one version of them cannot."""
    return {
        rule.rule: why_not_asked(rule)
        for rulebook in rulebooks
        for rule in rulebook.rules
        if why_not_asked(rule)
    }
