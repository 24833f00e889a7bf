"""Activities that create, open and remove environments.

Rules of this module:

* Every activity is an "ensure": names are deterministic, so a retry continues.
* *Ready* is said only after the isolation proof held and the proof is in the log.
* No environment without a plan that was locked before, and no system in it that a rule
  is against.
* A new opening means a new recorder token; the old one is revoked first.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

from temporalio import activity

from sandbox.environment import (
    apply_environment,
    deploy_system,
    find_drift,
    located,
    namespace_of,
    prove_isolation,
    reclaim,
    residue,
    tear_down,
    thaw,
)
from sandbox.environment.place import namespace_ref, namespaces_of
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.record import digest_of
from sandbox.model.trial import EnvironmentSpec, IsolationProof
from sandbox.ports import Cluster, KubernetesObject, Tokens
from workflows.activities.boundary import activity_method
from workflows.activities.examining import manifests_of, require_lawful
from workflows.activities.inspect import environment_of, restore
from workflows.activities.keeping import Ledger
from workflows.activities.proving import (
    Opened,
    heartbeating,
    prove_and_record,
    summarise,
)
from workflows.activities.site import Site
from workflows.activities.warm import claim_warm, finish_claim
from workflows.messages import (
    EntryDraft,
    EnvironmentOutcome,
    EnvironmentTask,
    ProofSummary,
)

_WAIT_S = 120.0


class ProvisionActivities:
    """Builds what the temporary rule asks for, and takes it away again."""

    def __init__(
        self, cluster: Cluster, *, ledger: Ledger, tokens: Tokens, site: Site
    ) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._tokens = tokens
        self._site = site

    @activity_method
    def provision_environment(self, task: EnvironmentTask) -> EnvironmentOutcome:
        """Apply the objects, prove the isolation, deploy the system."""
        return self._open(task, self._provided, deploy_system)

    @activity_method
    def thaw_environment(self, task: EnvironmentTask) -> EnvironmentOutcome:
        """Make a frozen environment whole, prove it again, start the system."""
        return self._open(task, self._applied, thaw)

    @activity_method
    def deploy_system(self, task: EnvironmentTask) -> EnvironmentOutcome:
        """Roll out a version of the system in an open environment."""
        started_at = self._ledger.clock.now()
        spec, manifests = self._documents(task)
        spec = located(self._cluster, spec, uid=task.uid)
        deploy_system(
            self._cluster, spec, manifests, wait_s=_WAIT_S, pause=heartbeating
        )
        return self._outcome(task, "ready", started_at, spec.namespace)

    @activity_method
    def remove_environment(self, task: EnvironmentTask) -> EnvironmentOutcome:
        """Revoke the token, remove the namespace, and show that nothing is left."""
        started_at = self._ledger.clock.now()
        self._tokens.revoke(task.trial_id)
        namespace = namespace_of(
            self._cluster, task.trial_id, uid=task.uid, last=task.namespace
        )
        reclaim(self._cluster, task.trial_id, uid=task.uid)
        tear_down(self._cluster, task.trial_id, wait_s=_WAIT_S, pause=heartbeating)
        left = residue(self._cluster, task.trial_id, namespace=namespace)
        if left:
            raise ClusterError(
                f"trial {task.trial_id}: after tear-down there is still "
                f"{', '.join(left[:5])}; it is tried again",
                retryable=True,
            )
        return self._outcome(task, "gone", started_at, namespace)

    def _open(
        self,
        task: EnvironmentTask,
        apply: Callable[[EnvironmentSpec, str, str], Opened],
        start_system: Callable[..., None],
    ) -> EnvironmentOutcome:
        started_at = self._ledger.clock.now()
        decided, manifests = self._documents(task)
        opened = apply(decided, self._new_token(decided), task.uid)
        spec = opened.spec
        if self._take_out(spec):
            # Attempts of before say nothing of what was put back just now.
            opened = opened._replace(prove=prove_isolation)
        proof = self._prove(opened, task)
        proven_s = (self._ledger.clock.now() - started_at).total_seconds()
        proof = proof.model_copy(update={"proven_s": round(proven_s, 3)})
        start_system(self._cluster, spec, manifests, wait_s=_WAIT_S, pause=heartbeating)
        outcome = self._outcome(task, "ready", started_at, spec.namespace, proof=proof)
        return outcome.model_copy(update={"uid": opened.uid})

    def _provided(self, decided: EnvironmentSpec, token: str, uid: str) -> Opened:
        """Claim an environment that is proven already, or make one."""
        claimed = claim_warm(
            self._cluster, self._ledger, self._site, spec=decided, token=token
        )
        return claimed or self._applied(decided, token, uid)

    def _applied(self, decided: EnvironmentSpec, token: str, uid: str) -> Opened:
        spec = located(self._cluster, decided, uid=uid)
        finish_claim(self._cluster, self._ledger, spec)
        namespace, *_ = apply_environment(
            self._cluster, spec, recorder_token=token, own_image=self._site.own_image
        )
        is_first = not uid
        if is_first and len(namespaces_of(self._cluster, spec.trial_id)) > 1:
            self._cluster.delete(namespace_ref(spec.namespace), uid=namespace.uid)
            raise ClusterError(
                f"trial {spec.trial_id}: another worker opened it at the same time;"
                f" {spec.namespace} is removed, and the other one is gone on with",
                retryable=True,
            )
        return Opened(spec, namespace.uid)

    def _take_out(self, spec: EnvironmentSpec) -> bool:
        """Take out what others put in while nothing was applied, as in a freeze, and
        return whether there was anything.
        """
        now = self._ledger.clock.now()
        drift = find_drift(self._cluster, spec, shape="ready", at=now)
        if not drift.findings:
            return False
        _, left = restore(self._cluster, self._ledger, spec, drift)
        if left.findings:
            raise IsolationError(
                f"trial {spec.trial_id}: the environment is not what was decided: "
                + "; ".join(item.sentence() for item in left.findings)
            )
        return True

    def _documents(
        self, task: EnvironmentTask
    ) -> tuple[EnvironmentSpec, list[KubernetesObject]]:
        spec = environment_of(self._ledger, task.trial_id)
        require_locked(self._ledger, spec)
        manifests = manifests_of(self._ledger, task.trial_id, task.manifests)
        require_lawful(self._ledger, spec, manifests)
        return spec, manifests

    def _new_token(self, spec: EnvironmentSpec) -> str:
        token = secrets.token_urlsafe(32)
        self._tokens.revoke(spec.trial_id)
        self._tokens.issue(spec.trial_id, "system", token)
        return token

    def _prove(self, opened: Opened, task: EnvironmentTask) -> ProofSummary:
        proof = self._try_to_prove(opened, task, number=1)
        if not proof.holds and not _reached_forbidden(proof):
            # Something that must be reached was not, in time; nothing got out. A busy
            # machine looks like this, so it is tried once more; both are on record.
            again = opened._replace(prove=prove_isolation)
            proof = self._try_to_prove(again, task, number=2)
        if not proof.holds:
            raise IsolationError(
                f"trial {task.trial_id}: the isolation could not be proven: "
                + "; ".join(proof.failures)
            )
        return summarise(proof)

    def _try_to_prove(
        self, opened: Opened, task: EnvironmentTask, *, number: int
    ) -> IsolationProof:
        return prove_and_record(
            self._cluster,
            self._ledger,
            self._site,
            opened=opened,
            run=f"{task.generation}/{activity.info().attempt}/{number}",
        )

    def _outcome(
        self,
        task: EnvironmentTask,
        state: str,
        started_at: datetime,
        namespace: str,
        *,
        proof: ProofSummary | None = None,
    ) -> EnvironmentOutcome:
        now = self._ledger.clock.now()
        outcome = EnvironmentOutcome(
            namespace=namespace,
            seconds=round((now - started_at).total_seconds(), 3),
            finished_at=now,
            proof=proof,
        )
        body = {
            "act": state,
            "generation": task.generation,
            "seconds": outcome.seconds,
            "manifests": task.manifests,
            "namespace": namespace,
        }
        if state == "gone":
            body["residue"] = 0
        run = f"{task.trial_id}/{task.generation}/{activity.info().attempt}"
        self._ledger.append(
            EntryDraft(
                kind="environment",
                entry_id=f"environment/{state}/{run}",
                trial_id=task.trial_id,
                body=body,
            )
        )
        return outcome


def _reached_forbidden(proof: IsolationProof) -> bool:
    return any(
        item.origin == "trial"
        and item.target.expect == "blocked"
        and item.outcome != "blocked"
        for item in proof.attempts
    )


def require_locked(ledger: Ledger, spec: EnvironmentSpec) -> None:
    """Check that the plan of an environment was locked before it is opened.

    Raises:
        IsolationError: The log has no such plan.
    """
    found = ledger.log.entry(f"plan/{spec.trial_id}")
    if found is None or digest_of(dict(found.entry.body)) != spec.plan_digest:
        raise IsolationError(
            f"trial {spec.trial_id}: no plan {spec.plan_digest} is locked in the log,"
            " so nothing is opened. Begin the trial, which locks it."
        )
