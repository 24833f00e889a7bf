"""Rules with patterns while a trial runs."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.model.segment import Gap
from sandbox.monitor import TrackWatch
from sandbox.recorder import Frame
from sandbox.recorder.gaps import RECORDER, gap_request
from sandbox.rules import CompiledRules
from sandbox.testing.patterns import SECOND, PlainKnown, PlainSpan, reference_results
from sandbox.testing.random_tracks import Tracks, random_tracks, request_of
from sandbox.testing.rules import one_pattern

SETTLING = timedelta(seconds=3)
NOTICE = {
    "every": "span.attributes.p",
    "followed_by": "span.attributes.q",
    "within": "10s",
}


def watch_of(rules: CompiledRules) -> TrackWatch:
    return TrackWatch(rules, trial_id="t", settling=SETTLING)


def frame_of(number: int, *spans: PlainSpan) -> Frame:
    return Frame(
        index=number,
        offset=0,
        signal="traces",
        producer="p",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        payload=request_of(spans),
        sequence=number + 1,
    )


def span(number: int, start: int, **attributes: Any) -> PlainSpan:
    return PlainSpan(f"{number:016x}", "a" * 32, start, start, attributes)


def told(watch: TrackWatch, now: int) -> list[tuple[int, str, str | None]]:
    return [
        (int(item.observation.span_id, 16), item.observation.result, item.before)
        for item in watch.settle(now * SECOND)
    ]


def test_the_last_that_is_told_is_what_is_right() -> None:
    """However spans come and whenever one looks, in the end every unit was told as the
    plain reading has it, and what was told first is mostly what stays.
    """
    changed = units = 0
    for asked in random_tracks(random.Random(2), 3000):
        if asked.known.gaps:
            continue
        found: dict[tuple[str, str], str] = {}
        for item in watched(asked):
            name = item.observation.trace_id, item.observation.span_id
            assert found.get(name) == item.before
            changed += item.before is not None
            found[name] = item.observation.result
        wanted = wanted_of(asked)
        units += len(wanted)
        assert found == wanted, asked
    assert units > 100
    assert changed < units / 4


def watched(asked: Tracks):
    """Give the spans to a watch one by one, and settle ever later."""
    watch = watch_of(asked.rules)
    now = min(span.start for span in asked.spans)
    for number, one in enumerate(asked.spans):
        watch.add([frame_of(number, one)], segment=1)
        yield from watch.settle(now * SECOND)
    yield from watch.settle((now + 100) * SECOND)


def wanted_of(asked: Tracks) -> dict[tuple[str, str], str]:
    known = PlainKnown(2**40, 3)
    found: dict[tuple[str, str], str] = {}
    for track in asked.tracks:
        found |= reference_results(asked.pattern, track, known)
    return {name: result for name, result in found.items() if result != "none"}


def test_a_unit_is_told_when_its_time_is_over() -> None:
    """A notice that has not come is a violation once none can come any more."""
    watch = watch_of(one_pattern({**NOTICE, "same": ["attributes.k"]}))
    watch.add([frame_of(0, span(1, 100, p=True, q=False, k=1))], segment=1)
    assert told(watch, 113) == []
    assert told(watch, 114) == [(1, "violated", None)]
    assert told(watch, 200) == []


def test_a_span_that_comes_late_changes_what_was_told() -> None:
    """The unit is told again, with what was told before."""
    watch = watch_of(one_pattern({**NOTICE, "same": ["attributes.k"]}))
    watch.add([frame_of(0, span(1, 100, p=True, q=False, k=1))], segment=1)
    assert told(watch, 114) == [(1, "violated", None)]
    watch.add([frame_of(1, span(2, 105, p=False, q=True, k=1))], segment=1)
    assert told(watch, 115) == [(1, "satisfied", "violated")]


def test_what_goes_on_for_another_tells_only_what_is_new() -> None:
    """Who reads all again up to the instant of the last look has told the same."""
    rules = one_pattern({**NOTICE, "same": ["attributes.k"]})
    frames = [frame_of(n, span(n, 100 + n, p=True, q=False, k=n)) for n in range(9)]
    first = watch_of(rules)
    for frame in frames[:5]:
        first.add([frame], segment=1)
        first.settle(116 * SECOND)
    second = watch_of(rules)
    second.add(frames[:5], segment=1)
    beats: list[int] = []
    second.catch_up(116 * SECOND, beat=lambda: beats.append(1))
    assert len(beats) == 3
    for watch in (first, second):
        watch.add(frames[5:], segment=1)
    assert told(first, 130) == told(second, 130) != []


def test_what_no_longer_matters_is_forgotten() -> None:
    """A long trial is watched in the memory of its latest spans."""
    watch = watch_of(one_pattern({**NOTICE, "same": ["attributes.k"]}))
    for second in range(1000):
        one = span(second, second, p=True, q=True, k=second % 3)
        watch.add([frame_of(second, one)], segment=1)
        watch.settle(second * SECOND)
    assert watch.held < 120


BEFORE = {"every": "span.attributes.p", "preceded_by": "span.attributes.q"}


def test_a_unit_of_a_trace_that_was_forgotten_is_not_told_a_second_time() -> None:
    """Delivered again it would stand alone, and seem to lack what came before it."""
    watch = watch_of(one_pattern(BEFORE))
    confirmed = span(1, 100, p=False, q=True)
    unit = span(2, 101, p=True, q=False)
    watch.add([frame_of(0, confirmed, unit)], segment=1)
    assert told(watch, 150) == [(2, "satisfied", None)]
    assert watch.held == 0
    watch.add([frame_of(1, unit)], segment=2)
    assert told(watch, 160) == told(watch, 200) == []
    assert watch.held == 0


def gap_frame(number: int, **times: datetime) -> Frame:
    gap = Gap(producer=RECORDER, reason="recorder-down", detail="d", **times)
    at = times["until"]
    payload = gap_request(gap, at=at)
    frame = frame_of(number)._replace(payload=payload, signal="logs")
    return frame._replace(producer=RECORDER, received_at=at)


def test_a_gap_that_is_found_later_changes_what_was_told() -> None:
    """As for a worker that goes on for another, which reads the gap before it looks."""
    rules = one_pattern({**NOTICE, "same": ["attributes.k"]})
    one = frame_of(0, span(1, 100, p=True, q=False, k=1))
    until = datetime.fromtimestamp(106, UTC)
    for times in ({}, {"since": datetime.fromtimestamp(105, UTC)}):
        gap = gap_frame(1, until=until, **times)
        first, second = watch_of(rules), watch_of(rules)
        first.add([one], segment=1)
        assert told(first, 114) == [(1, "violated", None)]
        first.add([gap], segment=1)
        assert told(first, 115) == [(1, "not_evaluable", "violated")]
        second.add([one, gap], segment=1)
        assert told(second, 115) == [(1, "not_evaluable", None)]
