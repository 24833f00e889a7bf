"""What a schema says is wrong, put into sentences that help.

Rules of this module:

* A sentence names the field, says what is wrong with it, and what to write instead.
* It never shows more than a few characters of what was found.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_PATTERNS = {
    r"^sha256:[0-9a-f]{64}$": (
        "not-a-digest",
        "is not a digest",
        "Write `sha256:` and 64 lower-case hexadecimal digits",
    ),
    r"^[a-z0-9]([a-z0-9-]{0,53}[a-z0-9])?$": (
        "not-a-name",
        "is not a name of a trial",
        "Use at most 55 lower-case letters, digits and hyphens",
    ),
    r"^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$": (
        "not-a-name",
        "is not a name",
        "Use lower-case letters, digits and `.`, `_`, `/`, `-` between them, "
        "for example dispatch/offer-time",
    ),
}
_EXAMPLES = {
    "string": "text; put it between quotes where YAML reads it as something else",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "tuple": "a list; start each item with a hyphen",
    "list": "a list; start each item with a hyphen",
    "dict": "a mapping of `key: value` lines",
    "model": "a mapping of `key: value` lines",
    "date": "a date such as 2026-01-31",
    "datetime": "an instant with its offset such as 2026-01-31T09:00:00+09:00",
    "timezone": "an instant with its offset such as 2026-01-31T09:00:00+09:00",
}


class Wording(NamedTuple):
    """The parts of a defect that are words."""

    check: str
    """Last part of the defect's code, for example `missing`."""
    what: str
    remedy: str


def word(error: ErrorDetails, model: type[BaseModel]) -> Wording:
    """Return the words for one schema error found in a document of `model`."""
    location = error["loc"]
    name = _last_name(location)
    kind = error["type"]
    if kind == "missing":
        return _missing(name, field_at(model, location))
    if kind == "extra_forbidden":
        return _unknown(name, _at(model, location[:-1]))
    if kind == "string_pattern_mismatch":
        return _pattern(name, error)
    if kind == "value_error":
        return _value_error(name, error["msg"])
    if kind == "literal_error":
        choices = error["ctx"]["expected"]
        what = f"`{name}` is {_shown(error['input'])}, which is not a choice"
        return Wording("not-a-choice", what, f"Write {choices}")
    return _wrong_value(name, error, field_at(model, location))


def field_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """Return the `FieldInfo` a location ends in, or None where there is none."""
    holder: Any = _at(model, location[:-1])
    return (
        _named(holder, str(location[-1])) if location and _is_record(holder) else None
    )


def _at(annotation: Any, location: tuple[int | str, ...]) -> Any:
    """Return the type that a location leads to, or None where it leads nowhere."""
    for part in location:
        annotation = _inside(annotation)
        if _is_record(annotation):
            field = _named(annotation, str(part))
            annotation = field.annotation if field else None
        else:
            inner = get_args(annotation)
            is_mapping = get_origin(annotation) in (dict, Mapping)
            annotation = inner[int(is_mapping)] if inner else None
    return _inside(annotation)


def _inside(annotation: Any) -> Any:
    """Return what stands inside annotated and optional types."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inside(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        inner = (item for item in get_args(annotation) if item is not type(None))
        return _inside(next(inner, None))
    return annotation


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _named(record: type[BaseModel], name: str) -> FieldInfo | None:
    for key, field in record.model_fields.items():
        if name == (field.alias or key):
            return field
    return None


def _last_name(location: tuple[int | str, ...]) -> str:
    names = [str(part) for part in location if isinstance(part, str)]
    named = [part for part in names if part != "[key]"]
    return named[-1] if named else "document"


def _shown(value: object) -> str:
    text = str(value)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"


def _missing(name: str, field: FieldInfo | None) -> Wording:
    about = f": {_plain(field.description)}" if field and field.description else ""
    return Wording("missing", f"`{name}` is missing", f"Add `{name}`{about}")


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _unknown(name: str, record: Any) -> Wording:
    known = (
        [field.alias or key for key, field in record.model_fields.items()]
        if _is_record(record)
        else []
    )
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(known)}"
    return Wording("unknown-key", f"`{name}` is not known here", remedy)


def _pattern(name: str, error: ErrorDetails) -> Wording:
    check, what, remedy = _PATTERNS.get(
        error["ctx"]["pattern"],
        ("wrong-value", "does not have the right form", error["msg"]),
    )
    return Wording(check, f"`{name}` {what}: found {_shown(error['input'])}", remedy)


def _value_error(name: str, message: str) -> Wording:
    what, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return Wording("wrong-value", f"`{name}` {what}", _sentence(remedy or "Correct it"))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrong_value(name: str, error: ErrorDetails, field: FieldInfo | None) -> Wording:
    wanted = _range(field) or _EXAMPLES.get(error["type"].split("_")[0])
    if wanted is None:
        return Wording("wrong-value", f"`{name}`: {error['msg']}", "Correct the value")
    what = f"`{name}` must be {wanted.partition(';')[0]}"
    found = error["input"]
    if not isinstance(found, dict | list):
        what += f"; found {_shown(found)}"
    return Wording("wrong-value", what, _advice(name, wanted, field))


def _advice(name: str, wanted: str, field: FieldInfo | None) -> str:
    bounds = _bounds(field)
    example = {("0", "1"): "0.95", ("0", "0.5"): "0.05", ("0", ""): "1"}.get(bounds)
    if example:
        return f"Write for example `{name}: {example}`"
    return f"Write {wanted}"


def _bounds(field: FieldInfo | None) -> tuple[str, str]:
    """Return the lower and the upper bound of a number, empty where there is none."""
    low = high = ""
    for item in field.metadata if field else ():
        for key in ("gt", "ge"):
            low = f"{getattr(item, key):g}" if hasattr(item, key) else low
        for key in ("lt", "le"):
            high = f"{getattr(item, key):g}" if hasattr(item, key) else high
    return low, high


def _range(field: FieldInfo | None) -> str:
    low, high = _bounds(field)
    number = "a whole number" if field and field.annotation is int else "a number"
    if low and high:
        return f"{number} between {low} and {high}"
    if low:
        strict = any(hasattr(item, "gt") for item in field.metadata) if field else False
        return f"{number} {'above' if strict else 'of at least'} {low}"
    return f"{number} of at most {high}" if high else ""
