"""What is known to be missing of a whole trial, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sandbox.model.segment import Completeness, Gap, ProducerCompleteness
from sandbox.recorder import RECORDER, Expected, Frame, assess, gap_request
from sandbox.recorder import arrivals as arrivals_file
from sandbox.recorder import completeness as completeness_file
from sandbox.recorder.numbering import Numbers
from sandbox.recorder.producer import INSTANCE, SEQUENCE

AT = datetime(2026, 1, 1, tzinfo=UTC)
EXPECTED = Expected(AT, AT + timedelta(seconds=60), settling_s=60)
LOCAL, REMOTE = 0x100, 0x300
MANY = st.lists(st.integers(1, 120), max_size=200)


def nanos(second: float) -> int:
    return int(AT.timestamp()) * 1_000_000_000 + int(second * 1e9)


def span(number: int, parent: int = 0, **more: Any) -> Span:
    values: dict[str, Any] = {
        "trace_id": b"t" * 16,
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": parent.to_bytes(8, "big") if parent else b"",
        "name": "unit",
        "start_time_unix_nano": nanos(0),
        "end_time_unix_nano": nanos(1),
        "flags": LOCAL,
    }
    return Span(**(values | more))


def numbered(sequence: int, instance: str = "a", number: int = 0) -> Span:
    made = span(number or sequence)
    made.attributes.add(key=INSTANCE).value.string_value = instance
    made.attributes.add(key=SEQUENCE).value.int_value = sequence
    return made


def frame(
    *spans: Span, at: float = 2, producer: str = "p", service: str = "s"
) -> Frame:
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    name = batch.resource.attributes.add(key="service.name")
    name.value.string_value = service
    batch.scope_spans.add().spans.extend(spans)
    received = AT + timedelta(seconds=at)
    return Frame(0, 0, "traces", producer, received, request.SerializeToString(), 1)


def assessed(*frames: Frame, expected: Expected = EXPECTED) -> Completeness:
    return assess("t", lambda: [[frame] for frame in frames], expected)


def only(*frames: Frame) -> ProducerCompleteness:
    (found,) = assessed(*frames).producers
    return found


def reasons(found: Completeness) -> list[str]:
    return [gap.reason for gap in found.gaps]


def absent(delivered: Sequence[int]) -> set[int]:
    return set(range(1, max(delivered, default=0) + 1)) - set(delivered)


@given(MANY)
def test_holes_are_the_numbers_missing_below_the_highest(delivered: list[int]) -> None:
    """Whatever came, in any order and however often."""
    numbers = Numbers()
    for number in delivered:
        numbers.add(number)
    named = {n for first, last in numbers.holes() for n in range(first, last + 1)}
    assert named == absent(delivered)
    assert (numbers.missing, numbers.exact) == (len(named), True)


@given(MANY, st.integers(1, 5))
def test_bounded_memory_never_hides_a_hole(delivered: list[int], most: int) -> None:
    """With few ranges the count is exact, or says that it is a limit from above."""
    numbers = Numbers(most_ranges=most)
    for number in delivered:
        numbers.add(number)
    missing = len(absent(delivered))
    assert numbers.missing >= missing
    assert numbers.missing == missing or not numbers.exact
    assert len(numbers.holes()) <= most


@given(st.permutations(range(1, 8)))
def test_an_unbroken_run_takes_the_place_of_one(order: list[int]) -> None:
    """In whatever order it came, so repetitions stay known with little memory."""
    numbers = Numbers(most_ranges=4)
    for number in (*order, *order):
        numbers.add(number)
    assert (numbers.missing, numbers.exact) == (0, True)
    alone = Numbers(most_ranges=1)
    for number in (*range(7, 0, -1), *order):
        alone.add(number)
    assert (alone.missing, alone.exact) == (0, True)


@given(st.dictionaries(st.sampled_from("abc"), MANY, min_size=1))
def test_holes_are_found_in_frames_of_several_instances(
    delivered: dict[str, list[int]],
) -> None:
    """Each instance counts for itself; their holes are added up."""
    frames = [
        frame(*(numbered(n, name, 1 + n + 1000 * ord(name)) for n in numbers))
        for name, numbers in delivered.items()
    ]
    found = only(*frames)
    assert found.holes == sum(len(absent(numbers)) for numbers in delivered.values())
    assert found.numbered == found.spans
    assert found.instances == sum(bool(numbers) for numbers in delivered.values())


def test_a_hole_is_a_gap_that_names_numbers_and_times() -> None:
    """Instance, which numbers, how many, and between when."""
    found = assessed(
        frame(numbered(2), numbered(3), at=5), frame(numbered(7), numbered(9), at=9)
    )
    (gap,) = found.gaps
    assert (gap.producer, gap.reason, gap.count) == ("p", "sequence-hole", 5)
    assert gap.detail == "5 of the numbers 1–9 of instance a never came: 1, 4–6, 8"
    assert (gap.since, gap.until) == (AT + timedelta(seconds=5), AT.replace(second=9))


def test_without_numbers_nothing_is_called_complete() -> None:
    """Spans that carry no number are counted as such, half-numbered ones too."""
    half = span(2)
    half.attributes.add(key=INSTANCE).value.string_value = "a"
    found = only(frame(span(1), half, numbered(3)))
    assert (found.spans, found.numbered, found.unnumbered) == (3, 1, 2)
    assert found.dropped is None


def test_no_more_instances_are_kept_than_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Further instances are counted as numbered, and the figure is not exact."""
    monkeypatch.setattr(arrivals_file, "MOST_INSTANCES", 2)
    found = only(frame(*(numbered(2, name, ord(name)) for name in "abcd")))
    assert (found.numbered, found.instances, found.holes) == (4, 2, 2)
    assert not found.exact


