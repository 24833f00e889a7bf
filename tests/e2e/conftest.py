"""The experiment on real servers, twice with one seed, in one state directory.

The servers stay up between the runs, so that the commands of the README can be tried on
what the first left; afterwards they are stopped.
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

    def call(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            ["env", f"SANDBOX_HOME={home}", *_COMMAND, *arguments],
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
def runs(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Results of two runs with the same seed."""
    command = ("experiment", "run", "ride-dispatch", "--seed", "7", "--keep")
    return [json.loads(sandbox(*command, "-o", "json").stdout) for _ in range(2)]


@pytest.fixture(scope="session")
def result(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Result of the first run."""
    return runs[0]
