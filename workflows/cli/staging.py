"""Everything an experiment needs, started and stopped around it.

Rules of this module:

* The worker and the recorder are processes of their own, tracked like the servers, so
  that `sandbox local down` also finds them after everything was killed.
* What was started is stopped, also when the experiment fails; `--keep` leaves it up.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from json import dumps
from typing import NamedTuple
from urllib.parse import urlsplit

from temporalio.client import Client

from sandbox.adapters.load import run_load
from sandbox.environment import ensure_platform, residue
from sandbox.errors import LocalError
from sandbox.local import LocalServers, down, is_alive, last_lines, spawn, status, up
from sandbox.model.load import LoadResult
from sandbox.ports import Cluster
from sandbox.settings import Settings
from workflows.activities.keeping import Ledger
from workflows.activities.site import Site
from workflows.cli.progress import Progress
from workflows.client import connect, schedule_reaper
from workflows.worker import open_cluster, open_ledger

_READY_WITHIN_S = 60.0
_REAPER_EVERY = timedelta(minutes=1)


class Stage(NamedTuple):
    """A running installation, as an experiment sees it."""

    settings: Settings
    images: dict[str, str]
    """Image name → digest, as the cluster holds them."""
    client: Client
    ledger: Ledger
    cluster: Cluster
    site: Site
    progress: Progress
    seed: int

    def residue(self, trial_id: str) -> list[str]:
        """Return what a trial has left behind in the cluster."""
        return residue(self.cluster, trial_id)

    def resident_bytes(self) -> int:
        """Return the resident memory of every process started, pods left out."""
        found = status(self.settings)
        return sum(item.resident_bytes or 0 for item in found if item.alive)

    def processor_s(self, name: str) -> float:
        """Return the processor time a process started here has used, in seconds."""
        found = status(self.settings)
        return sum(item.processor_s for item in found if item.name == name)

    def load(self, profile: str, *, host: str, seconds: float) -> LoadResult:
        """Run a load test against an address that the cluster gave to a service.

        Raises:
            LoadError: The generator did not run as asked.
        """
        allow = [urlsplit(host).hostname or ""]
        number = len(list(self.settings.home.glob("log/load-*.log"))) + 1
        return run_load(
            profile,
            host=host,
            seed=self.seed,
            log=self.settings.home / "log" / f"load-{number}.log",
            duration_s=seconds,
            allow=allow,
        )


class Wish(NamedTuple):
    """How the stage is to be set."""

    seed: int
    keep: bool


@asynccontextmanager
async def set_stage(
    settings: Settings, wish: Wish, progress: Progress
) -> AsyncIterator[Stage]:
    """Start servers, recorder and worker; stop them afterwards unless kept.

    Raises:
        LocalError: Something cannot be started; what was started is stopped.
    """
    try:
        with progress.stage("servers"):
            servers = await asyncio.to_thread(_servers, settings, progress)
        with progress.stage("worker and recorder"):
            stage = await _open(settings, servers, wish, progress)
        yield stage
    finally:
        if not wish.keep:
            with progress.stage("stopping"):
                await asyncio.to_thread(down, settings, progress=_quietly(progress))


def _servers(settings: Settings, progress: Progress) -> LocalServers:
    return up(
        settings,
        progress=_quietly(progress),
        kubernetes=not settings.context,
        temporal=not settings.temporal,
    )


async def _open(
    settings: Settings,
    servers: LocalServers,
    wish: Wish,
    progress: Progress,
) -> Stage:
    ledger, _ = open_ledger(settings)
    cluster = open_cluster(settings, servers)
    site = Site.of(settings, servers)
    await asyncio.to_thread(ensure_platform, cluster, own_image=site.own_image)
    address = settings.temporal or servers.temporal_address
    client = await connect(address, namespace=settings.temporal_namespace)
    progress.wait("recorder")
    _start(settings, servers, "recorder")
    _start(settings, servers, "worker")
    for name in ("recorder", "worker"):
        progress.wait(name)
        await asyncio.to_thread(_await_ready, settings, name)
    await schedule_reaper(client, every=_REAPER_EVERY)
    return Stage(
        settings=settings,
        images=settings.images if settings.context else servers.images,
        client=client,
        ledger=ledger,
        cluster=cluster,
        site=site,
        progress=progress,
        seed=wish.seed,
    )


def _start(settings: Settings, servers: LocalServers, name: str) -> None:
    if is_alive(settings, name):
        return
    chosen = settings.model_dump(mode="json", exclude_defaults=True)
    env = {
        f"SANDBOX_{field.upper()}": value if isinstance(value, str) else dumps(value)
        for field, value in chosen.items()
    }
    env["SANDBOX_HOME"] = str(settings.home)
    if not settings.context:
        env["SANDBOX_RECORDER_HOST"] = servers.host_address
    argv = [sys.executable, "-m", "workflows.cli", name, "run"]
    spawn(settings, name, argv, env=env)


def _await_ready(settings: Settings, name: str) -> None:
    log = settings.home / "log" / f"{name}.log"
    ends = time.monotonic() + _READY_WITHIN_S
    while f"{name} ready" not in log.read_text(errors="replace"):
        if not is_alive(settings, name) or time.monotonic() > ends:
            raise LocalError(
                f"the {name} did not become ready; its log {log} ends with:\n"
                + last_lines(log)
            )
        time.sleep(0.1)


def _quietly(progress: Progress):  # type: ignore[no-untyped-def]
    return lambda stage, text: progress.wait(f"{stage}: {text}")
