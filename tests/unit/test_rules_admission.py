"""Rules about Kubernetes objects: judged offline, and rendered for admission."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sandbox.errors import InputError, RuleError
from sandbox.model.record import Interval
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.rules import (
    compile_rules,
    explain,
    read_examples,
    read_rulebook,
    reference,
    render_admission,
    run_examples,
)
from sandbox.rules.cel import Expression, Facts
from workflows.cli.rule import app

NOW = datetime(2026, 4, 1, tzinfo=UTC)
TEXT = """\
rulebook: fleet
version: 1
title: Fleet
owner: transport
in_force_from: 2024-01-01
rules:
  - rule: fleet/size
    text: >-
      No more than {max_cars} cars
      at a time.
    source: {instrument: Act, provision: "7", as_of: 2024-01-01}
    goal: streets-stay-free
    mechanism: regulation
    parameters:
      max_cars:
        unit: count
        looser: higher
        values: {2024-01-01: {value: 3, reference: Annex}}
    about: object
    objects: {api_groups: [apps], resources: [deployments]}
    applies: object.metadata.name.startsWith("car")
    requires: object.spec.replicas <= params.max_cars
    severity: major
    waivable: true
"""
BOOK = read_rulebook(TEXT, file="f.yaml")
LOOSER = {"max_cars": 5.0}


def overlay(rulebook, **waiver):
    return TemporaryRule(
        temporary_rule="trial/a",
        trial_id="a",
        of=reference(rulebook),
        in_force=Interval(start=NOW, end=NOW + timedelta(days=30)),
        scope=Scope(participants="c", area="a"),
        overlays=(Waiver(label="w", exception_to="fleet/size", **waiver),),
        guardrails=(),
        plan_digest="sha256:" + "a" * 64,
    )


def with_rule(**changes):
    rule = BOOK.rules[0].model_dump() | changes
    data = BOOK.model_dump() | {"rules": [rule]}
    return Rulebook.model_validate(data)


def answer(rulebook, thing, rule=None):
    found = explain(rulebook, thing, at=NOW, temporary_rule=rule, about="object")
    return found.rules[0].answer


def admits(policy, thing):
    """Whether a policy with failure policy Fail lets an object in, as Kubernetes says.

    A condition that is false leaves the policy out; otherwise an error refuses; so does
    a validation that is not true (Kubernetes, ValidatingAdmissionPolicy,
    `matchConditions` and `failurePolicy`).
    """
    facts = Facts(thing, {}, "object")
    spec = policy["spec"]
    assert spec["failurePolicy"] == "Fail"
    gives = [
        Expression(item["expression"], "object").evaluate(facts).value
        for item in spec["matchConditions"]
    ]
    if False in gives:
        return True
    (validation,) = spec["validations"]
    held = Expression(validation["expression"], "object").evaluate(facts).value
    return None not in gives and held is True


def test_a_rule_about_objects_becomes_a_policy_and_its_binding():
    """Values inlined, the words and source as message, the trial's namespaces only."""
    policy, binding = render_admission(BOOK, "a", at=NOW)
    (validation,) = policy["spec"]["validations"]
    assert validation == {
        "expression": "object.spec.replicas <= (3.0)",
        "message": "No more than 3 cars at a time. (Act, 7; fleet/size)",
    }
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {
            "apiGroups": ["apps"],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["deployments"],
        }
    ]
    assert binding["spec"] == {
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
        "matchResources": {
            "namespaceSelector": {"matchLabels": {"regulatory-sandbox/trial": "a"}}
        },
    }
    other, _ = render_admission(BOOK, "b", at=NOW)
    assert other["metadata"]["name"] != policy["metadata"]["name"]


def test_no_span_is_judged_by_a_rule_about_objects_and_no_object_by_one_about_spans():
    """Each engine has its own rules."""
    assert compile_rules(BOOK).names == ()
    assert compile_rules(BOOK, about="object").names == ("fleet/size",)
    with pytest.raises(RuleError, match="not about a span"):
        explain(BOOK, {}, at=NOW, rule="fleet/size")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("about: object\n", "about: span\n", "undeclared reference to 'object\\."),
        ("about: object\n", "about: span\n", "is about spans"),
        ("    objects: {api_groups: [apps], resources: [deployments]}\n", "", "which"),
        ("object.spec", "span.spec", "undeclared reference to 'span\\."),
        ("params.max_cars", "params.max_car", "Did you mean `params.max_cars`"),
        ("[deployments]", "[]", "resources"),
    ],
)
def test_what_a_rule_is_about_fits_what_it_asks(old, new, words):
    """Spans and objects are not mixed, and the objects are named."""
    with pytest.raises(InputError, match=words):
        read_rulebook(TEXT.replace(old, new), file="f.yaml")


def test_a_parameter_is_the_same_by_index_as_by_name():
    """Whatever letter its name begins with."""
    book = Rulebook.model_validate_json(BOOK.model_dump_json().replace("max_cars", "r"))
    (rule,) = book.rules
    changed = rule.model_copy(update={"requires": 'object.spec.x <= params["r"]'})
    book = book.model_copy(update={"rules": (changed,)})
    policy, _ = render_admission(book, "a", at=NOW)
    assert policy["spec"]["validations"][0]["expression"] == "object.spec.x <= (3.0)"


