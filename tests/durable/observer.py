"""Serves the observe queue in a process of its own, so that a test can kill it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sandbox.model.trial import RecorderEndpoint
from sandbox.settings import Settings
from sandbox.testing.cluster import FakeCluster
from workflows.activities.site import Site
from workflows.client import connect
from workflows.worker import Adapters, Serving, open_ledger, workers


async def observe(address: str, prefix: str, home: Path) -> None:
    """Serve until killed."""
    ledger, tokens = open_ledger(Settings(home=home))
    site = Site(
        recorder=RecorderEndpoint(host="127.0.0.1", http_port=1, grpc_port=2),
        load_source="127.0.0.1/32",
        probe_image="sha256:" + "1" * 64,
    )
    adapters = Adapters(ledger, tokens, FakeCluster(), site, home / "bundles")
    client = await connect(address, namespace="durable")
    serving = Serving(prefix=prefix, queues=("observe",))
    async with workers(client, adapters, serving)[0]:
        await asyncio.Event().wait()


asyncio.run(observe(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
