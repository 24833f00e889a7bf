"""The parts of an expression that `&&`, `||`, `!` and `? :` join.

Rules of this module:

* Precedence is that of CEL: `? :` binds weakest, then `||`, then `&&`; `!` binds
  tighter than any comparison. What no such sign joins is one part.
* Every part is an expression by itself and can be evaluated alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from sandbox.rules.mentions import Token, tokens_of

Joint = Literal["", "&&", "||", "!", "?:"]
_BINARY = frozenset("<>=!+-*/%")
_OPENING, _CLOSING = "([{", ")]}"


class Part(NamedTuple):
    """An expression, and the parts it is joined of."""

    text: str
    joint: Joint = ""
    parts: tuple[Part, ...] = ()


def parts_of(text: str) -> Part:
    """Return an expression that compiles with its parts, outermost first."""
    tokens = tokens_of(text)
    if not tokens:
        return Part(text.strip())
    top = _at_top(tokens)
    if tokens[0].text == "(" and [item.text for item in top] == ["(", ")"]:
        return parts_of(text[tokens[0].at + 1 : tokens[-1].at])
    return (
        _choice(text, top)
        or _joined(text, top, "||")
        or _joined(text, top, "&&")
        or _negated(text, tokens, top)
        or Part(text.strip())
    )


def _at_top(tokens: list[Token]) -> list[Token]:
    """Return the tokens outside all brackets, and the outermost brackets."""
    found, depth = [], 0
    for token in tokens:
        is_sign = token.kind == "sign"
        depth -= is_sign and token.text in _CLOSING
        if depth == 0:
            found.append(token)
        depth += is_sign and token.text in _OPENING
    return found


def _choice(text: str, top: list[Token]) -> Part | None:
    signs = [item for item in top if item.kind == "sign" and item.text in "?:"]
    if len(signs) < 2:
        return None
    condition, colon = signs[0].at, signs[1].at
    pieces = text[:condition], text[condition + 1 : colon], text[colon + 1 :]
    return Part(text.strip(), "?:", tuple(parts_of(piece) for piece in pieces))


def _joined(text: str, top: list[Token], joint: Literal["&&", "||"]) -> Part | None:
    cuts = [
        one.at
        for one, two in zip(top, top[1:], strict=False)
        if one.kind == two.kind == "sign"
        and one.text + two.text == joint
        and two.at == one.at + 1
    ]
    if not cuts:
        return None
    starts, ends = [0, *(cut + 2 for cut in cuts)], [*cuts, len(text)]
    pieces = (text[start:end] for start, end in zip(starts, ends, strict=True))
    return Part(text.strip(), joint, tuple(parts_of(piece) for piece in pieces))


def _negated(text: str, tokens: list[Token], top: list[Token]) -> Part | None:
    if tokens[0].text != "!":
        return None
    rest = [item for item in top if item.at > tokens[0].at]
    while rest and rest[0].text == "!":
        rest = rest[1:]
    if any(item.text in _BINARY or item.text == "in" for item in rest):
        return None
    return Part(text.strip(), "!", (parts_of(text[tokens[0].at + 1 :]),))
