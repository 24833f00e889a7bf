"""The arithmetic of the replays agrees with what is already tested."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.release_aid.arms import blocks_of, fixed_p_values, log_values
from experiments.release_aid.weeks import Followed, log_rank_p_values, week_counts
from experiments.replays.bundled import read_bundled
from experiments.replays.papers import read_papers
from experiments.replays.results import differences
from sandbox.errors import LocalError
from sandbox.findings.evalues import two_arm_log_value
from sandbox.rules import read_examples, run_examples

REPLAYS = ("experiments.release_aid", "experiments.credit_explanations")
arms = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=60)
weeks = st.lists(st.integers(0, 52), min_size=3, max_size=40)


@given(arms, st.integers(1, 3))
def test_many_trials_at_once(pairs: list[tuple[bool, bool]], size: int) -> None:
    """The e-process of many trials is that of `two_arm_log_value` in each."""
    a, b = (np.asarray(arm, dtype=float) for arm in zip(*pairs, strict=True))
    blocks = blocks_of(a, b, size)
    values = log_values(np.stack([a, b]), np.stack([b, b]), size)
    for number in range(1, len(blocks) + 1):
        one = two_arm_log_value(blocks[:number], claim="b")
        assert values[0, number - 1] == pytest.approx(one, abs=1e-9)


@given(arms)
def test_fixed_test(pairs: list[tuple[bool, bool]]) -> None:
    """The ordinary test is the chi-squared test without correction."""
    a, b = (np.asarray(arm, dtype=float) for arm in zip(*pairs, strict=True))
    n, x, y = len(a), a.sum(), b.sum()
    if 0 < x + y < 2 * n:
        table = [[x, n - x], [y, n - y]]
        peer = stats.chi2_contingency(table, correction=False).pvalue
        assert fixed_p_values(a, b, n)[-1] == pytest.approx(peer, abs=1e-9)


@given(weeks, weeks)
def test_log_rank(a: list[int], b: list[int]) -> None:
    """The log-rank test over the whole year is that of scipy."""
    # One in each arm stays free, so that scipy divides by no zero.
    followed = Followed(np.asarray([0.0, *a]), np.asarray([0.0, *b]))
    if not any(a + b):
        return
    samples = [
        stats.CensoredData(uncensored=arm[arm > 0], right=np.full((arm == 0).sum(), 52))
        for arm in followed
    ]
    peer = stats.logrank(*samples).pvalue
    counts = week_counts(followed.a[None], followed.b[None])
    assert log_rank_p_values(counts)[0, -1] == pytest.approx(peer, abs=1e-9)


@pytest.mark.parametrize("package", REPLAYS)
def test_papers(package: str) -> None:
    """Rulebook and plan of each replay are sound, and the plan can be judged."""
    papers = read_papers(package)
    assert papers.temporary_rule.of.rulebook == papers.rulebook.rulebook


@pytest.mark.parametrize("package", REPLAYS)
def test_examples(package: str) -> None:
    """The rules of each replay say of its examples what they must."""
    rulebook = read_papers(package).rulebook
    file = "rulebook.examples.yaml"
    text = (files(package) / file).read_text(encoding="utf-8")
    found = list(run_examples(rulebook, read_examples(text, rulebook, file=file)))
    assert {item.rule for item in found} == {rule.rule for rule in rulebook.rules}
    assert [item for item in found if not item.is_as_expected] == []


def test_missing_data() -> None:
    """Where the data are not installed, one is told what to run."""
    with pytest.raises(LocalError, match="--extra replays"):
        read_bundled("no-such-distribution", "data.csv")
    with pytest.raises(LocalError, match="numpy/data.csv"):
        read_bundled("numpy", "numpy/data.csv")


def test_differences() -> None:
    """Every place that differs is named; versions and the tenth decimal are not."""
    recorded = {"a": [1, 2.0], "b": {"c": "x"}, "versions": {"numpy": "1"}, "d": 0}
    assert not list(
        differences(recorded, {**recorded, "a": [1, 2.0 + 1e-11], "versions": {}})
    )
    changed = {"a": [1, 2.1, 3], "b": {"c": "y"}, "d": None}
    assert list(differences(recorded, changed)) == [
        "a: 2 are recorded, 3 came",
        "a.1: 2.0 is recorded, 2.1 came",
        "b.c: 'x' is recorded, 'y' came",
        "d: 0 is recorded, None came",
    ]
