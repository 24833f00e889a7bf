"""What is in force at an instant, and what changed between two versions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import RuleError
from sandbox.model.record import Interval
from sandbox.model.rule import (
    Parameter,
    ParameterValue,
    Scope,
    TemporaryRule,
    Waiver,
)
from sandbox.rules import (
    differences,
    read_rulebook,
    reference,
    rules_in_force,
    version_in_force,
)

TEXT = (files("experiments.ride_dispatch") / "rulebook.yaml").read_text()
BOOK = read_rulebook(TEXT, file="rulebook.yaml")
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def version(number, day, **changes):
    in_force = {"version": number, "in_force_from": date.fromisoformat(day)}
    return BOOK.model_copy(update={**in_force, **changes})


def timed(**values):
    """The rulebook whose offer time has these values, `_2026_04_01=1.5`."""
    dated = {
        date.fromisoformat(day[1:].replace("_", "-")): ParameterValue(
            value=value, reference="Annex"
        )
        for day, value in values.items()
    }
    return with_parameter(Parameter(unit="s", looser="higher", values=dated))


def with_parameter(parameter):
    confirmation, time, data = BOOK.rules
    time = time.model_copy(update={"parameters": {"max_offer_s": parameter}})
    return BOOK.model_copy(update={"rules": (confirmation, time, data)})


def overlay(*waivers):
    return TemporaryRule(
        temporary_rule="trial/a",
        trial_id="a",
        of=reference(BOOK),
        in_force=Interval(start=NOW, end=NOW + timedelta(days=30)),
        scope=Scope(participants="c", area="a"),
        overlays=waivers,
        guardrails=(),
        plan_digest="sha256:" + "a" * 64,
    )


def test_in_force_is_the_highest_version_that_has_entered_into_force():
    """A version published for later is not in force yet; before the first, none is."""
    versions = [
        version(2, "2026-01-01"),
        version(1, "2024-01-01"),
        version(3, "2027-01-01"),
    ]
    for day, number in (("2025-12-31", 1), ("2026-01-01", 2), ("2026-12-31", 2)):
        assert version_in_force(versions, date.fromisoformat(day)).version == number
    with pytest.raises(RuleError, match="version 1 enters into force on 2024-01-01"):
        version_in_force(versions, date(2023, 12, 31))
    with pytest.raises(RuleError, match="publish one"):
        version_in_force([], date(2026, 1, 1))


def test_a_temporary_rule_changes_what_is_in_force_and_reverts_by_itself():
    """Inside its half-open interval the overlay's values; outside the rule's own."""
    waive = Waiver(label="w", exception_to="dispatch/human-confirmation", kind="waiver")
    modify = Waiver(
        label="m",
        exception_to="dispatch/offer-time",
        kind="modification",
        set={"max_offer_s": 1.5},
    )
    rule = overlay(waive, modify)
    for at, seconds in (
        (NOW - timedelta(seconds=1), 2),
        (NOW, 1.5),
        (NOW + timedelta(days=30), 2),
    ):
        confirmation, time, data = rules_in_force(BOOK, at, temporary_rule=rule)
        (value,) = time.values
        assert value.value == seconds
        assert f"within {seconds:g} seconds" in time.text
        assert bool(time.exception) == bool(confirmation.exception) == (seconds == 1.5)
        assert data.exception is None
    assert rules_in_force(BOOK, NOW)[1].values[0].sentence() == (
        "max_offer_s = 2 s, since 2024-01-01 "
        "(Passenger Transport Ordinance Annex 1 No. 3)"
    )


def test_a_value_is_compared_on_every_day_on_which_one_enters_into_force():
    """Looser and tighter follow the parameter's own direction, value by value."""
    before = timed(_2024_01_01=2, _2026_01_01=3)
    after = timed(_2024_01_01=2, _2025_01_01=1, _2027_01_01=4)
    found = {
        item.field.rpartition(".")[2]: (item.before, item.after, item.effect)
        for item in differences(before, after)
    }
    assert found == {
        "2025-01-01": (2, 1, "tighter"),
        "2026-01-01": (3, 1, "tighter"),
        "2027-01-01": (3, 4, "looser"),
    }


def test_neither_is_claimed_where_the_direction_is_not_shared():
    """Another unit or direction, other words: the effect is unknown."""
    before = timed(_2024_01_01=2)
    parameter = before.rules[1].parameters["max_offer_s"]
    after = with_parameter(parameter.model_copy(update={"unit": "ms"}))
    assert [item.effect for item in differences(before, after)] == ["unknown"]
    later = timed(_2025_01_01=2)
    missing, restated = differences(before, later)
    assert (restated.before, restated.after, restated.effect) == (None, "Annex", "none")
    assert (missing.before, missing.after, missing.effect) == (2, None, "unknown")


def test_a_rule_more_is_tighter_and_a_rule_less_is_looser():
    """Whatever it asks: there is one duty more, or one less."""
    less = BOOK.model_copy(update={"rules": BOOK.rules[1:]})
    (gone,) = differences(BOOK, less)
    (new,) = differences(less, BOOK)
    assert (gone.rule, gone.effect) == ("dispatch/human-confirmation", "looser")
    assert (new.rule, new.effect) == ("dispatch/human-confirmation", "tighter")


days = st.dates(date(2024, 1, 1), date(2024, 1, 9)).map(lambda day: f"_{day:%Y_%m_%d}")
books = st.dictionaries(days, st.integers(0, 3), min_size=1, max_size=4).map(
    lambda values: timed(**values)
)


@given(books, books)
def test_the_way_back_is_the_mirror_image(before, after):
    """What the one direction calls looser, the other calls tighter; equal is silent."""
    mirror = {"looser": "tighter", "tighter": "looser"}
    there, back = differences(before, after), differences(after, before)
    assert [(item.field, mirror.get(item.effect, item.effect)) for item in there] == [
        (item.field, item.effect) for item in back
    ]
    assert (not there) == (before == after)
