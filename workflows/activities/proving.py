"""One isolation proof: tried, recorded, put in figures.

Rules of this module:

* Every proof is an entry, whether it holds or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from temporalio import activity

from sandbox.environment import prove_isolation, standard_targets
from sandbox.model.record import digest_of
from sandbox.model.trial import EnvironmentSpec, IsolationProof
from sandbox.ports import Cluster
from workflows.activities.keeping import Ledger
from workflows.activities.site import Site
from workflows.messages import ProofSummary

Prove = Callable[..., IsolationProof]
"""Proves like `prove_isolation`: called with cluster, specification, targets, clock and
pause."""


class Opened(NamedTuple):
    """An environment whose objects are applied, and how it is proven."""

    spec: EnvironmentSpec
    uid: str = ""
    prove: Prove = prove_isolation


def prove_and_record(
    cluster: Cluster,
    ledger: Ledger,
    site: Site,
    *,
    opened: Opened,
    run: str,
) -> IsolationProof:
    """Try everything, and enter the proof as `proof/TRIAL/RUN`.

    Args:
        cluster: Where the environment is.
        ledger: Where the proof is recorded.
        site: Which listeners are known to be there.
        opened: The environment.
        run: Names this proof among those of the trial.

    Raises:
        IsolationError: The attempts could not be made.
        ClusterError: Kubernetes refused or did not answer.
    """
    spec = opened.spec
    proof = opened.prove(
        cluster,
        spec,
        targets=standard_targets(cluster, spec, beacons=site.beacons),
        clock=ledger.clock,
        pause=heartbeating,
    )
    entry_id = f"proof/{spec.trial_id}/{run}"
    ledger.write("isolation-proof", entry_id, spec.trial_id, proof)
    ledger.records.put_document(spec.trial_id, "isolation-proof", proof)
    return proof


def summarise(proof: IsolationProof) -> ProofSummary:
    """Return the proof in figures."""
    trial = [item for item in proof.attempts if item.origin == "trial"]
    controls = [item for item in proof.attempts if item.origin == "control"]
    return ProofSummary(
        digest=digest_of(proof),
        holds=proof.holds,
        attempts=len(proof.attempts),
        allowed_reached=sum(
            item.target.expect == "reached" and item.outcome == "reached"
            for item in trial
        ),
        denied_blocked=sum(
            item.target.expect == "blocked" and item.outcome == "blocked"
            for item in trial
        ),
        controls_passed=sum(item.outcome == "reached" for item in controls),
        failures=proof.failures,
    )


def heartbeating(seconds: float) -> None:
    """Wait, and tell Temporal that work goes on; a cancellation is heard here."""
    activity.heartbeat()
    time.sleep(seconds)
