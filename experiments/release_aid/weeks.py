"""The same two arms week after week, as if all had been released on one day.

Rules of this module:

* A week is a block: who was free at its beginning, and who of them was arrested in it.
  Who is free then is known before the week, so the e-process holds however the chance
  of an arrest moves from week to week, if it is the same in both arms in each.
* The fixed test is the log-rank test on what is known by then.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from experiments.release_aid.arms import Floats, Question
from sandbox.findings.evalues import ArmCounts, two_arm_log_value

YEAR = 52


class Followed(NamedTuple):
    """When each person was arrested; 0 for never."""

    a: Floats
    b: Floats


def week_counts(a: Floats, b: Floats) -> Floats:
    """Return events and free persons of both arms in every week, for many trials.

    Args:
        a: Week of arrest of each person of arm a, 0 for never; trials × persons.
        b: The same of arm b.

    Returns:
        trials × weeks × (events a, free a, events b, free b).
    """
    columns = []
    for arm in (a, b):
        weeks = range(1, YEAR + 1)
        events = np.stack([(arm == week).sum(axis=1) for week in weeks], axis=-1)
        columns += [events, arm.shape[1] - np.cumsum(events, axis=-1) + events]
    return np.stack(columns, axis=-1).astype(float)


def week_blocks(followed: Followed) -> list[ArmCounts]:
    """Return one block for each week of the year."""
    counts = week_counts(followed.a[None], followed.b[None])[0]
    return [ArmCounts(*(int(count) for count in week)) for week in counts]


def log_rank_p_values(blocks: Floats) -> Floats:
    """Return the two-sided p-value of the log-rank test after every week.

    Args:
        blocks: As `week_counts` gives them.

    Returns:
        trials × weeks; 1 before the first arrest.
    """
    events_a, free_a, events_b, free_b = np.moveaxis(blocks, -1, 0)
    events, free = events_a + events_b, free_a + free_b
    # Where at most one person is free nothing can differ; the numerators are 0 there.
    some, more = np.maximum(free, 1), np.maximum(free - 1, 1)
    expected = events * free_a / some
    spread = events * free_a * free_b * (free - events) / (some**2 * more)
    excess = np.cumsum(events_a - expected, -1)
    scale = np.sqrt(np.cumsum(spread, -1))
    z = np.divide(excess, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.asarray(2 * stats.norm.sf(np.abs(z)))


def week_looks(question: Question, followed: Followed) -> list[dict[str, Any]]:
    """Return the looks at the two arms over the year."""
    blocks = week_blocks(followed)
    p_values = log_rank_p_values(np.asarray([blocks], dtype=float))[0]
    return [
        {
            "week": week,
            "events_a": sum(block.events_a for block in blocks[:week]),
            "events_b": sum(block.events_b for block in blocks[:week]),
            "log_e_value": two_arm_log_value(blocks[:week], claim="b"),
            "log_rank_p": float(p_values[week - 1]),
        }
        for week in range(question.looking.weeks_between_looks, YEAR + 1)
        if week % question.looking.weeks_between_looks == 0
    ]


def ever_in_a_week(question: Question, followed: Followed) -> bool:
    """Return whether the e-process reaches 1 / alpha after any week at all."""
    blocks = week_blocks(followed)
    values = (
        two_arm_log_value(blocks[:week], claim="b") for week in range(1, YEAR + 1)
    )
    return any(value >= question.enough for value in values)
