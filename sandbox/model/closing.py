"""What a trial was closed on, where no other log entry says it."""

from __future__ import annotations

from typing import Literal

from sandbox.model.application import TrialPlan
from sandbox.model.record import Instant, Record, TrialId
from sandbox.model.regime import Regime
from sandbox.model.trial import Pause


class TrialClosing(Record):
    """The inputs of the judgement that stand in no other entry of the log.

    With it, the entries before it and the sealed segments are all that the findings and
    the exit report follow from.
    """

    kind: Literal["closing"] = "closing"
    trial_id: TrialId
    regime: Regime
    plan: TrialPlan
    """The plan as last filed; whether it is the locked one is part of judging."""
    tried: str
    """What was tried, in the applicant's words."""
    started_at: Instant
    ended_at: Instant
    pauses: tuple[Pause, ...]
