"""From recorded frames to observations, with the real frame format and real rules."""

from datetime import UTC, date, datetime, timedelta

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from sandbox.model.rule import Parameter, ParameterValue, Rule, Rulebook, RuleSource
from sandbox.monitor import observe_frames
from sandbox.recorder.frame import Frame, decode_frames, encode_frame
from sandbox.rules import compile_rules

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
START = int(T0.timestamp()) * 10**9


def rulebook() -> Rulebook:
    dated = {date(2024, 1, 1): 2.0, date(2027, 1, 1): 1.0}
    limit = Parameter(
        unit="s",
        looser="higher",
        values={
            day: ParameterValue(value=v, reference="r") for day, v in dated.items()
        },
    )
    rule = Rule(
        rule="calls/time",
        text="Within {max_s} seconds.",
        source=RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        goal="quick",
        mechanism="regulation",
        parameters={"max_s": limit},
        applies='span.name == "/call"',
        requires='span.attributes["code"] == 200 && span.duration_s <= params.max_s',
        severity="major",
        waivable=True,
    )
    return Rulebook(
        rulebook="calls",
        version=4,
        title="t",
        owner="o",
        in_force_from=date(2024, 1, 1),
        rules=(rule,),
    )


def span(
    number: int, *, after_s: float, took_s: float, code: int | None = 200
) -> OtlpSpan:
    start = START + int(after_s * 10**9)
    attributes = []
    if code is not None:
        attributes = [KeyValue(key="code", value=AnyValue(int_value=code))]
    return OtlpSpan(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="/call",
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(took_s * 10**9),
        attributes=attributes,
    )


def frames(*batches: list[OtlpSpan]) -> list[Frame]:
    data = b""
    for sequence, batch in enumerate(batches, start=1):
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.extend(batch)
        data += encode_frame(
            request.SerializeToString(),
            signal="traces",
            producer="p",
            sequence=sequence,
            received_at=T0,
        )
    return decode_frames(data)[0]


def observe(found: list[Frame]) -> list[tuple[str, str, int]]:
    rules = compile_rules(rulebook())
    return [
        (item.span_id[-1], item.result, item.frame)
        for item in observe_frames(found, rules=rules, trial_id="t", segment=7)
    ]


def test_observations_come_in_order_of_span_start_with_their_place() -> None:
    """Frames arrive out of order; units are judged in order of time."""
    late = span(1, after_s=5, took_s=1)
    early = span(2, after_s=1, took_s=3)
    assert observe(frames([late], [early])) == [
        ("2", "violated", 1),
        ("1", "satisfied", 0),
    ]


def test_a_span_delivered_twice_is_observed_once() -> None:
    """An exporter that retries does not count twice."""
    one = span(1, after_s=0, took_s=1)
    assert observe(frames([one], [one])) == [("1", "satisfied", 0)]


def test_a_missing_attribute_is_observed_as_not_evaluable_with_its_reason() -> None:
    """What is not there is neither in order nor a violation."""
    rules = compile_rules(rulebook())
    found = frames([span(1, after_s=0, took_s=1, code=None)])
    (seen,) = observe_frames(found, rules=rules, trial_id="t", segment=7)
    assert seen.result == "not_evaluable"
    assert "code" in seen.reason


def test_each_span_is_judged_by_the_values_of_its_own_day() -> None:
    """A limit that is tightened at New Year binds only what starts after it."""
    turn = datetime(2027, 1, 1, tzinfo=UTC) - T0
    before = turn - timedelta(seconds=1)
    found = frames(
        [
            span(1, after_s=before.total_seconds(), took_s=1.5),
            span(2, after_s=turn.total_seconds(), took_s=1.5),
        ]
    )
    rules = compile_rules(rulebook())
    seen = observe_frames(found, rules=rules, trial_id="t", segment=7)
    assert [item.result for item in seen] == ["satisfied", "violated"]
    assert [item.values["params.max_s"] for item in seen] == [2.0, 1.0]
    assert seen[1].started_at == T0 + turn
    assert (seen[0].rulebook_version, seen[0].segment) == (4, 7)


def test_frames_without_spans_are_skipped() -> None:
    """Metrics and logs are evidence, but no units."""
    data = encode_frame(b"", signal="metrics", producer="p", sequence=1, received_at=T0)
    assert observe(decode_frames(data)[0]) == []
