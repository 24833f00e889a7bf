"""Patterns: what a rule may ask of the order of spans instead of one span.

Borrowed shapes: the specification patterns of Dwyer, Avrunin and Corbett, "Patterns in
property specifications for finite-state verification" (ICSE 1999): precedence,
response, bounded existence, absence, universality, and the scope "after … until".
Times are those of metric temporal logic. What a pattern means is told in
`sandbox.rules.pattern`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictInt, model_validator

from sandbox.model.record import Record

PatternShape = Literal["preceded_by", "followed_by", "at_most", "never", "always"]

_TIME = re.compile(
    r"(?:params\.[A-Za-z_][A-Za-z0-9_]*|[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))"
)
_KEY = re.compile(r"(?:trace|(?:attributes|resource)\..+)", re.DOTALL)
_FIELDS: dict[PatternShape, tuple[frozenset[str], frozenset[str]]] = {
    "preceded_by": (frozenset({"every"}), frozenset({"within", "same"})),
    "followed_by": (frozenset({"every"}), frozenset({"within", "same"})),
    "at_most": (frozenset({"of", "per"}), frozenset({"same"})),
    "never": (frozenset(), frozenset({"between", "same"})),
    "always": (frozenset(), frozenset({"between", "same"})),
}
"""Shape → the fields it needs and the fields it may have besides."""


def _check_time(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError(
            "is not a length of time; write for example 30s, 1.5s, 250ms, 5m, 1h, or "
            "params.NAME for a parameter in seconds"
        )
    return value


def _check_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError(
            "is not what spans can have in common; write trace, attributes.KEY or "
            "resource.KEY"
        )
    return value


def _check_count(value: int | str) -> int | str:
    named = isinstance(value, str) and value.startswith("params.")
    if not named and not (isinstance(value, int) and value >= 0):
        raise ValueError(
            "is not a number of times; write a whole number of at least 0, or "
            "params.NAME for a parameter"
        )
    return value


Time = Annotated[str, AfterValidator(_check_time)]
"""A number with ms, s, m or h, as CEL writes durations; or `params.NAME`, in its
unit."""

CommonKey = Annotated[str, AfterValidator(_check_key)]
"""What spans that are looked at together have in common: `trace`, or an attribute."""

Times = Annotated[StrictInt | str, AfterValidator(_check_count)]
"""A number of times, or `params.NAME`."""


class Between(Record):
    """A stretch of a trace: after `from` and until the next `to`."""

    opens: str = Field(alias="from")
    """CEL over `span` and `params`: after such a span the stretch is open."""
    closes: str = Field(alias="to")
    """CEL over `span` and `params`: such a span closes it; it lies outside itself."""


class Pattern(Record):
    """One pattern over spans that have something in common; a rule's third condition.

    Exactly one of `preceded_by`, `followed_by`, `at_most`, `never` and `always` is
    given: it says which shape the pattern has. Texts are CEL over `span` and `params`.
    """

    every: str | None = None
    """Each such span is a unit: it must be preceded or followed."""
    preceded_by: str | None = None
    """Such a span must have started before the unit."""
    followed_by: str | None = None
    """Such a span must start after the unit."""
    within: Time | None = None
    """From start to start, at most; without it, at any time in the trace."""
    at_most: Times | None = None
    """So many of the spans of `of` may start within the time `per`."""
    of: str | None = None
    """Each such span is a unit, and is counted."""
    per: Time | None = None
    """The time that ends with the start of the unit."""
    never: str | None = None
    """No span may be so."""
    always: str | None = None
    """Every span must be so."""
    between: Between | None = None
    """Only spans in such a stretch are units; without it, all are."""
    same: tuple[CommonKey, ...] = ("trace",)
    """Spans are looked at together that agree in all of these."""

    @model_validator(mode="after")
    def _has_one_shape(self) -> Pattern:
        if not self.same:
            raise ValueError("needs something in `same`; write for example [trace]")
        fields = type(self).model_fields
        given = {name for name in fields if getattr(self, name) is not None}
        shapes = [name for name in _FIELDS if name in given]
        if len(shapes) != 1:
            raise ValueError(
                f"has {' and '.join(shapes) or 'no shape'}; give exactly one of "
                f"{', '.join(_FIELDS)}"
            )
        needed, allowed = _FIELDS[shapes[0]]
        missing = sorted(needed - given)
        other = sorted(given - needed - allowed - {shapes[0], "same"})
        if missing:
            raise ValueError(f"with {shapes[0]} needs {', '.join(missing)}; add it")
        if other:
            raise ValueError(f"with {shapes[0]} has {', '.join(other)}; remove it")
        alone = shapes[0] in ("never", "always") and not self.between
        if alone and self.same != ("trace",):
            raise ValueError(
                "has same without between, where it means nothing; remove same, or add"
                " between"
            )
        if self.followed_by and not self.within and "trace" not in self.same:
            raise ValueError(
                "has followed_by without within, and only traces end by themselves; add"
                " within, or trace to same"
            )
        return self

    @property
    def shape(self) -> PatternShape:
        """Return which of the shapes it has."""
        return next(name for name in _FIELDS if getattr(self, name) is not None)

    def predicates(self) -> dict[str, str]:
        """Return every CEL text by the name of its field."""
        texts = {
            name: getattr(self, name)
            for name in ("every", "preceded_by", "followed_by", "of", "never", "always")
            if getattr(self, name) is not None
        }
        if self.between:
            texts |= {"between.from": self.between.opens}
            texts |= {"between.to": self.between.closes}
        return texts

    def parameters(self) -> tuple[str, ...]:
        """Return the parameters that its times and counts name."""
        named = (self.within, self.per, self.at_most)
        texts = (item for item in named if isinstance(item, str))
        return tuple(t[7:] for t in texts if t.startswith("params."))
