"""A trace as a waterfall in the terminal.

Rules of this module:

* It fits the width it is given: the tree takes at most half, the bars what is left.
* Nothing is said by colour alone; oddities are words.
* Names come from others: they cannot steer the terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
    RenderResult,
)
from rich.table import Table
from rich.text import Text

from sandbox.query.waterfall import Waterfall, WaterfallRow, start_of
from sandbox.query.wording import MARKS, counted, duration_words, oddities, place_words
from workflows.cli.output import visible

_COLOURS = {"satisfied": "green", "violated": "red", "not_evaluable": "yellow"}
_HEADERS = ("service: operation", "at", "took", "status", "rules")
_DEEPEST = 12
"""Levels that are indented; deeper ones stand at the same indent."""
_LEAST_BAR = 10


class _Line(NamedTuple):
    """A row in words; its bar is drawn beside it."""

    label: Text
    at: Text
    took: Text
    status: Text
    marks: Text


def draw(drawn: Waterfall, *, width: int) -> RenderableType:
    """Return the drawing of a trace.

    Args:
        drawn: Its rows.
        width: Columns of the terminal.
    """
    lines = [_line(row, guide) for row, guide in guided(drawn.rows)]
    head = _Line(*(Text(name, style="bold") for name in _HEADERS))
    widths = [
        max(cell.cell_len for cell in cells) for cells in zip(head, *lines, strict=True)
    ]
    room = width - sum(widths[1:]) - len(widths) - _LEAST_BAR
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 1, 0, 0))
    table.add_column(head.label, width=max(min(widths[0], room, width // 2), 8))
    for name, cells in zip(head[1:], widths[1:], strict=True):
        justify: JustifyMethod = "right" if name.plain in ("at", "took") else "left"
        table.add_column(name, width=cells, justify=justify)
    table.add_column("", ratio=1)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for row, line in zip(drawn.rows, lines, strict=True):
        table.add_row(*line, _Bar(row))
    return Group(_head(drawn), table, *_notes(drawn.rows))


class _Bar:
    """The bar of a row, as wide as its column."""

    def __init__(self, row: WaterfallRow) -> None:
        self._row = row

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        width, row = options.max_width, self._row
        if row.is_off_scale:
            edge = "‹" if row.offset_ns < 0 else " " * (width - 1) + "›"
            yield Text(edge, style="yellow")
            return
        left = min(int(row.left * width), width - 1)
        length = min(max(round(row.width * width), 1), width - left)
        failed = row.recorded.span.status == "error"
        bar = "█" * length if row.width else "▏"
        yield Text(" " * left + bar, style="red" if failed else "blue")


def guided(rows: Sequence[WaterfallRow]) -> list[tuple[WaterfallRow, str]]:
    """Return each row with the lines that lead to it from its parent.

    The time it takes grows with the rows, however deep they lie.
    """
    guides: list[str] = []
    below: list[int] = []  # Levels that go on below the row, ascending.
    for row in reversed(rows):
        while below and below[-1] > row.depth:
            below.pop()
        is_last = row.depth not in below[-1:]
        below += [row.depth] if is_last else []
        shown = range(max(1, row.depth + 1 - _DEEPEST), row.depth)
        near = below[-_DEEPEST:]
        lines = ["│ " if level in near else "  " for level in shown]
        own = ["└ " if is_last else "├ "] if row.depth else []
        guides.append("".join([*lines, *own]))
    return list(zip(rows, reversed(guides), strict=True))


def _line(row: WaterfallRow, guide: str) -> _Line:
    span = row.recorded.span
    label = Text(guide, style="dim")
    label.append(visible(span.service or "–"), style="bold not dim")
    label.append(f": {visible(span.name)}", style="not dim")
    status = "" if span.status == "unset" else span.status
    return _Line(
        label,
        Text(duration_words(row.offset_ns)),
        Text(duration_words(span.end_unix_nano - span.start_unix_nano)),
        Text(status, style="red" if status == "error" else ""),
        _marks(row),
    )


def _marks(row: WaterfallRow) -> Text:
    counts = Counter[str](item.result for item in row.recorded.verdicts)
    text = Text("!" if oddities(row) else "", style="yellow")
    for result, mark in MARKS.items():
        if number := counts[result]:
            text.append(f"{mark}{number if number > 1 else ''}", _COLOURS[result])
    return text


def _head(drawn: Waterfall) -> Text:
    services = {row.recorded.span.service for row in drawn.rows}
    spans = {row.recorded.span.span_id for row in drawn.rows}
    start = f"{start_of(drawn.scale):%Y-%m-%d %H:%M:%S.%f}"
    took = duration_words(drawn.scale.length_ns)
    what = f"{counted(len(spans), 'span')} of {counted(len(services), 'service')}"
    return Text(f"{what} in {took}, from {start} UTC")


def _notes(rows: Sequence[WaterfallRow]) -> Iterator[Text]:
    """Say what is unusual, which rules are not kept and why, and how many are."""
    for row in rows:
        where = f"{visible(row.recorded.span.name)} ({place_words(row.recorded)})"
        if said := oddities(row):
            yield Text.assemble(("! ", "yellow"), f"{where}: {', '.join(said)}")
        for item in row.recorded.verdicts:
            if item.result != "satisfied":
                yield Text.assemble(
                    (f"{MARKS[item.result]} {item.rule} ", _COLOURS[item.result]),
                    f"{item.result.replace('_', ' ')}: {where}",
                    f"; {visible(item.reason)}" if item.reason else "",
                    f"; under {item.overlay}" if item.overlay else "",
                )
    kept = Counter(
        item.rule
        for row in rows
        for item in row.recorded.verdicts
        if item.result == "satisfied"
    )
    for rule, number in sorted(kept.items()):
        yield Text.assemble(
            (f"{MARKS['satisfied']} {rule} ", _COLOURS["satisfied"]),
            f"satisfied by {counted(number, 'span')}",
        )
