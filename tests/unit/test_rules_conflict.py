"""Exceptions of two trials to one rule: certain conflict, possible conflict, none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.record import Interval
from sandbox.model.rule import RulebookRef, Scope, TemporaryRule, Waiver
from sandbox.rules import find_conflicts

T0 = datetime(2026, 4, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
A, B = 'span.attributes["zone"] == "a"', 'span.attributes["zone"] == "b"'


def exception(under="true", rule="r", **values):
    return Waiver(
        label=f"of-{rule}",
        exception_to=rule,
        kind="modification" if values else "waiver",
        set=values,
        under=under,
    )


def trial(name, *overlays, start=0, days=10, area="town", book="b"):
    return TemporaryRule(
        temporary_rule=f"trial/{name}",
        trial_id=name,
        of=RulebookRef(rulebook=book, version=1, digest=DIGEST),
        in_force=Interval(
            start=T0 + timedelta(days=start), end=T0 + timedelta(days=start + days)
        ),
        scope=Scope(participants="drivers", area=area),
        overlays=overlays,
        guardrails=(),
        plan_digest=DIGEST,
    )


def found(one, other):
    return [item.is_certain for item in find_conflicts(one, [other])]


def test_a_conflict_names_both_labels_both_trials_and_the_rule():
    """Waived in one trial, tightened in the other, at the same time and place."""
    (conflict,) = find_conflicts(
        trial("one", exception()), [trial("two", exception(x=1.5))]
    )
    assert conflict.is_certain
    assert conflict.sentence() == (
        "`of-r` of trial one conflicts with `of-r` of trial two, both exceptions to "
        "`r`: waived here, x = 1.5 there, at the same time, for the same units"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (exception(x=1), exception(x=2), [True]),
        (exception(x=1), exception(y=1), [True]),
        (exception(x=1), exception(x=1), []),
        (exception(), exception(), []),
        (exception(), exception(x=1, rule="s"), []),
        (exception(A), exception(x=1), [True]),
        (exception(A), exception(A, x=1), [True]),
        (exception(A), exception(B, x=1), []),
        (exception(A), exception("span.duration_s > 1.0", x=1), [False]),
        (exception(A), exception(f"{B} || true", x=1), [False]),
        (exception(A), exception('span.name == "b"', x=1), [False]),
    ],
)
def test_the_outcome_and_the_conditions_decide(ours, theirs, expected):
    """The same outcome never conflicts; different words are for a person to judge."""
    assert found(trial("one", ours), trial("two", theirs)) == expected


def test_times_that_share_no_instant_do_not_conflict():
    """In force is half-open: the one may begin at the instant the other ends."""
    first = trial("one", exception())
    for start, expected in ((10, []), (9, [True]), (-10, []), (-9, [True])):
        assert found(first, trial("two", exception(x=1), start=start)) == expected


def test_another_area_makes_a_conflict_possible_and_another_rulebook_makes_none():
    """Words cannot prove that two areas lie apart; a person has to say it."""
    first = trial("one", exception())
    elsewhere = trial("two", exception(x=1), area="the next town")
    assert found(first, elsewhere) == [False]
    (possible,) = find_conflicts(first, [elsewhere])
    assert "may conflict" in possible.sentence()
    assert "the area read differently, so a person decides" in possible.sentence()
    assert found(first, trial("two", exception(x=1), book="c")) == []
    assert found(first, trial("one", exception(x=1))) == []


overlays = st.builds(
    exception,
    st.sampled_from(["true", A, B, "span.duration_s > 1.0"]),
    rule=st.sampled_from(["r", "s"]),
) | st.builds(exception, st.sampled_from(["true", A, B]), x=st.sampled_from([1.0, 2.0]))
trials = st.builds(
    lambda name, items, start: trial(name, *items, start=start),
    st.sampled_from(["one", "two"]),
    st.lists(overlays, max_size=3),
    st.integers(-12, 12),
)


@given(trials, trials)
def test_it_does_not_matter_which_of_two_trials_came_first(one, other):
    """What the first is to the second, the second is to the first."""
    assert sorted(found(one, other)) == sorted(found(other, one))
