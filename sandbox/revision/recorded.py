"""The recorded trials of one version of a rulebook: a stratum of its own.

Rules of this module:

* Units recorded under different versions are never counted together: what people and
  systems did depends on the rules that were in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sandbox.model.backtest import BacktestEvidence
from sandbox.model.impact import FigureSource
from sandbox.model.record import Digest, digest_of
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.rules import reference


class Recorded(NamedTuple):
    """All recorded trials of one version."""

    rulebook: Rulebook
    trials: tuple[TemporaryRule, ...]
    """The temporary rule under which each ran."""

    @property
    def version(self) -> str:
        """The version in words."""
        return f"{self.rulebook.rulebook} v{self.rulebook.version}"


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


def overlays_of(recorded: Recorded) -> Mapping[str, TemporaryRule]:
    """Return the temporary rule of each trial, by trial."""
    return {item.trial_id: item for item in recorded.trials}
