"""A regime: one jurisdiction's scheme as data, not as code.

Every duration of the procedure comes from here or from the trial plan; none is a
constant in code.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.party import Authority
from sandbox.model.record import Identifier, Period, Record


class RegimeClock(Record):
    """A lawful deadline: from which event, how long, and what a miss means."""

    id: Identifier
    start: Literal[
        "submitted",
        "admitted",
        "approved",
        "environment-ready",
        "paused",
        "ended",
        "proposed",
    ] = Field(alias="from")
    due: Period
    owner: str
    on_miss: Literal["escalate", "lapse", "stop"]
    source: str


class RetentionPeriod(Record):
    """How long the recorded evidence of a trial is kept, and by what law."""

    start: Literal["recorded", "ended"] = Field(alias="from")
    """recorded: from the last request of a segment; ended: from the end of the
    trial."""
    length: Period
    source: str
    """The provision that says so; it is cited when evidence is erased."""


class Regime(Record):
    """The scheme a case runs under."""

    kind: Literal["regime"] = "regime"
    regime: Identifier
    name: str
    law: tuple[str, ...]
    time_zone: str
    authorities: tuple[Authority, ...] = Field(min_length=1)
    """Who must be heard before a decision."""
    clocks: tuple[RegimeClock, ...]
    longest_trial: Period
    minimum_consultation: Period
    """A proposal is open for comment at least this long."""
    monitoring_window: Period
    """How often the evidence so far is looked at and sealed."""
    environment_inspection: Period | None = None
    """How often the environment is compared with what the decision asks for; None: as
    often as the evidence is looked at."""
    isolation_proof: Period | None = None
    """How often the isolation of a running trial is proven again; None: only when its
    environment is opened."""
    exit_report_by: Literal["participant", "authority"]
    retention_period: RetentionPeriod | None = None
    """None: evidence is kept until someone decides."""
    requires: tuple[str, ...] = ()
    """Fields of the application that may not be empty, beyond the schema."""

    def clock(self, clock_id: str) -> RegimeClock | None:
        """Return the clock named `clock_id`, or None where the regime has none."""
        return next((item for item in self.clocks if item.id == clock_id), None)
