"""Data files that come with a Python distribution, read without importing its code."""

from __future__ import annotations

import csv
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from typing import NamedTuple

from sandbox.errors import LocalError


class Bundled(NamedTuple):
    """A table as the distribution carries it."""

    rows: list[dict[str, str]]
    """In the order of the file; column name → text."""
    source: str
    """Distribution, version and path."""
    digest: str
    """Of the bytes of the file."""


def read_bundled(name: str, path: str) -> Bundled:
    """Read a CSV file of an installed distribution.

    Args:
        name: The distribution.
        path: The file inside it.

    Raises:
        LocalError: The distribution or the file is not there.
    """
    try:
        found = distribution(name)
        data = bytes(found.locate_file(path).read_bytes())  # type: ignore[attr-defined]
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise LocalError(
            f"the data of this replay stands in {path} of the Python distribution"
            f" {name}, which is not here ({error}); run scripts/uv sync --locked"
            " --extra replays"
        ) from error
    return Bundled(
        list(csv.DictReader(data.decode().splitlines())),
        f"{name} {found.version}, {path}",
        "sha256:" + hashlib.sha256(data).hexdigest(),
    )
