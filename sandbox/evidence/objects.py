"""What every store of objects keeps to, whatever it is built on.

Rules of this module:

* A name is one or more plain parts joined by slashes; it cannot leave its place.
* What is read can be checked against a digest known beforehand: no store is believed.
"""

from __future__ import annotations

import re

from sandbox.errors import EvidenceError
from sandbox.model.record import digest_of

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


def is_object_name(name: str) -> bool:
    """Return whether an object can have this name."""
    return _NAME.fullmatch(name) is not None


def check_object_name(name: str) -> str:
    """Return the name.

    Raises:
        EvidenceError: No object can have it.
    """
    if not is_object_name(name):
        raise EvidenceError(
            f"{name!r} cannot name an object; use letters, digits, dots, hyphens "
            "and underscores, with slashes between parts"
        )
    return name


def check_content(name: str, data: bytes, digest: str) -> bytes:
    """Return the bytes.

    Args:
        name: The object's name, for the error.
        data: What the store gave.
        digest: The digest it must have, as `sha256:…`; empty checks nothing.

    Raises:
        EvidenceError: They are not the bytes of that digest.
    """
    found = digest_of(data) if digest else ""
    if found != digest:
        raise EvidenceError(
            f"the object {name} was changed in its store: its digest is {found}, not "
            f"{digest}; do not rely on it, and restore it from another copy"
        )
    return data


def check_range(name: str, data: bytes, *, start: int, end: int) -> bytes:
    """Return the bytes, once they are as many as were asked for.

    Raises:
        EvidenceError: The object has not all of the bytes `start` to `end`.
    """
    if start < 0 or end <= start or len(data) != end - start:
        raise EvidenceError(
            f"the object {name} has not the bytes {start} to {end}; ask for a range "
            "inside it"
        )
    return data


def other_content(name: str) -> EvidenceError:
    """Return the error of a name that is taken."""
    return EvidenceError(
        f"the object {name} exists with other content and never changes; choose "
        "another name"
    )
