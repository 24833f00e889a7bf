"""The scoring model and the question about two groups, on made-up applications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from experiments.credit_explanations import scoring
from experiments.credit_explanations.disparity import (
    Disparity,
    looks,
    ratio_limits,
    verdict,
)
from experiments.replays.papers import read_question
from sandbox.findings.sequential import bernoulli_interval
from sandbox.model.finding import Counts
from sandbox.model.observation import Observation
from sandbox.model.rule import RuleResult

QUESTION = read_question("experiments.credit_explanations", "disparity.yaml", Disparity)


@pytest.fixture(name="rows", scope="module")
def _rows() -> list[dict[str, str]]:
    """Make up applications: long terms go bad more often, all else is noise."""
    draws = np.random.RandomState(7)
    rows = []
    for _ in range(200):
        row = {name: str(draws.randint(1, 5)) for name in scoring.NUMBERS}
        row |= {name: "ab"[draws.randint(2)] for name in scoring.CATEGORIES}
        months = int(draws.randint(6, 60))
        bad = draws.random_sample() < months / 70
        row |= {
            "duration_in_month": str(months),
            "creditability": "bad" if bad else "good",
        }
        rows.append(row)
    return rows


def test_fit(rows: list[dict[str, str]]) -> None:
    """The mean chance of repayment is the share of good rows in the training."""
    model = scoring.train(rows)
    odds = [
        model.intercept + (model.coding.encoded(row) - model.mean) @ model.weights
        for row in rows
    ]
    good = np.mean([row["creditability"] == "good" for row in rows])
    assert np.mean(1 / (1 + np.exp(-np.asarray(odds)))) == pytest.approx(good, abs=1e-9)


def test_reasons(rows: list[dict[str, str]]) -> None:
    """A long term is the first reason told, and no more than four are."""
    model = scoring.train(rows)
    longest = max(rows, key=lambda row: int(row["duration_in_month"]))
    scored = model.score(longest)
    assert scored is not None
    assert scored.decision == "refused"
    assert scored.reasons[0] == "duration_in_month"
    assert len(scored.reasons) <= scoring.MOST_REASONS
    assert 0 < scored.share <= 1


@pytest.mark.parametrize(("field", "value"), [("job", "z"), ("credit_amount", "99")])
def test_beyond_what_was_seen(
    rows: list[dict[str, str]], field: str, value: str
) -> None:
    """Beyond what it has seen, the model gives neither score nor decision."""
    model = scoring.train(rows)
    assert model.score(rows[0]) is not None
    assert model.score({**rows[0], field: value}) is None


def test_ratio_limits() -> None:
    """The ratio lies between the outermost quotients, missing decisions both ways."""
    a = Counts(satisfied=40, violated=50, not_evaluable=10)
    b = Counts(satisfied=200, violated=200)
    lower, upper = ratio_limits(QUESTION, a, b)
    low_a, _ = bernoulli_interval(successes=40, n=100, alpha=0.025, t_opt=100)
    _, high_a = bernoulli_interval(successes=50, n=100, alpha=0.025, t_opt=100)
    low_b, high_b = bernoulli_interval(successes=200, n=400, alpha=0.025, t_opt=400)
    assert (lower, upper) == (low_a / high_b, high_a / low_b)


@pytest.mark.parametrize(
    ("lower", "upper", "said"),
    [(0.8, 1.2, "met"), (0.5, 0.79, "not_met"), (0.5, 0.8, "inconclusive")],
)
def test_verdict(lower: float, upper: float, said: str) -> None:
    """The claim is met or not only where the limits lie on one side of the ratio."""
    assert verdict(QUESTION, lower, upper) == said


def test_looks() -> None:
    """Each look counts the applications so far, the last all of them."""
    results: list[tuple[str, RuleResult]] = [
        ("a", "satisfied"),
        ("b", "satisfied"),
        ("b", "violated"),
        ("a", "violated"),
        ("b", "violated"),
    ] * 12
    found = looks(QUESTION, [_unit(*item, n) for n, item in enumerate(results)])
    assert [look["applications"] for look in found] == [50, 60]
    assert found[-1]["a"] == {"satisfied": 12, "violated": 12, "not_evaluable": 0}
    assert found[-1]["ratio"] == pytest.approx(1.5)


def _unit(group: str, result: RuleResult, number: int) -> Observation:
    groups = QUESTION.groups
    return Observation(
        trial_id="credit",
        rule=groups.a if group == "a" else groups.b,
        result=result,
        rulebook_version=1,
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        started_at=datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        duration_s=0.0,
        segment=0,
        frame=number,
    )
