"""Which rules are in force, for everyone and for one trial? Is this span in order?

| module | question |
|---|---|
| `reading` | what is wrong with a rulebook as it is written? |
| `rulebook` | is a rulebook sound, which values are in force on a day? |
| `compose` | which exceptions does an approval put in force, for how long? |
| `expression` | what do the rules say of one span? |
| `cel` | what does one expression say? |
| `mentions` | which fields does an expression read? |
| `syntax`, `checked` | what is an expression made of, as the engine read it? |
"""

from sandbox.rules.compose import compose, guardrail_of
from sandbox.rules.expression import (
    CompiledRule,
    CompiledRules,
    RuleOutcome,
    compile_rules,
    over,
    values_on,
    with_values,
)
from sandbox.rules.reading import read_rulebook
from sandbox.rules.rulebook import (
    SPAN_FIELDS,
    check_rulebook,
    expression_problem,
    parameters_in_force,
    reference,
    rule_named,
    text_in_force,
)

__all__ = [
    "SPAN_FIELDS",
    "CompiledRule",
    "CompiledRules",
    "RuleOutcome",
    "check_rulebook",
    "compile_rules",
    "compose",
    "expression_problem",
    "guardrail_of",
    "over",
    "parameters_in_force",
    "read_rulebook",
    "reference",
    "rule_named",
    "text_in_force",
    "values_on",
    "with_values",
]
