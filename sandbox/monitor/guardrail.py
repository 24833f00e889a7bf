"""The guardrail as a state machine: observation after observation, to a breach or not.

Rules of this module:

* Pure: the state is a record that can be stored, resumed and replayed; the same
  observations in the same order give the same state.
* A unit (a span) is counted once, however often it is delivered.
* A result that is not evaluable is neither harm nor its absence: it is counted apart,
  and `worst_llr` says what it would mean if every such unit had been harmful.
* A guardrail signals once per period. After a pause the watch is armed afresh, because
  a system that was changed deserves neither the credit nor the blame of the old one;
  each period has its own error chance `alpha`.
* A guardrail of a grouped design signals only when a group is full. A group that was
  under way when the trial paused is not finished: the next period begins a new one.
* Past its horizon a guardrail still signals: to look away would not be safe. Only the
  promised error chance ends there, and the breach record shows how far it was.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.model.observation import Breach, Observation
from sandbox.model.record import Instant, Record
from sandbox.model.rule import Guardrail
from sandbox.monitor.limit import group_of, limit_threshold
from sandbox.monitor.maxsprt import poisson_maxsprt_llr

_REMEMBERED = 1024
"""Units remembered for telling duplicates; redelivery comes within seconds."""


class GuardrailState(Record):
    """Where a guardrail stands after the observations so far."""

    guardrail: Guardrail
    threshold: float
    """Log-likelihood ratio at which it signals."""
    period: int = 1
    """Counted from 1; armed afresh after each pause."""
    since: Instant | None = None
    """Units that started earlier belong to the period before, and are not counted."""
    events: int = 0
    """Violations of the watched rule."""
    units: int = 0
    """Evaluable units, violations included."""
    not_evaluable: int = 0
    signalled_at: Instant | None = None
    """When this period's signal was detected."""
    seen: tuple[str, ...] = ()
    """Keys of the latest units, oldest first."""

    @property
    def expected(self) -> float:
        """Events expected among the units at the baseline rate."""
        return self.guardrail.harm.baseline_rate * self.units

    @property
    def llr(self) -> float:
        """The statistic now."""
        return poisson_maxsprt_llr(events=self.events, expected=self.expected)

    @property
    def is_at_look(self) -> bool:
        """Whether one looks now: always, or in a grouped design when a group is full.

        Not evaluable units fill no group, so after a full one it stays true until the
        next unit that is.
        """
        return self.units % group_of(self.guardrail.harm) == 0

    @property
    def looked_llr(self) -> float | None:
        """The statistic as one may see it: None between looks, until it signals."""
        is_told = self.is_at_look or self.signalled_at is not None
        return self.llr if is_told else None

    @property
    def worst_llr(self) -> float:
        """The statistic if every unit that is not evaluable had been harmful."""
        units = self.units + self.not_evaluable
        return poisson_maxsprt_llr(
            events=self.events + self.not_evaluable,
            expected=self.guardrail.harm.baseline_rate * units,
        )

    @property
    def is_past_horizon(self) -> bool:
        """Whether more was watched than the plan's error chance speaks of."""
        return self.expected > self.guardrail.harm.horizon


def start(guardrail: Guardrail) -> GuardrailState:
    """Return the state before any observation, with its threshold computed.

    Args:
        guardrail: From the temporary rule in force.

    Raises:
        JudgementError: Its limits cannot be met by any threshold.
    """
    threshold = limit_threshold(guardrail.harm)
    return GuardrailState(guardrail=guardrail, threshold=threshold)


def rearm(state: GuardrailState, *, since: datetime) -> GuardrailState:
    """Return the state of the next period, which counts units from `since` on.

    Args:
        state: Where the guardrail stood when the trial was paused.
        since: When the trial was resumed.

    Returns:
        The state with fresh counts and no signal; known units stay known.
    """
    return GuardrailState(
        guardrail=state.guardrail,
        threshold=state.threshold,
        period=state.period + 1,
        since=since,
        seen=state.seen,
    )


def advance(
    state: GuardrailState, observation: Observation, *, trial_id: str, at: datetime
) -> tuple[GuardrailState, Breach | None]:
    """Count one observation.

    Args:
        state: Where the guardrail stood.
        observation: Any observation; those of other rules change nothing.
        trial_id: The trial, for the breach record.
        at: When the observation is looked at.

    Returns:
        The next state, and the breach if the guardrail signals with this observation.
    """
    key = f"{observation.trace_id[-8:]}{observation.span_id}"
    if not _counts(state, observation, key):
        return state, None
    after = _counted(state, observation, key)
    if after.signalled_at is not None or not _signals(after):
        return after, None
    after = after.model_copy(update={"signalled_at": at})
    return after, _breach(after, observation, trial_id, at)


def _counts(state: GuardrailState, observation: Observation, key: str) -> bool:
    if observation.rule != state.guardrail.watches or key in state.seen:
        return False
    return state.since is None or observation.started_at >= state.since


def _counted(
    state: GuardrailState, observation: Observation, key: str
) -> GuardrailState:
    evaluable = observation.result != "not_evaluable"
    return state.model_copy(
        update={
            "events": state.events + (observation.result == "violated"),
            "units": state.units + evaluable,
            "not_evaluable": state.not_evaluable + (not evaluable),
            "seen": (*state.seen[-(_REMEMBERED - 1) :], key),
        }
    )


def _signals(state: GuardrailState) -> bool:
    enough = state.events >= state.guardrail.harm.min_events
    return enough and state.is_at_look and state.llr >= state.threshold


def _breach(
    state: GuardrailState, observation: Observation, trial_id: str, at: datetime
) -> Breach:
    return Breach(
        trial_id=trial_id,
        guardrail=state.guardrail.id,
        action=state.guardrail.action,
        events=state.events,
        units=state.units,
        expected=state.expected,
        llr=state.llr,
        threshold=state.threshold,
        first_signal=observation,
        detected_at=at,
    )
