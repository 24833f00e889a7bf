"""In what two Kubernetes objects differ, field by field; nothing is asked of a cluster.

Rules of this module:

* The body is compared exactly: a field that somebody added is a difference. Labels and
  annotations are compared where they are ours; those that others add say nothing.
* What nobody wrote, an API server may add: the few defaults of admission policies are
  listed here (Kubernetes API reference, admissionregistration.k8s.io/v1).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from sandbox.ports import KubernetesObject

_APART = ("apiVersion", "kind", "metadata", "status")
_DEFAULTS: dict[str, Any] = {
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "scope": "*",
}


class Deviation(NamedTuple):
    """One field whose value is another than it should be; None where there is none."""

    path: str
    """For example `spec.validations[0].expression`."""
    wanted: Any
    found: Any


def deviations(wanted: KubernetesObject, found: KubernetesObject) -> list[Deviation]:
    """Return every field in which an object is not as wanted.

    Args:
        wanted: The object with every default filled in.
        found: The object as it is in the cluster.
    """
    return [*label_deviations(wanted, found), *between(body(wanted), body(found))]


def between(
    wanted: Any,
    found: Any,
    path: str = "",
    *,
    same: Callable[[Any, Any], bool] = operator.eq,
) -> Iterator[Deviation]:
    """Yield every field in which a part of an object is not as wanted.

    Args:
        wanted: The part with every default filled in.
        found: The same part as it is in the cluster.
        path: Where it stands in the object; empty for all of it.
        same: Whether two values that are neither mapping nor list are the same.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted({*wanted, *found}):
            place = f"{path}.{key}" if path else key
            yield from between(wanted.get(key), found.get(key), place, same=same)
    elif isinstance(wanted, list) and isinstance(found, list):
        for index, pair in enumerate(zip_longest(wanted, found)):
            yield from between(*pair, f"{path}[{index}]", same=same)
    elif not same(wanted, found):
        yield Deviation(path, wanted, found)


def body(item: KubernetesObject) -> KubernetesObject:
    """Return what an object says, without its name, labels and status."""
    return {key: value for key, value in item.items() if key not in _APART}


def holds(wanted: Any, found: Any) -> bool:
    """Return whether an admission policy is as written, but for the usual defaults.

    Args:
        wanted: The policy, or a part of it, without defaults.
        found: The same part as it is in the cluster.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        added = {key: value for key, value in found.items() if key not in wanted}
        return all(
            key in _DEFAULTS and value == _DEFAULTS[key] for key, value in added.items()
        ) and all(key in found and holds(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(holds, wanted, found))
    return bool(wanted == found)


def label_deviations(
    wanted: KubernetesObject, found: KubernetesObject
) -> list[Deviation]:
    """Return which of the labels and annotations wanted are not there as wanted."""
    return [
        Deviation(f"metadata.{part}.{key}", value, there.get(key))
        for part in ("labels", "annotations")
        for there in [found["metadata"].get(part) or {}]
        for key, value in (wanted["metadata"].get(part) or {}).items()
        if there.get(key) != value
    ]
