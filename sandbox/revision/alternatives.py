"""Other ways to reach the goal, over the five mechanisms and no change.

Rules of this module:

* The answer to evidence is not always a change of the regulation. Each mechanism is
  described for the goals at hand, with what speaks for and against it.
* These are starting points for people to edit; none is recommended by the machine.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

from sandbox.model.proposal import Alternative
from sandbox.model.rule import Mechanism, Rulebook
from sandbox.rules import rule_named


class Basis(NamedTuple):
    """What was tried, as far as it decides which alternatives there are."""

    rules: tuple[str, ...]
    """The rules that overlays were tried on."""
    is_waived: bool
    """Whether one of them was waived; else values were modified."""
    is_watched: bool
    """Whether a guardrail watched a trial."""
    is_change: bool
    """Whether amendments are proposed; *no change* is an alternative then."""


class _Way(NamedTuple):
    """A mechanism in general words; `{goals}` and `{rules}` are those at hand."""

    mechanism: Mechanism
    description: str
    reasons: str


_REPEAL = _Way(
    "regulation",
    "Repeal {rules} without an exception's conditions.",
    "Simplest to read. Goes beyond what was tried: no unit was seen that was bound"
    " neither by the rule nor by what compensated for it.",
)
_OTHER_VALUES = _Way(
    "regulation",
    "Set other values in {rules} than were tried, or repeal it.",
    "Goes beyond what was tried: the labels of support say for which values units were"
    " seen, and none was seen without the rule.",
)
_RECORDER = _Way(
    "infrastructure",
    "Require the recorder of the trial of every operator, and a guardrail that stops"
    " the service at a breach.",
    "Keeps the record the trial had; no guardrail was tried, so how often one would"
    " stop the service is not known.",
)
_GUARDRAIL = _Way(
    "infrastructure",
    "Require the recorder and guardrail of the trial of every operator, so that a"
    " breach stops the service by itself.",
    "Keeps the protection the trial had; costs each operator the running of it.",
)
_WAYS = (
    _Way(
        "corporate-governance",
        "Let operators show by their own records that they serve {goals}, open to"
        " inspection at any time.",
        "Fits operators of different size; rests on the operator's own measurement,"
        " which the trial did not test.",
    ),
    _Way(
        "market",
        "Certify systems that serve {goals}, or publish each operator's figures, and"
        " let customers choose.",
        "Leaves room for better systems; customers carry the risk until figures are"
        " known.",
    ),
    _Way(
        "social-norm",
        "Guidance on how {rules} is read for automatic systems, agreed with operators"
        " and the public.",
        "Quick and easy to correct; binds nobody.",
    ),
)
_NO_CHANGE = Alternative(
    mechanism="no-change",
    description="Keep the rules; run further trials.",
    reasons="Right if what the findings do not show weighs more than what they do.",
)


def alternatives(rulebook: Rulebook, basis: Basis) -> tuple[Alternative, ...]:
    """Return the alternatives to what is proposed: one for every mechanism.

    Args:
        rulebook: The version that would be amended.
        basis: What was tried.
    """
    goals = dict.fromkeys(rule_named(rulebook, rule).goal for rule in basis.rules)
    words = {
        "goals": ", ".join(goals) or "the goals",
        "rules": ", ".join(basis.rules) or "the rules",
    }
    ways = (
        _REPEAL if basis.is_waived else _OTHER_VALUES,
        _GUARDRAIL if basis.is_watched else _RECORDER,
        *_WAYS,
    )
    found = tuple(
        Alternative(
            mechanism=way.mechanism,
            description=way.description.format(**words),
            reasons=way.reasons,
        )
        for way in sorted(
            ways, key=lambda way: get_args(Mechanism).index(way.mechanism)
        )
    )
    return (*found, _NO_CHANGE) if basis.is_change else found
