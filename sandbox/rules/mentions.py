"""Which fields of `span`, `object` and `params` an expression mentions.

Rules of this module:

* Found by reading the expression's tokens, so strings and comments mention nothing.
* A field is mentioned by `.name` or `["name"]`; an index that is computed mentions the
  map it looks into.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
    |(?P<string>[rR](?:\"{3}(?s:.*?)\"{3}|'{3}(?s:.*?)'{3}|"[^"\n]*"|'[^'\n]*')
        |\"{3}(?s:\\.|[^\\])*?\"{3}|'{3}(?s:\\.|[^\\])*?'{3}
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][0-9A-Za-z.]*)
    |(?P<sign>\S)
    """,
    re.VERBOSE,
)
_ROOTS = ("span", "object", "params")


class Token(NamedTuple):
    """One token of an expression, and its offset."""

    kind: str
    text: str
    at: int


Path = tuple[str, ...]
"""A field as its steps, for example `("span", "attributes", "http.route")`."""


class Mention(NamedTuple):
    """A field that is read, and where."""

    path: Path
    at: int
    """Offset in the expression, from 0, in characters."""


def mentions(expression: str) -> tuple[Path, ...]:
    """Return every field mentioned, each once, in order of appearance."""
    return tuple(dict.fromkeys(item.path for item in every_mention(expression)))


def every_mention(expression: str) -> list[Mention]:
    """Return every mention of a field, in order of appearance."""
    tokens = tokens_of(expression)
    found = [
        Mention(_path_from(tokens, number), token.at)
        for number, token in enumerate(tokens)
        if token.kind == "name"
        and token.text in _ROOTS
        and not (number and tokens[number - 1].text == ".")
    ]
    return [item for item in found if len(item.path) > 1]


def tokens_of(expression: str) -> list[Token]:
    """Return the tokens of an expression, without its comments."""
    return [
        Token(match.lastgroup or "", match.group(), match.start())
        for match in _TOKEN.finditer(expression)
        if match.lastgroup != "comment"
    ]


def dotted(path: Path) -> str:
    """Return a path as people write it, for example `span.attributes.http.route`."""
    return ".".join(path)


def path_of(name: str) -> Path:
    """Return the path that `dotted` wrote: a key of a map may have dots itself."""
    return tuple(name.split(".", 2))


def _path_from(tokens: list[Token], start: int) -> Path:
    path = [tokens[start].text]
    at = start + 1
    while True:
        kinds = [token.kind for token in tokens[at : at + 3]]
        texts = [token.text for token in tokens[at : at + 3]]
        if kinds[:2] == ["sign", "name"] and texts[0] == "." and "(" not in texts[2:]:
            path.append(texts[1])
            at += 2
        elif kinds[1:2] == ["string"] and texts[0] == "[" and texts[2:] == ["]"]:
            path.append(unquoted(texts[1]))
            at += 3
        else:
            return tuple(path)


def unquoted(literal: str) -> str:
    """Return the text that a string token stands for."""
    body = literal.lstrip("rR")
    marks = 3 if body[:3] in ('"""', "'''") else 1
    text = body[marks:-marks]
    return text if body != literal else re.sub(r"\\(.)", r"\1", text)
