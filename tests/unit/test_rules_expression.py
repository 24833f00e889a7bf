"""Judging spans: satisfied, violated, or not evaluable with the reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import RuleError
from sandbox.model.observation import Span
from sandbox.model.record import Interval, canonical_json
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.rules import check_rulebook, compile_rules, reference
from sandbox.rules.mentions import mentions

TODAY = date(2026, 4, 1)
START = datetime(2026, 4, 1, 12, tzinfo=UTC)
SECOND = 1_000_000_000


def rule(name, applies="true", requires="true", *, waivable=True, **parameters):
    return {
        "rule": name,
        "text": "…",
        "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "parameters": {
            key: {
                "unit": "s",
                "looser": "higher",
                "values": {"2024-01-01": {"value": value, "reference": "r"}},
            }
            for key, value in parameters.items()
        },
        "applies": applies,
        "requires": requires,
        "severity": "major",
        "waivable": waivable,
    }


def book(*rules):
    return Rulebook.model_validate(
        {
            "rulebook": "b",
            "version": 3,
            "title": "B",
            "owner": "o",
            "in_force_from": "2024-01-01",
            "rules": rules,
        }
    )


def span(seconds=1.0, at=START, **attributes):
    start = int(at.timestamp()) * SECOND
    return Span(
        trace_id="a" * 32,
        span_id="b" * 16,
        name="/dispatch",
        span_kind="server",
        service="frontend",
        start_unix_nano=start,
        end_unix_nano=start + int(seconds * SECOND),
        attributes=attributes,
    )


def overlay(rulebook, *waivers, hours=1):
    return TemporaryRule(
        temporary_rule="trial/t",
        trial_id="t",
        of=reference(rulebook),
        in_force=Interval(start=START, end=START + timedelta(hours=hours)),
        scope=Scope(participants="p", area="a"),
        overlays=waivers,
        guardrails=(),
        plan_digest="sha256:" + "0" * 64,
    )


def waive(name, **more):
    return Waiver(label="w", exception_to=name, kind="waiver", **more)


def modify(name, **more):
    return Waiver(label="m", exception_to=name, kind="modification", **more)


def only(rules, one):
    (outcome,) = rules.judge(one, at=TODAY)
    return outcome


def result(applies, requires, one=None, **parameters):
    rules = compile_rules(book(rule("r", applies, requires, **parameters)))
    outcomes = rules.judge(one or span(), at=TODAY)
    return outcomes[0].result if outcomes else None


def test_an_outcome_says_what_was_read_under_which_version():
    """Rule, version and the values the expressions mention; nothing else."""
    applies = 'span.name == "/dispatch" && span.kind == "server"'
    requires = 'span.duration_s <= params.max_s && span.attributes["x.y"] > 0'
    rules = compile_rules(book(rule("r", applies, requires, max_s=2.0)))
    outcome = only(rules, span(1.5, **{"x.y": 1, "secret": "s"}))
    assert outcome.rule == "r"
    assert (outcome.result, outcome.overlay) == ("satisfied", "")
    assert outcome.rulebook_version == 3
    assert outcome.values == {
        "span.name": "/dispatch",
        "span.kind": "server",
        "span.duration_s": 1.5,
        "params.max_s": 2.0,
        "span.attributes.x.y": 1,
    }


@pytest.mark.parametrize(
    ("applies", "requires", "expected"),
    [
        ("true", "true", "satisfied"),
        ("true", "false", "violated"),
        ("false", "true", None),
        ("true", 'span.attributes["gone"] != ""', "not_evaluable"),
        ('span.attributes["gone"] == "x"', "true", "not_evaluable"),
        ('span.kind == "client" && span.attributes["gone"] == "x"', "true", None),
        ("true", 'span.attributes["gone"] == 1 || true', "satisfied"),
        ("true", 'span.attributes["gone"] == 1 && false', "violated"),
        ("true", '!(span.attributes["gone"] == 1)', "not_evaluable"),
        ("true", "has(span.attributes.gone)", "violated"),
        ('"gone" in span.attributes', "false", None),
        ("true", "span.name > 3", "not_evaluable"),
        ("true", "span.name", "not_evaluable"),
        ("true", "1 / (span.start_unix_nano - span.start_unix_nano) > 0", None),
    ],
)
def test_a_missing_fact_is_never_in_order(applies, requires, expected):
    """Errors are absorbed by `&&` and `||` only where the other side decides alone."""
    if expected is None and applies == "true":
        expected = "not_evaluable"
    assert result(applies, requires) == expected


def test_the_reason_names_what_is_missing():
    """A person can see why a unit could not be judged."""
    rules = compile_rules(book(rule("r", "true", 'span.attributes["by"] != ""')))
    assert only(rules, span()).reason == "`by` is missing"


def test_before_the_first_value_a_rule_is_not_evaluable():
    """A span older than the rule's first value is neither in order nor not."""
    rules = compile_rules(book(rule("r", "true", "span.duration_s <= params.x", x=1.0)))
    (outcome,) = rules.judge(span(), at=date(2023, 12, 31))
    assert (outcome.result, outcome.reason) == ("not_evaluable", "`x` is missing")


