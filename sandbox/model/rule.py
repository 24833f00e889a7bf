"""Rules as data: the rulebook, and the bounded overlay a trial runs under.

Borrowed shapes: dated parameters with a source per value (OpenFisca), labelled
exceptions with default logic (Catala), an overlay on a base document (OSCAL profile).
Expressions are CEL, the Common Expression Language (https://cel.dev).
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from sandbox.model.decision import Condition
from sandbox.model.pattern import Pattern
from sandbox.model.record import Digest, Identifier, Interval, Record, TrialId

RuleResult = Literal["satisfied", "violated", "not_evaluable"]
"""Three-valued: a missing attribute is not evaluable, never satisfied."""

RuleAnswer = RuleResult | Literal["waived", "does_not_apply"]
"""What is said of one span by one rule; a rule that is waived or does not apply says
nothing."""

About = Literal["span", "object"]
"""What a rule is asked about: a recorded span, or a Kubernetes object at admission."""

Mechanism = Literal[
    "regulation", "corporate-governance", "infrastructure", "market", "social-norm"
]
"""How a goal is pursued; the five mechanisms of METI's Governance Innovation ver. 2."""

Unit = Literal[
    "count", "ratio", "percent",
    "ms", "s", "min", "h", "d",
    "per_s", "per_min", "per_h", "per_d",
    "m", "km", "m/s", "km/h", "kg", "W", "kW", "dB", "bytes",
    "EUR", "GBP", "JPY", "USD",
]  # fmt: skip
"""What the number of a parameter counts or measures. Nothing is converted."""

Action = Literal["warn", "pause", "stop"]

HarmDesign = Literal["maxsprt", "grouped-maxsprt"]
"""When one looks at a harm: after every unit, or after each full group of units."""


class RuleSource(Record):
    """Where the words stand in law."""

    instrument: str
    provision: str
    url: str = ""
    as_of: date


class ParameterValue(Record):
    """One dated value of a parameter, with its own legal reference."""

    value: float
    reference: str


class Parameter(Record):
    """A number in a rule: its unit, its direction, its values by entry into force."""

    unit: Unit
    looser: Literal["higher", "lower", "unknown"]
    """Which direction loosens the rule; where that is unknown, nothing is claimed that
    rests on it."""
    values: dict[date, ParameterValue] = Field(min_length=1)
    """Entry into force → value."""


class ObjectMatch(Record):
    """Which requests to Kubernetes a rule about objects sees; `*` stands for all."""

    api_groups: tuple[str, ...] = Field(min_length=1)
    """The core group is the empty text."""
    api_versions: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = Field(min_length=1)
    """Plural, in lower case, for example `deployments`."""
    operations: tuple[Literal["CREATE", "UPDATE"], ...] = ("CREATE", "UPDATE")


class Rule(Record):
    """One provision: words for people, expressions for machines."""

    kind: Literal["rule"] = "rule"
    rule: Identifier
    text: str
    """The words; `{parameter}` stands for the value in force."""
    source: RuleSource
    goal: Identifier
    mechanism: Mechanism
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    about: About = "span"
    objects: ObjectMatch | None = None
    """Which objects; for a rule about objects only, which must have it."""
    applies: str
    """CEL over `span` (or `object`) and `params`: does it fall under the rule?"""
    requires: str = ""
    """CEL over the same: what must then hold. Empty where there is a pattern."""
    pattern: Pattern | None = None
    """What must hold of the order of spans instead."""
    severity: Literal["minor", "major", "critical"]
    waivable: bool
    """False: a red line no overlay may touch."""

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> Rule:
        if bool(self.requires) == (self.pattern is not None):
            raise ValueError(
                f"of {self.rule} needs `requires` or `pattern`; give exactly one"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A rule that does not use what came later keeps the digest it always had.
        data: dict[str, Any] = write(self)
        absent = ["pattern" if self.pattern is None else "requires"]
        absent += ["about", "objects"] if self.about == "span" else []
        return {name: value for name, value in data.items() if name not in absent}


class Rulebook(Record):
    """The dated, versioned set of rules; a version is addressed by its digest."""

    kind: Literal["rulebook"] = "rulebook"
    rulebook: Identifier
    version: int = Field(ge=1)
    title: str
    owner: Identifier
    """The authority that owns it and adopts amendments."""
    in_force_from: date
    rules: tuple[Rule, ...] = Field(min_length=1)


class RulebookRef(Record):
    """Names one version of one rulebook."""

    rulebook: Identifier
    version: int
    digest: Digest


class Waiver(Record):
    """Disapplies or modifies one rule for one trial: a labelled exception."""

    label: Identifier
    exception_to: Identifier
    kind: Literal["waiver", "modification"]
    set: dict[str, float] = Field(default_factory=dict)
    """Parameter values in force instead; for a modification only."""
    under: str = "true"
    """CEL over `span`, `params`: where the exception applies."""
    compensates: tuple[Identifier, ...] = ()
    """Rules that keep the goal safe meanwhile; a waiver names at least one."""


class HarmLimit(Record):
    """When a guardrail signals: exact sequential test on the harmful event."""

    baseline_rate: float = Field(gt=0, lt=1)
    design: HarmDesign
    alpha: float = Field(gt=0, le=0.5)
    min_events: int = Field(ge=1)
    horizon: float = Field(gt=0)
    looks_every: int | None = Field(
        default=None, ge=2, exclude_if=lambda value: value is None
    )
    """Units in a group, of a grouped design; left out by the other, so that temporary
    rules of before keep their digest."""


class Guardrail(Record):
    """A machine-checked limit over observations, with an action."""

    id: Identifier
    watches: Identifier
    """The rule whose violations are counted."""
    harm: HarmLimit
    action: Action


class Scope(Record):
    """For whom and where the temporary rule is in force."""

    participants: str
    area: str
    caps: dict[str, float] = Field(default_factory=dict)


class TemporaryRule(Record):
    """Overlay in force for one trial: waivers, conditions, guardrails, scope, interval.

    It never edits the rulebook and ends by itself (`in_force` is half-open).
    """

    kind: Literal["temporary-rule"] = "temporary-rule"
    temporary_rule: str
    """`trial/{trial_id}`."""
    trial_id: TrialId
    of: RulebookRef
    in_force: Interval
    scope: Scope
    overlays: tuple[Waiver, ...]
    conditions: tuple[Condition, ...] = ()
    guardrails: tuple[Guardrail, ...]
    plan_digest: Digest
    """No locked plan, no environment."""


class Amendment(Record):
    """One insert, replacement or repeal in a rulebook, with its grounds."""

    kind: Literal["amendment"] = "amendment"
    operation: Literal["insert", "replace", "repeal"]
    rule: Identifier
    new: Rule | None = None
    """The rule after the amendment; None for a repeal."""
    why: str
    grounds: tuple[str, ...] = ()
    """Ids of the findings it rests on."""
    in_force_from: date
