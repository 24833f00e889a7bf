"""Intake: an application is complete, or every defect comes back at once."""

from __future__ import annotations

from copy import deepcopy
from importlib.resources import files

import pytest
import yaml

from sandbox.errors import InputError
from sandbox.model.application import Application
from sandbox.model.document import read_document
from sandbox.model.regime import Regime
from sandbox.procedure import check_application, read_application
from sandbox.rules import check_conditions_asked, read_rulebook

PAPERS = files("experiments.ride_dispatch")
DIGEST = "sha256:" + "a" * 64


def text(name):
    return (PAPERS / name).read_text()


REGIME = read_document(text("regime.yaml"), Regime, file="regime.yaml")
RULEBOOK = read_rulebook(text("rulebook.yaml"), file="rulebook.yaml")


def document():
    return yaml.safe_load(text("application.yaml").replace("${image.hotrod}", DIGEST))


def read(data):
    return read_application(
        yaml.safe_dump(data), regime=REGIME, rulebook=RULEBOOK, file="a.yaml"
    )


def defects(data):
    with pytest.raises(InputError) as raised:
        read(data)
    return raised.value.defects


def codes(data):
    return {item.code.removeprefix("application/") for item in defects(data)}


def test_the_corrected_application_of_the_experiment_is_complete():
    """Filed as it stands, with the digest filled in, nothing is missing."""
    assert read(document()).application == "ride-dispatch"


def test_the_condition_of_an_exception_is_checked_with_the_rest():
    """An expression that does not compile is placed at its character."""
    filed = (
        text("application.yaml")
        .replace("${image.hotrod}", DIGEST)
        .replace("request: waiver", "request: waiver\n    under: 1 == 1 &&& y")
    )
    with pytest.raises(InputError) as raised:
        read_application(
            filed,
            regime=REGIME,
            rulebook=RULEBOOK,
            file="a.yaml",
            also=check_conditions_asked,
        )
    (torn,) = raised.value.defects
    assert torn.code == "application/expression"
    line = filed.splitlines()[torn.line - 1]
    assert line[torn.column - 1 :] == "& y"


def test_the_first_application_is_returned_with_all_its_defects():
    """Schema and procedure speak together, each with its line."""
    with pytest.raises(InputError) as raised:
        read_application(
            text("application.first.yaml"),
            regime=REGIME,
            rulebook=RULEBOOK,
            file="application.first.yaml",
        )
    found = {item.code.removeprefix("application/") for item in raised.value.defects}
    assert found == {
        "rule-not-named",
        "exit-plan-missing",
        "hypothesis-missing",
        "period-too-long",
        "harm-rule-unknown",
        "image-not-pinned",
    }
    lines = [item.line for item in raised.value.defects]
    assert lines == sorted(lines)
    assert all(item.remedy and item.file for item in raised.value.defects)


def test_what_the_first_application_lacks_is_found_in_the_record_too():
    """The check behind the door finds the same without the text."""
    first = read_document(
        text("application.first.yaml").replace("${image.hotrod}", DIGEST),
        Application,
        file="f",
    )
    found = check_application(first, regime=REGIME, rulebook=RULEBOOK, file="f")
    assert {item.code for item in found} >= {
        "application/rule-not-named",
        "application/exit-plan-missing",
        "application/hypothesis-missing",
    }
    assert {item.file for item in found} == {"f"}


def change(path, value):
    data = document()
    *holders, last = path
    place = data
    for part in holders:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


