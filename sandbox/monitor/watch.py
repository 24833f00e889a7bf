"""Rules with patterns while a trial runs: units are judged as soon as they can be.

Rules of this module:

* A unit is told when its time is over, whatever its result: a guardrail that heard of
  violations sooner than of what is in order would signal too often.
* It is told again where a span that came later than it may did change its result, or
  a gap that was found later.
* Spans are forgotten when they can no longer matter. A track without an end of its own
  and without a time is kept for as long as the trial is watched. Of a trace that was
  forgotten nothing is told by a span that should have come before: what it stood with
  is no longer known.
* What is told depends on the spans and the instants of `settle` alone: a worker that
  goes on for another reads again what was recorded, and tells only what is new.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sandbox.model.instants import unix_nano_of
from sandbox.model.observation import Observation, Span
from sandbox.model.rule import RuleResult
from sandbox.monitor.observe import observation_of
from sandbox.recorder import Frame, spans_in
from sandbox.recorder.gaps import recorded_gaps
from sandbox.rules import (
    CompiledRule,
    CompiledRules,
    Known,
    judge_tracks,
)
from sandbox.rules.facts import span_facts
from sandbox.rules.pattern import nanoseconds
from sandbox.rules.tracks import Key, key_of

_NEVER = 2**63


class Told(NamedTuple):
    """What a rule says of a unit, and what was told of it before."""

    observation: Observation
    before: RuleResult | None


class _Seen(NamedTuple):
    span: Span
    facts: dict[str, Any]
    segment: int
    frame: int


class _Track:
    """Spans that belong together under one rule, and what was told of them."""

    def __init__(self, *, is_late: bool) -> None:
        self.is_late = is_late
        """Whether spans that belong to it may have been forgotten."""
        self.spans: list[_Seen] = []
        self.names: set[tuple[str, str]] = set()
        self.told: dict[tuple[str, str], RuleResult] = {}
        self.is_open = True
        """Whether something may still be told without a new span."""

    def forget(self, before: int) -> None:
        """Forget spans that start before an instant."""
        if all(_start(item) >= before for item in self.spans):
            return
        self.spans = [item for item in self.spans if _start(item) >= before]
        kept = {(item.span.trace_id, item.span.span_id) for item in self.spans}
        self.names &= kept
        self.told = {name: self.told[name] for name in self.told.keys() & kept}


class TrackWatch:
    """Watches the units of rules with patterns.

    Args:
        rules: The rulebook with the trial's temporary rule over it.
        trial_id: The trial.
        settling: The plan's settling time: spans come no later than this.
    """

    def __init__(
        self, rules: CompiledRules, *, trial_id: str, settling: timedelta
    ) -> None:
        self._watched = [
            _Watched(rules.only([item.rule.rule]), item) for item in rules.patterns
        ]
        self._trial_id = trial_id
        self._settling = settling // timedelta(microseconds=1) * 1000
        self._gaps: list[tuple[int, int]] = []

    @property
    def is_needed(self) -> bool:
        """Whether there is any rule to watch."""
        return bool(self._watched)

    @property
    def held(self) -> int:
        """How many spans are remembered, those of each rule counted."""
        return sum(item.held for item in self._watched)

    def add(self, frames: Sequence[Frame], *, segment: int) -> None:
        """Take in what was recorded.

        Raises:
            EvidenceError: A frame is not what the recorder writes.
        """
        if not self._watched:
            return
        for frame in frames:
            if frame.signal != "traces":
                continue
            for span in spans_in(frame):
                seen = _Seen(span, span_facts(span), segment, frame.index)
                for watched in self._watched:
                    watched.add(seen)
        gaps = [
            (
                unix_nano_of(gap.since) - self._settling if gap.since else 0,
                unix_nano_of(gap.until) if gap.until else _NEVER,
            )
            for gap in recorded_gaps(frames)
        ]
        self._gaps += gaps
        for watched in self._watched if gaps else ():
            watched.doubt()

    def settle(self, now: int) -> list[Told]:
        """Return what can be told now, and what has changed of what was told.

        Args:
            now: The present instant, in nanoseconds since 1970; never an earlier one
                than before.
        """
        return sorted(self._settled(now), key=lambda x: _order(x.observation))

    def catch_up(self, now: int, *, beat: Callable[[], None]) -> None:
        """Take as told what could be told at an instant, as another did.

        Args:
            now: As for `settle`.
            beat: Called again and again while this takes its time.
        """
        for _ in self._settled(now):
            beat()

    def _settled(self, now: int) -> Iterator[Told]:
        known = Known(now - self._settling, self._settling, tuple(self._gaps))
        for watched in self._watched:
            yield from watched.settle(known, self._trial_id)


class _Watched:
    """One rule with a pattern."""

    def __init__(self, rules: CompiledRules, item: CompiledRule) -> None:
        assert item.pattern is not None
        self._rules = rules
        self._pattern = item.pattern
        self._longest = _longest(item)
        self._tracks: dict[Key, _Track] = {}
        self._floor = -_NEVER
        """Units that start earlier are not told again."""
        self._forgotten = -_NEVER
        """Tracks of which a span starts earlier may have been forgotten."""

    @property
    def held(self) -> int:
        """How many spans are remembered."""
        return sum(len(track.spans) for track in self._tracks.values())

    def add(self, seen: _Seen) -> None:
        """Take a span in, if it did not come before."""
        name = seen.span.trace_id, seen.span.span_id
        key = key_of(self._pattern.pattern, seen.facts) or (("alone", name),)
        if key not in self._tracks:
            self._tracks[key] = _Track(is_late=_start(seen) < self._forgotten)
        track = self._tracks[key]
        if name not in track.names:
            track.names.add(name)
            track.spans.append(seen)
            track.is_open = True

    def doubt(self) -> None:
        """Look again at all that is remembered: a gap was found."""
        for track in self._tracks.values():
            track.is_open = True

    def settle(self, known: Known, trial_id: str) -> Iterator[Told]:
        """Yield what can be told of the units, and forget what no longer matters."""
        for key, track in list(self._tracks.items()):
            if track.is_open:
                yield from self._tell(track, known, trial_id)
            if not track.is_open and self._is_over(track, known):
                del self._tracks[key]
                self._forgotten = known.until - 2 * known.settling
        if self._longest is not None:
            self._floor = known.until - self._longest - known.settling
            for track in self._tracks.values():
                oldest = self._floor - self._longest
                track.forget(oldest)

    def _tell(self, track: _Track, known: Known, trial_id: str) -> Iterator[Told]:
        track.is_open = False
        if track.is_late:
            return
        facts = [item.facts for item in track.spans]
        ends = max(map(_start, track.spans)) + known.settling
        for place, outcome in judge_tracks(self._rules, facts, known=known):
            seen = track.spans[place]
            if self._over(_start(seen), ends) >= known.until:
                track.is_open = True
                continue
            name = seen.span.trace_id, seen.span.span_id
            before = track.told.get(name)
            if before == outcome.result or _start(seen) < self._floor:
                continue
            track.told[name] = outcome.result
            where = (trial_id, seen.segment, seen.frame)
            yield Told(observation_of(outcome, seen.span, where), before)

    def _over(self, start: int, ends: int) -> float:
        """Return when the time of a unit is over, of a track that may end by itself."""
        if self._pattern.pattern.shape != "followed_by":
            return start
        over = math.inf if self._longest is None else start + self._longest
        return min(over, ends) if self._pattern.ends else over

    def _is_over(self, track: _Track, known: Known) -> bool:
        """Return whether no span that may still come belongs to a track."""
        if not track.spans:
            return True
        over = max(map(_start, track.spans)) + 2 * known.settling
        if self._longest is not None:
            return over + 2 * self._longest < known.until
        return "trace" in self._pattern.pattern.same and over < known.until


def _longest(item: CompiledRule) -> int | None:
    """Return how far a unit may look, in nanoseconds; None if there is no limit."""
    assert item.pattern is not None
    pattern = item.pattern.pattern
    if pattern.shape in ("never", "always"):
        return None if pattern.between else 0
    text = pattern.within or pattern.per
    if text is None:
        return None
    values: list[dict[str, float]] = [{}]
    if text.startswith("params."):
        name = text.removeprefix("params.")
        dated = item.rule.parameters[name].values.values()
        values = [{name: value.value} for value in dated]
        values += [item.overlay.waiver.set] if item.overlay else []
        values = [held for held in values if name in held]
    return max(nanoseconds(text, held) for held in values)


def _start(seen: _Seen) -> int:
    return seen.span.start_unix_nano


def _order(item: Observation) -> tuple[datetime, str, str]:
    return item.started_at, item.trace_id, item.span_id
