"""Programs in Go that only tests need, and a real S3 server for the whole session.

Their pinned modules lie beside this file, and each is built once into the cache of
SANDBOX_HOME. Where there is no Go, or no way to the modules, what needs them is skipped
and says so; what does not compile fails. The S3 server is versitygw on loopback over a
folder; SANDBOX_SERVERS may have it ready.
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
_OFFLINE = re.compile("dial tcp|GOPROXY=off|: 50[234] ")
"""What Go says where it cannot fetch modules; a wrong checksum is another matter."""

Built = Callable[..., Path]


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


def _build(pins: Path, package: str, ready: Path) -> None:
    """Build a command with the pins of a module, or skip what needs it.

    Only a missing toolchain and modules that cannot be fetched are reasons to skip.
    """
    line = re.search(r"^go (\d+)\.(\d+)", (pins / "go.mod").read_text(), re.MULTILINE)
    assert line is not None
    try:
        toolchain = find_toolchain((int(line[1]), int(line[2])))
    except LocalError as error:
        pytest.skip(f"NOT TESTED: {ready.name} cannot be built: {error}")
    with tempfile.TemporaryDirectory(dir=ready.parent) as work:
        shutil.copytree(pins, work, dirs_exist_ok=True)
        done = subprocess.run(
            ["env", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"]
            + [str(toolchain.go), "build", "-mod=readonly", "-modcacherw"]
            + ["-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
            + ["-o", ready.name, package],
            cwd=work,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode and _OFFLINE.search(done.stderr):
            why = done.stderr.splitlines()[-1]
            pytest.skip(f"NOT TESTED: no modules to build {ready.name} with: {why}")
        assert done.returncode == 0, f"{ready.name} does not build:\n{done.stderr}"
        (Path(work) / ready.name).rename(ready)


@pytest.fixture(name="built", scope="session")
def _built() -> Built:
    """Builds a command once; its pins and sources are part of the name of its place."""

    def built(pins: Path, name: str, package: str = ".") -> Path:
        whole = b"".join(item.read_bytes() for item in sorted(pins.iterdir()))
        servers = Settings().home.expanduser().resolve() / "servers"
        cache = servers / f"{pins.name}-{hashlib.sha256(whole).hexdigest()[:16]}"
        cache.mkdir(parents=True, exist_ok=True)
        ready = cache / name
        with (cache / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.access(ready, os.X_OK):
                _build(pins, package, ready)
        return ready

    return built


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
def _s3_server(
    tmp_path_factory: pytest.TempPathFactory, built: Built
) -> Iterator[S3Server]:
    binary = (Settings().servers or Path("/nowhere")) / "versitygw"
    if not os.access(binary, os.X_OK):
        binary = built(PINS, "versitygw", PACKAGE)
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
