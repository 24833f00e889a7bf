"""A real Temporal server, real SQLite records, and fakes for what lies beyond.

The server is started once per session; every test has queues, records and a trial of
its own. After every test the histories it made are replayed: a workflow that could not
be replayed after a deployment fails its test here.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from experiments.ride_dispatch.papers import Papers, read_papers
from sandbox.adapters.clock import SystemClock
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.records import SqlRecords
from sandbox.adapters.segments import LocalSegments
from sandbox.adapters.tokens import SqlTokens
from sandbox.environment import apply_platform
from sandbox.local import down, up
from sandbox.model.party import Actor
from sandbox.model.trial import RecorderEndpoint
from sandbox.recorder import encode_frame
from sandbox.settings import Settings
from sandbox.testing.cluster import FakeCluster
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Ledger, publish_rulebook
from workflows.activities.site import Site
from workflows.client import TrialClient, connect
from workflows.messages import BeginTrial, CastOpinion
from workflows.options import QUEUES, Queue
from workflows.worker import (
    WORKFLOWS,
    Adapters,
    Serving,
    open_asking,
    runner,
    workers,
)

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


class HousePlan(NamedTuple):
    """How the installation of a test differs from the usual one."""

    length: str = "PT2M"
    """How long the trial is asked to last."""
    queues: tuple[Queue, ...] = QUEUES
    max_cached_workflows: int = 100
    on_disk: bool = False
    """Whether segments are files that another process can read."""
    regime: Mapping[str, str] = MappingProxyType({})
    """Fields of the regime that differ."""


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

    @property
    def approver(self) -> Actor:
        """Who decides."""
        return APPROVER

    def dispatches(self, durations: list[float], *, first: int = 0) -> bytes:
        """Return one recorded frame with a dispatch span per duration."""
        return dispatches(durations, first=first)

    def record(self, durations: list[float], *, first: int = 0) -> None:
        """Record one request per duration (seconds), as the recorder would."""
        self.segments.receive(self.papers.trial_id, dispatches(durations, first=first))

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

    async def run(self) -> None:
        """Approve and begin the trial, and wait until it runs."""
        await self.approve()
        await self.begin()
        await self.trial.until(lambda status: status.state == "running")

    async def resume(self) -> None:
        """Hear and approve the resumption, and wait until the trial runs again."""
        await self.hear("resumption")
        request = self.papers.decision.model_copy(
            update={
                "decision_id": self.id("resumption"),
                "outcome": "approved",
                "conditions": (),
            }
        )
        assert (await self.trial.decide(request, by=APPROVER)).accepted
        await self.trial.until(lambda status: status.state == "running")


def dispatches(durations: list[float], *, first: int = 0) -> bytes:
    """Return one recorded frame with a dispatch span per duration, ended just now."""
    now = time.time_ns()
    spans = [
        Span(
            trace_id=(first + number + 1).to_bytes(16, "big"),
            span_id=(first + number + 1).to_bytes(8, "big"),
            name="/dispatch",
            kind=Span.SpanKind.SPAN_KIND_SERVER,
            start_time_unix_nano=now - int(seconds * 1e9) + number,
            end_time_unix_nano=now + number,
        )
        for number, seconds in enumerate(durations)
    ]
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]
    )
    return encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="system",
        sequence=first + 1,
        received_at=SystemClock().now(),
    )


@pytest.fixture
async def house(
    temporal: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A running installation; its histories are replayed afterwards."""
    plan = HousePlan(**getattr(request, "param", {}))
    client = await connect(temporal, namespace="durable")
    prefix = f"t{uuid.uuid4().hex[:8]}"
    adapters = _adapters(tmp_path, plan)
    papers = _papers(plan)
    publish_rulebook(adapters.ledger, papers.rulebook)
    trial = TrialClient(client, papers.trial_id, prefix=prefix)
    serving = Serving(prefix, plan.queues, plan.max_cached_workflows)
    async with AsyncExitStack() as stack:
        for worker in workers(client, adapters, serving):
            await stack.enter_async_context(worker)
        yield House(client, adapters, papers, trial, prefix)
    await _replay_all(client, papers.trial_id)


def _papers(plan: HousePlan) -> Papers:
    papers = read_papers(uuid.uuid4().int % 10**9 + 2, images={"hotrod": _DIGEST})
    period = papers.application.period.model_copy(update={"length": plan.length})
    application = papers.application.model_copy(update={"period": period})
    changed = {"minimum_consultation": "PT6S", **plan.regime}
    regime = papers.regime.model_copy(update=changed)
    return papers._replace(application=application, regime=regime)


def _adapters(home: Path, plan: HousePlan) -> Adapters:
    settings = Settings(home=home)
    engine = open_database(settings)
    ledger = Ledger(
        log=SqlLog(engine),
        records=SqlRecords(engine),
        segments=LocalSegments.of(settings) if plan.on_disk else FakeSegments(),
        signer=ThrowawaySigner(),
        clock=SystemClock(),
    )
    cluster = FakeCluster()
    apply_platform(cluster)
    site = Site(
        recorder=RecorderEndpoint(host="198.18.0.1", http_port=4318, grpc_port=4317),
        load_source="198.18.0.1/32",
        own_image=f"localhost/regulatory-sandbox@{_DIGEST}",
        beacons={"metadata": ("169.254.169.254", 80), "outside": ("198.18.0.1", 8480)},
    )
    return Adapters(
        ledger,
        SqlTokens(engine),
        cluster,
        site,
        home / "bundles",
        lambda: open_asking(settings, ledger),
    )


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
