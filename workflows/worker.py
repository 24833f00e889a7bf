"""Composition root of the worker: settings → adapters → activities → workers.

Rules of this module:

* One process serves all queues on one machine; `queues` narrows it to some privileges.
* Freezing has threads of its own, so that a provisioning backlog cannot delay it.
* The line `worker ready` on standard error means: every queue is being polled.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
)

from sandbox.adapters.audit_log import FileAuditLog
from sandbox.adapters.backtest import SqlBacktests
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.adapters.backtest_engine import CountingEngine
from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.adapters.comparison import SqlComparisons
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.log_key import KeyFile, open_log_key
from sandbox.adapters.records import SqlRecords
from sandbox.adapters.segments import LocalSegments
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.adapters.timestamps import HttpTimestamps
from sandbox.adapters.tokens import SqlTokens
from sandbox.errors import LocalError
from sandbox.evidence.log import key_history
from sandbox.local import LocalServers
from sandbox.ports import AuditLog, Cluster, Tokens
from sandbox.settings import Settings
from workflows.activities.asking import Asking
from workflows.activities.enforce import EnforceActivities
from workflows.activities.inspect import InspectActivities
from workflows.activities.keeping import Bundles, Ledger
from workflows.activities.ledger import LedgerActivities
from workflows.activities.observe import ObserveActivities
from workflows.activities.provision import ProvisionActivities
from workflows.activities.reap import ReapActivities
from workflows.activities.revise import ReviseActivities
from workflows.activities.site import Site
from workflows.activities.warm import WarmActivities
from workflows.client import connect, schedule_warm_pool
from workflows.environment import EnvironmentWorkflow
from workflows.monitor import MonitorWorkflow
from workflows.options import QUEUE_PREFIX, QUEUES, TABLE, Queue, queue_name
from workflows.reaper import ReaperWorkflow
from workflows.review import ReviewWorkflow
from workflows.revision import RevisionWorkflow
from workflows.trial import TrialWorkflow
from workflows.warm import WarmPoolWorkflow

WORKFLOWS = (
    TrialWorkflow,
    ReviewWorkflow,
    EnvironmentWorkflow,
    MonitorWorkflow,
    RevisionWorkflow,
    ReaperWorkflow,
    WarmPoolWorkflow,
)
LOG_NAME = "regulatory-sandbox"
_THREADS: dict[Queue, int] = {
    "control": 1,
    "ledger": 8,
    "provision": 8,
    "enforce": 8,
    "observe": 32,
}
_GRACE = timedelta(seconds=10)

logger = logging.getLogger(__name__)


class Adapters(NamedTuple):
    """The outside world, as the activities see it."""

    ledger: Ledger
    tokens: Tokens
    cluster: Cluster
    site: Site
    bundles: Path
    open_asking: Callable[[], Asking]
    """Opens what asks recorded spans; opened anew, it knows keys that were added."""
    audit: AuditLog | None = None
    """Who changed what in the cluster; None where its API server does not say."""


class Serving(NamedTuple):
    """How the workers serve; tests narrow it."""

    prefix: str = QUEUE_PREFIX
    queues: tuple[Queue, ...] = QUEUES
    max_cached_workflows: int = 500


def log_key_file(settings: Settings) -> KeyFile:
    """Return where the private key of the log lies."""
    return KeyFile(settings.home / "keys" / "log.key", LOG_NAME)


def open_ledger(settings: Settings) -> tuple[Ledger, Tokens]:
    """Open records, log, segments and key of an installation."""
    engine = open_database(settings)
    log = SqlLog(engine)
    ledger = Ledger(
        log=log,
        records=SqlRecords(engine),
        segments=LocalSegments.of(settings),
        signer=open_log_key(log_key_file(settings), log),
        clock=SystemClock(),
        timestamps=HttpTimestamps.of(settings),
    )
    return ledger, SqlTokens(engine)


def open_adapters(settings: Settings, servers: LocalServers | None) -> Adapters:
    """Open everything the activities need.

    Raises:
        LocalError: There is neither a local node nor a named context.
    """
    ledger, tokens = open_ledger(settings)
    return Adapters(
        ledger=ledger,
        tokens=tokens,
        cluster=open_cluster(settings, servers),
        site=Site.of(settings, servers),
        bundles=settings.home / "bundles",
        open_asking=lambda: open_asking(settings, ledger),
        audit=open_audit_log(settings, servers),
    )


def open_audit_log(
    settings: Settings, servers: LocalServers | None
) -> FileAuditLog | None:
    """Open the audit log that is named, or that of this machine's node, if any."""
    path = settings.audit_log
    if path is None and not settings.context and servers is not None:
        path = servers.audit_log
    return None if path is None else FileAuditLog(path)


