"""The schedule on which what outlived its trial is removed."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)

from workflows.messages import ReaperInput
from workflows.options import QUEUE_PREFIX, queue_name
from workflows.reaper import ReaperWorkflow

_REAPER = "reaper"


async def schedule_reaper(
    client: Client, *, every: timedelta, prefix: str = QUEUE_PREFIX
) -> None:
    """Let the reaper run on a schedule; it being there already is success."""
    action = ScheduleActionStartWorkflow(
        ReaperWorkflow.run,
        ReaperInput(),
        id=_REAPER,
        task_queue=queue_name(prefix, "control"),
    )
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(_REAPER, schedule)
    except ScheduleAlreadyRunningError:
        return
