"""The rows of a trace."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.model.trace import RecordedSpan
from sandbox.query.waterfall import Waterfall, WaterfallRow, start_of, waterfall
from sandbox.testing.traces import BEGAN_NS, odd_trace, recorded_span

MS = 1_000_000
HOUR_MS = 3_600_000


def ids(drawn: Waterfall) -> list[str]:
    """Return the ids of the rows, without the zeros in front, indented by depth."""
    return [
        "." * row.depth + row.recorded.span.span_id.lstrip("0") for row in drawn.rows
    ]


def row_of(drawn: Waterfall, number: int) -> WaterfallRow:
    """Return the row of the delivery with that number in its frame."""
    return next(row for row in drawn.rows if row.recorded.number == number)


def test_children_stand_below_their_parents() -> None:
    """Depth first, siblings by start, whatever the order of arrival."""
    spans = [
        recorded_span("4", parent="2", ms=(30, 40)),
        recorded_span("3", parent="1", ms=(50, 90)),
        recorded_span("2", parent="1", ms=(10, 45)),
        recorded_span("1", ms=(0, 100)),
    ]
    assert ids(waterfall(spans)) == ["1", ".2", "..4", ".3"]


def test_bars_are_shares_of_the_trace() -> None:
    """A bar begins and ends where its span did; the scale holds the whole trace."""
    drawn = waterfall(
        [recorded_span("1", ms=(0, 200)), recorded_span("2", parent="1", ms=(50, 100))]
    )
    assert drawn.scale == (BEGAN_NS, BEGAN_NS + 200 * MS)
    assert drawn.scale.length_ns == 200 * MS
    assert (drawn.rows[0].left, drawn.rows[0].width) == (0, 1)
    assert (drawn.rows[1].left, drawn.rows[1].width) == (0.25, 0.25)
    assert drawn.rows[1].offset_ns == 50 * MS
    assert start_of(drawn.scale) == datetime(2026, 1, 1, tzinfo=UTC)


def test_every_oddity_is_named() -> None:
    """Orphans, loops, duplicates and conflicts are shown as what they are."""
    drawn = waterfall(odd_trace())
    assert ids(drawn) == ["1", ".9", ".2", "..3", "..3", ".4", ".4", "..8", "5"] + [
        "6",
        ".7",
    ]
    standings = {row.recorded.number: row.standing for row in drawn.rows}
    assert standings == {
        0: "root",
        1: "child",
        2: "child",
        3: "duplicate",
        4: "child",
        5: "conflict",
        6: "orphan",
        7: "loop",
        8: "child",
        9: "child",
        10: "child",
    }


def test_a_slow_clock_is_seen_and_breaks_nothing() -> None:
    """A child that began before its parent is marked; times stay as recorded."""
    row = row_of(waterfall(odd_trace()), 9)
    assert row.is_before_parent
    assert row.recorded.span.start_unix_nano == BEGAN_NS - 870 * MS


def test_an_impossible_time_does_not_set_the_scale() -> None:
    """A start that was never set leaves the scale to the others; its bar is cut."""
    drawn = waterfall(odd_trace())
    assert drawn.scale == (BEGAN_NS - 870 * MS, BEGAN_NS + 200 * MS)
    assert row_of(drawn, 10).is_off_scale
    assert row_of(drawn, 10).left == 0
    assert not row_of(drawn, 1).is_off_scale


def test_far_spans_do_not_squeeze_the_others() -> None:
    """A clock that is a day wrong is off the scale; one spans length is not far."""
    far = recorded_span("2", parent="1", ms=(-24 * HOUR_MS, -24 * HOUR_MS + 5))
    later = recorded_span("3", parent="1", ms=(150, 900), number=2)
    drawn = waterfall([recorded_span("1", ms=(0, 200)), far, later])
    assert drawn.scale == (BEGAN_NS, BEGAN_NS + 900 * MS)
    assert [row.is_off_scale for row in drawn.rows] == [False, True, False]


def test_spans_without_an_id_are_not_taken_for_one() -> None:
    """Neither do they become the parents of the roots."""
    spans = [recorded_span("1")]
    nameless = recorded_span("2", number=1)
    bare = nameless.span.model_copy(update={"span_id": ""})
    spans += [nameless.model_copy(update={"span": bare, "number": n}) for n in (1, 2)]
    drawn = waterfall(spans)
    assert [row.standing for row in drawn.rows] == ["root"] * 3


def test_nothing_and_no_time() -> None:
    """No spans give no rows; a trace of one instant has bars without length."""
    assert waterfall([]).rows == ()
    (row,) = waterfall([recorded_span("1", ms=(5, 5))]).rows
    assert (row.left, row.width, row.is_off_scale) == (0, 0, False)


ANY_SPAN = st.builds(
    lambda own, parent, start, length, number: recorded_span(
        own, parent=parent, ms=(start, start + length), number=number
    ),
    st.sampled_from("123456"),
    st.sampled_from(["", "1", "2", "3", "4", "5", "6", "9"]),
    st.integers(-(10**10), 10**6),
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**6),
)


@settings(deadline=None)
@given(st.lists(ANY_SPAN, max_size=12))
def test_every_delivery_has_one_row(spans: list[RecordedSpan]) -> None:
    """Whatever the parents and times, nothing is lost, and every bar fits the page."""
    drawn = waterfall(spans)
    places = [(item.number, item.span) for item in spans]
    shown = [(row.recorded.number, row.recorded.span) for row in drawn.rows]
    assert sorted(places, key=repr) == sorted(shown, key=repr)
    for row in drawn.rows:
        assert 0 <= row.left <= row.left + row.width <= 1 + 1e-9
        assert row.depth >= 0
