"""What activities write to the record."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sandbox.model.log import EntryKind
from sandbox.model.record import Instant, Record, TrialId
from sandbox.model.trial import CaseState


class EntryDraft(Record):
    """An entry before it has a place in the log."""

    kind: EntryKind
    entry_id: str
    trial_id: str
    body: dict[str, Any]


class EntryPlace(Record):
    """Where an entry lies in the log."""

    entry_id: str
    index: int
    recorded_at: Instant


class CaseUpdate(Record):
    """What the list of cases shows of one case."""

    trial_id: TrialId
    state: CaseState
    summary: dict[str, Any] = Field(default_factory=dict)
