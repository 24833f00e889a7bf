"""YAML text → record, with file and line for every problem at once.

Rules of this module:

* All problems of a document are reported together, each with its place.
* Scalars are read as in YAML 1.2 (core schema): `no` and `on` are text, a date stays
  text until the record's field asks for a date.
* A key may stand once. Tags, anchors and aliases are refused: a document says what it
  says where it says it, and cannot grow when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.record import Record
from sandbox.model.sentences import word

R = TypeVar("R", bound=Record)

_LONGEST = 1_000_000
_DEEPEST = 40
_CORE = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """A safe loader that resolves plain scalars as the core schema of YAML 1.2 does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _kind, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[1-9][0-9]*(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_CORE + _kind, re.compile(_pattern), _first)


class Reading(NamedTuple, Generic[R]):
    """What came of reading a document; without defects there is a record."""

    record: R | None
    defects: tuple[Defect, ...]
    data: Any
    """Plain data of the document, as far as YAML could be read."""
    lines: dict[str, int]
    """Dotted path of every field → line, counted from 1."""


def read_document(text: str, model: type[R], *, file: str, prefix: str = "") -> R:
    """Return the record that a YAML document describes.

    Args:
        text: The document.
        model: The record class it must describe.
        file: Name of the document, for the places of problems.
        prefix: First part of the defects' codes, for example `application`; when
            empty, `document`.

    Raises:
        InputError: Something is wrong; carries every `Defect`.
    """
    reading = examine(text, model, file=file, prefix=prefix)
    if reading.record is None:
        raise InputError(reading.defects)
    return reading.record


def examine(text: str, model: type[R], *, file: str, prefix: str = "") -> Reading[R]:
    """Read a document as `read_document` does, but return the problems."""
    notes = _Notes(file, prefix or "document")
    data = _plain_data(text, notes)
    if data is _NOTHING:
        return Reading(None, tuple(notes.defects), None, notes.lines)
    if data is None and notes.defects:
        return Reading(None, tuple(notes.defects), None, notes.lines)
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            wording = word(detail, model)
            notes.add(wording, _path(detail["loc"]))
    if notes.defects:
        ordered = sorted(notes.defects, key=lambda item: item.line or 0)
        return Reading(None, tuple(ordered), data, notes.lines)
    return Reading(record, (), data, notes.lines)


def placed(
    defects: Iterable[Defect], lines: dict[str, int], *, file: str = ""
) -> tuple[Defect, ...]:
    """Return the defects with file and line, found by their field, in line order."""
    found = [
        item.model_copy(
            update={
                "file": item.file or file,
                "line": item.line or line_of(item.field, lines),
            }
        )
        for item in defects
    ]
    return tuple(sorted(found, key=lambda item: item.line or 0))


def line_of(field: str, lines: dict[str, int]) -> int:
    """Return the line of a field, or of the nearest field around it."""
    while field and field not in lines:
        field = field.rpartition(".")[0]
    return lines.get(field, 1)


_NOTHING = object()


class _Notes:
    """Collects the defects and the lines of one document."""

    def __init__(self, file: str, prefix: str) -> None:
        self.file = file
        self.prefix = prefix
        self.defects: list[Defect] = []
        self.lines: dict[str, int] = {}

    def add(
        self, wording: tuple[str, str, str], field: str = "", *, line: int = 0
    ) -> None:
        check, what, remedy = wording
        self.defects.append(
            Defect(
                code=f"{self.prefix}/{check}",
                what=what,
                remedy=remedy,
                file=self.file,
                line=line or line_of(field, self.lines),
                field=field,
            )
        )


def _path(location: Iterable[int | str]) -> str:
    return ".".join(str(part) for part in location if part != "[key]")


def _plain_data(text: str, notes: _Notes) -> Any:
    if len(text) > _LONGEST:
        what = f"the document is longer than {_LONGEST} characters"
        notes.add(("too-long", what, "Shorten it"), line=1)
        return _NOTHING
    try:
        return _compose(text, notes)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = f"this is not YAML: {error.problem or error.context}"
        remedy = "Check indentation, colons, quotes and brackets near this line"
        notes.add(("unreadable", what, remedy), line=line)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        what = f"the character U+{int(error.character):04X} may not stand in YAML"
        notes.add(("unreadable", what, "Remove it; save the file as UTF-8"), line=line)
    return _NOTHING


def _compose(text: str, notes: _Notes) -> Any:
    if not _events_are_plain(text, notes):
        return _NOTHING
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            what = "the document is empty"
            notes.add(("empty", what, "Write the document, or name another file"))
            return _NOTHING
        notes.lines[""] = _line(root)
        return _value(root, loader, notes, "")
    finally:
        loader.dispose()


def _events_are_plain(text: str, notes: _Notes) -> bool:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = _line(event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            what = "anchors and aliases (`&`, `*`) are not read here"
            notes.add(("alias", what, "Write the value where it belongs"), line=line)
            return False
        if depth > _DEEPEST:
            what = f"the document nests deeper than {_DEEPEST} levels"
            notes.add(("too-deep", what, "Flatten it"), line=line)
            return False
    return True


def _value(node: Node, loader: _Loader, notes: _Notes, path: str) -> Any:
    if isinstance(node, MappingNode):
        return _mapping(node, loader, notes, path)
    if isinstance(node, SequenceNode):
        items = []
        for number, item in enumerate(node.value):
            place = _join(path, str(number))
            notes.lines[place] = _line(item)
            items.append(_value(item, loader, notes, place))
        return items
    return _scalar(node, loader, notes, path)


def _mapping(
    node: MappingNode, loader: _Loader, notes: _Notes, path: str
) -> dict[Any, Any]:
    data: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        line = _line(key_node)
        if not isinstance(key_node, ScalarNode):
            what = "a key must be a single word, not a list or a mapping"
            notes.add(("bad-key", what, "Write `key: value`"), path, line=line)
            continue
        key = key_node.value
        place = _join(path, key)
        if key in data:
            what = f"`{key}` stands twice here"
            remedy = f"Keep one; the first is in line {notes.lines[place]}"
            notes.add(("duplicate-key", what, remedy), place, line=line)
            continue
        notes.lines[place] = line
        data[key] = _value(value_node, loader, notes, place)
    return data


def _line(marked: Node | yaml.Event) -> int:
    mark = marked.start_mark
    return mark.line + 1 if mark else 1


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _scalar(node: Node, loader: _Loader, notes: _Notes, path: str) -> Any:
    if node.tag.removeprefix(_CORE) in ("null", "bool", "int", "float", "str"):
        try:
            return loader.construct_object(node)
        except ValueError:
            pass
    what = f"the tag `{node.tag}` is not read here"
    line = _line(node)
    notes.add(("tag", what, "Write the plain value"), path, line=line)
    return None
