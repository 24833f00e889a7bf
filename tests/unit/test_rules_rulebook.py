"""The rulebook: sound or not, and what is in force on a day."""

from __future__ import annotations

from datetime import date
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InputError, RuleError
from sandbox.model.rule import Rulebook
from sandbox.rules import (
    check_rulebook,
    parameters_in_force,
    read_rulebook,
    reference,
    rule_named,
    text_in_force,
    with_values,
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
        ({"text": "Within {max_offer_s:.1f} s."}, "text", "{max_offer_s:.1f}"),
        ({"text": "Within {} s."}, "text", "{}"),
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


def test_another_value_has_always_been_in_force():
    """Also before the first date of those that it stands in for."""
    asked = with_values(BOOK, TIME.rule, {"max_offer_s": 3.0})
    rule = rule_named(asked, TIME.rule)
    assert parameters_in_force(rule, date(1999, 1, 1)) == {"max_offer_s": 3.0}


def test_the_words_carry_the_values_in_force():
    """People read numbers, not placeholders."""
    assert "within 2 seconds" in text_in_force(TIME, date(2026, 1, 1))


def test_the_words_carry_every_digit_of_a_value():
    """A limit of 1,234,567 is not said to be another that is near to it."""
    for value, words in ((1234567.0, "1234567"), (100000.5, "100000.5"), (0.1, "0.1")):
        rule = with_rule(parameters=dated(_2024_01_01=value)).rules[1]
        assert f"within {words} seconds" in text_in_force(rule, date(2026, 1, 1))


def test_an_unknown_rule_is_answered_with_the_nearest():
    """A slip of the pen is recognised."""
    with pytest.raises(RuleError, match="did you mean `dispatch/offer-time`"):
        rule_named(BOOK, "dispatch/offer-tim")


def test_a_version_is_addressed_by_its_content():
    """The same content has the same digest; any change has another."""
    again = Rulebook.model_validate_json(BOOK.model_dump_json())
    assert reference(again) == reference(BOOK)
    assert reference(with_rule(severity="minor")).digest != reference(BOOK).digest


BROKEN = """\
rulebook: taxis
version: 1
title: Taxis
owner: transport
in_force_from: 2024-01-01
rules:
  - rule: taxi/time
    text: "Within {max_s} seconds."
    source: {instrument: Act, provision: "1", as_of: 2024-13-01}
    goal: quick
    mechanism: regulations
    parameters:
      max_s:
        unit: parsec
        values:
          2025-01-01: {value: 2, reference: Act}
    applies: span.kind == "server" &&
    requires: span.duration_s <= params.max_s
    severity: major
    waivable: perhaps
  - rule: taxi/time
    text: "Within {max_t} seconds."
    source: {instrument: Act, provision: "2", as_of: 2024-01-01}
    goal: quick
    mechanism: regulation
    parameters:
      max_s:
        unit: s
        looser: higher
        values:
          2025-01-01: {value: 2, reference: Act}
    applies: span.durations > 0.0
    requires: >-
      span.kind == "server" &&
      "a" < 2
    severity: major
    colour: red
    waivable: true
"""


def test_ten_different_mistakes_in_one_file_are_ten_defects_each_at_its_place():
    """Schema, dates, words and expressions: none hides another; nothing is loaded."""
    with pytest.raises(InputError) as raised:
        read_rulebook(BROKEN, file="r.yaml")
    found = raised.value.defects
    assert [
        (item.code.partition("/")[2], item.line, item.column) for item in found
    ] == [
        ("wrong-value", 9, 54),
        ("not-a-choice", 11, 16),
        ("missing", 13, 7),
        ("not-a-choice", 14, 15),
        ("parameter-undated", 15, 9),
        ("expression", 17, 38),
        ("wrong-value", 20, 15),
        ("rule-repeated", 21, 11),
        ("text", 22, 11),
        ("parameter-undated", 30, 9),
        ("expression", 32, 14),
        ("expression", 35, 11),
        ("unknown-key", 37, 5),
    ]
    for item in found:
        assert item.sentence().startswith(f"r.yaml:{item.line}:{item.column} rules.")
        assert item.what and item.remedy


def test_what_the_schema_refuses_does_not_make_the_rest_look_wrong():
    """A rule whose parameters cannot be read is not also told that it lacks them."""
    text = TEXT.replace("parameters:\n", "parameters: none\n    applied:\n", 1)
    with pytest.raises(InputError) as raised:
        read_rulebook(text, file="r.yaml")
    assert {item.code for item in raised.value.defects} == {
        "rulebook/wrong-value",
        "rulebook/unknown-key",
    }
    later = "2024-13-01: {value: 1, reference: r}\n          2025-01-01: {value"
    with pytest.raises(InputError) as raised:
        read_rulebook(TEXT.replace("2024-01-01: {value", later), file="r.yaml")
    assert {item.code for item in raised.value.defects} == {"rulebook/wrong-value"}


REQUIRES = "requires: span.duration_s <= params.max_offer_s"


@pytest.mark.parametrize(
    "instead",
    [
        "",
        f"{REQUIRES}\n    pattern: {{never: 'true'}}",
        "pattern: {never: 'true', always: 'true'}",
        "pattern: {at_most: -1, of: 'true', per: 1m}",
        "pattern: {at_most: [1], of: 'true', per: 1 m}",
        "pattern: none",
        "pattern: {every: 'true', followed_by: 'true', within: soon}",
    ],
)
def test_a_rule_that_asks_for_nothing_sound_hides_no_other_mistake(instead):
    """Neither in its other fields nor in other rules."""
    text = TEXT.replace(REQUIRES, instead).replace(
        'span.name == "/dis', 'spam == "/dis'
    )
    with pytest.raises(InputError) as raised:
        read_rulebook(text, file="r.yaml")
    found = [item.code for item in raised.value.defects]
    assert found.count("rulebook/expression") == text.count("spam") > 0
    assert len(found) > text.count("spam")


def test_a_rule_that_asks_for_nothing_is_told_so_beside_its_other_mistakes():
    """What the schema refuses of it does not hide that it requires nothing."""
    text = TEXT.replace(REQUIRES, "").replace("unit: s\n", "unit: parsec\n", 1)
    with pytest.raises(InputError) as raised:
        read_rulebook(text, file="r.yaml")
    assert {item.code for item in raised.value.defects} == {
        "rulebook/not-a-choice",
        "rulebook/wrong-value",
    }


@given(st.lists(st.sampled_from(BROKEN.splitlines()), max_size=40))
def test_no_rulebook_however_torn_breaks_the_reader(lines):
    """Lines left out, doubled, in any order: the answer is defects with places."""
    with pytest.raises(InputError) as raised:
        read_rulebook("\n".join(lines), file="r.yaml")
    assert all(item.line and item.column for item in raised.value.defects)
