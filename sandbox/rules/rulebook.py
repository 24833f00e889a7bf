"""The rulebook: is it sound, which rule is meant, which values are in force?

Rules of this module:

* A rulebook is checked as a whole; every problem is a `Defect` with its place.
* A parameter's value in force on a day is the newest whose entry into force is not
  after that day. A value without a date does not exist.
* A version is addressed by the digest of its canonical JSON.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from datetime import date
from string import Formatter

from sandbox.errors import RuleError
from sandbox.model.application import Defect
from sandbox.model.record import digest_of
from sandbox.model.rule import (
    About,
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    RulebookRef,
    TemporaryRule,
)
from sandbox.rules.cel import Flaw, problem_of
from sandbox.rules.mentions import every_mention

SPAN_FIELDS = (
    "name",
    "kind",
    "service",
    "status",
    "duration_s",
    "attributes",
    "resource",
    "trace_id",
    "span_id",
    "parent_span_id",
    "start_unix_nano",
    "end_unix_nano",
)
"""What an expression may ask of a span."""


def check_rulebook(rulebook: Rulebook, *, file: str = "") -> tuple[Defect, ...]:
    """Return everything that is wrong with a rulebook.

    Args:
        rulebook: As parsed.
        file: Name of the document, for the places of defects.
    """
    names = [item.rule for item in rulebook.rules]
    found: list[Defect] = []
    for number, rule in enumerate(rulebook.rules):
        field = f"rules.{number}"
        if rule.rule in names[:number]:
            what = f"two rules are called `{rule.rule}`"
            found.append(_defect("rule-repeated", what, "Rename one", f"{field}.rule"))
        found += _check_objects(rule, field)
        found += _check_expressions(rule, field)
        found += _check_pattern(rule, field)
        found += _check_parameters(rule, field, rulebook.in_force_from)
        found += _check_text(rule, field)
    return tuple(item.model_copy(update={"file": file}) for item in found)


def rule_named(rulebook: Rulebook, rule: str) -> Rule:
    """Return one rule of a rulebook.

    Raises:
        RuleError: There is none of that name.
    """
    for item in rulebook.rules:
        if item.rule == rule:
            return item
    names = [item.rule for item in rulebook.rules]
    near = difflib.get_close_matches(rule, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(names)}"
    raise RuleError(
        f"{rulebook.rulebook} v{rulebook.version} has no rule `{rule}`; {hint}"
    )


def unknown_rule(error: RuleError) -> tuple[str, str]:
    """Return what is wrong and the remedy, as a defect has them.

    Args:
        error: Of `rule_named`.
    """
    what, _, remedy = error.diagnosis.partition("; ")
    return what, remedy[:1].upper() + remedy[1:]


def parameters_in_force(rule: Rule, on: date) -> dict[str, float]:
    """Return the value of every parameter of a rule on one day.

    Raises:
        RuleError: A parameter has no value in force on that day.
    """
    values = {}
    for name, parameter in rule.parameters.items():
        dates = [day for day in parameter.values if day <= on]
        if not dates:
            first = min(parameter.values)
            raise RuleError(
                f"`{name}` of {rule.rule} has no value in force on {on}; "
                f"its first enters into force on {first}"
            )
        values[name] = parameter.values[max(dates)].value
    return values


def text_in_force(rule: Rule, on: date) -> str:
    """Return the words of a rule with the values in force on one day.

    Raises:
        RuleError: A parameter has no value in force on that day.
    """
    return text_with(rule, parameters_in_force(rule, on))


def text_with(rule: Rule, values: Mapping[str, float]) -> str:
    """Return the words of a rule with these values; without one, its placeholder."""
    text = rule.text
    for name, value in values.items():
        text = text.replace("{" + name + "}", number_text(value))
    return text


def refusal_words(rule: Rule, values: Mapping[str, float], label: str = "") -> str:
    """Return in one line what someone reads whose object a rule refuses.

    Args:
        rule: The rule.
        values: Of its parameters.
        label: The exception that set some of them.
    """
    said = f"{text_with(rule, values)} [{label}]" if label else text_with(rule, values)
    words = f"{said} ({rule.source.instrument}, {rule.source.provision}; {rule.rule})"
    return " ".join(words.split())


def number_text(value: float) -> str:
    """Return a number of a rule as people write it, with all its digits."""
    return repr(float(value)).removesuffix(".0")


def reference(rulebook: Rulebook) -> RulebookRef:
    """Return the name of exactly this version."""
    return RulebookRef(
        rulebook=rulebook.rulebook,
        version=rulebook.version,
        digest=digest_of(rulebook),
    )


def over(rulebook: Rulebook, temporary_rule: TemporaryRule) -> TemporaryRule:
    """Return a temporary rule as it would be over another version of its rulebook.

    Only for asking what would have been; what is in force is composed.
    """
    return temporary_rule.model_copy(update={"of": reference(rulebook)})


def with_values(rulebook: Rulebook, rule: str, values: Mapping[str, float]) -> Rulebook:
    """Return a rulebook in which parameters of a rule always had other values.

    Args:
        rulebook: As it is.
        rule: Whose parameters.
        values: The candidate values, by parameter.

    Raises:
        RuleError: There is no such rule, or it has no such parameter.
    """
    found = rule_named(rulebook, rule)
    unknown = sorted(set(values) - set(found.parameters))
    if unknown:
        known = ", ".join(found.parameters) or "none"
        raise RuleError(f"`{rule}` has no `{unknown[0]}`; its parameters: {known}")
    parameters = {
        name: always(item, values[name]) if name in values else item
        for name, item in found.parameters.items()
    }
    changed = found.model_copy(update={"parameters": parameters})
    rules = tuple(changed if item is found else item for item in rulebook.rules)
    return rulebook.model_copy(update={"rules": rules})


def expression_problem(
    text: str, parameters: set[str], about: About = "span"
) -> Flaw | None:
    """Return what is wrong with an expression, the remedy and the place, or None.

    Args:
        text: CEL over `span` or `object`, and `params`.
        parameters: Names that `params` has.
        about: Which of the two. Of an object, any field may be asked for.
    """
    problem = problem_of(text, about)
    if problem is not None:
        return problem
    known = {"span": set(SPAN_FIELDS), "params": parameters}
    for mention in every_mention(text):
        root, name, *_ = mention.path
        if root in known and name not in known[root]:
            near = difflib.get_close_matches(name, known[root], n=1)
            names = ", ".join(sorted(known[root])) or "none"
            meant = f"Did you mean `{root}.{near[0]}`?" if near else ""
            what = f"`{text}` asks for `{root}.{name}`, which does not exist"
            return Flaw(what, meant or f"`{root}` has: {names}", mention.at)
    return None


def _check_expressions(rule: Rule, field: str) -> Iterator[Defect]:
    texts = {"applies": rule.applies}
    if rule.requires:
        texts["requires"] = rule.requires
    for name, text in rule.pattern.predicates().items() if rule.pattern else ():
        texts[f"pattern.{name}"] = text
    for name, text in texts.items():
        problem = expression_problem(text, set(rule.parameters), rule.about)
        if problem:
            found = _defect(
                "expression", problem.what, problem.remedy, f"{field}.{name}"
            )
            yield found.model_copy(update={"offset": problem.offset})


def _check_objects(rule: Rule, field: str) -> Iterator[Defect]:
    if (rule.about == "object") == (rule.objects is not None):
        return
    if rule.objects is None:
        what = f"`{rule.rule}` is about objects and does not say which"
        remedy = "Add `objects` with `api_groups` and `resources`"
        yield _defect("objects", what, remedy, f"{field}.about")
    else:
        what = f"`{rule.rule}` names objects and is about spans"
        remedy = "Write `about: object`, or take `objects` out"
        yield _defect("objects", what, remedy, f"{field}.objects")


_PATTERN_UNITS = {"within": "s", "per": "s", "at_most": "count"}


def _check_pattern(rule: Rule, field: str) -> Iterator[Defect]:
    """Find what a pattern cannot be about, and parameters that it cannot use."""
    if rule.pattern and rule.about == "object":
        what = f"`{rule.rule}` is about objects and asks for the order of spans"
        yield _defect("pattern", what, "Write `requires` instead", f"{field}.pattern")
    for name, unit in _PATTERN_UNITS.items() if rule.pattern else ():
        text = getattr(rule.pattern, name)
        if not isinstance(text, str) or not text.startswith("params."):
            continue
        parameter = rule.parameters.get(text.removeprefix("params."))
        known = ", ".join(rule.parameters) or "none"
        place = f"{field}.pattern.{name}"
        if parameter is None:
            what = f"`{name}` is {text}, which is not a parameter"
            yield _defect("pattern", what, f"Parameters of the rule: {known}", place)
        elif parameter.unit != unit:
            what = f"`{name}` is {text}, whose unit is {parameter.unit}"
            yield _defect("pattern", what, f"Use a parameter in `{unit}`", place)


def _check_parameters(rule: Rule, field: str, from_: date) -> Iterator[Defect]:
    for name, parameter in rule.parameters.items():
        place = f"{field}.parameters.{name}.values"
        if min(parameter.values) > from_:
            yield _defect(
                "parameter-undated",
                f"`{name}` has no value when the rulebook enters into force, {from_}",
                f"Add a value dated {from_} or before",
                place,
            )
        for day, item in parameter.values.items():
            if not math.isfinite(item.value):
                what = f"the value of `{name}` from {day} is {item.value}"
                yield _defect(
                    "value", what, "Write a finite number", f"{place}.{day}.value"
                )


def _check_text(rule: Rule, field: str) -> Iterator[Defect]:
    try:
        asked = [
            f"{name}{'!' if how else ''}{how or ''}{':' if form else ''}{form}"
            for _, name, form, how in Formatter().parse(rule.text)
            if name is not None
        ]
    except ValueError as error:
        what = f"the braces of the text do not match: {error}"
        yield _defect("text", what, "Write {parameter} for a value", f"{field}.text")
        return
    for name in asked:
        if name not in rule.parameters:
            known = ", ".join(rule.parameters) or "none"
            yield _defect(
                "text",
                f"the text names {{{name}}}, which is not a parameter",
                f"Parameters of the rule: {known}",
                f"{field}.text",
            )


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"rulebook/{check}", what=what, remedy=remedy, field=field)


def always(parameter: Parameter, value: float) -> Parameter:
    """Return a parameter that always had one value, also before its first date."""
    only = {date.min: ParameterValue(value=value, reference="candidate")}
    return parameter.model_copy(update={"values": only})
