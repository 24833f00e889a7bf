"""Trials that claim an environment which is proven already."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from experiments.benches.isolating.figures import figure
from experiments.benches.isolating.ground import Ground, timed_all, told
from sandbox.adapters.clock import SystemClock
from sandbox.environment import (
    WarmEnvironment,
    apply_environment,
    claim,
    find_drift,
    prove_isolation,
    residue,
    standard_targets,
    take_over,
    tear_down,
    unclaimed,
    warm_spec,
)
from sandbox.environment.warm import NO_CREDENTIAL
from sandbox.model.trial import EnvironmentSpec

_LIFE = timedelta(hours=1)
_GONE_S = 120.0


class _Claimed(NamedTuple):
    """One claim, from the call to the proof."""

    ready_s: float
    deployed_s: float
    calls: int
    writes: dict[str, int]


def warm_figures(ground: Ground, trials: int) -> dict[str, Any]:
    """Measure claims of warm environments, one after another.

    Ready holds the choice of an environment and its claim, the check of the platform,
    everything the trial's rule changes, the comparison with what was decided, and the
    proof of what changed. Keeping the pool is not in it: that went before.
    """
    claims = [_claimed(ground, number) for number in range(trials + 1)][1:]
    return {
        "ready_from_warm_s": figure([one.ready_s for one in claims], p95=0.3),
        "ready_from_warm_and_deployed_s": figure(
            [one.ready_s + one.deployed_s for one in claims]
        ),
        "calls_per_claim": figure([one.calls for one in claims]),
        "writes_kept_per_claim": figure([one.writes["kept"] for one in claims]),
    }


def _claimed(ground: Ground, number: int) -> _Claimed:
    idle = _warmed(ground, f"warm-bench-{number}")
    spec, start = ground.spec(f"claimed-{number}"), len(ground.client.calls)
    claimed: list[EnvironmentSpec] = []
    ready = timed_all([lambda: claimed.append(_ready(ground, spec, idle))])[0]
    calls, writes = len(ground.client.calls) - start, ground.writes_since(start)
    deployed = timed_all([partial(ground.deploy, claimed[0])])[0]
    tear_down(ground.cluster, spec.trial_id, wait_s=_GONE_S)
    left = residue(ground.cluster, spec.trial_id, namespace=claimed[0].namespace)
    if left:
        raise SystemExit(f"residue of {spec.trial_id}: {', '.join(left)}")
    told(f"claim {number}: ready in {ready:.3f} s, deployed in {deployed:.2f} s")
    return _Claimed(ready, deployed, calls, writes)


def _warmed(ground: Ground, warm_id: str) -> WarmEnvironment:
    like = ground.spec(warm_id)
    spec = warm_spec(
        warm_id,
        until=ground.cluster.now() + _LIFE,
        probe_image=like.probe_image,
        recorder=like.recorder,
        load_source=like.load_source,
    )
    apply_environment(ground.cluster, spec, recorder_token=NO_CREDENTIAL)
    targets = standard_targets(ground.cluster, spec, beacons=ground.servers.beacons)
    proof = prove_isolation(
        ground.cluster, spec, targets=targets, clock=SystemClock(), pause=time.sleep
    )
    if not proof.holds:
        raise SystemExit(f"{warm_id}: {'; '.join(proof.failures)}")
    return WarmEnvironment(spec, proof)


def _ready(
    ground: Ground, spec: EnvironmentSpec, idle: WarmEnvironment
) -> EnvironmentSpec:
    cluster, clock = ground.cluster, SystemClock()
    found = claim(cluster, spec, unclaimed(cluster))
    if found is None:
        raise SystemExit(f"{spec.trial_id}: nothing was left to claim")
    take_over(cluster, found, idle.spec, recorder_token="t")
    drift = find_drift(cluster, found, shape="ready", at=clock.now())
    targets = standard_targets(cluster, found, beacons=ground.servers.beacons)
    proof = idle.prove(cluster, found, targets=targets, clock=clock)
    if drift.findings or not proof.holds or proof.warm != found.warm:
        raise SystemExit(f"{spec.trial_id}: {drift.findings} {proof.failures}")
    return found
