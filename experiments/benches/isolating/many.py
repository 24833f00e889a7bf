"""Many environments: idle side by side, or made and removed again and again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from experiments.benches.isolating.figures import figure
from experiments.benches.isolating.ground import Ground, told
from sandbox.environment import apply_environment, apply_platform, residue, tear_down
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.waiting import wait_until
from sandbox.local import find_tracked
from sandbox.local.enclosure import inside

_MIB = 2**20
_THREADS = 4
_GONE_S = 600.0
_PASSING = frozenset({"Event", "Lease"})
"""Kinds whose objects come and go by themselves."""


def idle_figures(ground: Ground, count: int) -> dict[str, Any]:
    """Measure environments that only exist: how fast they come and what they take."""
    apply_platform(ground.cluster)
    before, start = _resident_mib(ground), len(ground.client.calls)
    specs = [ground.spec(f"idle-{number}") for number in range(count)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(partial(_apply, ground), specs))
    taken = time.perf_counter() - begun
    calls = [call.seconds for call in ground.client.calls[start:]]
    time.sleep(10)
    after = _resident_mib(ground)
    told(f"{count} idle environments after {taken:.0f} s")
    looks = _look_around(ground)
    with ThreadPoolExecutor(_THREADS * 4) as threads:
        list(threads.map(partial(_tear_down, ground), specs))
    return {
        "environments": count,
        "threads": _THREADS,
        "environments_per_s": round(count / taken, 2),
        "api_call_s": figure(calls, p99=1.0),
        "read_beside_them_s": figure(looks, p99=1.0),
        "api_server_mib": {"before": round(before), "after": round(after)},
        "api_server_kib_each": round((after - before) * 1024 / count),
    }


def round_figures(ground: Ground, rounds: int) -> dict[str, Any]:
    """Make and remove environments; say what objects, mounts and devices are left."""
    _one_round(ground, -1)
    before = _everything(ground)
    control = _while_one_runs(ground, before)
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(partial(_one_round, ground), range(rounds)))
    left: dict[str, list[str]] = {}

    def remaining() -> list[str]:
        now = _everything(ground)
        left.update({name: sorted(now[name] - before[name]) for name in now})
        return [one for found in left.values() for one in found]

    wait_until(remaining, wait_s=60, pause=time.sleep)
    return {
        "rounds": rounds,
        "threads": _THREADS,
        "while_one_runs": control,
        **{f"{name}_left": len(found) for name, found in left.items()},
        "left": {name: found[:10] for name, found in left.items() if found},
        "holds": all(control.values()) and not any(left.values()),
    }


def _while_one_runs(ground: Ground, before: dict[str, set[str]]) -> dict[str, int]:
    """Return how much more there is with one environment: the control of the count."""
    spec = ground.spec("control")
    _apply(ground, spec)
    ground.deploy(spec)
    now = _everything(ground)
    _tear_down(ground, spec)
    return {name: len(now[name] - before[name]) for name in now}


def _apply(ground: Ground, spec: Any) -> None:
    apply_environment(ground.cluster, spec, recorder_token="t")


def _tear_down(ground: Ground, spec: Any) -> None:
    tear_down(ground.cluster, spec.trial_id, wait_s=_GONE_S)


def _look_around(ground: Ground) -> list[float]:
    """Read what a worker reads, a hundred times, and return how long each took."""
    start = len(ground.client.calls)
    for number in range(100):
        namespace = ground.spec(f"idle-{number % 10}").namespace
        ground.cluster.find("v1", "Pod", namespace=namespace)
        ground.cluster.find("v1", "Namespace", labels="regulatory-sandbox/trial")
    return [call.seconds for call in ground.client.calls[start:]]


def _one_round(ground: Ground, number: int) -> None:
    spec = ground.spec(f"round-{number + 1}")
    _apply(ground, spec)
    ground.deploy(spec)
    _tear_down(ground, spec)
    left = residue(ground.cluster, spec.trial_id)
    if left:
        raise SystemExit(f"residue of {spec.trial_id}: {', '.join(left)}")
    if number % 10 == 9:
        told(f"round {number + 1}")


def _resident_mib(ground: Ground) -> float:
    server = find_tracked(ground.settings, "kube-apiserver")
    assert server is not None
    return float(psutil.Process(server.pid).memory_info().rss) / _MIB


def _everything(ground: Ground) -> dict[str, set[str]]:
    keeper = find_tracked(ground.settings, "node")
    assert keeper is not None
    mounts = Path(f"/proc/{keeper.pid}/mountinfo").read_text().splitlines()
    links = subprocess.run(
        [*inside(keeper), "ip", "-oneline", "link"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {
        "objects": set(_objects(ground)),
        # The fifth field is the mount point; the first two are numbers that change.
        "mounts": {line.split()[4] for line in mounts},
        "devices": {line.split(": ")[1] for line in links},
    }


def _objects(ground: Ground) -> Iterable[str]:
    for api_version, kind in ground.cluster.namespaced_kinds():
        if kind not in _PASSING:
            for item in ground.cluster.find(api_version, kind):
                yield title(ref_of(item))
    for item in ground.cluster.find("v1", "Namespace"):
        yield title(ref_of(item))
