"""The abandoned peers of a trial, and how they are told.

They are children with `ABANDON` and deterministic ids: a continue-as-new of the trial
closes its run, and the default policy would terminate them with it. Signals go to
workflow ids, never to runs.
"""

from __future__ import annotations

from typing import Any, Literal

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows.environment import EnvironmentWorkflow
    from workflows.messages import (
        DesiredState,
        EnvironmentInput,
        MonitorControl,
        MonitorState,
    )
    from workflows.monitor import MonitorWorkflow
    from workflows.trial.journal import Journal


async def start_environment(start: EnvironmentInput) -> None:
    """Start the environment's workflow; it being there already is success."""
    await _start_peer(EnvironmentWorkflow.run, start, f"environment/{start.trial_id}")


async def start_monitor(start: MonitorState) -> None:
    """Start the monitor's workflow; it being there already is success."""
    await _start_peer(MonitorWorkflow.run, start, f"monitor/{start.trial_id}")


async def want(journal: Journal, state: Literal["ready", "frozen", "gone"]) -> None:
    """Ask for a state of the environment, as a generation newer than any known."""
    known = journal.state.environment
    reached = known.generation if known else 0
    generation = max(journal.state.generation, reached) + 1
    journal.change(generation=generation)
    desired = DesiredState(
        generation=generation, state=state, manifests=journal.state.manifests
    )
    trial_id = journal.state.trial_id
    await _tell(f"environment/{trial_id}", "set_desired_state", desired)


async def tell_monitor(trial_id: str, control: MonitorControl) -> None:
    """Ask the monitor to go on or to stop."""
    await _tell(f"monitor/{trial_id}", "control", control)


async def _start_peer(program: Any, start: Any, workflow_id: str) -> None:
    try:
        await workflow.start_child_workflow(
            program,
            start,
            id=workflow_id,
            parent_close_policy=ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("%s is already there", workflow_id)


async def _tell(workflow_id: str, signal: str, message: Any) -> None:
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(signal, message)
    except ApplicationError:
        workflow.logger.warning("%s is not there to be told %s", workflow_id, signal)
