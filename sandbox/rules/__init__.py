"""Which rules are in force, for everyone and for one trial? Is this span in order?

| module | question |
|---|---|
| `reading` | what is wrong with a rulebook as it is written? |
| `rulebook` | is a rulebook sound, which values are in force on a day? |
| `history` | which version, values and words are in force at an instant? |
| `difference` | what changed between two versions? |
| `compose` | which exceptions does an approval put in force, for how long? |
| `overlay` | does a temporary rule fit its rulebook? |
| `conflict` | would two trials be under different exceptions? |
| `expression` | what do the rules say of one span? |
| `compiled`, `facts` | one rule, a span, and what it says of it |
| `objects` | what do the rules say of objects that are to be, or are? |
| `admission` | how does Kubernetes enforce a rule about its objects? |
| `explain` | why does a rule say what it says? |
| `examples` | do the rules say of the examples what they must? |
| `parts` | which parts is an expression joined of? |
| `tracks` | what do rules with patterns say of many spans together? |
| `pattern` | what does a pattern say of one of them? |
| `cel` | what does one expression say? |
| `mentions` | which fields does an expression read? |
| `reads` | which facts can an expression read? |
| `syntax`, `checked` | what is an expression made of, as the engine read it? |
"""

from sandbox.rules.admission import render_admission
from sandbox.rules.compiled import CompiledRule, RuleOutcome
from sandbox.rules.compose import compose, foresee, guardrail_of
from sandbox.rules.conflict import Conflict, find_conflicts
from sandbox.rules.difference import Difference, differences
from sandbox.rules.examples import (
    ExampleResult,
    ReadExamples,
    instant_of,
    read_examples,
    run_examples,
)
from sandbox.rules.explain import Explained, Explanation, Step, explain
from sandbox.rules.expression import (
    CompiledRules,
    compile_rules,
    values_on,
)
from sandbox.rules.facts import span_facts
from sandbox.rules.history import (
    RuleInForce,
    rules_in_force,
    values_in_force,
    version_in_force,
)
from sandbox.rules.objects import (
    CHANGE,
    CREATION,
    Objection,
    Operation,
    Sent,
    objections,
    rules_about_objects,
)
from sandbox.rules.overlay import (
    check_conditions_asked,
    check_temporary_rule,
    read_temporary_rule,
)
from sandbox.rules.pattern import Known
from sandbox.rules.reading import examine_rulebook, read_rulebook
from sandbox.rules.rulebook import (
    SPAN_FIELDS,
    always,
    check_rulebook,
    expression_problem,
    number_text,
    over,
    parameters_in_force,
    reference,
    rule_named,
    text_in_force,
    with_values,
)
from sandbox.rules.tracks import UnitOutcome, judge_tracks

__all__ = [
    "CHANGE",
    "CREATION",
    "SPAN_FIELDS",
    "CompiledRule",
    "CompiledRules",
    "Conflict",
    "Difference",
    "ExampleResult",
    "Explained",
    "Explanation",
    "Known",
    "Objection",
    "Operation",
    "ReadExamples",
    "RuleInForce",
    "RuleOutcome",
    "Sent",
    "Step",
    "UnitOutcome",
    "always",
    "check_conditions_asked",
    "check_rulebook",
    "check_temporary_rule",
    "compile_rules",
    "compose",
    "differences",
    "examine_rulebook",
    "explain",
    "expression_problem",
    "find_conflicts",
    "foresee",
    "guardrail_of",
    "instant_of",
    "judge_tracks",
    "number_text",
    "objections",
    "over",
    "parameters_in_force",
    "read_examples",
    "read_rulebook",
    "read_temporary_rule",
    "reference",
    "render_admission",
    "rule_named",
    "rules_about_objects",
    "rules_in_force",
    "run_examples",
    "span_facts",
    "text_in_force",
    "values_in_force",
    "values_on",
    "version_in_force",
    "with_values",
]
