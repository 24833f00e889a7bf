"""From an approval to the temporary rule of one trial."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from sandbox.errors import InputError
from sandbox.model.decision import Condition, Decision
from sandbox.model.document import read_document
from sandbox.model.party import Actor
from sandbox.model.record import Interval
from sandbox.model.regime import Regime
from sandbox.procedure import read_application
from sandbox.rules import (
    compile_rules,
    compose,
    guardrail_of,
    read_rulebook,
    reference,
)

PAPERS = files("experiments.ride_dispatch")
DIGEST = "sha256:" + "a" * 64
NOW = datetime(2026, 4, 1, tzinfo=UTC)
TRIAL = Interval(start=NOW, end=NOW + timedelta(minutes=2))


def text(name):
    return (PAPERS / name).read_text()


BOOK = read_rulebook(text("rulebook.yaml"), file="rulebook.yaml")
APPLICATION = read_application(
    text("application.yaml").replace("${image.hotrod}", DIGEST),
    regime=read_document(text("regime.yaml"), Regime, file="regime.yaml"),
    rulebook=BOOK,
    file="application.yaml",
)
DECISION = Decision(
    decision_id="d",
    trial_id="ride-dispatch",
    outcome="approved_with_conditions",
    reasons=("r",),
    conditions=(
        Condition(id="c", text="t", source="s", caps={"customers": 100, "rate": 9}),
    ),
    approver=Actor(name="A", role="approver"),
    assessor=Actor(name="B", role="assessor"),
    decided_at=NOW,
)


def composed(application=APPLICATION, decision=DECISION, rulebook=BOOK):
    return compose(
        application,
        decision=decision,
        rulebook=rulebook,
        in_force=TRIAL,
        plan_digest=DIGEST,
    )


def codes(**changes):
    with pytest.raises(InputError) as raised:
        composed(**changes)
    return {item.code for item in raised.value.defects}


def test_an_approval_becomes_an_overlay_on_exactly_one_version():
    """Waiver with its compensation, modification with its value, guardrail, digest."""
    rule = composed()
    assert rule.of == reference(BOOK)
    assert (rule.temporary_rule, rule.in_force) == ("trial/ride-dispatch", TRIAL)
    waiver, modification = rule.overlays
    assert waiver.compensates == ("dispatch/offer-time",)
    assert modification.set == {"max_offer_s": 1.5}
    (guardrail,) = rule.guardrails
    assert (guardrail.watches, guardrail.action) == ("dispatch/offer-time", "pause")
    assert guardrail.harm.baseline_rate == 0.02
    assert rule.conditions == DECISION.conditions
    assert rule.plan_digest == DIGEST
    assert compile_rules(BOOK, rule)


def test_a_guardrail_looks_as_the_plan_of_its_harm_says():
    """The groups of a grouped design are those of the temporary rule."""
    (harm,) = APPLICATION.plan.harms
    changed = {"design": "grouped-maxsprt", "looks_every": 50}
    signal = harm.signal.model_copy(update=changed)
    limit = guardrail_of(harm.model_copy(update={"signal": signal})).harm
    assert (limit.design, limit.looks_every) == ("grouped-maxsprt", 50)
    assert "looks_every" not in guardrail_of(harm).harm.model_dump(mode="json")


def test_the_decision_tightens_caps_and_never_widens_them():
    """The lower of what was asked and what was approved holds."""
    assert composed().scope.caps == {"customers": 100, "rate": 9}
    wide = Condition(id="c", text="t", source="s", caps={"customers": 9000})
    decision = DECISION.model_copy(update={"conditions": (wide,)})
    assert composed(decision=decision).scope.caps == {"customers": 500}


def test_no_temporary_rule_without_an_approval_of_this_case():
    """A refusal, or the decision of another case, puts nothing in force."""
    decision = DECISION.model_copy(update={"outcome": "refused", "trial_id": "x"})
    assert codes(decision=decision) == {
        "temporary-rule/not-approved",
        "temporary-rule/other-case",
    }


def test_no_temporary_rule_over_a_red_line():
    """Even an approval cannot set a red line aside."""
    asked = APPLICATION.collides_with[0].model_copy(
        update={"rule": "dispatch/no-personal-data-in-spans"}
    )
    application = APPLICATION.model_copy(
        update={"collides_with": (asked, APPLICATION.collides_with[1])}
    )
    assert "application/red-line" in codes(application=application)


def test_no_waiver_without_compensation():
    """A decision cannot give what nothing makes up for."""
    application = APPLICATION.model_copy(
        update={"collides_with": APPLICATION.collides_with[:1]}
    )
    assert codes(application=application) == {"application/waiver-without-compensation"}


def test_no_trial_without_a_guardrail_on_a_rule_in_force():
    """A plan without harms, or one that watches a waived rule, is refused."""
    plan = APPLICATION.plan
    blind = plan.harms[0].model_copy(update={"of": "dispatch/human-confirmation"})
    for harms, code in (((), "no-guardrail"), ((blind,), "guardrail-without-rule")):
        changed = plan.model_copy(update={"harms": harms})
        application = APPLICATION.model_copy(update={"plan": changed})
        assert codes(application=application) == {f"temporary-rule/{code}"}


def test_the_rulebook_is_the_one_applied_for():
    """An overlay is not composed on a rulebook nobody spoke of."""
    other = BOOK.model_copy(update={"rulebook": "maritime"})
    assert codes(rulebook=other) == {"temporary-rule/other-rulebook"}
