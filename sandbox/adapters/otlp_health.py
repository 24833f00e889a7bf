"""Since when the requests of each trial cannot be recorded, and why.

Rules of this module:

* A fault begins with the first request that could not be recorded, and ends with the
  first that was; when nobody sends, with a file that could be written there.
* While senders still fail, no such file may say that all is well.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import NamedTuple

from sandbox.model.segment import RecorderHealth
from sandbox.ports import Clock

ALL = ""
"""Stands for every trial."""
QUIET_S = 5.0
"""Seconds after the last failure for which only a recorded request ends a fault."""


class _Fault(NamedTuple):
    since: datetime
    cause: str
    latest: float


class Faults:
    """What is failing, by trial.

    Args:
        clock: Tells when a fault began.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[str, _Fault] = {}

    def failed(self, trial_id: str, cause: str) -> None:
        """Note that something could not be recorded.

        Args:
            trial_id: Of the request; `ALL` where it concerns every trial.
            cause: In words for a person.
        """
        known = self._faults.get(trial_id)
        since = known.since if known else self._clock.now()
        self._faults[trial_id] = _Fault(since, cause, time.monotonic())

    def worked(self, trial_id: str) -> None:
        """Note that it could."""
        if self._faults:
            self._faults.pop(trial_id, None)

    def may_be_over(self, trial_id: str) -> bool:
        """Return whether nothing failed of late, so that it is worth a try."""
        fault = self._faults.get(trial_id)
        return fault is None or time.monotonic() - fault.latest > QUIET_S

    def health(self, trial_id: str) -> RecorderHealth:
        """Return how it stands for one trial."""
        found = [self._faults[key] for key in (trial_id, ALL) if key in self._faults]
        if not found:
            return RecorderHealth(is_well=True)
        fault = min(found, key=lambda item: item.since)
        return RecorderHealth(is_well=False, cause=fault.cause, since=fault.since)

    def told(self) -> dict[str, dict[str, str]]:
        """Return every fault, ready for JSON; `*` stands for every trial."""
        return {
            trial_id or "*": {"since": item.since.isoformat(), "cause": item.cause}
            for trial_id, item in self._faults.items()
        }
