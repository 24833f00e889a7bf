"""A real Temporal server, real SQLite records, and fakes for what lies beyond.

The server is started once per session; every test has queues, records and a trial of
its own. After every test the histories it made are replayed: a workflow that could not
be replayed after a deployment fails its test here.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from experiments.ride_dispatch.papers import Papers, read_papers
from sandbox.adapters.clock import SystemClock
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.records import SqlRecords
from sandbox.adapters.tokens import SqlTokens
from sandbox.environment import apply_platform
from sandbox.local import down, up
from sandbox.model.party import Actor
from sandbox.model.trial import RecorderEndpoint
from sandbox.settings import Settings
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Ledger, publish_rulebook
from workflows.activities.site import Site
from workflows.client import TrialClient, connect
from workflows.messages import BeginTrial, CastOpinion
from workflows.worker import WORKFLOWS, Adapters, Serving, runner, workers

APPROVER = Actor(name="Ren Sato", role="approver", represents="transport")
_DIGEST = "sha256:" + "1" * 64


@pytest.fixture(scope="session")
def temporal() -> Iterator[str]:
    """Address of a real Temporal server of this test session."""
    home = Path(tempfile.mkdtemp(prefix="rsbx-"))
    cache = Settings().home / "servers"
    cache.mkdir(parents=True, exist_ok=True)
    (home / "servers").symlink_to(cache)
    settings = Settings(home=home)
    servers = up(settings, progress=lambda stage, text: None, kubernetes=False)
    yield servers.temporal_address
    down(settings, progress=lambda stage, text: None)
    shutil.rmtree(home)


class House(NamedTuple):
    """One test's installation and its trial."""

    client: Client
    adapters: Adapters
    papers: Papers
    trial: TrialClient
    prefix: str

    @property
    def segments(self) -> FakeSegments:
        """What the recorder would have written."""
        found = self.adapters.ledger.segments
        assert isinstance(found, FakeSegments)
        return found

    @property
    def cluster(self) -> FakeCluster:
        """The cluster in memory."""
        assert isinstance(self.adapters.cluster, FakeCluster)
        return self.adapters.cluster

    @property
    def applicant(self) -> Actor:
        """The operator who asks for the trial."""
        name = self.papers.application.applicant.name
        return Actor(name=name, role="applicant", represents=name)

    def id(self, name: str) -> str:
        """Return a decision id of this test."""
        return f"{self.papers.trial_id}/{name}"

    def kinds(self) -> list[str]:
        """Return the kinds of the trial's log entries, in order."""
        entries = self.adapters.ledger.log.entries(self.papers.trial_id)
        return [item.entry.kind for item in entries]

    async def file(self) -> None:
        """File the complete application."""
        filed = await self.trial.submit(
            self.papers.application,
            regime=self.papers.regime,
            manifests=self.papers.system,
            by=self.applicant,
            decision_id=self.id("application"),
        )
        assert filed.admitted

    async def hear(self, stage: str) -> None:
        """Let every authority give its opinion."""
        await self.trial.until(lambda status: bool(status.review_id))
        for opinion in self.papers.opinions.opinions:
            answer = await self.trial.cast_opinion(
                CastOpinion(
                    decision_id=self.id(f"{stage}/{opinion.authority}"),
                    authority=opinion.authority,
                    position=opinion.position,
                    reasons=opinion.reasons,
                    conditions=opinion.conditions,
                    by=opinion.by,
                )
            )
            assert answer.accepted

    async def approve(self) -> None:
        """File, hear and approve."""
        await self.file()
        await self.hear("admission")
        request = self.papers.decision.model_copy(
            update={"decision_id": self.id("decision")}
        )
        assert (await self.trial.decide(request, by=APPROVER)).accepted
        await self.trial.until(lambda status: status.state == "approved")

    async def begin(self) -> None:
        """Begin the approved trial, with its gates met."""
        begin = BeginTrial(
            decision_id=self.id("begin"),
            gates={"insurance": "policy 114"},
            by=self.applicant,
        )
        assert (await self.trial.begin(begin)).accepted


@pytest.fixture
async def house(
    temporal: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A running installation; its histories are replayed afterwards."""
    client = await connect(temporal, namespace="durable")
    prefix = f"t{uuid.uuid4().hex[:8]}"
    adapters = _adapters(tmp_path)
    papers = _papers(getattr(request, "param", {}))
    publish_rulebook(adapters.ledger, papers.rulebook)
    trial = TrialClient(client, papers.trial_id, prefix=prefix)
    async with AsyncExitStack() as stack:
        for worker in workers(client, adapters, Serving(prefix=prefix)):
            await stack.enter_async_context(worker)
        yield House(client, adapters, papers, trial, prefix)
    await _replay_all(client, papers.trial_id)


def _papers(changes: dict[str, str]) -> Papers:
    papers = read_papers(uuid.uuid4().int % 10**9 + 2, images={"hotrod": _DIGEST})
    period = papers.application.period.model_copy(update=changes)
    application = papers.application.model_copy(update={"period": period})
    return papers._replace(application=application)


def _adapters(home: Path) -> Adapters:
    engine = open_database(Settings(home=home))
    ledger = Ledger(
        log=SqlLog(engine),
        records=SqlRecords(engine),
        segments=FakeSegments(),
        signer=ThrowawaySigner(),
        clock=SystemClock(),
    )
    cluster = FakeCluster()
    apply_platform(cluster)
    site = Site(
        recorder=RecorderEndpoint(host="198.18.0.1", http_port=4318, grpc_port=4317),
        load_source="198.18.0.1/32",
        probe_image=_DIGEST,
        beacons={"metadata": ("169.254.169.254", 80), "outside": ("198.18.0.1", 8480)},
    )
    return Adapters(ledger, SqlTokens(engine), cluster, site, home / "bundles")


async def _replay_all(client: Client, trial_id: str) -> None:
    replayer = Replayer(
        workflows=list(WORKFLOWS),
        data_converter=pydantic_data_converter,
        workflow_runner=runner(),
        namespace=client.namespace,
    )
    ids = {
        execution.id
        async for execution in client.list_workflows()
        if trial_id in execution.id
    }
    for workflow_id in sorted(ids):
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        await replayer.replay_workflow(history)
