"""The attack corpus covers what admission refuses, and its page says what it holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from experiments.attack_corpus.attempt import SOURCES
from experiments.attack_corpus.corpus import attacks, table
from experiments.attack_corpus.lines import LINES
from sandbox.environment import platform_objects

DOCUMENT = Path(__file__).parents[2] / "docs" / "attacks.md"
ATTACKS = list(attacks("image", "namespace"))
POLICIES = {
    item["metadata"]["name"].removeprefix("regulatory-sandbox-"): item["spec"]
    for item in platform_objects()
    if item["kind"] == "ValidatingAdmissionPolicy"
}
# What is said only where another part of Kubernetes has not refused before.
NEVER_HEARD = {"externalIPs capture the traffic of other addresses; remove them"}


def test_every_line_is_attacked() -> None:
    """No line of what is refused is without an attack, and no attack without a line."""
    assert {attack.line for attack in ATTACKS} == set(LINES)


def test_names_are_unique() -> None:
    """An attack is named once."""
    names = [(attack.line, attack.name) for attack in ATTACKS]
    assert len(set(names)) == len(names)


def test_every_attack_changes_something() -> None:
    """No control is the attack itself."""
    assert all(attack.attempt != attack.control for attack in ATTACKS)


@pytest.mark.parametrize("policy", sorted({a.policy for a in ATTACKS} - set(SOURCES)))
def test_every_refusal_is_heard(policy: str) -> None:
    """Each sentence of a policy is the answer to an attack."""
    words = [attack.words for attack in ATTACKS if attack.policy == policy]
    said = {sentence(rule) for rule in POLICIES[policy]["validations"]}
    assert {text for text in said if not any(w in text for w in words)} <= NEVER_HEARD


def sentence(rule: dict[str, Any]) -> str:
    """Return the words of a validation, without what is put in when it is said."""
    text = rule.get("message") or rule["messageExpression"]
    return re.sub(r"'\s*\+\s*'", "", str(text))


def test_document() -> None:
    """The table in the documentation is that of the corpus."""
    assert table() in DOCUMENT.read_text()
