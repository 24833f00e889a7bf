"""The public conformance suite of CEL: fetched, checked and read.

Rules of this module:

* The suite is the Go module `cel.dev/expr` at the version of `go.mod`; its content is
  checked against `go.sum` by the Go command. None of it lies in this repository.
* Its tests are text protobuf. Their schema comes from the same module and is compiled
  here, into a pool of its own.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import grpc_tools
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from grpc_tools import protoc

from sandbox.local.toolchain import find_toolchain

_PINS = Path(__file__).parent
_LEAST_GO = (1, 25)
_FILE = "cel.expr.conformance.test.SimpleTestFile"
_NOT_NEEDED = ("conformance_service.proto", "env_config.proto", "policy.proto")


class Case(NamedTuple):
    """One test of the suite."""

    file: str
    """Name of the test file, for example `logic`."""
    section: str
    name: str
    test: Any
    """Message `cel.expr.conformance.test.SimpleTest`."""

    @property
    def id(self) -> str:
        """Return what names the test in the suite."""
        return f"{self.file}/{self.section}/{self.name}"


class Suite(NamedTuple):
    """All tests, with the schema of the messages they speak of."""

    version: str
    cases: tuple[Case, ...]
    pool: descriptor_pool.DescriptorPool


def load_suite() -> Suite:
    """Fetch the pinned suite, or take it from Go's cache, and read it.

    Raises:
        LocalError: There is no Go toolchain.
        subprocess.CalledProcessError: It cannot be fetched, or is not what was pinned.
    """
    folder, version = _fetched()
    pool = _schema(folder / "proto")
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(_FILE))
    data = sorted((folder / "tests" / "simple" / "testdata").glob("*.textproto"))
    cases = tuple(case for path in data for case in _cases(path, kind, pool))
    return Suite(version, cases, pool)


def _fetched() -> tuple[Path, str]:
    go = find_toolchain(_LEAST_GO).go
    with tempfile.TemporaryDirectory() as work:
        for name in ("go.mod", "go.sum"):
            (Path(work) / name).write_bytes((_PINS / name).read_bytes())
        done = subprocess.run(
            ["env", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"]
            + [str(go), "mod", "download", "-json", "cel.dev/expr"],
            cwd=work,
            check=True,
            capture_output=True,
            text=True,
        )
    said = json.loads(done.stdout)
    return Path(said["Dir"]), str(said["Version"])


def _schema(protos: Path) -> descriptor_pool.DescriptorPool:
    named = [
        str(path.relative_to(protos))
        for path in sorted(protos.rglob("*.proto"))
        if path.name not in _NOT_NEEDED
    ]
    paths = [protos, files(grpc_tools) / "_proto", files("google.rpc") / "../.."]
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "schema"
        options = [f"--proto_path={path}" for path in paths]
        options += ["--include_imports", f"--descriptor_set_out={made}"]
        if protoc.main(["protoc", *options, *named]):
            raise RuntimeError(f"protoc cannot compile the schema in {protos}")
        found = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in found.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _cases(
    path: Path, kind: Any, pool: descriptor_pool.DescriptorPool
) -> Iterator[Case]:
    with warnings.catch_warnings():
        # The suite writes `\?`, an escape of C that Python warns of and keeps.
        warnings.simplefilter("ignore", DeprecationWarning)
        read = text_format.Parse(path.read_text(), kind(), descriptor_pool=pool)
    for section in read.section:
        for test in section.test:
            yield Case(path.stem, section.name, test.name, test)