WAIVER, MODIFICATION = ("collides_with", 0), ("collides_with", 1)
GOAL, HARM = ("plan", "goals", 0), ("plan", "harms", 0)
NEEDS = ("system", "needs")
ARMS = {"by": "span.attributes.arm", "treated": "new", "control": "old"}
MEAN = {"mean": "span.duration_s", "of": "dispatch/offer-time", "claim": "at_most"}
MEAN |= {"least": 0, "most": 10}


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("regime",), "japan", "unknown-regime"),
        (("rulebook",), "maritime", "unknown-rulebook"),
        (("application",), "warm-hearted", "name-reserved"),
        (("exit",), None, "exit-plan-missing"),
        (("safeguards",), None, "safeguards-missing"),
        (("collides_with",), None, "rule-not-named"),
        ((*WAIVER, "rule"), "dispatch/human-confirmations", "rule-not-named"),
        ((*WAIVER, "rule"), "dispatch/no-personal-data-in-spans", "red-line"),
        ((*WAIVER, "set"), {"x": 1}, "waiver-sets-values"),
        ((*WAIVER, "rule"), "dispatch/offer-time", "rule-named-twice"),
        ((*MODIFICATION, "compensates"), [], "waiver-without-compensation"),
        ((*MODIFICATION, "compensates"), ["a/b"], "compensates-no-waiver"),
        ((*MODIFICATION, "set"), {}, "modification-without-value"),
        ((*MODIFICATION, "set"), {"max_offer": 1}, "unknown-parameter"),
        ((*MODIFICATION, "set"), {"max_offer_s": 2.0}, "compensation-not-tighter"),
        (("period", "length"), "PT10M1S", "period-too-long"),
        (("period", "length"), "PT0S", "no-time"),
        (("plan", "settling_time"), "PT0S", "no-time"),
        (("plan", "goals"), [], "hypothesis-missing"),
        (("plan", "harms"), [], "harm-missing"),
        (("plan", "order_of_analysis"), [], "order-of-analysis"),
        (("plan", "order_of_analysis"), ["offers-in-time"] * 2, "order-of-analysis"),
        ((*GOAL, "estimand", "of"), "dispatch/speed", "goal-rule-unknown"),
        ((*GOAL, "design"), "two-stage", "stages-missing"),
        ((*GOAL, "design"), "peeking", "not-a-choice"),
        ((*GOAL, "stages"), {"p1": 0.95, "beta": 0.2}, "stages-not-used"),
        ((*GOAL, "arms"), ARMS, "arms-not-used"),
        ((*GOAL, "arms"), {**ARMS, "control": "new"}, "arms-alike"),
        ((*GOAL, "arms"), {**ARMS, "by": "arm"}, "not-a-field-of-spans"),
        ((*GOAL, "estimand"), {**MEAN, "mean": "delay"}, "not-a-field-of-spans"),
        ((*GOAL, "threshold"), 1.5, "wrong-value"),
        ((*GOAL, "threshold"), None, "missing"),
        ((*GOAL, "alpha"), None, "missing"),
        ((*GOAL, "unit"), None, "missing"),
        ((*GOAL, "estimand"), MEAN, "design-not-for-a-mean"),
        ((*GOAL, "estimand", "least"), 0, "wrong-value"),
        ((*HARM, "of"), "dispatch/speed", "harm-rule-unknown"),
        ((*HARM, "signal", "design"), "grouped-maxsprt", "looks-every-missing"),
        ((*HARM, "signal", "looks_every"), 50, "looks-every-not-used"),
        ((*HARM, "signal", "looks_every"), 1, "wrong-value"),
        ((*HARM, "signal", "design"), "binomial-maxsprt", "not-a-choice"),
        ((*HARM, "of"), "dispatch/human-confirmation", "judged-by-waived-rule"),
        (("system", "images"), {}, "image-missing"),
        (("system", "images", "hotrod"), "hotrod:latest", "image-not-pinned"),
        ((*NEEDS, "limits", "cpu"), "0", "limit-not-a-quantity"),
        ((*NEEDS, "limits", "memory"), "lots", "limit-not-a-quantity"),
        ((*NEEDS, "limits"), None, "missing"),
        (("system", "telemetry", "services"), [], "telemetry-missing"),
        (("confidential",), ["secrets"], "confidential-unknown"),
        (("innovation", "novelty"), "  ", "blank"),
        (("participants", "consent"), "", "blank"),
        (
            (*NEEDS, "egress"),
            [{"cidr": "0.0.0.0/0", "port": 443, "why": "updates"}],
            "egress-too-wide",
        ),
        (
            (*NEEDS, "egress"),
            [{"cidr": "10.0.0.1/8", "port": 443, "why": "updates"}],
            "egress-not-a-network",
        ),
    ],
)
def test_each_defect_has_its_name(path, value, code):
    """One thing made wrong in a complete application is found, under a stable code."""
    assert code in codes(change(path, value))