def open_asking(settings: Settings, ledger: Ledger) -> Asking:
    """Open what asks recorded spans, with DuckDB over the derived files."""
    counting = DuckCounting(
        memory_mib=settings.query_memory_mib, threads=settings.query_threads
    )
    return asking_with(counting, settings.derived_dir, ledger)


def asking_with(counting: CountingEngine, root: Path, ledger: Ledger) -> Asking:
    """Return what asks recorded spans with an engine, over derived files in a folder.

    Those that lie there are taken as they are; an empty folder is filled from the
    sealed segments.
    """
    history = key_history(ledger.log, ledger.signer)
    files = DerivedFiles(
        ledger.segments,
        ledger.rules,
        root=root,
        keys=[key.public_key for key in history.keys],
    )
    return Asking(SqlBacktests(files, counting), SqlComparisons(files, counting))


def open_cluster(settings: Settings, servers: LocalServers | None) -> KubernetesCluster:
    """Open the named context or this machine's node; never the current context."""
    if settings.context:
        path = settings.kubeconfig or Path.home() / ".kube" / "config"
        return KubernetesCluster.from_kubeconfig(path, context=settings.context)
    if servers is None:
        raise LocalError(
            "there is no Kubernetes node on this machine; start it with "
            "`sandbox local up`, or name a cluster with --context NAME"
        )
    return KubernetesCluster.from_kubeconfig(
        servers.kubeconfig, context=servers.context
    )


def activities_of(adapters: Adapters) -> dict[Queue, list[Callable[..., Any]]]:
    """Return every activity by the queue that serves it."""
    ledger, tokens, cluster = adapters.ledger, adapters.tokens, adapters.cluster
    bundles = Bundles(adapters.bundles)
    keeping = LedgerActivities(ledger, adapters.site, bundles)
    revise = ReviseActivities(ledger, bundles, adapters.open_asking)
    provision = ProvisionActivities(
        cluster, ledger=ledger, tokens=tokens, site=adapters.site
    )
    reap = ReapActivities(cluster, ledger=ledger, tokens=tokens)
    warm = WarmActivities(cluster, ledger=ledger, site=adapters.site)
    inspect = InspectActivities(
        cluster,
        ledger=ledger,
        tokens=tokens,
        site=adapters.site,
        audit=adapters.audit,
    )
    enforce = EnforceActivities(cluster, ledger=ledger, tokens=tokens)
    observe = ObserveActivities(ledger)
    every = (keeping, revise, provision, reap, warm, inspect, enforce, observe)
    found: dict[Queue, list[Callable[..., Any]]] = {queue: [] for queue in QUEUES}
    for name, options in TABLE.items():
        owner = next(item for item in every if hasattr(item, name))
        found[options.queue].append(getattr(owner, name))
    return found


def workers(client: Client, adapters: Adapters, serving: Serving) -> list[Worker]:
    """Return one worker per queue, not yet running."""
    activities = activities_of(adapters)
    return [
        _worker(client, queue, activities[queue], serving) for queue in serving.queues
    ]


def _worker(
    client: Client,
    queue: Queue,
    activities: Sequence[Callable[..., Any]],
    serving: Serving,
) -> Worker:
    is_control = queue == "control"
    threads = _THREADS[queue]
    return Worker(
        client,
        task_queue=queue_name(serving.prefix, queue),
        workflows=WORKFLOWS if is_control else (),
        activities=activities,
        activity_executor=ThreadPoolExecutor(threads, thread_name_prefix=queue),
        max_concurrent_activities=threads,
        max_cached_workflows=serving.max_cached_workflows,
        workflow_runner=runner(),
        graceful_shutdown_timeout=_GRACE,
    )


def runner() -> SandboxedWorkflowRunner:
    """Return what runs workflow code: deterministic parts only, records passed in."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            "sandbox", "cel_expr_python", "numpy", "scipy"
        )
    )


async def serve(settings: Settings, servers: LocalServers | None) -> None:
    """Serve every queue until SIGTERM or SIGINT."""
    address = settings.temporal or (servers.temporal_address if servers else "")
    client = await connect(address, namespace=settings.temporal_namespace)
    adapters = open_adapters(settings, servers)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        for worker in workers(client, adapters, Serving()):
            await stack.enter_async_context(worker)
        if settings.warm is not None:
            await schedule_warm_pool(client, count=settings.warm)
        logger.info("worker ready")
        await stopped.wait()
