"""YAML text → record, with file, line and column for every problem at once.

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
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.places import Place, Spot, place_of, spot_of
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
    places: dict[str, Place]
    """Dotted path of every field → where it stands."""


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
    notes = _Notes(text, file, prefix or "document")
    data = _plain_data(text, notes)
    if data is _NOTHING:
        return Reading(None, tuple(notes.defects), None, notes.places)
    if data is None and notes.defects:
        return Reading(None, tuple(notes.defects), None, notes.places)
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        for detail in refusals(error):
            field = _path(detail["loc"])
            notes.add(word(detail, model), field, at=notes.key_of(field, detail["loc"]))
    if notes.defects:
        return Reading(None, in_order(notes.defects), data, notes.places)
    return Reading(record, (), data, notes.places)


def refusals(error: ValidationError) -> list[ErrorDetails]:
    """Return what a schema refuses, without what only follows from it.

    Of a list whose items are refused, pydantic also says that it is too short.
    """
    return [
        detail
        for detail in error.errors(include_url=False)
        if detail["type"] != "too_short"
        or len(detail["input"]) < detail["ctx"]["min_length"]
    ]


def placed(
    defects: Iterable[Defect], places: dict[str, Place], *, file: str = ""
) -> tuple[Defect, ...]:
    """Return the defects with file, line and column, found by their field, in order."""
    return in_order(
        item.model_copy(
            update={
                "file": item.file or file,
                **({} if item.line else _where(item, places)._asdict()),
            }
        )
        for item in defects
    )


def in_order(defects: Iterable[Defect]) -> tuple[Defect, ...]:
    """Return defects by the place at which they stand."""
    return tuple(
        sorted(defects, key=lambda item: (item.line or 0, item.column or 0, item.code))
    )


def spot_of_field(field: str, places: dict[str, Place]) -> Spot:
    """Return where a field stands, or the nearest field around it."""
    while field and field not in places:
        field = field.rpartition(".")[0]
    return places[field].spot if field in places else Spot(1, 1)


def _where(defect: Defect, places: dict[str, Place]) -> Spot:
    place = places.get(defect.field)
    if place is not None and defect.offset is not None:
        return place.at(defect.offset)
    return spot_of_field(defect.field, places)


_NOTHING = object()


class _Notes:
    """Collects the defects and the places of one document."""

    def __init__(self, text: str, file: str, prefix: str) -> None:
        self.text = text
        self.file = file
        self.prefix = prefix
        self.defects: list[Defect] = []
        self.places: dict[str, Place] = {}

    def add(
        self, wording: tuple[str, str, str], field: str = "", *, at: Spot | None = None
    ) -> None:
        check, what, remedy = wording
        line, column = at or self._spot(check, field)
        self.defects.append(
            Defect(
                code=f"{self.prefix}/{check}",
                what=what,
                remedy=remedy,
                file=self.file,
                line=line,
                column=column,
                field=field,
            )
        )

    def key_of(self, field: str, location: tuple[int | str, ...]) -> Spot | None:
        """Return where the key stands, if it is the key that a schema refuses."""
        is_key = location[-1:] == ("[key]",)
        return self.places[field].key if is_key and field in self.places else None

    def _spot(self, check: str, field: str) -> Spot:
        """Return the key where it is the key that is wrong, else the value."""
        if check == "unknown-key" and field in self.places:
            return self.places[field].key
        return spot_of_field(field, self.places)


def _path(location: Iterable[int | str]) -> str:
    return ".".join(str(part) for part in location if part != "[key]")


def _plain_data(text: str, notes: _Notes) -> Any:
    if len(text) > _LONGEST:
        what = f"the document is longer than {_LONGEST} characters"
        notes.add(("too-long", what, "Shorten it"), at=Spot(1, 1))
        return _NOTHING
    try:
        return _compose(text, notes)
    except yaml.MarkedYAMLError as error:
        spot = spot_of(error.problem_mark or error.context_mark)
        what = f"this is not YAML: {error.problem or error.context}"
        remedy = "Check indentation, colons, quotes and brackets near this line"
        notes.add(("unreadable", what, remedy), at=spot)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        spot = Spot(before.count("\n") + 1, len(before) - before.rfind("\n"))
        what = f"the character U+{int(error.character):04X} may not stand in YAML"
        notes.add(("unreadable", what, "Remove it; save the file as UTF-8"), at=spot)
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
        notes.places[""] = place_of(text, root)
        return _value(root, loader, notes, "")
    finally:
        loader.dispose()


def _events_are_plain(text: str, notes: _Notes) -> bool:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        spot = spot_of(event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            what = "anchors and aliases (`&`, `*`) are not read here"
            notes.add(("alias", what, "Write the value where it belongs"), at=spot)
            return False
        if depth > _DEEPEST:
            what = f"the document nests deeper than {_DEEPEST} levels"
            notes.add(("too-deep", what, "Flatten it"), at=spot)
            return False
    return True


def _value(node: Node, loader: _Loader, notes: _Notes, path: str) -> Any:
    if isinstance(node, MappingNode):
        return _mapping(node, loader, notes, path)
    if isinstance(node, SequenceNode):
        items = []
        for number, item in enumerate(node.value):
            place = _join(path, str(number))
            notes.places[place] = place_of(notes.text, item)
            items.append(_value(item, loader, notes, place))
        return items
    return _scalar(node, loader, notes, path)


def _mapping(
    node: MappingNode, loader: _Loader, notes: _Notes, path: str
) -> dict[Any, Any]:
    data: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        spot = spot_of(key_node.start_mark)
        if not isinstance(key_node, ScalarNode):
            what = "a key must be a single word, not a list or a mapping"
            notes.add(("bad-key", what, "Write `key: value`"), path, at=spot)
            continue
        key = key_node.value
        place = _join(path, key)
        if key in data:
            what = f"`{key}` stands twice here"
            remedy = f"Keep one; the first is in line {notes.places[place].key.line}"
            notes.add(("duplicate-key", what, remedy), place, at=spot)
            continue
        notes.places[place] = place_of(notes.text, value_node, key_node)
        data[key] = _value(value_node, loader, notes, place)
    return data


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _scalar(node: Node, loader: _Loader, notes: _Notes, path: str) -> Any:
    if node.tag.removeprefix(_CORE) in ("null", "bool", "int", "float", "str"):
        try:
            return loader.construct_object(node)
        except ValueError:
            pass
    what = f"the tag `{node.tag}` is not read here"
    spot = spot_of(node.start_mark)
    notes.add(("tag", what, "Write the plain value"), path, at=spot)
    return None
