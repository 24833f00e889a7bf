"""A real S3 server for the whole session: versitygw, on loopback, over a folder.

It is a test's server, so no user builds it: its pinned module lies beside this file,
and its binary is taken from SANDBOX_SERVERS, else built once into the cache of
SANDBOX_HOME. Where it cannot be had, what needs it is skipped and says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.errors import LocalError
from sandbox.local.toolchain import find_toolchain
from sandbox.settings import Settings

PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
PINS = Path(__file__).parent / "s3"
KEYS = ("contract-access", "contract-secret-0123456789")
_START_S = 30.0


class S3Server(NamedTuple):
    """A running server and the folder in which each bucket is a folder."""

    endpoint: str
    buckets: Path

    def bucket(self, name: str) -> Path:
        """Make a bucket and return its folder."""
        folder = self.buckets / name
        folder.mkdir()
        return folder

    def settings(self, home: Path) -> Settings:
        """Return settings that lead to the server."""
        return Settings(
            home=home,
            s3_endpoint=self.endpoint,
            s3_region="us-east-1",
            s3_access_key=KEYS[0],
            s3_secret_key=KEYS[1],
        )


def _binary() -> Path:
    """Return the server's binary, building it where it is not ready.

    Raises:
        LocalError: There is no toolchain.
        subprocess.CalledProcessError: It cannot be built.
    """
    settings = Settings()
    given = (settings.servers or Path("/nowhere")) / "versitygw"
    if os.access(given, os.X_OK):
        return given
    pins = [(PINS / name).read_bytes() for name in ("go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(pins)).hexdigest()[:16]
    cache = settings.home.expanduser().resolve() / "servers" / f"s3-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / "versitygw"
    with (cache / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(ready, os.X_OK):
            _build(ready)
    return ready


def _build(ready: Path) -> None:
    line = re.search(r"^go (\d+)\.(\d+)", (PINS / "go.mod").read_text(), re.MULTILINE)
    assert line is not None
    toolchain = find_toolchain((int(line[1]), int(line[2])))
    with tempfile.TemporaryDirectory(dir=ready.parent) as work:
        for name in ("go.mod", "go.sum"):
            shutil.copy(PINS / name, work)
        subprocess.run(
            ["env", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"]
            + [str(toolchain.go), "build", "-mod=readonly", "-modcacherw"]
            + ["-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
            + ["-o", "versitygw", PACKAGE],
            cwd=work,
            check=True,
            capture_output=True,
            text=True,
        )
        (Path(work) / "versitygw").rename(ready)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the S3 server does not answer:\n{log.read_text()}")


@pytest.fixture(name="s3_server", scope="session")
def _s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        binary = _binary()
    except LocalError as error:
        pytest.skip(f"NOT TESTED: no S3 server to test with: {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NOT TESTED: the S3 server cannot be built: {error.stderr[-400:]}")
    home = tmp_path_factory.mktemp("s3")
    for name in ("buckets", "about"):
        (home / name).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    log = home / "log"
    command = [str(binary), "--port", f"127.0.0.1:{port}", "--quiet", "posix"]
    command += ["--sidecar", str(home / "about"), str(home / "buckets")]
    secrets = {"ROOT_ACCESS_KEY": KEYS[0], "ROOT_SECRET_KEY": KEYS[1]}
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=secrets, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(port, server, log)
        yield S3Server(f"http://127.0.0.1:{port}", home / "buckets")
    finally:
        server.kill()
        server.wait()


@pytest.fixture(name="make_bucket")
def _make_bucket(
    s3_server: S3Server, request: pytest.FixtureRequest
) -> Callable[[], str]:
    """Makes a new bucket on the server and returns its name."""

    def make() -> str:
        name = "b" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:24]
        s3_server.bucket(name)
        return name

    return make
