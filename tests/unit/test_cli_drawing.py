"""A trace as a waterfall in the terminal."""

from __future__ import annotations

import time

from sandbox.model.trace import RecordedSpan
from sandbox.query.waterfall import WaterfallRow
from sandbox.testing.traces import recorded_span
from workflows.cli.drawing import guided


def comb(levels: int) -> list[WaterfallRow]:
    """Return rows that go ever deeper; every level has a second row at the end."""
    span = recorded_span("1")
    down = [row_at(span, depth) for depth in range(levels)]
    return [*down, *(row_at(span, depth) for depth in range(levels - 1, 0, -1))]


def row_at(span: RecordedSpan, depth: int) -> WaterfallRow:
    """Return a row of that depth."""
    return WaterfallRow(
        recorded=span,
        depth=depth,
        standing="child",
        left=0,
        width=1,
        offset_ns=0,
        is_before_parent=False,
        is_off_scale=False,
    )


def test_lines_lead_from_each_row_to_its_parent() -> None:
    """A line goes on below a row as long as rows of its level come."""
    drawn = [guide for _, guide in guided(comb(4))]
    assert drawn == ["", "├ ", "│ ├ ", "│ │ ├ ", "│ │ └ ", "│ └ ", "└ "]


def test_levels_beyond_the_twelfth_stand_at_the_same_indent() -> None:
    """Of a deep row the nearest twelve levels are drawn."""
    drawn = [guide for _, guide in guided(comb(20))]
    assert drawn[12] == drawn[19] == "│ " * 11 + "├ "
    assert drawn[20] == "│ " * 11 + "└ "


def test_a_deep_trace_is_drawn_at_once() -> None:
    """Twelve thousand rows, of which half lie below all others, take no second."""
    rows = comb(6000)
    began = time.process_time()
    assert len(guided(rows)) == 11_999
    assert time.process_time() - began < 1
