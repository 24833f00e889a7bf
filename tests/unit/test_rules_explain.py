"""Why a rule says what it says: parts, values, exception, provision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.record import Interval
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.rules import compile_rules, explain, reference
from sandbox.rules.cel import Expression, Facts
from sandbox.rules.parts import parts_of

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LIMIT = {
    "unit": "s",
    "looser": "higher",
    "values": {"2024-01-01": {"value": 2, "reference": "Annex 1"}},
}


def book(applies="true", requires="true"):
    rule = {
        "rule": "r",
        "text": "Within {max_s} s.",
        "source": {"instrument": "Act", "provision": "1", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "parameters": {"max_s": LIMIT},
        "applies": applies,
        "requires": requires,
        "severity": "major",
        "waivable": True,
    }
    return Rulebook.model_validate(
        {
            "rulebook": "b",
            "version": 1,
            "title": "B",
            "owner": "o",
            "in_force_from": "2024-01-01",
            "rules": [rule],
        }
    )


def overlay(rulebook, **waiver):
    return TemporaryRule(
        temporary_rule="trial/a",
        trial_id="a",
        of=reference(rulebook),
        in_force=Interval(start=NOW, end=NOW + timedelta(days=30)),
        scope=Scope(participants="c", area="a"),
        overlays=(Waiver(label="w", exception_to="r", **waiver),),
        guardrails=(),
        plan_digest="sha256:" + "a" * 64,
    )


@pytest.mark.parametrize(
    ("text", "joint", "parts"),
    [
        ("a.b == 1", "", []),
        ("(a || b) && c", "&&", ["a || b", "c"]),
        ("a || b && c", "||", ["a", "b && c"]),
        ("a ? b : c ? d : e", "?:", ["a", "b", "c ? d : e"]),
        ("!a", "!", ["a"]),
        ("!!a", "!", ["!a"]),
        ("!a == b", "", []),
        ("!(a && b)", "!", ["a && b"]),
        ("!a || b", "||", ["!a", "b"]),
        ('a["x && y"] == "||" && b', "&&", ['a["x && y"] == "||"', "b"]),
        ("l.all(x, x > 1 && x < 2)", "", []),
        ("((a && b))", "&&", ["a", "b"]),
        ("a && // why || so\n b", "&&", ["a", "// why || so\n b"]),
        ("(a) in [b]", "", []),
        ("a != b && c", "&&", ["a != b", "c"]),
    ],
)
def test_an_expression_is_taken_apart_as_its_signs_bind(text, joint, parts):
    """Precedence, brackets, strings, macros and comments are those of CEL."""
    part = parts_of(text)
    assert (part.joint, [item.text for item in part.parts]) == (joint, parts)


def test_an_explanation_leads_down_to_the_provision_and_the_values_read():
    """Each part with its value and what it read; the limit with date and reference."""
    rulebook = book(
        'span.kind == "server"',
        'span.duration_s <= params.max_s || "e" in span.attributes',
    )
    facts = {"kind": "server", "duration_s": 2.5, "attributes": {}}
    explained = explain(rulebook, facts, at=NOW)
    assert (explained.rulebook, explained.version) == ("b", 1)
    (rule,) = explained.rules
    assert (rule.answer, rule.text, rule.source.provision) == (
        "violated",
        "Within 2 s.",
        "1",
    )
    assert rule.values[0].sentence() == "max_s = 2 s, since 2024-01-01 (Annex 1)"
    assert rule.applies.read == {"span.kind": "server"}
    late, excused = rule.requires.parts
    assert (late.gives, late.read) == (
        "false",
        {"span.duration_s": 2.5, "params.max_s": 2},
    )
    assert excused.gives == "false"


def test_what_is_missing_is_named_at_the_part_that_asked_for_it():
    """The whole is not evaluable, with the reason; the other part is known."""
    rulebook = book(requires='span.attributes["x"] == 1 && span.duration_s < 5.0')
    (rule,) = explain(rulebook, {"duration_s": 1.0, "attributes": {}}, at=NOW).rules
    assert (rule.answer, rule.reason) == ("not_evaluable", "`x` is missing")
    asked, known = rule.requires.parts
    assert (asked.gives, asked.reason) == ("unknown", "`x` is missing")
    assert known.gives == "true"


def test_an_exception_is_named_with_its_condition_and_its_values():
    """Where a waiver holds the rule says nothing; a modification puts its own value."""
    rulebook, facts = (
        book(requires="span.duration_s <= params.max_s"),
        {
            "name": "x",
            "duration_s": 1.7,
        },
    )
    rule = overlay(rulebook, kind="waiver", under='span.name == "x"')
    (waived,) = explain(rulebook, facts, at=NOW, temporary_rule=rule).rules
    assert (waived.answer, waived.label, waived.requires) == ("waived", "w", None)
    assert waived.under.gives == "true"
    rule = overlay(rulebook, kind="modification", set={"max_s": 1.5})
    (tighter,) = explain(rulebook, facts, at=NOW, temporary_rule=rule).rules
    assert (tighter.answer, tighter.text) == ("violated", "Within 1.5 s.")
    assert tighter.values[0].reference == "w, instead of Annex 1"
    later = NOW + timedelta(days=30)
    (over,) = explain(rulebook, facts, at=later, temporary_rule=rule).rules
    assert (over.answer, over.exception, over.label) == ("satisfied", "", "")


atoms = st.sampled_from(
    [
        "true",
        "false",
        'span.attributes["a"]',
        'span.attributes["b"] == 1',
        '"a" in span.attributes',
        "span.duration_s <= params.max_s",
        '[1, 2].exists(x, x == 2 || x == span.attributes["b"])',
    ]
)
expressions = st.recursive(
    atoms,
    lambda inner: (
        st.builds("({} && {})".format, inner, inner)
        | st.builds("{} || {}".format, inner, inner)
        | st.builds("!({})".format, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
    ),
    max_leaves=6,
)
facts_of = st.fixed_dictionaries(
    {},
    optional={
        "duration_s": st.sampled_from([1.0, 3.0]),
        "attributes": st.fixed_dictionaries(
            {}, optional={"a": st.booleans(), "b": st.sampled_from([1, 2, "x"])}
        ),
    },
)
KLEENE = {"true": True, "false": False, "unknown": None}


def joined(step):
    """What the parts of a step give together, in three-valued logic."""
    values = [KLEENE[item.gives] for item in step.parts]
    if step.joint == "!":
        return None if values[0] is None else not values[0]
    if step.joint == "?:":
        return None if values[0] is None else values[1] if values[0] else values[2]
    decisive = step.joint == "||"
    if decisive in values:
        return decisive
    return None if None in values else not decisive


@given(expressions, facts_of)
def test_the_parts_of_every_step_give_what_the_step_gives(text, facts):
    """Taking apart neither loses nor adds anything: Kleene logic puts it together."""
    (rule,) = explain(book(requires=text), facts, at=NOW).rules
    truth = Expression(text).evaluate(Facts(facts, {"max_s": 2}))
    steps = [rule.requires]
    assert KLEENE[rule.requires.gives] == truth.value
    while steps:
        step = steps.pop()
        assert not step.parts or joined(step) == KLEENE[step.gives]
        steps += step.parts


@given(expressions, expressions, facts_of, st.booleans())
def test_the_answer_is_that_of_the_engine_that_judges(applies, under, facts, waive):
    """An explanation never says anything else than what is recorded as observation."""
    rulebook = book(applies, "span.duration_s <= params.max_s")
    more = (
        {"kind": "waiver"} if waive else {"kind": "modification", "set": {"max_s": 5}}
    )
    rule = overlay(rulebook, under=under, **more)
    (explained,) = explain(rulebook, facts, at=NOW, temporary_rule=rule).rules
    start = int(NOW.timestamp()) * 10**9
    outcomes = compile_rules(rulebook, rule).judge_facts(
        facts, start_unix_nano=start, at=NOW.date()
    )
    said = outcomes[0].result if outcomes else None
    silent = explained.answer in ("waived", "does_not_apply")
    assert (None if silent else explained.answer) == said
    assert (explained.answer == "does_not_apply") == (
        explained.applies.gives == "false"
    )


def test_a_rule_about_the_order_of_spans_is_not_told_from_one():
    """It is not evaluable, and is said what is to be asked instead."""
    rulebook = book(applies='span.name == "call"')
    pattern = {"at_most": 1, "of": "true", "per": "1m"}
    rule = {**rulebook.rules[0].model_dump(mode="json"), "pattern": pattern}
    rule.pop("requires")
    rules = {"rules": [rule]}
    ordered = Rulebook.model_validate({**rulebook.model_dump(mode="json"), **rules})
    (told,) = explain(ordered, {"name": "call"}, at=NOW).rules
    assert (told.answer, told.requires) == ("not_evaluable", None)
    assert "asks for the order of spans" in told.reason
    (told,) = explain(ordered, {"name": "other"}, at=NOW).rules
    assert (told.answer, told.reason) == ("does_not_apply", "")
