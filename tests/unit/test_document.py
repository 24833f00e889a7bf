"""YAML documents: every problem at once, each at its line."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InputError
from sandbox.model.application import Hypothesis, SystemNeeds, TrialPeriod
from sandbox.model.document import examine, read_document, spot_of_field
from sandbox.model.places import Place, Spot
from sandbox.model.rule import Parameter

GOAL = """\
goal: offers-in-time
claim: "007"
unit: dispatch
estimand: {proportion: satisfied, of: dispatch/offer-time}
threshold: .95
alpha: 5e-2
design: confidence-sequence
minimum_units: 200
missing: count-both-ways
"""


def problems(text, model):
    with pytest.raises(InputError) as raised:
        read_document(text, model, file="a.yaml", prefix="paper")
    return {(item.code, item.line, item.field) for item in raised.value.defects}


def test_a_sound_document_becomes_its_record():
    """Numbers, quoted digits and nested mappings are read as YAML 1.2 means them."""
    goal = read_document(GOAL, Hypothesis, file="a.yaml")
    assert (goal.threshold, goal.alpha, goal.claim) == (0.95, 0.05, "007")


def test_every_problem_is_found_at_once_with_its_line():
    """A typo, a wrong choice, a number out of range: all in one answer."""
    text = (
        GOAL.replace("count-both-ways", "count-both")
        .replace(".95", "95")
        .replace("200", "0")
        .replace("unit:", "units:")
    )
    assert problems(text, Hypothesis) == {
        ("paper/missing", 1, "unit"),
        ("paper/unknown-key", 3, "units"),
        ("paper/wrong-value", 5, "threshold"),
        ("paper/wrong-value", 8, "minimum_units"),
        ("paper/not-a-choice", 9, "missing"),
    }


@pytest.mark.parametrize(
    ("wrong", "right", "field"),
    [
        ("satisfed", "satisfied", "estimand.proportion"),
        ("two-arms", "confidence-sequence", "design"),
    ],
)
def test_what_is_possible_is_not_said_while_what_it_depends_on_is_refused(
    wrong, right, field
):
    """A threshold of 0 is right for two arms: a typo in the design is the only mistake.

    The same holds for the estimand, whose mean may have any bounds.
    """
    text = GOAL.replace(right, wrong).replace(".95", "0")
    assert {found for _, _, found in problems(text, Hypothesis)} == {field}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "empty", 1),
        ("# only a comment\n", "empty", 1),
        ("length: [1\n", "unreadable", 2),
        ("length: \x01\n", "unreadable", 1),
        ("length: PT1S\n---\nlength: PT2S\n", "unreadable", 2),
        ("- PT1S\n", "wrong-value", 1),
        ("length: &a PT1S\nmust_start_within: *a\n", "alias", 1),
        ("length: PT1S\n? [a]\n: 1\nmust_start_within: PT1S\n", "bad-key", 2),
        ("length: !!python/name:os.system x\nmust_start_within: PT1S\n", "tag", 1),
        ("[" * 5000, "too-deep", 1),
        ("length: PT1S\nmust_start_within: PT1S\nlength: PT2S", "duplicate-key", 3),
    ],
)
def test_what_is_not_a_document_is_named_and_placed(text, code, line):
    """Empty, torn, tagged, aliased, doubled: each has its own name and line."""
    found = problems(text, TrialPeriod)
    assert (f"paper/{code}", line) in {(item[0], item[1]) for item in found}


def test_words_that_yaml_11_mistakes_stay_words():
    """`no`, `on`, a date and a clock time are text where text is asked for."""
    text = GOAL.replace('"007"', "no").replace("unit: dispatch", "unit: 12:30:00")
    goal = read_document(text, Hypothesis, file="a.yaml")
    assert (goal.claim, goal.unit) == ("no", "12:30:00")
    text = "unit: s\nlooser: higher\nvalues: {2024-01-01: {value: 2, reference: on}}"
    parameter = read_document(text, Parameter, file="a.yaml")
    assert next(iter(parameter.values)).isoformat() == "2024-01-01"


def test_a_sentence_says_what_to_write():
    """Range, example and the nearest known key stand in the sentence."""
    text = GOAL.replace("5e-2", "high").replace("claim", "clain")
    with pytest.raises(InputError) as raised:
        read_document(text, Hypothesis, file="a.yaml")
    sentences = raised.value.diagnosis
    assert (
        "a.yaml:6:8 alpha: `alpha` must be a number between 0 and 0.5; "
        "found `high`. Write for example `alpha: 0.05`" in sentences
    )
    assert "Did you mean `claim`?" in sentences


def test_a_number_is_not_taken_for_text():
    """An amount without quotes is refused with the advice to quote it."""
    text = "limits: {cpu: 2, memory: 1Gi, pods: 3}"
    with pytest.raises(InputError, match=r"`cpu` must be text; found `2`.*quotes"):
        read_document(text, SystemNeeds, file="a.yaml")


def test_an_unknown_field_stands_where_its_nearest_holder_does():
    """A defect about something missing is placed where it belongs."""
    at = {"": Spot(1, 1), "plan": Spot(4, 1), "plan.goals": Spot(6, 3)}
    places = {field: Place(spot, spot) for field, spot in at.items()}
    assert spot_of_field("plan.goals.0.threshold", places) == (6, 3)
    assert spot_of_field("exit", places) == (1, 1)


@pytest.mark.parametrize(
    "written",
    [
        "a && 'é' != b ? c",
        "a &&\n  'é' != b\n\n  ? c",
        """'a && ''é'' != b ? c'""",
        """'a &&\n  ''é'' != b ? c'""",
        "\"a && '\\u00e9' != b\\t? c\"",
        "\"a && 'é' != \\\n   b ? c\"",
        ">-\n    a && 'é'\n    != b\n    ? c",
        "|+ # why\n    a && 'é'\n      != b\n    ? c\n\n",
    ],
)
def test_a_character_of_a_value_is_found_where_it_is_written(written):
    """Plain, quoted, escaped, folded, literal: a visible character keeps its place."""
    text = f"length: {written}\nmust_start_within: PT1S\n"
    place = examine(text, TrialPeriod, file="a.yaml").places["length"]
    lines = text.split("\n")
    for mark in ("a &", "!= ", "b", "?", "c"):
        line, column = place.at(place.read.index(mark.strip()))
        assert lines[line - 1][column - 1] == mark[0]


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40))
def test_every_visible_character_is_found_however_yaml_writes_it(value):
    """What the writer of YAML makes of any text: each character is where it is."""
    for style in ("'", '"', "|", ">", None):
        text = yaml.dump({"length": value}, default_style=style, allow_unicode=True)
        places = examine(text, TrialPeriod, file="a.yaml").places
        place = places.get("length") or places.get('"length"')
        if place is None or place.read != value:
            continue
        lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
        for offset, character in enumerate(value):
            line, column = place.at(offset)
            found = lines[line - 1][column - 1 : column]
            assert not character.strip() or found in (character, "\\")


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text):
    """Whatever stands in a file, the answer is a record or defects with places."""
    reading = examine(text, TrialPeriod, file="a.yaml")
    assert (reading.record is None) == bool(reading.defects)
    assert all(item.line and item.line >= 1 for item in reading.defects)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_no_shape_of_data_breaks_the_sentences(data):
    """Any data in any place of a goal is answered in words, never by a crash."""
    written = repr(data).replace("'", '"')
    text = GOAL.replace("{proportion: satisfied, of: dispatch/offer-time}", written)
    reading = examine(text, Hypothesis, file="a.yaml")
    assert all(item.sentence() for item in reading.defects)
