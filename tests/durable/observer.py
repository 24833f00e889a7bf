"""Serves the observe queue in a process of its own, so that a test can kill it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sandbox.adapters.segments import LocalSegments
from sandbox.model.segment import RecorderHealth
from sandbox.model.trial import RecorderEndpoint
from sandbox.settings import Settings
from sandbox.testing.cluster import FakeCluster
from workflows.activities.site import Site
from workflows.client import connect
from workflows.worker import Adapters, Serving, open_asking, open_ledger, workers


class RecordedSegments(LocalSegments):
    """Segments that the test writes itself, as a recorder that is always on."""

    def health(self, trial_id: str) -> RecorderHealth:
        """Say that all is well: there is no recorder to ask."""
        return RecorderHealth(is_well=True)


async def observe(address: str, prefix: str, home: Path) -> None:
    """Serve until killed."""
    settings = Settings(home=home)
    ledger, tokens = open_ledger(settings)
    ledger = ledger._replace(segments=RecordedSegments.of(settings))
    site = Site(
        recorder=RecorderEndpoint(host="127.0.0.1", http_port=1, grpc_port=2),
        load_source="127.0.0.1/32",
        own_image="localhost/regulatory-sandbox@sha256:" + "1" * 64,
    )
    adapters = Adapters(
        ledger,
        tokens,
        FakeCluster(),
        site,
        home / "bundles",
        lambda: open_asking(settings, ledger),
    )
    client = await connect(address, namespace="durable")
    serving = Serving(prefix=prefix, queues=("observe",))
    async with workers(client, adapters, serving)[0]:
        await asyncio.Event().wait()


asyncio.run(observe(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
