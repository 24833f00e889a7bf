"""Where things stand in a YAML document, down to one character inside a value.

Rules of this module:

* Lines and columns are counted from 1, in characters, as editors show them.
* Between the value and what is written, only white space and escapes differ (YAML 1.2,
  chapters 7 and 8); so the n-th visible character of a value is the n-th that is
  written, whether plain, quoted, folded or literal.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from yaml.nodes import Node, ScalarNode

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_ESCAPE = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|\r\n|(?s:.))"
)
_UNSEEN = frozenset("tnvfrNLP_ \t\r\n\x85\u2028\u2029")
"""What stands after the backslash where an escape gives white space, or nothing."""


class Spot(NamedTuple):
    """A line and a column, counted from 1."""

    line: int
    column: int


class Place(NamedTuple):
    """Where a field stands: its key, its value, and how the value is written."""

    key: Spot
    value: Spot
    written: str | None = None
    """The value as it is written, quotes and all; None where it is not a scalar."""
    style: str | None = None
    """How YAML writes it: a quote, `|`, `>`, or None where it is plain."""
    read: str = ""
    """The value as it is read."""

    @property
    def spot(self) -> Spot:
        """The value of a scalar; the key of everything else."""
        return self.key if self.written is None else self.value

    def at(self, offset: int) -> Spot:
        """Return where a character of the value stands.

        Args:
            offset: Number of the character in the value as it is read, from 0.
        """
        if self.written is None:
            return self.spot
        before = len(_without_space(self.read[:offset]))
        starts = _visible(self.written, self.style)
        shown = self.read[offset : offset + 1]
        if shown.strip() and before < len(starts):
            return self._moved(starts[before][0])
        return self._moved(starts[before - 1][1] if 0 < before <= len(starts) else 0)

    def _moved(self, index: int) -> Spot:
        passed = (self.written or "")[:index]
        breaks = list(_BREAK.finditer(passed))
        if not breaks:
            return Spot(self.value.line, self.value.column + index)
        return Spot(self.value.line + len(breaks), index - breaks[-1].end() + 1)


class _Mark(Protocol):
    """What YAML says of a place, counted from 0."""

    line: int
    column: int


def spot_of(mark: _Mark | None) -> Spot:
    """Return the place of a mark; the beginning where there is none."""
    return Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)


def place_of(text: str, value: Node, key: Node | None = None) -> Place:
    """Return the place of a value, and of its key where it has one.

    Args:
        text: The document.
        value: The value.
        key: Its key; an item of a list has none.
    """
    spot = spot_of(value.start_mark)
    at = spot_of(key.start_mark) if key else spot
    if not isinstance(value, ScalarNode):
        return Place(at, spot)
    written = text[value.start_mark.index : value.end_mark.index]
    return Place(at, spot, written, value.style, value.value)


def _without_space(text: str) -> str:
    return "".join(text.split())


def _visible(written: str, style: str | None) -> list[tuple[int, int]]:
    """Return where each visible character of a value begins and ends."""
    if style in ("|", ">"):
        first = _BREAK.search(written)
        return _each(written, first.end() if first else len(written), r"\S")
    if style == "'":
        return _each(written[:-1], 1, r"''|\S")
    if style == '"':
        found = _each(written[:-1], 1, rf"{_ESCAPE.pattern}|\S")
        return [at for at in found if not _gives_space(written[at[0] : at[1]])]
    return _each(written, 0, r"\S")


def _each(written: str, start: int, pattern: str) -> list[tuple[int, int]]:
    found = re.compile(pattern).finditer(written, start)
    return [match.span() for match in found]


def _gives_space(escape: str) -> bool:
    if not escape.startswith("\\"):
        return False
    if escape[1:2] in ("x", "u", "U") and len(escape) > 2:
        return not chr(int(escape[2:], 16)).strip()
    return escape[1:2] in _UNSEEN
