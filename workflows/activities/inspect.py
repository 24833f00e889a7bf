"""Activities that look whether an environment still is what the decision asks for.

Rules of this module:

* What is found is in the log before anything is done about it, and what is left
  afterwards is another entry.
* What a rule about objects is against is no one's to put back: the environment is
  frozen.
* An object that was put back twice in a row and is different again is someone's will:
  the environment is frozen.
* A proof that could not be made is recorded and tried again; one that reached what must
  be out of reach freezes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from temporalio import activity

from sandbox.conformity import find_unlawful
from sandbox.environment import (
    find_drift,
    located,
    open_ways,
    platform_lack,
    recorder_token,
    settle,
)
from sandbox.environment.kinds import ref_titled
from sandbox.environment.labels import RECORDER_TOKEN
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.drift import Drift, DriftFinding
from sandbox.model.record import digest_of
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import AuditLog, Cluster, Tokens
from workflows.activities.boundary import activity_method
from workflows.activities.examining import rules_of
from workflows.activities.keeping import Ledger
from workflows.activities.proving import (
    Opened,
    heartbeating,
    prove_and_record,
    summarise,
)
from workflows.activities.site import Site
from workflows.messages import (
    BreachReport,
    EntryDraft,
    EnvironmentTask,
    Inspected,
    InspectEnvironment,
    Proven,
)

AS_DECIDED = "environment-as-decided"
"""The condition that no longer holds where drift is escalated."""
ISOLATED = "isolation-holds"
"""The condition that no longer holds where a proof reached something."""
_TIMES = 2
"""How often in a row an object is put back before that counts as in vain."""
_PLATFORM = "Platform of the cluster"
_GRAVE = ("Namespace", _PLATFORM)
"""What is noted of these and lasts is a reason to freeze."""
_SKEW_S = 5.0
"""Clocks further apart than this are noted; a Date header is exact to a second."""


class InspectActivities:
    """Compares, puts back, proves again."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        ledger: Ledger,
        tokens: Tokens,
        site: Site,
        audit: AuditLog | None = None,
    ) -> None:
        self._audit = audit
        self._cluster = cluster
        self._ledger = ledger
        self._tokens = tokens
        self._site = site

    @activity_method
    def inspect_environment(self, task: InspectEnvironment) -> Inspected:
        """Compare the environment with the decision; put back what can be."""
        spec = self._spec(task.trial_id, task.uid)
        found = self._look(spec, task)
        seen = {f.object: task.seen.get(f.object, 0) + 1 for f in found.findings}
        drift = _weighed(found, seen)
        if not any(_is_news(item, drift, seen) for item in drift.findings):
            return Inspected(seen=seen)
        entry_id, left = restore(self._cluster, self._ledger, spec, drift)
        lost = (*drift.having("escalate"), *left.findings)
        return Inspected(seen=seen, breach=_breach_of(drift, entry_id, lost))

    @activity_method
    def prove_environment(self, task: EnvironmentTask) -> Proven:
        """Prove the isolation again, in the environment that runs."""
        spec, ledger = self._spec(task.trial_id, task.uid), self._ledger
        now = ledger.clock.now()
        run = f"{task.generation}/again/{now.isoformat()}"
        try:
            proof = prove_and_record(
                self._cluster, ledger, self._site, opened=Opened(spec), run=run
            )
        except (ClusterError, IsolationError) as error:
            if error.retryable:
                raise
            self._record_no_proof(task.trial_id, run, error.diagnosis)
            return Proven()
        opened = open_ways(proof)
        if opened:
            return Proven(
                breach=BreachReport(
                    breach_id=f"proof/{task.trial_id}/{run}",
                    guardrail=ISOLATED,
                    action="pause",
                    detected_at=ledger.clock.now(),
                    cause=f"the isolation no longer holds: {'; '.join(opened)}",
                )
            )
        return Proven(proof=summarise(proof) if proof.holds else None)

    def _spec(self, trial_id: str, uid: str) -> EnvironmentSpec:
        spec = environment_of(self._ledger, trial_id)
        return located(self._cluster, spec, uid=uid)

    def _look(self, spec: EnvironmentSpec, task: InspectEnvironment) -> Drift:
        now = self._ledger.clock.now()
        try:
            drift = find_drift(
                self._cluster, spec, shape=task.shape, uid=task.uid, at=now
            )
            more = (
                *self._credential(spec, drift),
                *self._unlawful(spec, drift),
                *self._clock(),
                *self._platform(),
            )
        except ClusterError as error:
            if error.retryable:
                raise
            unseen = DriftFinding(
                object=f"Namespace {spec.namespace}",
                change="missing",
                action="note",
                detail=f"it could not be looked at: {error.diagnosis}",
            )
            return Drift(
                trial_id=spec.trial_id,
                shape=task.shape,
                found_at=now,
                findings=(unseen,),
            )
        findings = [self._with_author(item) for item in (*drift.findings, *more)]
        return drift.model_copy(update={"findings": tuple(findings)})

    def _with_author(self, finding: DriftFinding) -> DriftFinding:
        """Return a finding with who made the change, where the API server says so."""
        ref = ref_titled(finding.object)
        if self._audit is None or ref is None:
            return finding
        try:
            author = self._audit.last_change(ref)
        except ClusterError as error:
            # What was found counts, with a name or without.
            activity.logger.warning(error.diagnosis)
            return finding
        return finding.model_copy(update={"author": author})

    def _credential(
        self, spec: EnvironmentSpec, drift: Drift
    ) -> tuple[DriftFinding, ...]:
        """Return whether the system presents the credential it was given."""
        if drift.shape == "frozen" or drift.having("escalate"):
            return ()
        token = recorder_token(self._cluster, spec)
        named = self._tokens.identify(token) if token else None
        if named is not None and named.trial_id == spec.trial_id:
            return ()
        credential = DriftFinding(
            object=f"Secret {spec.namespace}/{RECORDER_TOKEN}",
            change="changed",
            fields=("data",),
            action="escalate",
            detail="the recorder does not know this credential as the trial's",
        )
        return (credential,)

    def _unlawful(
        self, spec: EnvironmentSpec, drift: Drift
    ) -> tuple[DriftFinding, ...]:
        """Return what stands there although a rule about objects is against it: others
        put it there, or other values came into force.
        """
        if drift.shape == "frozen" or drift.having("escalate"):
            return ()
        rules = rules_of(self._ledger, spec.trial_id)
        return find_unlawful(self._cluster, spec, rules, at=drift.found_at)

    def _clock(self) -> tuple[DriftFinding, ...]:
        """Return whether this machine and the cluster tell different times."""
        skew = (self._cluster.now() - self._ledger.clock.now()).total_seconds()
        if abs(skew) <= _SKEW_S:
            return ()
        ahead = "ahead of" if skew > 0 else "behind"
        clock = DriftFinding(
            object="Clock of the cluster",
            change="changed",
            action="note",
            detail=f"it is {abs(skew):.0f} s {ahead} this worker's; expiry follows the"
            " cluster's. Set the one that is wrong",
        )
        return (clock,)

    def _platform(self) -> tuple[DriftFinding, ...]:
        """Return whether what holds trials to their limits still stands around them."""
        why = platform_lack(self._cluster)
        if not why:
            return ()
        # While an administrator installs it, it differs for a moment.
        platform = DriftFinding(
            object=_PLATFORM,
            change="changed",
            action="note",
            detail=f"{why}. Run `sandbox platform install`",
        )
        return (platform,)

    def _record_no_proof(self, trial_id: str, run: str, why: str) -> None:
        draft = EntryDraft(
            kind="environment",
            entry_id=f"proof/{trial_id}/{run}",
            trial_id=trial_id,
            body={"act": "proof-not-made", "reason": why},
        )
        self._ledger.append(draft)


