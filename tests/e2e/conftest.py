"""The experiment on real servers, twice with one seed.

The first run starts the servers and leaves them up, so that commands can be tried on
what it left. The second has a state directory of its own and uses those servers as
somebody else's: Temporal by its address, the cluster by the name of its context.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.settings import Settings

_RUN = ("experiment", "run", "ride-dispatch", "--seed", "7", "-o", "json")
_COMMAND = (sys.executable, "-m", "workflows.cli")
Sandbox = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A new state directory that shares the cache of built servers."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a real Kubernetes node needs root on this machine")
    directory = Path(tempfile.mkdtemp(prefix="rsbx-e2e-"))
    cache = Settings().home / "servers"
    cache.mkdir(parents=True, exist_ok=True)
    (directory / "servers").symlink_to(cache)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def sandbox(home: Path) -> Iterator[Sandbox]:
    """The `sandbox` command on that directory."""

    def call(
        *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        given = {"SANDBOX_HOME": str(home), **variables}
        ended = subprocess.run(
            [
                "env",
                *(f"{name}={value}" for name, value in given.items()),
                *_COMMAND,
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=1500,
        )
        sys.stderr.write(ended.stderr)
        assert not check or ended.returncode == 0, ended.stderr[-3000:]
        return ended

    yield call
    call("local", "down")


@pytest.fixture(scope="session")
def runs(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Results of two runs with the same seed."""
    first = json.loads(sandbox(*_RUN, "--keep").stdout)
    servers = json.loads(sandbox("local", "up", "-o", "json").stdout)
    host = servers["host_address"]
    second = sandbox(
        *_RUN,
        *("--temporal", servers["temporal_address"]),
        *("--context", servers["context"]),
        SANDBOX_HOME=str(tmp_path_factory.mktemp("second")),
        SANDBOX_KUBECONFIG=servers["kubeconfig"],
        SANDBOX_TEMPORAL_NAMESPACE="second",
        SANDBOX_IMAGES=json.dumps(servers["images"]),
        SANDBOX_LOAD_SOURCE=f"{host}/32",
        SANDBOX_RECORDER_HOST=host,
        SANDBOX_RECORDER_HTTP_PORT="24318",
        SANDBOX_RECORDER_GRPC_PORT="24317",
        SANDBOX_RECORDER_ADMIN_PORT="34318",
    )
    return [first, json.loads(second.stdout)]


@pytest.fixture(scope="session")
def result(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Result of the first run."""
    return runs[0]
