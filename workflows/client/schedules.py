"""What runs on a schedule: removing what outlived its trial, keeping the warm pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from sandbox.model.record import Record
from workflows.messages import ReaperInput, WarmInput
from workflows.options import QUEUE_PREFIX, queue_name
from workflows.reaper import ReaperWorkflow
from workflows.warm import WarmPoolWorkflow

_REAPER = "reaper"
_WARM_POOL = "warm-pool"
_WARM_EVERY = timedelta(seconds=30)


async def schedule_reaper(
    client: Client, *, every: timedelta, prefix: str = QUEUE_PREFIX
) -> None:
    """Let the reaper run on a schedule; it being there already is success."""
    schedule = _schedule(
        ReaperWorkflow.run, ReaperInput(), _REAPER, prefix=prefix, every=every
    )
    try:
        await client.create_schedule(_REAPER, schedule)
    except ScheduleAlreadyRunningError:
        return


async def schedule_warm_pool(
    client: Client,
    *,
    count: int,
    every: timedelta = _WARM_EVERY,
    prefix: str = QUEUE_PREFIX,
) -> None:
    """Let a pool of warm environments be kept, from now on with this many.

    Args:
        client: Of the installation's Temporal server.
        count: How many; 0 removes those that are left of a pool.
        every: Time between two looks.
        prefix: What the names of the installation's task queues begin with.
    """
    schedule = _schedule(
        WarmPoolWorkflow.run,
        WarmInput(count=count),
        _WARM_POOL,
        prefix=prefix,
        every=every,
    )
    if count:
        with suppress(ScheduleAlreadyRunningError):
            await client.create_schedule(_WARM_POOL, schedule, trigger_immediately=True)
            return
    handle = client.get_schedule_handle(_WARM_POOL)
    try:
        await handle.update(lambda _: ScheduleUpdate(schedule=schedule))
        await handle.trigger()
    except RPCError as error:
        # Without a pool there is none to be emptied.
        if count or error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _schedule(
    run: Callable[..., Awaitable[Any]],
    start: Record,
    workflow_id: str,
    *,
    prefix: str,
    every: timedelta,
) -> Schedule:
    action = ScheduleActionStartWorkflow(
        run, start, id=workflow_id, task_queue=queue_name(prefix, "control")
    )
    return Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
