"""Examples kept beside a rulebook: these facts, and what each rule must say of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from sandbox.model.record import Identifier, Instant, Record
from sandbox.model.rule import About, RuleAnswer, Waiver


class SpanFacts(Record):
    """A span as expressions see it; what is not given is missing."""

    name: str = ""
    kind: str = ""
    service: str = ""
    status: str = ""
    duration_s: float = 0.0
    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    resource: dict[str, JsonValue] = Field(default_factory=dict)
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    start_unix_nano: int = Field(default=0, ge=0, lt=2**64)
    end_unix_nano: int = Field(default=0, ge=0, lt=2**64)

    def given(self) -> dict[str, JsonValue]:
        """Return the fields that were given, and no others."""
        return self.model_dump(mode="json", exclude_unset=True)


class Example(Record):
    """One span or object, and what the rules must say of it."""

    example: str
    """What it shows, in words."""
    note: str = ""
    at: Instant | None = None
    """When; by default the start of the span, or the rulebook's entry into force."""
    span: SpanFacts | None = None
    object: dict[str, JsonValue] | None = None
    """A Kubernetes object instead, as it would stand in YAML."""
    overlays: tuple[Waiver, ...] = ()
    """Exceptions in force meanwhile, as a temporary rule would have them."""
    expect: dict[Identifier, RuleAnswer] = Field(min_length=1)
    """Rule → what it must say: satisfied, violated, not_evaluable, waived or
    does_not_apply. A rule that is not named may say anything."""

    @model_validator(mode="after")
    def _has_one(self) -> Example:
        if (self.span is None) == (self.object is None):
            raise ValueError("has not exactly one of `span` and `object`; give one")
        return self

    @property
    def about(self) -> About:
        """Which of the two it is."""
        return "object" if self.span is None else "span"

    @property
    def facts(self) -> dict[str, JsonValue]:
        """What the rules are asked about."""
        return (self.object or {}) if self.span is None else self.span.given()


class ExampleSet(Record):
    """The examples of one rulebook."""

    kind: Literal["examples"] = "examples"
    rulebook: Identifier
    examples: tuple[Example, ...] = Field(min_length=1)