def test_a_comment_at_the_end_of_an_expression_hides_nothing_of_the_policy():
    """The policy stays what Kubernetes can compile, and says the same."""
    book = with_rule(requires="object.spec.replicas <= params.max_cars // at once")
    under = 'object.metadata.name == "car-1" // the first'
    things = [
        {"metadata": {"name": name}, "spec": {"replicas": number}}
        for name in ("car-1", "car-2")
        for number in (3, 4, 6)
    ]
    for waiver in ({"kind": "waiver"}, {"kind": "modification", "set": LOOSER}):
        rule = overlay(book, under=under, **waiver)
        policy, _ = render_admission(book, "a", at=NOW, temporary_rule=rule)
        for thing in things:
            refused = answer(book, thing, rule) in ("violated", "not_evaluable")
            assert admits(policy, thing) == (not refused)


def test_a_waiver_takes_the_policy_away_and_a_modification_changes_its_value():
    """Only while it is in force; the words of a modification name its label."""
    waiver = overlay(BOOK, kind="waiver")
    assert render_admission(BOOK, "a", at=NOW, temporary_rule=waiver) == ()
    later = NOW + timedelta(days=30)
    assert len(render_admission(BOOK, "a", at=later, temporary_rule=waiver)) == 2
    rule = overlay(BOOK, kind="modification", set={"max_cars": 5})
    policy, _ = render_admission(BOOK, "a", at=NOW, temporary_rule=rule)
    (validation,) = policy["spec"]["validations"]
    assert validation["expression"] == "object.spec.replicas <= (5.0)"
    assert validation["message"].startswith("No more than 5 cars at a time. [w] (Act")


names = st.sampled_from(["car-1", "bus-1", None])
things = st.builds(
    lambda name, replicas: {
        "metadata": {} if name is None else {"name": name},
        "spec": {} if replicas is None else {"replicas": replicas},
    },
    names,
    st.sampled_from([1, 3, 4, 6, "x", None]),
)
asked = st.sampled_from(
    [
        "object.spec.replicas <= params.max_cars",
        'object.spec.replicas < params["max_cars"] || object.metadata.name == "car-1"',
        "object.spec.replicas <= 2 && has(object.metadata.name)",
        "params.max_cars - -params.max_cars > 7.0",
        '"params.max_cars" != object.metadata.name',
    ]
)
exceptions = st.none() | st.builds(
    lambda under, kind: {
        "under": under,
        "kind": kind,
        **({"set": {"max_cars": 5}} if kind == "modification" else {}),
    },
    st.sampled_from(
        ["true", 'object.metadata.name == "car-1"', "params.max_cars > 4.0"]
    ),
    st.sampled_from(["waiver", "modification"]),
)


@given(asked, asked, exceptions, things)
def test_admission_refuses_what_the_rule_finds_violated_or_not_evaluable(
    applies, requires, exception, thing
):
    """Both engines agree; only where it is unknown whether an exception holds may
    admission refuse more.
    """
    rulebook = with_rule(applies=applies, requires=requires)
    rule = overlay(rulebook, **exception) if exception else None
    rendered = render_admission(rulebook, "a", at=NOW, temporary_rule=rule)
    admitted = all(
        admits(item, thing)
        for item in rendered
        if item["kind"] == "ValidatingAdmissionPolicy"
    )
    refused = answer(rulebook, thing, rule) in ("violated", "not_evaluable")
    assert not (refused and admitted)
    under = Expression(exception["under"], "object") if exception else None
    if under and under.evaluate(Facts(thing, {"max_cars": 3}, "object")).value is None:
        return
    assert admitted != refused


def test_examples_give_objects_too():
    """One of span and object; a rule is only expected to speak of its own kind."""
    text = """\
rulebook: fleet
examples:
  - example: too many
    object: {metadata: {name: car}, spec: {replicas: 4}}
    expect: {fleet/size: violated}
  - example: nothing is said of the number
    object: {metadata: {name: car}, spec: {}}
    expect: {fleet/size: not_evaluable}
"""
    results = run_examples(BOOK, read_examples(text, BOOK, file="e.yaml"))
    assert [item.is_as_expected for item in results] == [True, True]
    with pytest.raises(InputError, match="is about a object, the example has none"):
        read_examples(text.replace("object:", "span: {name: x} #"), BOOK, file="e.yaml")
    with pytest.raises(InputError, match="Give one"):
        read_examples(
            text.replace("object: {", "span: {}\n    object: {"), BOOK, file="e.yaml"
        )


def test_the_command_explains_an_object_and_writes_policies(tmp_path):
    """As data and as YAML for kubectl; the words of the provision are in both."""
    book, thing = tmp_path / "f.yaml", tmp_path / "o.yaml"
    book.write_text(TEXT)
    thing.write_text("metadata: {name: car, at: 2026-01-01}\nspec: {replicas: 4}\n")
    words = ["explain", str(book), "--object", str(thing), "-o", "json"]
    (found,) = json.loads(CliRunner().invoke(app, words).stdout)
    (rule,) = found["rules"]
    assert (rule["answer"], rule["source"]["provision"]) == ("violated", "7")
    words = ["render", str(book), "--for", "a"]
    rendered = list(yaml.safe_load_all(CliRunner().invoke(app, words).stdout))
    assert rendered == list(render_admission(BOOK, "a", at=NOW))
