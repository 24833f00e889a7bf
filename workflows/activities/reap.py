"""The activity that removes environments which have no right to be there any more.

Rules of this module:

* The cluster's clock decides, as it does for the job in the cluster.
* What ended while nobody here worked is recorded all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sandbox.environment import expired_environments, is_there, tear_down
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, Tokens
from workflows.activities.boundary import activity_method
from workflows.activities.keeping import Ledger
from workflows.activities.proving import heartbeating
from workflows.messages import EntryDraft, ReaperInput, ReaperResult

_WAIT_S = 120.0
_UNDER_WAY = frozenset({"provisioning", "running", "paused"})
"""States of a case that has an environment; the workflow ends it otherwise."""


class ReapActivities:
    """Ends what outlived its expiry."""

    def __init__(self, cluster: Cluster, *, ledger: Ledger, tokens: Tokens) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._tokens = tokens

    @activity_method
    def reap_environments(self, task: ReaperInput) -> ReaperResult:
        """Remove every environment past its expiry that is still there.

        One that the job in the cluster removed while nobody here worked is recorded,
        and its token revoked.
        """
        # By the cluster's clock: a worker's that runs fast would end living trials.
        now = self._cluster.now()
        late = expired_environments(self._cluster, at=now, grace_s=task.grace_s)
        for trial_id in late:
            self._tokens.revoke(trial_id)
            tear_down(self._cluster, trial_id, wait_s=_WAIT_S, pause=heartbeating)
            self._record_end(trial_id, "past its expiry")
        over = now - timedelta(seconds=task.grace_s)
        for trial_id in self._ended_inside(over, standing=late):
            self._tokens.revoke(trial_id)
            self._record_end(trial_id, "past its expiry; found removed")
        return ReaperResult(checked=len(late), removed=tuple(late))

    def _ended_inside(self, over: datetime, *, standing: Sequence[str]) -> list[str]:
        """Return cases under way whose environment expired and is not there, without
        those of which the log already says so: a terminated workflow closes no case.
        """
        records = self._ledger.records
        under_way = [
            trial_id
            for case in records.cases()
            if case["state"] in _UNDER_WAY
            and (trial_id := str(case["trial_id"])) not in standing
            and self._ledger.log.entry(f"reaped/{trial_id}") is None
        ]
        specs = [
            EnvironmentSpec.model_validate(found["environment"])
            for trial_id in under_way
            if (found := records.find_documents(trial_id, "environment"))
            and "environment" in found
        ]
        return [
            spec.trial_id
            for spec in specs
            if spec.expires_at <= over and not is_there(self._cluster, spec.trial_id)
        ]

    def _record_end(self, trial_id: str, reason: str) -> None:
        self._ledger.append(
            EntryDraft(
                kind="environment",
                entry_id=f"reaped/{trial_id}",
                trial_id=trial_id,
                body={"act": "reaped", "reason": reason},
            )
        )
