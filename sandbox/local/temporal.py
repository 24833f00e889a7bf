"""The real Temporal server on one SQLite file, on loopback only.

Rules of this module:

* No one is asked who they are, therefore nobody from outside this machine gets in:
  every listener is on 127.0.0.1.
* The database outlives the server; what workflows were doing, they go on doing.
* Ready means that the frontend says so (gRPC health checking protocol).
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import grpc

from sandbox.errors import LocalError
from sandbox.local.layout import layout_of
from sandbox.local.processes import Tracked, alive, last_lines, spawn
from sandbox.local.templates import local_file, render_yaml
from sandbox.settings import Settings

NAME = "temporal"
_SERVICES = ("frontend", "matching", "history", "worker")
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVICE = b"temporal.api.workflowservice.v1.WorkflowService"
# HealthCheckRequest.service is field 1, a string; HealthCheckResponse.status is field
# 1, an enumeration, and 1 means SERVING (grpc/health/v1/health.proto).
_REQUEST = bytes((0x0A, len(_SERVICE))) + _SERVICE
_SERVING = b"\x08\x01"


def start_temporal(settings: Settings, binary: Path, *, within_s: float = 60.0) -> str:
    """Start the server and wait until it serves.

    Args:
        settings: Where its database, configuration and log lie.
        binary: The server.
        within_s: Seconds it may take.

    Returns:
        The frontend's HOST:PORT.

    Raises:
        LocalError: It ended, or does not serve in time.
    """
    directory = layout_of(settings).temporal
    directory.mkdir(mode=0o700, exist_ok=True)
    ports = free_ports(
        [f"{s}_{use}" for s in _SERVICES for use in ("grpc", "membership")]
    )
    config = directory / "server.yaml"
    config.write_text(server_config(directory, ports))
    dynamic = local_file("temporal/dynamic.yaml").read_text()
    (directory / "dynamic.yaml").write_text(dynamic)
    argv = [str(binary), "--config-file", str(config), "--allow-no-auth", "start"]
    tracked = spawn(settings, NAME, argv)
    address = f"127.0.0.1:{ports['frontend_grpc']}"
    _wait_serving(tracked, address, within_s)
    return address


def server_config(directory: Path, ports: dict[str, int]) -> str:
    """Return the server's configuration.

    Args:
        directory: Holds the database and `dynamic.yaml`.
        ports: `{service}_grpc` and `{service}_membership` of each service.
    """
    values: dict[str, str | int] = {
        "database": str(directory / "temporal.sqlite3"),
        "dynamic": str(directory / "dynamic.yaml"),
        **ports,
    }
    return render_yaml("temporal/server.yaml", values)


def free_ports(names: list[str]) -> dict[str, int]:
    """Return a loopback port for each name that nobody listens on now.

    All are held open together, so no two names get the same one.
    """
    held = [socket.socket() for _ in names]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return {
            name: one.getsockname()[1] for name, one in zip(names, held, strict=True)
        }
    finally:
        for one in held:
            one.close()


def is_serving(address: str, *, timeout_s: float = 1.0) -> bool:
    """Return whether a Temporal frontend at HOST:PORT answers that it serves."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            _HEALTH, request_serializer=bytes, response_deserializer=bytes
        )
        try:
            answer: bytes = check(_REQUEST, timeout=timeout_s)
        except grpc.RpcError:
            return False
        return answer == _SERVING


def _wait_serving(tracked: Tracked, address: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not is_serving(address):
        if not alive(tracked) or time.monotonic() > deadline:
            ended = "does not serve" if alive(tracked) else "has ended"
            raise LocalError(
                f"the Temporal server {ended} (waited up to {within_s:g} s); end of "
                f"{tracked.log}:\n{last_lines(tracked.log)}\n"
                "If its database was damaged, move the `temporal` folder of the state "
                "directory away and start again"
            )
        time.sleep(0.05)
