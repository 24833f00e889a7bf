"""What people and doors can do to one revision of a rulebook."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from sandbox.model.party import Actor
from sandbox.model.proposal import Disposition
from workflows.client.connection import poll
from workflows.messages import (
    Adopt,
    Answer,
    DisposeComment,
    FileComment,
    Retain,
    RevisionInput,
    RevisionStatus,
)
from workflows.options import QUEUE_PREFIX, queue_name
from workflows.revision import RevisionWorkflow


class RevisionClient:
    """What people can do to one revision of a rulebook."""

    def __init__(
        self, client: Client, revision: RevisionInput, *, prefix: str = QUEUE_PREFIX
    ) -> None:
        self._client = client
        self._revision = revision
        self._id = f"revision/{revision.rulebook}/{revision.number}"
        self._queue = queue_name(prefix, "control")

    async def propose(self) -> None:
        """Start the revision; it being there already is success."""
        await self._client.start_workflow(
            RevisionWorkflow.run,
            self._revision,
            id=self._id,
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )

    async def comment(self, text: str, *, by: Actor, comment_id: str) -> Answer:
        """Comment on the open proposal."""
        filed = FileComment(comment_id=comment_id, text=text, by=by)
        return await self._handle.execute_update(
            RevisionWorkflow.comment, filed, id=comment_id
        )

    async def dispose(self, disposition: Disposition) -> Answer:
        """Say what became of a comment."""
        decision_id = f"disposition/{disposition.comment_id}"
        disposal = DisposeComment(
            decision_id=decision_id,
            comment_id=disposition.comment_id,
            outcome=disposition.outcome,
            reason=disposition.reason,
            by=disposition.by,
        )
        return await self._handle.execute_update(
            RevisionWorkflow.dispose, disposal, id=decision_id
        )

    async def adopt(self, reason: str, *, by: Actor, decision_id: str) -> Answer:
        """Adopt the proposal as it was consulted on, or learn why not yet."""
        return await self.enact(Adopt(decision_id=decision_id, reason=reason, by=by))

    async def enact(self, adopt: Adopt) -> Answer:
        """Adopt the proposal, perhaps with another text, and end running trials."""
        return await self._handle.execute_update(
            RevisionWorkflow.adopt, adopt, id=adopt.decision_id
        )

    async def retain(self, reason: str, *, by: Actor, decision_id: str) -> Answer:
        """Leave the rulebook as it is, or learn why that cannot be decided yet."""
        retain = Retain(decision_id=decision_id, reason=reason, by=by)
        return await self._handle.execute_update(
            RevisionWorkflow.retain, retain, id=decision_id
        )

    async def status(self) -> RevisionStatus:
        """Say where the revision stands."""
        return await self._handle.query(RevisionWorkflow.status)

    async def until(
        self, condition: Callable[[RevisionStatus], bool], *, every_s: float = 0.2
    ) -> RevisionStatus:
        """Poll the status until a condition holds, and return it."""
        return await poll(self.status, condition, every_s=every_s)

    async def finish(self) -> RevisionStatus:
        """Wait until the revision has ended, and return how."""
        return await self._handle.result()

    @property
    def _handle(self) -> WorkflowHandle[RevisionWorkflow, RevisionStatus]:
        return self._client.get_workflow_handle_for(RevisionWorkflow.run, self._id)
