"""The figures of a proposal, found again from the record and compared.

Rules of this module:

* Everything is computed anew from the log's rulebooks and temporary rules and from the
  evidence; nothing but the question is taken from the figure itself.
* A figure is the same when its numbers, its rules and its evidence are the same. That
  another engine answered, or in other words, is said and changes nothing.
* A figure that is not found again, and one that comes on top, are differences too, and
  so is a question whose text is not what its digest says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from sandbox.model.impact import (
    FigureSource,
    ImpactFigure,
    ImpactStatement,
    Reproduction,
)
from sandbox.model.proposal import RevisionProposal, SupportLabel
from sandbox.model.record import Digest, digest_of

_LOST = "The record gives no such figure today."
_ADDED = "The proposal has no such figure."


class _Told(NamedTuple):
    """A figure in words, and from what it follows."""

    numbers: str
    source: FigureSource | None
    query: str | None
    """The text of its question, if it is there."""
    reason: str = ""
    """What is said of it."""


def compare_impact(
    recorded: ImpactStatement, again: ImpactStatement
) -> tuple[Reproduction, ...]:
    """Compare the figures of an impact statement with the same computed anew.

    Args:
        recorded: As it stands in the log.
        again: Computed now.
    """

    def told(statement: ImpactStatement) -> dict[str, _Told]:
        return _named(
            (
                _impact_name(item),
                _Told(
                    _shifts(item), item.source, statement.queries.get(item.source.query)
                ),
            )
            for item in statement.figures
        )

    version = _version(recorded), _version(again)
    whole = Reproduction(
        figure="the version the amendments make",
        same=version[0] == version[1],
        was=version[0],
        now=version[1],
    )
    return (whole, *_compared(told(recorded), told(again)))


def compare_support(
    recorded: RevisionProposal, again: RevisionProposal
) -> tuple[Reproduction, ...]:
    """Compare the labels of support of a proposal with the same computed anew.

    Args:
        recorded: As it stands in the log.
        again: Computed now.
    """

    def told(proposal: RevisionProposal) -> dict[str, _Told]:
        return _named(
            (
                _label_name(item),
                _Told(
                    _labelled(item),
                    item.source,
                    _query(item.source, proposal.queries),
                    item.reason,
                ),
            )
            for item in proposal.support
        )

    return tuple(_compared(told(recorded), told(again)))


def _named(figures: Iterable[tuple[str, _Told]]) -> dict[str, _Told]:
    """Return figures by name; one that has the name of another keeps its own place."""
    found: dict[str, _Told] = {}
    for name, told in figures:
        own = name
        while own in found:
            own += ", again"
        found[own] = told
    return found


def _compared(
    was: Mapping[str, _Told], now: Mapping[str, _Told]
) -> Iterator[Reproduction]:
    for name in {**was, **now}:
        before, after = was.get(name), now.get(name)
        if before is None or after is None:
            yield Reproduction(
                figure=name,
                same=False,
                was=before.numbers if before else "",
                now=after.numbers if after else "",
                said=(_ADDED if before is None else _LOST,),
            )
        else:
            yield _reproduced(name, before, after)


def _reproduced(name: str, before: _Told, after: _Told) -> Reproduction:
    broken = [*_altered(before), *_other_source(before.source, after.source)]
    if before.reason != after.reason:
        broken.append(f"Another reason now: {after.reason}")
    return Reproduction(
        figure=name,
        same=before.numbers == after.numbers and not broken,
        was=before.numbers,
        now=after.numbers,
        said=(*broken, *_other_engine(before.source, after.source)),
    )


def _altered(told: _Told) -> Iterator[str]:
    """Say where the text of a question is not what its digest says."""
    if told.source is None:
        return
    if told.query is None:
        yield "The text of its question is missing."
    elif digest_of(told.query.encode()) != told.source.query:
        yield "The text of its question is another than its digest says."


def _other_source(
    before: FigureSource | None, after: FigureSource | None
) -> Iterator[str]:
    """Say what is different of rules and evidence."""
    if before is None or after is None:
        if before is not after:
            yield "It does not say from what it follows."
        return
    if before.rules_digest != after.rules_digest:
        yield f"Other rules: {before.rules_digest} then, {after.rules_digest} now."
    if before.trials != after.trials:
        yield f"Other trials: {_list(before.trials)} then, {_list(after.trials)} now."
    if before.data_digest != after.data_digest:
        yield (
            f"Other evidence: {_evidence(before)} ({before.data_digest}) then,"
            f" {_evidence(after)} ({after.data_digest}) now."
        )
    elif _evidence(before) != _evidence(after) or before.stratum != after.stratum:
        yield "What it says of its version and its segments is not so."


def _other_engine(
    before: FigureSource | None, after: FigureSource | None
) -> Iterator[str]:
    if before is None or after is None:
        return
    if before.engine != after.engine:
        yield f"Another engine: {before.engine} then, {after.engine} now."
    elif before.query != after.query:
        yield "The question is put in other words than then."


def _evidence(source: FigureSource) -> str:
    missing = [
        f"{number} {word}"
        for number, word in (
            (source.erased, "erased"),
            (source.unsealed, "not sealed"),
        )
        if number
    ]
    return ", ".join([f"{source.segments} segments", *missing])


def _impact_name(item: ImpactFigure) -> str:
    return (
        f"{item.figure}: {item.rule} in {item.trial_id}, {item.compared_with},"
        f" {_stratum(item.source)}"
    )


def _label_name(item: SupportLabel) -> str:
    name = f"{item.rule} with {item.parameter} = {item.value:g}"
    return f"{name}, {_stratum(item.source)}" if item.source else name


def _stratum(source: FigureSource) -> str:
    return f"{source.stratum.rulebook} v{source.stratum.version}"


def _shifts(item: ImpactFigure) -> str:
    said = [f"{shift.before} to {shift.after}: {shift.units}" for shift in item.shifts]
    return "; ".join(said) or "no units"


def _labelled(item: SupportLabel) -> str:
    counts = item.counts
    return (
        f"{item.label or 'no label'}; {item.units} units; {counts.satisfied} satisfied,"
        f" {counts.violated} violated, {counts.not_evaluable} not evaluable"
    )


def _query(source: FigureSource | None, queries: Mapping[Digest, str]) -> str | None:
    return queries.get(source.query) if source else None


def _version(statement: ImpactStatement) -> str:
    ref = statement.proposed
    return f"{ref.rulebook} v{ref.version} ({ref.digest})" if ref else "none"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
