"""The rulebook: sound or not, and what is in force on a day."""

from __future__ import annotations

from datetime import date
from importlib.resources import files

import pytest

from sandbox.errors import InputError, RuleError
from sandbox.model.rule import Rulebook
from sandbox.rules import (
    check_rulebook,
    parameters_in_force,
    read_rulebook,
    reference,
    rule_named,
    text_in_force,
)

TEXT = (files("experiments.ride_dispatch") / "rulebook.yaml").read_text()
BOOK = read_rulebook(TEXT, file="rulebook.yaml")
TIME = rule_named(BOOK, "dispatch/offer-time")


def with_rule(**changes):
    rules = tuple(
        item.model_copy(update=changes) if item.rule == TIME.rule else item
        for item in BOOK.rules
    )
    return BOOK.model_copy(update={"rules": rules})


def dated(**values):
    parameter = TIME.parameters["max_offer_s"].model_dump()
    first = next(iter(parameter["values"].values()))
    parameter["values"] = {
        date.fromisoformat(day[1:].replace("_", "-")): {**first, "value": value}
        for day, value in values.items()
    }
    return {"max_offer_s": type(TIME.parameters["max_offer_s"])(**parameter)}


def test_the_rulebook_of_the_experiment_is_sound():
    """As read, checking it again finds nothing."""
    assert check_rulebook(BOOK) == ()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"requires": "span.duration_s <="}, "expression", "character 19: Syntax"),
        ({"requires": 'span.duration_s <= 1 && 2 < "a"'}, "expression", "overload"),
        ({"requires": "spam.duration_s <= 1.0"}, "expression", "undeclared"),
        ({"requires": "1 + 1"}, "expression", "gives INT"),
        ({"requires": "span.duration <= 1.0"}, "expression", "`span.duration_s`"),
        ({"applies": "params.limit > 1.0"}, "expression", "params.limit"),
        ({"text": "Within {max_ofer_s} s."}, "text", "max_ofer_s"),
        ({"text": "Within {max_offer_s s."}, "text", "braces"),
        ({"parameters": dated(_2024_01_02=2.0)}, "parameter-undated", "2024-01-01"),
        ({"parameters": dated(_2024_01_01=float("inf"))}, "value", "inf"),
        ({"rule": "dispatch/human-confirmation"}, "rule-repeated", "human"),
    ],
)
def test_what_is_unsound_is_named_with_its_place(changes, code, words):
    """Expressions that cannot be compiled, values without dates, wrong placeholders."""
    found = check_rulebook(with_rule(**changes), file="r.yaml")
    assert {item.code for item in found} == {f"rulebook/{code}"}
    assert all(item.field.startswith("rules.1.") for item in found)
    assert words in " ".join(item.sentence() for item in found)


def test_an_unsound_document_gives_every_defect_with_its_line():
    """Both rules that do not compile are found, at the lines where they stand."""
    text = TEXT.replace("params.max_offer_s", "params.max_offers").replace(
        '!= ""', "!= 1 &&"
    )
    with pytest.raises(InputError) as raised:
        read_rulebook(text, file="r.yaml")
    lines = text.splitlines()
    places = [lines[item.line - 1].strip() for item in raised.value.defects]
    assert [place.partition(":")[0] for place in places] == ["requires", "requires"]


def test_values_are_those_in_force_on_the_day():
    """The newest value that has entered into force; never a coming one."""
    rule = with_rule(parameters=dated(_2024_01_01=2.0, _2026_06_01=1.5)).rules[1]
    assert parameters_in_force(rule, date(2026, 5, 31)) == {"max_offer_s": 2.0}
    assert parameters_in_force(rule, date(2026, 6, 1)) == {"max_offer_s": 1.5}
    with pytest.raises(RuleError, match="first enters into force on 2024-01-01"):
        parameters_in_force(rule, date(2023, 12, 31))


def test_the_words_carry_the_values_in_force():
    """People read numbers, not placeholders."""
    assert "within 2 seconds" in text_in_force(TIME, date(2026, 1, 1))


def test_an_unknown_rule_is_answered_with_the_nearest():
    """A slip of the pen is recognised."""
    with pytest.raises(RuleError, match="did you mean `dispatch/offer-time`"):
        rule_named(BOOK, "dispatch/offer-tim")


def test_a_version_is_addressed_by_its_content():
    """The same content has the same digest; any change has another."""
    again = Rulebook.model_validate_json(BOOK.model_dump_json())
    assert reference(again) == reference(BOOK)
    assert reference(with_rule(severity="minor")).digest != reference(BOOK).digest