def test_a_local_parent_that_never_came_leaves_an_orphan() -> None:
    """Parents may come before or after their children, in any frame."""
    found = assessed(
        frame(span(2, parent=1), span(3, parent=2)),
        frame(span(1), span(4, parent=9), span(5, parent=9)),
    )
    (seen,) = found.producers
    assert (seen.local_children, seen.orphans) == (4, 2)
    (gap,) = found.gaps
    assert (gap.reason, gap.count) == ("orphan-parent", 2)


@pytest.mark.parametrize(
    ("more", "orphans", "remote"),
    [
        ({"flags": LOCAL}, 1, 0),
        ({"flags": REMOTE}, 0, 1),
        ({"flags": 0, "kind": Span.SPAN_KIND_SERVER}, 0, 1),
        ({"flags": 0, "kind": Span.SPAN_KIND_CLIENT}, 1, 0),
        ({"flags": LOCAL, "kind": Span.SPAN_KIND_SERVER}, 1, 0),
        ({"trace_state": "ot=th:c"}, 0, 0),
        ({"trace_state": "x=y,ot=rv:1;th:c8"}, 0, 0),
        ({"trace_state": "ot=th:0"}, 1, 0),
        ({"trace_state": "pilot=th:c"}, 1, 0),
        ({"parent_span_id": bytes(8)}, 0, 0),
    ],
)
def test_who_is_an_orphan(more: dict[str, Any], orphans: int, remote: int) -> None:
    """Not a child of another process, nor one whose parent may be sampled out."""
    found = only(frame(span(1, **({"parent_span_id": b"12345678"} | more))))
    assert (found.orphans, found.remote_unseen) == (orphans, remote)


def test_a_parent_of_another_trace_is_no_parent() -> None:
    """Span ids are unique within a trace only."""
    other = span(1, trace_id=b"u" * 16)
    assert only(frame(other, span(2, parent=1))).orphans == 1


def test_a_retry_is_a_duplicate_and_nothing_is_missing() -> None:
    """Equal bytes count as received twice; neither gap nor orphan comes of it."""
    child = frame(span(2, parent=1), numbered(3))
    found = assessed(child, child, frame(span(1)))
    (seen,) = found.producers
    assert (seen.spans, seen.duplicates, seen.conflicts) == (5, 2, 0)
    assert seen.local_children == 1
    assert reasons(found) == ["sequence-hole"]