def environment_of(ledger: Ledger, trial_id: str) -> EnvironmentSpec:
    """Return what the environment of a trial is made from."""
    found = ledger.records.get_document(trial_id, "environment")
    return EnvironmentSpec.model_validate(found)


def restore(
    cluster: Cluster, ledger: Ledger, spec: EnvironmentSpec, drift: Drift
) -> tuple[str, Drift]:
    """Record what was found, put back what can be, and record what is left.

    Returns:
        The entry of what was found, and what is left: to be escalated.
    """
    digest = digest_of(drift).removeprefix("sha256:")[:16]
    entry_id = f"drift/{drift.trial_id}/{digest}"
    ledger.write("environment", entry_id, drift.trial_id, drift)
    nothing = drift.model_copy(update={"act": "put-back", "findings": ()})
    if not drift.having("put_back"):
        return entry_id, nothing
    left = settle(cluster, spec, drift, pause=heartbeating)
    entry = f"{entry_id}/put-back"
    # Done again by a worker that replaces this one, it may leave something else.
    ledger.write_once("environment", entry, drift.trial_id, left)
    return entry_id, left


def _weighed(drift: Drift, seen: Mapping[str, int]) -> Drift:
    """Escalate what was put back in vain, or what is grave and lasts."""
    findings = []
    for item in drift.findings:
        is_lasting = drift.shape == "ready" and seen[item.object] > _TIMES
        is_grave = item.action == "put_back" or item.object.startswith(_GRAVE)
        if is_lasting and is_grave:
            detail = item.detail or f"it was put back {_TIMES} times in a row in vain"
            update = {"action": "escalate", "detail": detail}
            item = item.model_copy(update=update)
        findings.append(item)
    return drift.model_copy(update={"findings": tuple(findings)})


def _is_news(item: DriftFinding, drift: Drift, seen: Mapping[str, int]) -> bool:
    """Return whether there is something to do about it, or to record for the first
    time: what stays as it is would fill the log.
    """
    is_acted_on = item.action == "put_back" or (
        item.action == "escalate" and drift.shape == "ready"
    )
    return is_acted_on or seen[item.object] == 1


def _breach_of(
    drift: Drift, entry_id: str, lost: Sequence[DriftFinding]
) -> BreachReport | None:
    if not lost:
        return None
    return BreachReport(
        breach_id=entry_id,
        guardrail=AS_DECIDED,
        action="pause",
        detected_at=drift.found_at,
        cause="the environment is not what was decided: "
        + "; ".join(item.sentence() for item in lost),
    )