def test_a_waived_rule_says_nothing():
    """No outcome, whether it would have been kept, broken or not evaluable."""
    rulebook = book(rule("r", "true", "false"), rule("s"))
    rules = compile_rules(rulebook, overlay(rulebook, waive("r")))
    assert [item.rule for item in rules.judge(span(), at=TODAY)] == ["s"]


def test_a_modification_replaces_values_and_says_so():
    """1.7 s is in order under 2 s and out of order under the trial's 1.5 s."""
    rulebook = book(rule("r", "true", "span.duration_s <= params.x", x=2.0))
    plain = compile_rules(rulebook)
    tight = compile_rules(rulebook, overlay(rulebook, modify("r", set={"x": 1.5})))
    assert only(plain, span(1.7))[:3] == ("r", "satisfied", "")
    assert only(tight, span(1.7))[:3] == ("r", "violated", "m")
    assert only(tight, span(1.7)).values["params.x"] == 1.5


def test_an_exception_holds_only_where_and_while_it_is_in_force():
    """Outside `under`, and outside the half-open interval, the rule itself holds."""
    rulebook = book(rule("r", "true", "false"))
    rules = compile_rules(
        rulebook, overlay(rulebook, waive("r", under='span.attributes["zone"] == "a"'))
    )
    inside, end = {"zone": "a"}, START + timedelta(hours=1)
    assert rules.judge(span(**inside), at=TODAY) == []
    assert only(rules, span(zone="b")).result == "violated"
    assert only(rules, span(at=end, **inside)).result == "violated"
    before = START - timedelta(seconds=1)
    assert only(rules, span(at=before, **inside)).result == "violated"
    last = end - timedelta(seconds=1)
    assert rules.judge(span(at=last, **inside), at=TODAY) == []


def test_an_exception_that_cannot_be_told_leaves_the_unit_open():
    """With `under` not evaluable, neither the rule nor the exception can be applied."""
    rulebook = book(rule("r", "true", "true"))
    under = 'span.attributes["zone"] == "a"'
    rules = compile_rules(rulebook, overlay(rulebook, waive("r", under=under)))
    outcome = only(rules, span())
    assert outcome.result == "not_evaluable"
    assert "whether `w` holds: `zone` is missing" in outcome.reason


@pytest.mark.parametrize(
    ("waivers", "words"),
    [
        ((waive("red"),), "red line"),
        ((waive("gone"),), "no rule `gone`"),
        ((waive("r"), modify("r", set={"x": 1.0})), "two exceptions"),
        ((modify("r", set={"y": 1.0}),), "sets y"),
        ((waive("r", under="span.zone =="),), "does not compile"),
        ((waive("r", under="span.zone == 1"),), "span.zone"),
    ],
)
def test_an_overlay_that_does_not_fit_is_refused(waivers, words):
    """Red lines, unknown rules and parameters, two exceptions to one rule."""
    rulebook = book(
        rule("r", "true", "span.duration_s < params.x", x=2.0),
        rule("red", waivable=False),
    )
    with pytest.raises(RuleError, match=words):
        compile_rules(rulebook, overlay(rulebook, *waivers))


