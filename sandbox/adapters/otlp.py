"""The recorder: a server for OTLP over HTTP and gRPC that keeps what it acknowledges.

Rules of this module:

* One process, one event loop; one recorder per evidence folder, held by a lock.
* What an earlier recorder left open is recovered before anything is received.
* On SIGTERM and SIGINT it stops receiving, finishes what it has, closes every segment.
* One line on standard error says where it listens, once it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from sandbox.adapters.http_server import HttpServer
from sandbox.adapters.otlp_admin import TOKEN_FILE, admin_app, write_token
from sandbox.adapters.otlp_grpc import grpc_server
from sandbox.adapters.otlp_http import OtlpHttp
from sandbox.adapters.otlp_reception import MAX_REQUEST_BYTES, Limits, Reception
from sandbox.adapters.otlp_store import TrialStore
from sandbox.errors import RecorderError
from sandbox.ports import Clock, Tokens
from sandbox.recorder import RollingPolicy, folder_name
from sandbox.settings import Settings

LOOPBACK = "127.0.0.1"
MAX_WIRE_BYTES = 2 * MAX_REQUEST_BYTES
"""Bytes of one HTTP request on the wire; chunks of a body cost more than they carry."""
_BACKLOG = 1024
_GRACE_S = 5
_LOG = logging.getLogger(__name__)


def run(
    settings: Settings, tokens: Tokens, clock: Clock, *, hosts: Sequence[str] = ()
) -> None:
    """Serve until SIGTERM or SIGINT; the whole life of a recorder process.

    Args:
        settings: Ports, folders and rolling.
        tokens: Who may send.
        clock: Tells when requests are received.
        hosts: Addresses to listen on beside loopback and the configured one.

    Raises:
        RecorderError: It cannot listen or write, or another recorder is at work.
    """
    uvloop.run(serve(settings, tokens, clock, hosts=hosts))


async def serve(
    settings: Settings,
    tokens: Tokens,
    clock: Clock,
    *,
    hosts: Sequence[str] = (),
    stop: asyncio.Event | None = None,
) -> None:
    """Receive telemetry until told to stop.

    Args:
        settings: Ports, folders and rolling.
        tokens: Who may send.
        clock: Tells when requests are received.
        hosts: Addresses to listen on beside loopback and the configured one.
        stop: Ends the server when set; without it, SIGTERM and SIGINT do.

    Raises:
        RecorderError: It cannot listen or write, or another recorder is at work.
    """
    ending = stop or _stop_on_signals()
    policy = RollingPolicy(settings.segment_seconds, settings.segment_bytes)
    root = settings.evidence_dir

    def make_store(trial_id: str) -> TrialStore:
        return TrialStore(root, trial_id, policy=policy, clock=clock)

    with _only_recorder(root):
        reception = Reception(
            root,
            tokens=tokens,
            clock=clock,
            make_store=make_store,
            limits=Limits(policy.seconds),
        )
        await asyncio.to_thread(_recover, root, make_store)
        await asyncio.to_thread(reception.refusals.recover)
        async with contextlib.AsyncExitStack() as servers:
            # The last to be entered is the first to leave: servers before segments.
            await servers.enter_async_context(_tending(reception, policy))
            listening = await _listen(
                servers, settings, reception, _web(reception, clock), hosts=hosts
            )
            sys.stderr.write(f"recorder ready: {listening}\n")
            sys.stderr.flush()
            await ending.wait()


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextlib.contextmanager
def _only_recorder(root: Path) -> Iterator[None]:
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(root / "_lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RecorderError(f"cannot use {root}: {error}", retryable=False) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise RecorderError(
            f"another recorder already writes to {root}; stop it first, or set "
            "SANDBOX_HOME to another directory",
            retryable=False,
        ) from error
    try:
        yield
    finally:
        os.close(handle)


def _recover(root: Path, make_store: Callable[[str], TrialStore]) -> None:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and any(folder.glob("*.open")):
            make_store(folder_name(folder.name)).recover()


@contextlib.asynccontextmanager
async def _tending(reception: Reception, policy: RollingPolicy) -> AsyncIterator[None]:
    task = asyncio.create_task(_tend(reception, min(0.25, policy.seconds / 4)))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await reception.close()


async def _tend(reception: Reception, pause_s: float) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await reception.tend()
        except RecorderError as error:
            # Senders see the same failure as 503; here it is only said.
            _LOG.error("recorder: %s", error.diagnosis)


async def _listen(
    servers: contextlib.AsyncExitStack,
    settings: Settings,
    reception: Reception,
    server: HttpServer,
    *,
    hosts: Sequence[str],
) -> str:
    names = list(dict.fromkeys((LOOPBACK, settings.recorder_host, *hosts)))
    door = [servers.enter_context(_bound(LOOPBACK, settings.recorder_admin_port))]
    web = [
        servers.enter_context(_bound(name, settings.recorder_http_port))
        for name in names
    ]
    token = write_token(settings.home / TOKEN_FILE)
    await servers.enter_async_context(_http(admin_app(reception, token), door))
    await servers.enter_async_context(server.serving(web, grace_s=_GRACE_S))
    addresses = [(name, settings.recorder_grpc_port) for name in names]
    remote, ports = grpc_server(reception, addresses=addresses)
    await remote.start()
    servers.push_async_callback(remote.stop, _GRACE_S)
    told = {
        "http": [_told(item) for item in web],
        "grpc": [f"{name}:{port}" for name, port in zip(names, ports, strict=True)],
        "admin": [_told(item) for item in door],
    }
    return "; ".join(f"{kind} {', '.join(items)}" for kind, items in told.items())


def _web(reception: Reception, clock: Clock) -> HttpServer:
    otlp = OtlpHttp(reception)
    return HttpServer(otlp, clock=clock, refused=otlp.refused, max_bytes=MAX_WIRE_BYTES)


def _told(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"


def _bound(host: str, port: int) -> contextlib.closing[socket.socket]:
    return contextlib.closing(_bind(host, port))


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise RecorderError(
            f"the recorder cannot listen on {host}:{port}: {error}; free the port, or "
            "set SANDBOX_RECORDER_HTTP_PORT or SANDBOX_RECORDER_ADMIN_PORT, or make "
            "the address first",
            retryable=False,
        ) from error
    return listener


class _Server(uvicorn.Server):
    """A server that leaves signals to the process it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def _http(app: Any, listeners: list[socket.socket]) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=listeners))
    try:
        while not server.started:
            if task.done():
                await task
                raise RecorderError("the HTTP server of the recorder did not start")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
