"""From recorded frames to observations: what each rule says of each span.

Rules of this module:

* Every span under a rule gives exactly one observation of it, also when the rule cannot
  be evaluated; a span outside a rule gives none.
* A span delivered twice within one batch is observed once.
* Observations come in order of span start, ties by trace and span id, so that the same
  frames always give the same list.
* Rules are read as they stood on the span's own date (UTC).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from sandbox.model.instants import at_unix_nano
from sandbox.model.observation import Observation, Span
from sandbox.recorder.frame import Frame
from sandbox.recorder.spans import spans_in
from sandbox.rules import CompiledRules, RuleOutcome


def observe_frames(
    frames: Iterable[Frame], *, rules: CompiledRules, trial_id: str, segment: int
) -> list[Observation]:
    """Judge every span of the frames by the rules in force.

    Args:
        frames: Frames of one segment; those that carry no spans are skipped.
        rules: The rulebook with the trial's temporary rule over it.
        trial_id: The trial the frames were recorded for.
        segment: Number of the segment the frames lie in.

    Returns:
        Observations in order of span start.

    Raises:
        EvidenceError: A frame is not what the recorder writes.
    """
    found = sorted(_spans(frames), key=lambda item: _order(item[1]))
    seen: set[tuple[str, str]] = set()
    observations: list[Observation] = []
    for frame, span in found:
        if (span.trace_id, span.span_id) in seen:
            continue
        seen.add((span.trace_id, span.span_id))
        place = (trial_id, segment, frame)
        observations.extend(_observe(span, rules, place))
    return observations


def span_start(span: Span) -> datetime:
    """Return when the span started, in UTC, to the microsecond."""
    return at_unix_nano(span.start_unix_nano)


def _spans(frames: Iterable[Frame]) -> Iterator[tuple[int, Span]]:
    for frame in frames:
        if frame.signal == "traces":
            for span in spans_in(frame):
                yield frame.index, span


def _order(span: Span) -> tuple[int, str, str]:
    return span.start_unix_nano, span.trace_id, span.span_id


def _observe(
    span: Span, rules: CompiledRules, place: tuple[str, int, int]
) -> Iterator[Observation]:
    for outcome in rules.judge(span, at=span_start(span).date()):
        yield observation_of(outcome, span, place)


def observation_of(
    outcome: RuleOutcome, span: Span, place: tuple[str, int, int]
) -> Observation:
    """Return what a rule says of a span as a record.

    Args:
        outcome: What it says.
        span: Of which.
        place: The trial, and the segment and the frame in which the span lies.
    """
    trial_id, segment, frame = place
    return Observation(
        trial_id=trial_id,
        rule=outcome.rule,
        result=outcome.result,
        overlay=outcome.overlay,
        rulebook_version=outcome.rulebook_version,
        trace_id=span.trace_id,
        span_id=span.span_id,
        started_at=span_start(span),
        duration_s=span.duration_s,
        values=outcome.values,
        reason=outcome.reason,
        segment=segment,
        frame=frame,
    )