def test_what_must_not_be_missed_is_better_than_the_threshold():
    """A `p1` on the wrong side, or at the threshold, is no design."""
    data = document()
    goal = data["plan"]["goals"][0]
    goal |= {"design": "two-stage", "stages": {"p1": 0.9, "beta": 0.2}}
    (defect,) = defects(data)
    assert defect.code == "application/p1-on-the-wrong-side"
    assert defect.field == "plan.goals.0.stages.p1"
    goal["stages"]["p1"] = 0.96
    assert read(data).plan.goals[0].stages.p1 == 0.96


def test_two_arms_differ_by_more_than_nothing():
    """Only 0 can be the threshold of a comparison; anything else is refused."""
    data = document()
    goal = data["plan"]["goals"][0]
    goal |= {"design": "two-arm", "arms": ARMS}
    (defect,) = defects(data)
    assert (defect.code, defect.field) == (
        "application/wrong-value",
        "plan.goals.0.threshold",
    )
    assert "write `threshold: 0`" in defect.sentence().lower()
    goal["threshold"] = 0
    assert read(data).plan.goals[0].arms.by == "span.attributes.arm"
    goal["equivalence"] = {"least": 0.9, "most": 0.95}
    assert codes(data) == {"equivalence-not-used"}


def test_a_group_is_named_by_the_designs_that_look_in_groups():
    """Of several harms each is told, with its place; and a whole one is complete."""
    data = document()
    (harm,) = data["plan"]["harms"]
    unused, missing = deepcopy(harm), deepcopy(harm)
    unused |= {"harm": "a", "signal": {**harm["signal"], "looks_every": 50}}
    missing |= {"harm": "b", "signal": {**harm["signal"], "design": "grouped-maxsprt"}}
    data["plan"]["harms"] = [harm, unused, missing]
    assert [(item.code, item.field) for item in defects(data)] == [
        ("application/looks-every-not-used", "plan.harms.1.signal.looks_every"),
        ("application/looks-every-missing", "plan.harms.2.signal.looks_every"),
    ]
    unused["signal"]["design"] = "grouped-maxsprt"
    missing["signal"]["looks_every"] = 2
    assert read(data).plan.harms[2].signal.looks_every == 2


@pytest.mark.parametrize("refused", [("design", "two-arms"), ("estimand", {})])
def test_what_is_refused_does_not_make_a_threshold_wrong(refused):
    """Which thresholds are possible follows from estimand and design."""
    data = document()
    data["plan"]["goals"][0] |= dict([refused], threshold=30)
    fields = {item.field for item in defects(data)}
    assert fields
    assert all(field.startswith(f"plan.goals.0.{refused[0]}") for field in fields)


def test_a_repeated_goal_or_harm_is_named():
    """Two goals of one name could not be told apart in the findings."""
    data = document()
    again = deepcopy(data["plan"])
    data["plan"]["goals"] += again["goals"]
    data["plan"]["harms"] += again["harms"]
    assert codes(data) >= {"goal-repeated", "harm-repeated"}


def test_a_harm_named_like_a_goal_is_returned():
    """Their looks and findings would be entered under one name, and none could be."""
    data = document()
    data["plan"]["harms"][0]["harm"] = data["plan"]["goals"][0]["goal"]
    assert "harm-named-like-a-goal" in codes(data)


def test_schema_and_procedure_are_reported_together():
    """A typo of a key and an unpinned image do not hide a missing exit plan."""
    data = change(("exit",), None)
    data["inovation"] = "x"
    data["system"]["images"]["hotrod"] = "latest"
    assert codes(data) == {"exit-plan-missing", "unknown-key", "image-not-pinned"}


def test_a_red_line_names_the_provision():
    """The applicant can look up why."""
    data = change((*WAIVER, "rule"), "dispatch/no-personal-data-in-spans")
    red = next(item for item in defects(data) if item.code == "application/red-line")
    assert "Art. 5(1)(c)" in red.sentence()


def test_what_the_regime_asks_for_may_not_be_empty():
    """The regime can require more than the schema, once per field."""
    regime = REGIME.model_copy(update={"requires": ("confidential", "exit")})
    data = change(("confidential",), [])
    del data["exit"]
    application = read_document(yaml.safe_dump(data), Application, file="a")
    found = check_application(application, regime=regime, rulebook=RULEBOOK)
    assert [(item.code, item.field) for item in found] == [
        ("application/exit-plan-missing", "exit"),
        ("application/required-by-regime", "confidential"),
    ]
