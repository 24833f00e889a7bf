"""Other ways to reach the goal, over the five mechanisms and no change.

Rules of this module:

* The answer to evidence is not always a change of the regulation. Each mechanism is
  described for the goals at hand, with what speaks for and against it.
* These are starting points for people to edit; none is recommended by the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.model.proposal import Alternative
from sandbox.model.rule import Rulebook
from sandbox.rules import rule_named


def alternatives(
    rulebook: Rulebook, rules: Sequence[str], *, is_change: bool
) -> tuple[Alternative, ...]:
    """Return the alternatives to what is proposed.

    Args:
        rulebook: The version that would be amended.
        rules: The rules that overlays were tried on.
        is_change: Whether amendments are proposed; *no change* is an alternative then.
    """
    named = [rule_named(rulebook, rule) for rule in rules]
    goals = ", ".join(dict.fromkeys(rule.goal for rule in named)) or "the goals"
    listed = ", ".join(rules) or "the rules"
    found = [
        Alternative(
            mechanism="regulation",
            description=f"Repeal {listed} without an exception's conditions.",
            reasons="Simplest to read. Goes beyond what was tried: no unit was seen"
            " that neither kept the rule nor what compensated for it by duty.",
        ),
        Alternative(
            mechanism="corporate-governance",
            description=f"Let operators show by their own records that {goals} are"
            " kept, open to inspection at any time.",
            reasons="Fits operators of different size; rests on the operator's own"
            " measurement, which the trial did not test.",
        ),
        Alternative(
            mechanism="infrastructure",
            description="Require the recorder and guardrail of the trial of every"
            " operator, so that a breach stops the service by itself.",
            reasons="Keeps the protection the trial had; costs each operator the"
            " running of it.",
        ),
        Alternative(
            mechanism="market",
            description=f"Certify systems that meet {goals}, or publish each operator's"
            " figures, and let customers choose.",
            reasons="Leaves room for better systems; customers carry the risk until"
            " figures are known.",
        ),
        Alternative(
            mechanism="social-norm",
            description=f"Guidance on how {listed} is read for automatic systems,"
            " agreed with operators and the public.",
            reasons="Quick and easy to correct; binds nobody.",
        ),
    ]
    if is_change:
        found.append(
            Alternative(
                mechanism="no-change",
                description="Keep the rules; run further trials.",
                reasons="Right if what the findings do not show weighs more than what"
                " they do.",
            )
        )
    return tuple(found)