def test_one_identity_with_two_contents_is_a_conflict() -> None:
    """Another name, or the same span said to come from elsewhere."""
    found = assessed(
        frame(span(1), span(2)),
        frame(span(1, name="other"), at=3),
        frame(span(2), at=4, service="elsewhere", producer="q"),
    )
    assert [(item.producer, item.conflicts) for item in found.producers] == [
        ("p", 1),
        ("q", 1),
    ]
    assert all(item.duplicates == 0 for item in found.producers)
    assert reasons(found) == ["conflict", "conflict"]
    assert found.gaps[0].since == AT + timedelta(seconds=3)


def test_spans_without_identity_are_not_compared() -> None:
    """Zeros are no identity, so two of them are neither retry nor conflict."""
    blank: dict[str, Any] = {"trace_id": bytes(16), "span_id": bytes(8)}
    found = only(frame(span(1, **blank), span(1, **blank, name="other")))
    assert (found.spans, found.duplicates, found.conflicts) == (2, 0, 0)


@pytest.mark.parametrize(
    ("start", "end", "at", "skewed"),
    [
        (0, 62, 2, 0),
        (0, 62.5, 2, 1),
        (-60, 1, 2, 0),
        (-60.5, 1, 2, 1),
        (-100, 100, 2, 1),
    ],
)
def test_times_that_cannot_be_true(
    start: float, end: float, at: float, skewed: int
) -> None:
    """Ended after it came, or begun before the trial, by more than settling takes."""
    times = {"start_time_unix_nano": nanos(start), "end_time_unix_nano": nanos(end)}
    found = assessed(frame(span(1, **times), at=at))
    assert found.producers[0].skewed == skewed
    assert reasons(found) == ["clock-skew"] * skewed


def test_silence_lasts_until_the_end_of_the_trial() -> None:
    """A producer that stopped before the trial did is said to have."""
    expected = EXPECTED._replace(settling_s=10)
    found = assessed(frame(span(1), at=5), expected=expected)
    assert found.producers[0].silences == 1
    assert [gap.detail for gap in found.gaps] == ["nothing was received for 55 s"]


def test_what_the_recorder_wrote_down_comes_first_and_is_no_producer() -> None:
    """Its gaps are listed; it has no completeness of its own."""
    down = Gap(producer=RECORDER, reason="recorder-down", detail="down", until=AT)
    own = Frame(0, 0, "logs", RECORDER, AT, gap_request(down, at=AT), 1)
    found = assessed(frame(numbered(2)), own)
    assert [item.producer for item in found.producers] == ["p"]
    assert found.gaps[0] == down


def test_reading_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates, conflicts and orphans are the same with little memory."""
    spans = [
        span(number, parent=number + 1, trace_id=bytes([trace]) * 16)
        for trace in range(1, 20)
        for number in range(1, 4)
    ]
    frames = [frame(*spans), frame(*spans[::3]), frame(span(1, name="x"), span(1))]
    whole = assessed(*frames)
    readings = 0

    def read() -> list[list[Frame]]:
        nonlocal readings
        readings += 1
        return [frames]

    monkeypatch.setattr(completeness_file, "SPANS_AT_ONCE", 10)
    assert assess("t", read, EXPECTED) == whole
    assert readings > 5
    assert (whole.producers[0].duplicates, whole.producers[0].orphans) == (19, 19)


def test_many_gaps_of_one_kind_are_summed_up() -> None:
    """The first are listed, the rest become one with their sum and stretch."""
    frames = [frame(numbered(2, str(n), n + 1), at=n) for n in range(30)]
    found = assessed(*frames)
    assert len(found.gaps) == completeness_file.LISTED + 1
    rest = found.gaps[-1]
    assert (rest.count, rest.detail) == (10, "10 more like these")
    assert (rest.since, rest.until) == (AT.replace(second=20), AT.replace(second=29))
    assert sum(gap.count or 0 for gap in found.gaps) == found.producers[0].holes == 30
