"""Environments that are proven in advance: a pool is kept, and trials claim from it.

Rules of this module:

* Only what was proven a moment ago is claimed; what is older is proven again first, and
  a trial does not wait for that: it gets an environment of its own.
* Whatever differs from what would be made now is removed, never mended.
* Every proof is in the log under the id of its environment, and again, as what the
  trial's isolation rests on, under the id of the trial that claimed it.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from temporalio import activity

from sandbox.environment import (
    WarmEnvironment,
    apply_environment,
    claim,
    contents,
    discard,
    find_drift,
    forget_parameters,
    located,
    prove_isolation,
    take_over,
    unclaimed,
)
from sandbox.environment.warm import NO_CREDENTIAL
from sandbox.errors import IsolationError, SandboxError
from sandbox.model.trial import WARM_PREFIX, EnvironmentSpec, IsolationProof
from sandbox.ports import Cluster
from workflows.activities.boundary import activity_method
from workflows.activities.keeping import Ledger
from workflows.activities.proving import Opened, prove_and_record
from workflows.activities.site import Site
from workflows.messages import EntryDraft, WarmInput, WarmResult

_FRESH = timedelta(minutes=10)
"""A proof that is older says nothing about now; a running trial is proven anew as often
as its regime says."""
_STALE = timedelta(minutes=8)
"""A proof of this age is made again, so that the pool stays fresh."""
_LIFE = timedelta(hours=6)
_RENEW = timedelta(hours=1)
"""Less than that before its expiry an environment makes room for another one."""


class WarmActivities:
    """Keeps as many proven, empty environments as the installation asks for."""

    def __init__(self, cluster: Cluster, *, ledger: Ledger, site: Site) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._site = site

    @activity_method
    def keep_warm(self, task: WarmInput) -> WarmResult:
        """Remove what is not as it would be made now, and make what is missing."""
        now = self._cluster.now()
        kept: list[str] = []
        removed: list[str] = []
        for warm_id in unclaimed(self._cluster):
            activity.heartbeat()
            spec = _spec_of(self._ledger, warm_id)
            if spec is None:
                # Another installation's, on the same cluster; it has an expiry.
                continue
            why = "there are enough" if len(kept) == task.count else ""
            why = why or self._unfit(spec, now)
            if not why:
                kept.append(warm_id)
            elif self._remove(warm_id, why):
                removed.append(warm_id)
        made = [self._make(now) for _ in range(task.count - len(kept))]
        return WarmResult(kept=tuple(kept), made=tuple(made), removed=tuple(removed))

    def _unfit(self, spec: EnvironmentSpec, now: datetime) -> str:
        """Return why a warm environment may not be claimed; prove it again if due."""
        try:
            return self._flaw(spec, now)
        except SandboxError as error:
            if error.retryable:
                # It is looked at again; the others must not wait for it.
                activity.logger.warning("%s: %s", spec.warm, error.diagnosis)
                return ""
            return error.diagnosis

    def _flaw(self, spec: EnvironmentSpec, now: datetime) -> str:
        if spec != self._site.warm(spec.warm, until=spec.expires_at):
            return "it would be made otherwise now"
        if spec.expires_at - now < _RENEW:
            return "its expiry is near"
        drift = find_drift(self._cluster, spec, shape="ready", at=now)
        if drift.findings:
            return "; ".join(item.sentence() for item in drift.findings)
        foreign = contents(self._cluster, spec.namespace)
        if foreign:
            return f"it is not empty: {', '.join(foreign)}"
        if _fresh(self._ledger, spec, within=_STALE) is not None:
            return ""
        return "; ".join(self._prove(spec).failures)

    def _make(self, now: datetime) -> str:
        warm_id = f"{WARM_PREFIX}{secrets.token_hex(4)}"
        spec = self._site.warm(warm_id, until=now + _LIFE)
        self._ledger.records.put_document(warm_id, "environment", spec)
        apply_environment(
            self._cluster,
            spec,
            recorder_token=NO_CREDENTIAL,
            own_image=self._site.own_image,
        )
        proof = self._prove(spec)
        if not proof.holds:
            self._remove(warm_id, "; ".join(proof.failures))
            raise IsolationError(
                f"{warm_id}: the isolation of a warm environment could not be proven: "
                + "; ".join(proof.failures)
            )
        self._record(warm_id, "warm", "proven, waiting for a trial")
        return warm_id

    def _prove(self, spec: EnvironmentSpec) -> IsolationProof:
        now = self._ledger.clock.now()
        run = f"warm/{now.isoformat()}/{activity.info().attempt}"
        return prove_and_record(
            self._cluster, self._ledger, self._site, opened=Opened(spec), run=run
        )

    def _remove(self, warm_id: str, why: str) -> bool:
        """Return whether it was removed; what a trial has just claimed it keeps."""
        is_removed = discard(self._cluster, warm_id)
        if is_removed:
            self._record(warm_id, "warm-removed", why)
        return is_removed

    def _record(self, warm_id: str, act: str, reason: str) -> None:
        self._ledger.append(
            EntryDraft(
                kind="environment",
                entry_id=f"{act}/{warm_id}",
                trial_id=warm_id,
                body={"act": act, "reason": reason},
            )
        )


def claim_warm(
    cluster: Cluster, ledger: Ledger, site: Site, *, spec: EnvironmentSpec, token: str
) -> Opened | None:
    """Claim a warm environment for a trial and apply the trial's own rule on top.

    Done again it goes on with the one the trial has claimed already.

    Args:
        cluster: Where the environments are.
        ledger: Where their proofs are recorded.
        site: What this installation is.
        spec: What the decision and the temporary rule ask for.
        token: Bearer token the system presents to the recorder.

    Returns:
        The environment; None where none can be claimed, or the trial has its own.

    Raises:
        InputError: The needs cannot be granted as written, or the rule has expired.
        IsolationError: The platform is not installed, or nobody knows what was claimed.
        ClusterError: Kubernetes refused or did not answer.
    """
    claimed = located(cluster, spec)
    if not claimed.warm:
        usable = _usable(cluster, ledger, spec)
        found = claim(cluster, spec, usable, own_image=site.own_image)
        # An answer may be lost, and the claim have been made all the same.
        claimed = found or located(cluster, spec)
        if not claimed.warm:
            return None
    unclaimed_spec = _spec_of(ledger, claimed.warm)
    if unclaimed_spec is None:
        raise IsolationError(
            f"trial {spec.trial_id}: there is no record of what {claimed.warm} was made"
            " from, so nobody knows what it holds. End the trial and begin another."
        )
    applied = take_over(cluster, claimed, unclaimed_spec, recorder_token=token)
    fresh = _fresh(ledger, unclaimed_spec)
    prove = prove_isolation if fresh is None else fresh.prove
    return Opened(claimed, applied[0].uid, prove)


def _usable(cluster: Cluster, ledger: Ledger, spec: EnvironmentSpec) -> list[str]:
    """Return the warm environments that a trial could claim now."""
    known = [_spec_of(ledger, warm_id) for warm_id in unclaimed(cluster)]
    return [
        item.warm
        for item in known
        if item is not None
        and item.isolation_class == spec.isolation_class
        and _fresh(ledger, item) is not None
    ]


def _spec_of(ledger: Ledger, warm_id: str) -> EnvironmentSpec | None:
    found = ledger.records.find_documents(warm_id, "environment").get("environment")
    return None if found is None else EnvironmentSpec.model_validate(found)


def finish_claim(cluster: Cluster, ledger: Ledger, spec: EnvironmentSpec) -> None:
    """Take away what a claim that was cut off left of before it, if it left anything.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    was = _spec_of(ledger, spec.warm) if spec.warm else None
    if was is not None:
        forget_parameters(cluster, spec, was)


def _fresh(
    ledger: Ledger, spec: EnvironmentSpec, *, within: timedelta = _FRESH
) -> WarmEnvironment | None:
    """Return a warm environment whose last proof holds and is recent."""
    entries = [item.entry for item in ledger.log.entries(spec.warm)]
    proofs = [entry for entry in entries if entry.kind == "isolation-proof"]
    if not proofs or ledger.clock.now() - proofs[-1].recorded_at > within:
        return None
    proof = IsolationProof.model_validate(proofs[-1].body)
    return WarmEnvironment(spec, proof) if proof.holds else None
