"""How often each way of looking would have claimed a difference, by drawing.

Rules of this module:

* *No effect*: the outcomes of all persons are dealt to the two arms anew, so that the
  aid does nothing. *Other orders*: each arm keeps its outcomes, in another order.
  *Effect as seen*: each arm draws from its own rate in the data.
* Drawn with the legacy generator of numpy, whose stream is frozen, from the seed in the
  document; so the figures re-run to the same numbers. Their standard error is at most
  0.8 percentage points with 4,000 draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.release_aid.arms import (
    Floats,
    Question,
    fixed_p_values,
    log_values,
)
from experiments.release_aid.weeks import (
    YEAR,
    Followed,
    log_rank_p_values,
    week_counts,
)

_SIZES = (1, 2, 3, 4, 6, 8, 9, 12, 18, 24, 36, 54, 72, 108)
"""Block sizes that divide 216: what others would have given."""


def chances(question: Question, a: Floats, b: Floats) -> dict[str, Any]:
    """Return how often a difference is claimed at some look, by row order."""
    draws = np.random.RandomState(question.looking.chances.seed)
    count, both = question.looking.chances.draws, np.concatenate([a, b])
    dealt = _orders(draws, both, count)
    worlds = {
        "no_effect": (dealt[:, : len(a)], dealt[:, len(a) :]),
        "other_orders": (_orders(draws, a, count), _orders(draws, b, count)),
        "effect_as_seen": (_drawn(draws, a, count), _drawn(draws, b, count)),
    }
    return {name: _claims(question, *arms) for name, arms in worlds.items()}


def other_orders(question: Question, a: Floats, b: Floats) -> list[dict[str, float]]:
    """Return where the middle 90 % of log e-values lie in other orders of the rows."""
    draws = np.random.RandomState(question.looking.chances.seed)
    count = question.looking.chances.draws
    values = log_values(
        _orders(draws, a, count), _orders(draws, b, count), question.block
    )
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    step = question.looking.looks_every // question.block
    return [
        {
            "pairs": (place + 1) * question.block,
            "low": float(low[place]),
            "high": float(high[place]),
        }
        for place in range(step - 1, values.shape[1], step)
    ]


def week_chances(question: Question, followed: Followed) -> dict[str, float]:
    """Return how often the log-rank test claims a difference that is not there."""
    draws = np.random.RandomState(question.looking.chances.seed)
    weeks = np.concatenate(followed)
    dealt = _orders(draws, weeks, question.looking.chances.draws)
    size = len(followed.a)
    p_values = log_rank_p_values(week_counts(dealt[:, :size], dealt[:, size:]))
    at = slice(
        question.looking.weeks_between_looks - 1,
        YEAR,
        question.looking.weeks_between_looks,
    )
    claimed = p_values[:, at] <= question.goal.alpha
    return {
        "log_rank_at_some_look": float(claimed.any(axis=1).mean()),
        "log_rank_at_the_end": float(claimed[:, -1].mean()),
    }


def block_sizes(question: Question, a: Floats, b: Floats) -> list[dict[str, Any]]:
    """Return what other block sizes would have given, in the order of the rows."""
    found = []
    for size in _SIZES:
        values = log_values(a[None], b[None], size)[0]
        over = np.flatnonzero(values >= question.enough)
        found.append(
            {
                "block": size,
                "largest_log_e_value": float(values.max()),
                "last_log_e_value": float(values[-1]),
                "first_at": int(over[0] + 1) * size if over.size else None,
            }
        )
    return found


def _claims(question: Question, a: Floats, b: Floats) -> dict[str, float]:
    values = log_values(a, b, question.block)
    p_values = fixed_p_values(a, b, question.looking.looks_every) <= question.goal.alpha
    return {
        "e_process": float((values.max(axis=1) >= question.enough).mean()),
        "fixed_at_some_look": float(p_values.any(axis=1).mean()),
        "fixed_at_the_end": float(p_values[:, -1].mean()),
    }


def _orders(draws: np.random.RandomState, values: Floats, count: int) -> Floats:
    return np.asarray([draws.permutation(values) for _ in range(count)])


def _drawn(draws: np.random.RandomState, events: Floats, count: int) -> Floats:
    chosen = draws.random_sample((count, len(events))) < events.mean()
    return np.asarray(chosen, dtype=float)
