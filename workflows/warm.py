"""Keeps environments that are proven before a trial asks for one.

It runs on a Schedule, so that a trial never waits for the pool to be filled again.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.activities.warm import WarmActivities
    from workflows.messages import WarmInput, WarmResult
    from workflows.options import perform


@workflow.defn(name="WarmPoolWorkflow")
class WarmPoolWorkflow:
    """One look at the pool."""

    @workflow.run
    async def run(self, start: WarmInput) -> WarmResult:
        """Remove what is unfit, make what is missing, and say what that was."""
        return await perform(WarmActivities.keep_warm, start)
