"""What the judge is given besides the plan."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from sandbox.model.observation import Breach, Observation
from sandbox.model.rule import RulebookRef
from sandbox.model.trial import Pause

_AFTER = timedelta(microseconds=1)


class TrialEvidence(NamedTuple):
    """Everything a trial is judged on."""

    trial_id: str
    observations: tuple[Observation, ...]
    """Of all rules, in any order, redeliveries included."""
    breaches: tuple[Breach, ...]
    """What the guardrails signalled while the trial ran."""
    rulebook: RulebookRef
    pauses: tuple[Pause, ...] = ()
    integrity: tuple[str, ...] = ()
    """Why the evidence or the plan is broken, one sentence each; makes all invalid."""
    limits: tuple[str, ...] = ()
    """What the trial could not show by its scope, one sentence each."""
    missing: Mapping[str, int] = {}
    """Rule → units of it that may have been lost on the way, at most."""


class Stratum(NamedTuple):
    """Units between two resumptions: one version of the system, as far as is known."""

    units: tuple[Observation, ...]
    signalled: bool
    """Whether a guardrail signalled within it."""


def strata_of(
    units: Sequence[Observation], evidence: TrialEvidence
) -> tuple[Stratum, ...]:
    """Split the units at every resumption of the trial.

    Where no resumption is recorded (a warning, or a trial that was stopped), a stratum
    ends with the observation that signalled.
    """
    cuts = sorted(
        {item.resumed_at for item in evidence.pauses if item.resumed_at is not None}
        or {item.first_signal.started_at + _AFTER for item in evidence.breaches}
    )
    signalled = {
        bisect_right(cuts, item.first_signal.started_at) for item in evidence.breaches
    }
    parts: dict[int, list[Observation]] = {}
    for unit in units:
        parts.setdefault(bisect_right(cuts, unit.started_at), []).append(unit)
    return tuple(
        Stratum(tuple(parts[index]), index in signalled) for index in sorted(parts)
    )
