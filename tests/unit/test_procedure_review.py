"""Hearing and deciding: who may, and what becomes of who may not."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

import pytest

from sandbox.model.decision import Decision, Opinion, Refusal
from sandbox.model.document import read_document
from sandbox.model.party import Actor, Applicant
from sandbox.model.regime import Regime
from sandbox.procedure import (
    DecisionRequest,
    OpinionPapers,
    consider_decision,
    consider_opinion,
)

PAPERS = files("experiments.ride_dispatch")
NOW = datetime(2026, 4, 1, tzinfo=UTC)
APPLICANT = Applicant(name="HotROD Mobility", contact="trials@hotrod-mobility.example")
APPROVER = Actor(name="Ren Sato", role="approver", represents="transport")


def read(name, model):
    return read_document((PAPERS / name).read_text(), model, file=name)


@pytest.fixture(name="regime")
def _regime():
    return read("regime.yaml", Regime)


@pytest.fixture(name="opinions")
def _opinions():
    return read("opinions.yaml", OpinionPapers).opinions


@pytest.fixture(name="request_")
def _request():
    return read("decision.yaml", DecisionRequest)


def decide(request, regime, opinions, approver=APPROVER):
    return consider_decision(
        request,
        trial_id="ride-dispatch",
        approver=approver,
        applicant=APPLICANT,
        regime=regime,
        opinions=tuple(opinions),
        at=NOW,
    )


def test_a_lawful_decision_keeps_what_was_asked_and_who_decided(
    request_, regime, opinions
):
    """The decision names approver and assessor, reasons and conditions."""
    decision = decide(request_, regime, opinions)
    assert isinstance(decision, Decision)
    assert decision.approver == APPROVER
    assert decision.assessor == request_.assessor
    assert decision.conditions == request_.conditions
    assert (decision.trial_id, decision.decided_at) == ("ride-dispatch", NOW)


@pytest.mark.parametrize(
    "approver",
    [
        Actor(name="HotROD Mobility", role="applicant", represents="HotROD Mobility"),
        Actor(name="hotrod mobility ", role="approver", represents="transport"),
        Actor(name="Kim", role="approver", represents="HotROD Mobility"),
        Actor(name="Jonas Okafor", role="approver", represents="transport"),
    ],
)
def test_who_applied_or_assessed_cannot_decide(request_, regime, opinions, approver):
    """In whatever role they sign in, the attempt is refused as a conflict."""
    refusal = decide(request_, regime, opinions, approver)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "conflict-of-interest"
    assert (refusal.by, refusal.act) == (approver, "decide")
    assert refusal.decision_id == request_.decision_id


@pytest.mark.parametrize(
    "role", ["case-officer", "authority", "platform-operator", "machine"]
)
def test_only_an_approver_decides(request_, regime, opinions, role):
    """Every other role is refused."""
    refusal = decide(request_, regime, opinions, Actor(name="Kim", role=role))
    assert refusal.code == "not-an-approver"


def test_every_authority_is_heard_first(request_, regime, opinions):
    """The refusal names who has not been heard."""
    refusal = decide(request_, regime, opinions[:1])
    assert refusal.code == "authority-not-heard"
    assert "Data Protection Commission" in refusal.what


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"reasons": (" ",)}, "reasons-missing"),
        ({"conditions": ()}, "conditions-do-not-match"),
        ({"outcome": "approved"}, "conditions-do-not-match"),
        ({"outcome": "refused"}, "conditions-do-not-match"),
        ({"assessor": Actor(name="X", role="public")}, "not-an-assessor"),
    ],
)
def test_a_badly_formed_decision_has_no_effect(
    request_, regime, opinions, changes, code
):
    """Reasons in words; conditions exactly where the outcome says so."""
    refusal = decide(request_.model_copy(update=changes), regime, opinions)
    assert refusal.code == code


def test_a_condition_stands_once(request_, regime, opinions):
    """Two conditions of one name cannot both be kept."""
    twice = request_.conditions + request_.conditions[:1]
    refusal = decide(
        request_.model_copy(update={"conditions": twice}), regime, opinions
    )
    assert refusal.code == "condition-repeated"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"authority": "treasury"}, "unknown-authority"),
        ({"authority": "transport"}, "not-the-authority"),
        ({"by": Actor(name="K", role="public")}, "not-the-authority"),
        ({"by": Actor(name="K", role="applicant")}, "conflict-of-interest"),
        ({"reasons": ()}, "reasons-missing"),
        ({"position": "objection"}, "conditions-do-not-match"),
        ({"conditions": ()}, "conditions-do-not-match"),
    ],
)
def test_an_opinion_is_heard_from_the_authority_itself(regime, opinions, changes, code):
    """Who speaks for another body, or without reasons, is not heard."""
    opinion = opinions[1].model_copy(update=changes)
    heard = consider_opinion(opinion, regime=regime, applicant=APPLICANT, at=NOW)
    if code is None:
        assert isinstance(heard, Opinion)
    else:
        assert isinstance(heard, Refusal)
        assert heard.code == code