def test_an_overlay_for_another_version_is_refused():
    """What was approved for version 3 is not applied to anything else."""
    rulebook = book(rule("r"))
    changed = book(rule("r", "true", "false"))
    with pytest.raises(RuleError, match="compose it again"):
        compile_rules(changed, overlay(rulebook, waive("r")))


def test_an_unsound_rulebook_judges_nothing():
    """Every expression that does not compile is named before the first span."""
    with pytest.raises(RuleError, match="does not compile") as raised:
        compile_rules(book(rule("r", "span.("), rule("s", "true", "1 +")))
    assert raised.value.diagnosis.count("does not compile") == 2


def test_of_a_map_only_its_keys_are_kept():
    """A rule that looks through all attributes does not copy them into observations."""
    text = '!span.attributes.exists(key, key == "customer.name")'
    rules = compile_rules(book(rule("r", "true", text)))
    outcome = only(rules, span(**{"customer.id": 5}))
    assert outcome.result == "satisfied"
    assert outcome.values == {"span.attributes": ["customer.id"]}
    assert only(rules, span(**{"customer.name": "x"})).result == "violated"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('span.attributes["a.b"] == span.name', ["span.attributes.a.b", "span.name"]),
        ("span.attributes.size() > 0", ["span.attributes"]),
        ("has(span.attributes.x)", ["span.attributes.x"]),
        ('"span.name" == params.limit // span.kind', ["params.limit"]),
        ("span.attributes[span.name] == 1", ["span.attributes", "span.name"]),
        (r"span.attributes[r'a\b'] == 'span.kind'", [r"span.attributes.a\b"]),
        ('span.attributes["a\\"b"] == 1', ['span.attributes.a"b']),
        ("other.span.name == 1", []),
        (
            r"""span.name == r"\" && span.kind == "a" """,
            ["span.name", "span.kind"],
        ),
        (
            r'''span.name == """\""" span.kind""" && span.status == "a" ''',
            ["span.name", "span.status"],
        ),
    ],
)
def test_mentions_are_the_fields_an_expression_reads(expression, expected):
    """Strings and comments mention nothing; computed indexes mention their map."""
    assert [".".join(path) for path in mentions(expression)] == expected


FACTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=4)
    | st.lists(st.integers(0, 3), max_size=2),
)
ATOMS = st.sampled_from(
    [
        'span.attributes["a"] == 1',
        'span.attributes["b"] <= 2.5',
        'span.attributes["c"]',
        'span.attributes["a"].startsWith("x")',
        'span.attributes["b"] in [1, 2]',
        "has(span.attributes.c)",
    ]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=4,
)


@given(EXPRESSIONS, FACTS)
def test_a_rule_and_its_negation_are_never_both_in_order(text, attributes):
    """Whatever a span holds: exactly one of the two is satisfied, or neither can be
    evaluated; and what was read can be kept as canonical JSON.
    """
    rulebook = book(rule("r", "true", text), rule("n", "true", f"!({text})"))
    if check_rulebook(rulebook):
        return
    first, second = compile_rules(rulebook).judge(span(**attributes), at=TODAY)
    pair = {first.result, second.result}
    assert pair in ({"satisfied", "violated"}, {"not_evaluable"})
    assert bool(first.reason) == (first.result == "not_evaluable")
    assert canonical_json(first.values)


def test_deep_rule():
    """A rule whose two expressions are as deep as the engine takes is judged."""
    deep = "(" * 32 + "span.duration_s < 2.0" + ")" * 32
    assert result(deep, deep) == "satisfied"
    assert result("true // always", "false // never") == "violated"
