"""Whether a manifest is of the shape that this room looks at, before it looks.

Rules of this module:

* Only fields that are read or set here are looked at; the API server knows the rest.
* A field that is null is not there, as Kubernetes has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sandbox.ports import KubernetesObject


class _Shape(NamedTuple):
    type: type
    words: str


_MAPPING = _Shape(dict, "a mapping")
_LIST = _Shape(list, "a list of mappings")
_TEXT = _Shape(str, "text")

_Path = tuple[tuple[str, _Shape], ...]
"""Keys from the top of an object, each with what must stand there."""


def _path(*mappings: str) -> _Path:
    return tuple((key, _MAPPING) for key in mappings)


_LABELS = _path("metadata", "labels")
_POD = _path("spec", "template", "spec")
_IN_CONTAINERS: tuple[_Path, ...] = (
    (("name", _TEXT),),
    (("image", _TEXT),),
    _path("securityContext"),
    _path("resources", "limits"),
    _path("resources", "requests"),
    (("env", _LIST), ("name", _TEXT)),
)
_SHAPES: dict[str, tuple[_Path, ...]] = {
    "ConfigMap": (_LABELS,),
    "Service": (
        _LABELS,
        (*_path("spec"), ("ports", _LIST)),
        _path("spec", "selector"),
    ),
    "Deployment": (
        _LABELS,
        _path("spec", "template", "metadata", "labels"),
        (*_POD, *_path("securityContext", "seccompProfile")),
        *(
            (*_POD, (key, _LIST), *inside)
            for key in ("containers", "initContainers")
            for inside in _IN_CONTAINERS
        ),
    ),
}


def misshapen(item: KubernetesObject) -> list[tuple[str, str]]:
    """Return each field that is something else than it must be, and what it must be.

    Args:
        item: A ConfigMap, a Service or a Deployment.
    """
    wrong = (found for path in _SHAPES[item["kind"]] for found in _wrong(item, path))
    return list(dict.fromkeys(wrong))


def without_nulls(value: Any) -> Any:
    """Return a copy of a manifest, or of a part of it, without fields that are null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _wrong(item: KubernetesObject, path: _Path) -> Iterator[tuple[str, str]]:
    """Yield the first field on a path that is something else."""
    level: list[Any] = [item]
    for depth, (key, shape) in enumerate(path, 1):
        found = [one[key] for one in level if one.get(key) is not None]
        fits = all(isinstance(one, shape.type) for one in found)
        if fits and shape is _LIST:
            found = [one for value in found for one in value]
            fits = all(isinstance(one, dict) for one in found)
        if not fits:
            yield ".".join(step for step, _ in path[:depth]), shape.words
            return
        level = found
