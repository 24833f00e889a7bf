"""Finds environments past their expiry or without a case, and removes them.

It runs on a Schedule. A terminated workflow runs no code of its own, so nothing else
would remove what it leaves behind.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.activities.reap import ReapActivities
    from workflows.messages import ReaperInput, ReaperResult
    from workflows.options import perform


@workflow.defn(name="ReaperWorkflow")
class ReaperWorkflow:
    """One sweep over all environments of the cluster."""

    @workflow.run
    async def run(self, start: ReaperInput) -> ReaperResult:
        """Remove what has no right to be there any more; report what that was."""
        return await perform(ReapActivities.reap_environments, start)
