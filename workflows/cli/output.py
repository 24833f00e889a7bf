"""What the command says: results on standard output, words on standard error.

Text of others in a table cannot steer the terminal: what is not printable is written
as its code, and nothing is read as markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

stderr = Console(stderr=True, highlight=False)


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    yaml = "yaml"
    name = "name"


Output = Annotated[
    Format, typer.Option("--output", "-o", help="How to write the result.")
]


def say(text: str) -> None:
    """Write words for a person to standard error."""
    sys.stderr.write(text + "\n")


def visible(text: str) -> str:
    """Return text in which all but letters, signs and spaces is written as its code."""
    return "".join(
        letter if _is_plain(letter) else ascii(letter)[1:-1] for letter in text
    )


def _is_plain(letter: str) -> bool:
    # Python calls every space but the ASCII one not printable, ideographic ones too.
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def emit(rows: Sequence[Mapping[str, Any]], form: Format, *, name: str) -> None:
    """Write a list of results to standard output.

    Args:
        rows: One mapping per result, JSON-ready values; for a table the same keys each.
        form: Table, JSON, YAML, or the names alone.
        name: The key that names a result.
    """
    if form is Format.json:
        sys.stdout.write(json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n")
    elif form is Format.yaml:
        sys.stdout.write(
            yaml.safe_dump(list(rows), sort_keys=False, allow_unicode=True)
        )
    elif form is Format.name:
        sys.stdout.write("".join(f"{row[name]}\n" for row in rows))
    else:
        _print_table(rows)


def emit_one(result: Mapping[str, Any], form: Format, *, name: str) -> None:
    """Write one result to standard output."""
    if form is Format.json:
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    elif form is Format.yaml:
        sys.stdout.write(yaml.safe_dump(dict(result), sort_keys=False))
    elif form is Format.name:
        sys.stdout.write(f"{result[name]}\n")
    else:
        _print_table([{"field": key, "value": value} for key, value in result.items()])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows to standard output as a table; words where there are none.

    Nothing is cut off: what does not fit goes on in the next line.
    """
    if not rows:
        say("nothing to show")
        return
    headers = (Column(Text(visible(name)), overflow="fold") for name in columns)
    table = Table(*headers, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(visible(_cell(value))) for value in row))
    Console(highlight=False).print(table)


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0]) if rows else []
    print_table(names, [list(row.values()) for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
