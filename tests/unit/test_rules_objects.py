"""What the rules have against objects that are to be, or are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.model.rule import ObjectMatch, Rulebook, Waiver
from sandbox.rules import CHANGE, Sent, objections, render_admission
from sandbox.testing.object_rules import rulebook, temporary_rule

NOW = datetime(2026, 4, 1, tzinfo=UTC)
BOOK = rulebook()
WAIVED = Waiver(label="w", exception_to="front/size", kind="waiver")
LOOSER = Waiver(
    label="m", exception_to="front/size", kind="modification", set={"max_replicas": 9}
)


def front(name: str = "front", resource: str = "deployments", **spec: Any) -> Sent:
    """Return a Deployment with a specification."""
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
    return Sent(f"Deployment {name}", resource, {**body, "spec": spec})


def about(**match: Any) -> Rulebook:
    """Return the rulebook, its rule about other objects."""
    kept, rule = BOOK.rules
    usual = {"api_groups": ("apps",), "resources": ("deployments",)}
    objects = ObjectMatch.model_validate({**usual, **match})
    changed = rule.model_copy(update={"objects": objects})
    return BOOK.model_copy(update={"rules": (kept, changed)})


def test_violated_is_an_objection_in_the_words_of_the_provision() -> None:
    """The very words a refusal by the cluster carries."""
    (found,) = objections(BOOK, [front(replicas=3)], at=NOW)
    assert (found.title, found.rule) == ("Deployment front", "front/size")
    assert found.is_violated and found.reason == ""
    policy, _ = render_admission(BOOK, "ride-1", at=NOW)
    assert found.words == policy["spec"]["validations"][0]["message"]
    assert found.words == "No more than 2 fronts at a time. (Act, 7; front/size)"


def test_what_cannot_be_told_is_an_objection() -> None:
    """A field that is missing is never taken for satisfied, and is named."""
    (found,) = objections(BOOK, [front()], at=NOW)
    assert not found.is_violated
    assert "replicas" in found.sentence() and "cannot be told" in found.sentence()
    assert "Write out" in found.remedy


@pytest.mark.parametrize(
    "sent",
    [
        front(replicas=2),
        front("back", replicas=9),
        front(resource="replicasets", replicas=9),
        Sent("Pod front", "deployments", {"apiVersion": "v1", "metadata": {}}),
    ],
    ids=["satisfied", "does not apply", "another kind", "another group"],
)
def test_there_is_nothing_against_what_is_in_order_or_not_meant(sent: Sent) -> None:
    """Satisfied, outside `applies`, and outside `objects` are no objections."""
    assert objections(BOOK, [sent], at=NOW) == ()


@pytest.mark.parametrize(
    "match",
    [{"api_groups": ("*",)}, {"resources": ("*",)}, {"api_versions": ("v1", "v2")}],
)
def test_a_star_stands_for_all(match: dict[str, Any]) -> None:
    """As in the policy that is rendered from it."""
    assert len(objections(about(**match), [front(replicas=3)], at=NOW)) == 1


def test_another_version_of_the_interface_is_not_meant() -> None:
    """A rule about v1beta1 says nothing of v1."""
    beta = about(api_versions=("v1beta1",))
    assert objections(beta, [front(replicas=3)], at=NOW) == ()


def test_a_rule_about_changes_is_asked_of_changes_only() -> None:
    """What is sent for the first time is created; another version changes as well."""
    changes, sent = about(operations=("UPDATE",)), [front(replicas=3)]
    assert objections(changes, sent, at=NOW) == ()
    assert len(objections(changes, sent, at=NOW, operations=CHANGE)) == 1


def test_an_exception_holds_here_too() -> None:
    """A waived rule is silent; a modified one speaks of the value set."""
    for waiver in (WAIVED, LOOSER):
        rule = temporary_rule("ride-1", waiver)
        assert not objections(BOOK, [front(replicas=9)], at=NOW, temporary_rule=rule)
    rule = temporary_rule("ride-1", LOOSER)
    (found,) = objections(BOOK, [front(replicas=10)], at=NOW, temporary_rule=rule)
    assert "No more than 9 fronts at a time. [m]" in found.words


def test_every_object_and_rule_is_asked() -> None:
    """One objection hides no other."""
    sent = [front("front-a", replicas=3), front("front-b"), front("back")]
    found = objections(BOOK, sent, at=NOW)
    assert [item.title[-7:] for item in found] == ["front-a", "front-b"]
