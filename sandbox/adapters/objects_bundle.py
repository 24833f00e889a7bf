"""A whole bundle to a store of objects, and back.

Rules of this module:

* A bundle lies under `TRIAL/DIGEST/`, the digest being that of its manifest: every
  version has a place of its own, and nothing in a store is ever replaced.
* Under that place are the very files of the bundle: whoever copies them with any other
  tool has a bundle that verifies.
* The signed manifest goes last; where it lies, everything it lists lies too.
* What is already there is read back and compared by digest, never taken on trust; so
  an interrupted transfer goes on where it stopped.
* Only a bundle that verifies is sent, and only one that verifies appears.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import read_canonical
from sandbox.evidence.layout import read_manifest
from sandbox.evidence.verify import Result, verify_bundle
from sandbox.model.record import digest_of
from sandbox.ports import Objects

MANIFEST = "manifest.json"
SIGNATURE = "manifest.dsse.json"
_SHA256 = "sha256:"

Tell = Callable[[str], None]
"""Told the name of each file before it is moved."""


class Transfer(NamedTuple):
    """What moving a bundle came to."""

    place: str
    """`TRIAL/DIGEST` within the store."""
    moved: int
    """Files that were sent or fetched."""
    kept: int
    """Files that were already there, equal."""
    size: int
    """Bytes of all files."""


def push_bundle(
    objects: Objects, directory: Path, *, tell: Tell = lambda name: None
) -> Transfer:
    """Send a bundle; what is already there, equal, is not sent again.

    Args:
        objects: Where to.
        directory: The bundle.
        tell: Told each file.

    Raises:
        EvidenceError: It does not verify, changes while it is sent, or the store holds
            something else under one of its names.
    """
    _check_verifies(directory, verify_bundle(directory))
    manifest = _read(directory / MANIFEST)
    listed = _listed(manifest)
    place = f"{_trial(manifest)}/{digest_of(manifest)[len(_SHA256) :]}"
    moved = size = 0
    for name, digest in [*listed.items(), (MANIFEST, ""), (SIGNATURE, "")]:
        tell(name)
        data = _read(directory / name)
        if digest and digest_of(data) != digest:
            raise EvidenceError(f"{directory / name} changed while it was sent")
        moved += _send(objects, f"{place}/{name}", data)
        size += len(data)
    return Transfer(place, moved, len(listed) + 2 - moved, size)


def _send(objects: Objects, name: str, data: bytes) -> bool:
    """Send one file and return whether it was not there yet."""
    is_new = objects.size(name) is None
    objects.put(name, data)
    return is_new


def find_bundles(objects: Objects, prefix: str = "") -> list[str]:
    """Return the places of the whole bundles below a prefix, sorted.

    Raises:
        EvidenceError: The store cannot be read.
    """
    ending = f"/{SIGNATURE}"
    names = objects.names(prefix)
    return [name[: -len(ending)] for name in names if name.endswith(ending)]


def pull_bundle(
    objects: Objects,
    place: str,
    directory: Path,
    *,
    key: bytes | None = None,
    tell: Tell = lambda name: None,
) -> Transfer:
    """Fetch a bundle; it appears once all of it is there and verifies.

    Args:
        objects: Where from.
        place: `TRIAL/DIGEST`, as `find_bundles` gives it; empty is the store itself.
        directory: Where the bundle appears; must not exist, or be that very bundle.
        key: The 32 raw bytes of the public key one trusts; None trusts the bundle's.
        tell: Told each file.

    Raises:
        EvidenceError: There is no whole bundle, something in it was changed, it does
            not verify, or the directory is taken.
    """
    start = f"{place}/" if place else ""
    manifest = objects.get(f"{start}{MANIFEST}")
    signature = objects.get(f"{start}{SIGNATURE}")
    listed = _listed(manifest)
    wanted = {**listed, MANIFEST: digest_of(manifest), SIGNATURE: digest_of(signature)}
    partial = directory.with_name(f".{directory.name}.{wanted[MANIFEST][7:23]}.partial")
    is_there = _is_same(directory, manifest)
    target = directory if is_there else partial
    moved = size = 0
    for name, digest in wanted.items():
        tell(name)
        is_new, length = _fetch(objects, start, target / name, (name, digest))
        moved, size = moved + is_new, size + length
    _check_verifies(target, verify_bundle(target, key=key))
    if not is_there:
        _appear(partial, directory)
    return Transfer(place, moved, len(wanted) - moved, size)


def _fetch(
    objects: Objects, start: str, path: Path, wanted: tuple[str, str]
) -> tuple[bool, int]:
    """Fetch one file unless it lies there; return whether it did not, and its size."""
    name, digest = wanted
    if path.is_file() and not path.is_symlink():
        data = _read(path)
        if digest_of(data) == digest:
            return False, len(data)
    data = objects.get(f"{start}{name}", digest=digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EvidenceError(
            f"{path} cannot be written: {error}; free the place and pull again"
        ) from error
    return True, len(data)


def _is_same(directory: Path, manifest: bytes) -> bool:
    """Return whether a directory is that very bundle; False where there is none.

    Raises:
        EvidenceError: Something else is there.
    """
    if not directory.exists() and not directory.is_symlink():
        return False
    path = directory / MANIFEST
    if directory.is_dir() and path.is_file() and _read(path) == manifest:
        return True
    raise EvidenceError(
        f"{directory} exists and is not this bundle; it is not overwritten: name "
        "another place"
    )


def _appear(partial: Path, directory: Path) -> None:
    try:
        partial.rename(directory)
    except OSError as error:
        raise EvidenceError(
            f"the bundle cannot be put at {directory}: {error}; it lies whole in "
            f"{partial}"
        ) from error


def _check_verifies(directory: Path, result: Result) -> None:
    if not result.ok:
        raise EvidenceError(
            f"the bundle in {directory} does not verify, so it is not moved: "
            f"{result.steps[-1].detail}"
        )


def _trial(manifest: bytes) -> str:
    data: dict[str, Any] = read_canonical(manifest, what=MANIFEST)
    return str(data["trial_id"])


def _listed(manifest: bytes) -> dict[str, str]:
    data = read_manifest(read_canonical(manifest, what=MANIFEST))
    return {item["name"]: f"{_SHA256}{item['sha256']}" for item in data["files"]}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error}") from error
