"""A trial whose evidence may be erased: recorded, sealed, ended, under a regime."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.evidence.expire import Custody
from sandbox.model.party import Actor
from sandbox.model.regime import Regime
from sandbox.ports import Records
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeRecords
from sandbox.testing.trial import RecordedTrial

LAW = "Innovation Trials Act (example), Art. 21"
PERIOD = {"from": "recorded", "length": "P3Y", "source": LAW}
"""Three years from the recording."""
AFTER = datetime(2030, 1, 1, tzinfo=UTC)
"""When the period of everything that `RecordedTrial` records is over."""
OPERATOR = Actor(name="Platform team", role="platform-operator")


def regime(period: dict[str, str] | None = None, **changes: Any) -> Regime:
    """Return a regime with this retention period; none where none is given."""
    usual = {
        "regime": "example",
        "name": "Example Sandbox",
        "law": ["Innovation Trials Act (example)"],
        "time_zone": "UTC",
        "authorities": [{"authority": "transport", "name": "Transport"}],
        "clocks": [],
        "longest_trial": "P1Y",
        "minimum_consultation": "P10D",
        "monitoring_window": "PT5S",
        "exit_report_by": "authority",
        "retention_period": period,
    }
    return Regime.model_validate({**usual, **changes})


def ended_trial(trial: RecordedTrial | None = None) -> RecordedTrial:
    """Return a closed trial with two sealed segments, of two requests and of one."""
    trial = trial or RecordedTrial()
    trial.add("plan", f"plan/{trial.trial_id}")
    trial.record("a", "b")
    trial.seal()
    trial.record("c")
    trial.seal()
    trial.move("running", "closing", 1)
    trial.move("closing", "closed", 2)
    return trial


def custody_of(
    trial: RecordedTrial,
    *,
    at: datetime = AFTER,
    records: Records | None = None,
    under: Regime | None = None,
) -> Custody:
    """Return the ports through which a trial's evidence is kept and erased.

    Args:
        trial: The trial.
        at: The present instant.
        records: Where its regime is kept; fakes when none are given.
        under: The regime; without, one with `PERIOD`.
    """
    kept = records or FakeRecords()
    kept.put_document(trial.trial_id, "regime", under or regime(PERIOD))
    return Custody(trial.log, kept, trial.segments, FixedClock(at))
