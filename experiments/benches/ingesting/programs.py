"""Builds the benchmark's Go programs from the modules pinned beside this file.

Rules of this module:

* Go checks every module against `go.sum`, and changes no pin (`-mod=readonly`).
* A program is built once and kept in the cache of SANDBOX_HOME; its folder is named by
  the digest of its source and pins.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from pathlib import Path

from sandbox.errors import LocalError
from sandbox.local.toolchain import find_toolchain
from sandbox.settings import Settings

_HERE = Path(__file__).parent
_DIRECTIVE = re.compile(r"^go (\d+)\.(\d+)", re.MULTILINE)


def program(name: str) -> Path:
    """Return a program's binary, building it where it is not ready.

    Args:
        name: Of the folder beside this file that holds its source.

    Raises:
        LocalError: There is no toolchain, or it cannot be built.
    """
    source = _HERE / name
    files = sorted(path for path in source.iterdir() if path.is_file())
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files))
    home = Settings().home.expanduser().resolve()
    folder = home / "servers" / f"bench-{name}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / name
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(ready, os.X_OK):
            _build(source, ready)
    return ready


def _build(source: Path, ready: Path) -> None:
    line = _DIRECTIVE.search((source / "go.mod").read_text())
    if line is None:
        raise LocalError(f"{source / 'go.mod'} has no `go` line")
    toolchain = find_toolchain((int(line[1]), int(line[2])))
    partial = ready.with_suffix(".partial")
    built = subprocess.run(
        ["env", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"]
        + [str(toolchain.go), "build", "-mod=readonly", "-trimpath"]
        + ["-buildvcs=false", "-ldflags=-s -w", "-o", str(partial), "."],
        cwd=source,
        check=False,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise LocalError(f"{source.name} cannot be built: {built.stderr[-400:]}")
    partial.rename(ready)
