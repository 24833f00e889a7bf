"""Figures of a revision that can be run again: what they count, from what they follow.

Rules of this module:

* A figure without its source does not exist: question, rules, evidence and engine.
* Units recorded under different versions of a rulebook are never counted together.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.comparison import Shift
from sandbox.model.record import Digest, Identifier, Instant, Record, TrialId
from sandbox.model.rule import RulebookRef

Baseline = Literal["as-recorded", "text-in-force"]
"""as-recorded: the version under which the trial ran, with its exceptions.
text-in-force: the version to be amended as it reads today, without exceptions: what
holds for everyone who is in no trial."""


class FigureSource(Record):
    """From what a figure follows."""

    stratum: RulebookRef
    """The version under which the units were recorded."""
    trials: tuple[TrialId, ...]
    rules_digest: Digest
    """Of everything that judged: rules with their values, and exceptions."""
    data_digest: Digest
    """Of every segment that was read."""
    segments: int
    unsealed: int = 0
    """Segments that were not sealed yet, and not read."""
    erased: int = 0
    """Segments whose content was erased, and could not be read."""
    query: Digest
    """Of the question's text, which stands beside the figures under this digest."""
    engine: str


class ImpactFigure(Record):
    """What one rule would have said of the units of one trial."""

    figure: str
    """`I-1`, `I-2` … within the statement."""
    trial_id: TrialId
    rule: Identifier
    compared_with: Baseline
    shifts: tuple[Shift, ...]
    """Every unit of the trial, those of which nothing changes too."""
    singly: int = 0
    """How many units were judged one by one, since SQL could not tell."""
    source: FigureSource


class ImpactStatement(Record):
    """What would have been different under the proposed text, as far as is recorded."""

    kind: Literal["impact"] = "impact"
    proposal: str
    amends: RulebookRef
    proposed: RulebookRef | None = None
    """The version that the amendments would make; None where nothing is amended."""
    trials: tuple[TrialId, ...] = ()
    """All that were asked, of every version."""
    figures: tuple[ImpactFigure, ...] = ()
    queries: dict[Digest, str] = Field(default_factory=dict)
    """Text of every question, by its digest."""
    limits: tuple[str, ...]
    """What the figures do not show."""
    at: Instant


class Reproduction(Record):
    """One figure of a proposal, found again or not."""

    figure: str
    """What it is, in words."""
    same: bool
    was: str
    now: str
    """Empty where it cannot be found again."""
    said: tuple[str, ...] = ()
    """What is different of its source, one sentence each."""


TrialEffect = Literal["pinned", "ended"]
"""pinned: the trial stays under the version it began under. ended: it is stopped when
the new version is adopted."""


class TrialPreview(Record):
    """What a new version would mean for a trial that is running."""

    kind: Literal["trial-preview"] = "trial-preview"
    trial_id: TrialId
    under: RulebookRef
    """The version it runs under."""
    unfit: tuple[str, ...]
    """Why its temporary rule could not stand over the new version, or why that cannot
    be said, one sentence each."""
    touched: tuple[str, ...]
    """What of its plan and its guardrails reads a rule that changes."""
    figures: tuple[ImpactFigure, ...]
    """What was recorded so far, under the new version with those of its exceptions
    that fit."""
    queries: dict[Digest, str] = Field(default_factory=dict)

    @property
    def violations(self) -> int:
        """Recorded units that would violate the new version and do not now."""
        return sum(
            shift.units
            for figure in self.figures
            for shift in figure.shifts
            if shift.after == "violated" and shift.before != "violated"
        )

    @property
    def would_comply(self) -> bool:
        """Whether its rule would stand and no more units would be violations, as far
        as is recorded.
        """
        return not self.unfit and not self.violations


class TrialChoice(Record):
    """What is to become of a running trial, chosen by who adopts."""

    preview: TrialPreview
    effect: TrialEffect
