"""One table: every activity, its queue, its timeouts, its heartbeat, its retry.

Rules of this module:

* Queues are split by privilege, so that each can have its own account and
  credential. A queue is not a security boundary inside one Temporal namespace.
* Retryability is decided in the activity (`activities/boundary.py`), not here;
  tear-down and sealing are retried without limit, as long as that may help. A segment
  that cannot be sealed is given up by sealing itself (`activities/damage.py`).
* These are technical bounds. Lawful durations come from the regime or the plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeVar, cast

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

Queue = Literal["control", "ledger", "provision", "enforce", "observe"]
QUEUES: tuple[Queue, ...] = ("control", "ledger", "provision", "enforce", "observe")
"""control: workflows. ledger: records, log, keys. provision: creates and removes
environments. enforce: freezes, and nothing else may keep it waiting. observe: reads
segments."""
QUEUE_PREFIX = "sandbox"
"""What the names of all task queues of one installation begin with."""

A = TypeVar("A")
R = TypeVar("R")


class Options(NamedTuple):
    """How one activity is called; times in seconds."""

    queue: Queue
    start_to_close: float
    heartbeat: float | None = None
    attempts: int = 0
    """0: without limit."""
    first_retry: float = 0.5
    priority: int = 3
    """1 is served first."""


TABLE: dict[str, Options] = {
    "record_entry": Options("ledger", 20),
    "update_case": Options("ledger", 20),
    "check_application": Options("ledger", 30),
    "examine_change": Options("ledger", 20),
    "file_manifests": Options("ledger", 20),
    "find_conflicts": Options("ledger", 20),
    "prepare_trial": Options("ledger", 30),
    "close_trial": Options("ledger", 300, heartbeat=30),
    "draft_proposal": Options("ledger", 3600, heartbeat=300),
    "open_consultation": Options("ledger", 20),
    "keep_consultation": Options("ledger", 20),
    "adopt_proposal": Options("ledger", 3600, heartbeat=300),
    "retain_rulebook": Options("ledger", 20),
    "write_bundles": Options("ledger", 120, heartbeat=30),
    "seal_segments": Options("ledger", 120, heartbeat=30),
    "provision_environment": Options("provision", 180, heartbeat=15, attempts=5),
    "thaw_environment": Options("provision", 180, heartbeat=15, attempts=5),
    "deploy_system": Options("provision", 180, heartbeat=15, attempts=5),
    "remove_environment": Options("provision", 300, heartbeat=30),
    "inspect_environment": Options("provision", 120, heartbeat=30),
    "prove_environment": Options("provision", 240, heartbeat=15),
    "reap_environments": Options("provision", 300, heartbeat=30),
    "keep_warm": Options("provision", 600, heartbeat=30, attempts=1, priority=5),
    "freeze_environment": Options("enforce", 60, first_retry=0.2, priority=1),
    "start_watch": Options("observe", 20),
    "watch_window": Options("observe", 3600, heartbeat=5),
}


def queue_name(prefix: str, queue: Queue) -> str:
    """Return the Temporal task queue of a privilege, for example `sandbox-enforce`."""
    return f"{prefix}-{queue}"


async def perform(
    method: Callable[[Any, A], R], argument: A, *, summary: str = ""
) -> R:
    """Run one activity with the options of the table.

    Args:
        method: The activity method, as written on its class.
        argument: Its one input.
        summary: What a person reads in the Temporal UI.

    Returns:
        What the activity returned.
    """
    prefix = workflow.info().task_queue.rsplit("-", 1)[0]
    call = begin(method, argument, prefix=prefix, summary=summary)
    return await cast("Awaitable[R]", call)


def begin(
    method: Callable[[Any, A], R], argument: A, *, prefix: str, summary: str = ""
) -> workflow.ActivityHandle[R]:
    """Start one activity and return its handle, for work that may be cancelled."""
    options = TABLE[method.__name__]
    return workflow.start_activity_method(
        cast("Callable[[Any, A], Awaitable[R]]", method),
        argument,
        task_queue=queue_name(prefix, options.queue),
        start_to_close_timeout=timedelta(seconds=options.start_to_close),
        heartbeat_timeout=(
            timedelta(seconds=options.heartbeat) if options.heartbeat else None
        ),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=options.first_retry),
            maximum_interval=timedelta(seconds=10),
            maximum_attempts=options.attempts,
        ),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        priority=Priority(priority_key=options.priority),
        summary=summary or None,
    )
