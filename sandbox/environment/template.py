"""Kubernetes objects from the YAML in `manifests`, with values put in after parsing.

Rules of this module:

* A value replaces a scalar that is exactly `${name}`, never a part of a text or a key,
  and only after the YAML was parsed: no value can change the shape of an object.
* Every name must have a value; a value of None removes its key.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from sandbox.errors import IsolationError
from sandbox.model.record import digest_of

_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")


@cache
def _parsed(folder: str, file: str) -> Any:
    return yaml.safe_load(template_text(folder, file))


@cache
def template_files(folder: str) -> tuple[str, ...]:
    """Return the YAML files of a folder of `manifests`, in apply order."""
    entries = resources.files("manifests").joinpath(folder).iterdir()
    return tuple(sorted(e.name for e in entries if e.name.endswith(".yaml")))


def template_text(folder: str, file: str) -> str:
    """Return a file of `manifests` that has no placeholders, as it stands there."""
    return resources.files("manifests").joinpath(folder, file).read_text("utf-8")


def templates_digest(folder: str) -> str:
    """Return the digest of all templates of a folder, as they are before filling in."""
    return digest_of({file: _parsed(folder, file) for file in template_files(folder)})


def fill(folder: str, file: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return one template with its placeholders replaced.

    Args:
        folder: Folder below `manifests`, for example `trial`.
        file: Name of the file.
        values: Placeholder → typed value.

    Raises:
        IsolationError: The template asks for a value that is not given.
    """
    filled = _substitute(_parsed(folder, file), values, f"{folder}/{file}")
    if not isinstance(filled, dict):
        raise IsolationError(f"manifests/{folder}/{file} does not hold one object.")
    return filled


def _substitute(node: Any, values: Mapping[str, Any], place: str) -> Any:
    if isinstance(node, dict):
        pairs = ((key, _substitute(item, values, place)) for key, item in node.items())
        return {key: item for key, item in pairs if item is not None}
    if isinstance(node, list):
        return [_substitute(item, values, place) for item in node]
    return _scalar(node, values, place)


def _scalar(node: Any, values: Mapping[str, Any], place: str) -> Any:
    found = _PLACEHOLDER.fullmatch(node) if isinstance(node, str) else None
    if found is None:
        return node
    if found[1] not in values:
        raise IsolationError(
            f"manifests/{place} asks for `{found[1]}`, which has no value; the file and"
            " the version of this package do not belong together."
        )
    return copy.deepcopy(values[found[1]])
