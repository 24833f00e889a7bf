"""The activity that freezes: deny all, pods gone, credentials revoked.

It has a queue of its own, so that nothing else can keep it waiting.
"""

from __future__ import annotations

from temporalio import activity

from sandbox.environment import freeze, reclaim
from sandbox.ports import Cluster, Tokens
from workflows.activities.boundary import activity_method
from workflows.activities.keeping import Ledger
from workflows.messages import EntryDraft, EnvironmentOutcome, EnvironmentTask


class EnforceActivities:
    """Stops a trial's environment, whatever else is going on."""

    def __init__(self, cluster: Cluster, *, ledger: Ledger, tokens: Tokens) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._tokens = tokens

    @activity_method
    def freeze_environment(self, task: EnvironmentTask) -> EnvironmentOutcome:
        """Deny all traffic, remove the pods, revoke the token; then record it."""
        started_at = self._ledger.clock.now()
        reclaim(self._cluster, task.trial_id, uid=task.uid)
        report = freeze(self._cluster, task.trial_id)
        self._tokens.revoke(task.trial_id)
        now = self._ledger.clock.now()
        outcome = EnvironmentOutcome(
            namespace=report.namespace or f"trial-{task.trial_id}",
            seconds=round((now - started_at).total_seconds(), 3),
            finished_at=now,
        )
        # Each attempt froze, and took a time of its own.
        info = activity.info()
        run = f"{task.generation}/{info.activity_id}/{info.attempt}"
        self._ledger.append(
            EntryDraft(
                kind="environment",
                entry_id=f"environment/frozen/{task.trial_id}/{run}",
                trial_id=task.trial_id,
                body={
                    "act": "frozen",
                    "generation": task.generation,
                    "seconds": outcome.seconds,
                    "breach": task.breach_id,
                },
            )
        )
        return outcome
