"""Trials one after another: ready, frozen, thawed, gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from experiments.benches.isolating.figures import figure
from experiments.benches.isolating.ground import (
    PORT,
    SYSTEM,
    Ground,
    timed_all,
    told,
)
from sandbox.environment import freeze, residue, tear_down, thaw
from sandbox.model.trial import EnvironmentSpec

WRITES_BAR = 40
_GONE_S = 120.0


class Stream:
    """A client that asks over one connection and notes when it was last answered."""

    def __init__(self, address: str) -> None:
        self.answers = 0
        self.last_at = 0.0
        self._socket = _connected(address)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        ask = b"GET /hostname HTTP/1.1\r\nHost: front\r\n\r\n"
        try:
            while True:
                self._socket.sendall(ask)
                if not self._socket.recv(65536):
                    return
                self.last_at = time.perf_counter()
                self.answers += 1
                time.sleep(0.01)
        except OSError:
            return

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many answers have come.

        Raises:
            SystemExit: They did not: there is nothing to be cut.
        """
        deadline = time.perf_counter() + 10
        while self.answers < count:
            if time.perf_counter() > deadline:
                raise SystemExit("the control: the streaming client is not answered")
            time.sleep(0.01)

    def close(self) -> None:
        """Wait for the end of the connection, and close it."""
        self._thread.join(timeout=6)
        self._socket.close()


def _connected(address: str) -> socket.socket:
    """Connect as soon as the server listens, moments after its container runs."""
    deadline = time.perf_counter() + 10
    while True:
        try:
            return socket.create_connection((address, PORT), timeout=5)
        except ConnectionRefusedError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.05)


class _Life(NamedTuple):
    """One environment from nothing to ready and back."""

    ready_s: float
    deployed_s: float
    gone_s: float
    processor_s: float
    writes: dict[str, int]


def ready_figures(ground: Ground, trials: int) -> dict[str, Any]:
    """Measure environments from nothing to ready, and back to nothing.

    One goes before that is not counted: it brings the platform's objects and the
    neighbour that every proof of this node shares.
    """
    lives = [_life(ground, number) for number in range(trials + 1)][1:]
    return {
        "ready_s": figure([one.ready_s for one in lives], p95=3.5, p99=5.0),
        "ready_and_deployed_s": figure([one.deployed_s for one in lives]),
        "node_processor_s_until_deployed": figure([one.processor_s for one in lives]),
        "teardown_to_zero_residue_s": figure([one.gone_s for one in lives], p95=12.0),
        "writes_kept_per_trial": figure(
            [one.writes["kept"] for one in lives], max=WRITES_BAR
        ),
        "dry_runs_per_trial": figure([one.writes["dry_runs"] for one in lives]),
    }


def _life(ground: Ground, number: int) -> _Life:
    spec = ground.spec(f"ready-{number}")
    start, used = len(ground.client.calls), ground.processor_s()
    first = timed_all([partial(ground.prove, spec), partial(ground.deploy, spec)])
    used = ground.processor_s() - used
    gone = timed_all([partial(_remove, ground, spec)])[0]
    told(f"trial {number}: ready in {sum(first):.2f} s, gone in {gone:.2f} s")
    return _Life(first[0], sum(first), gone, used, ground.writes_since(start))


def freeze_figures(ground: Ground, trials: int, backlog: int) -> dict[str, Any]:
    """Measure freezes and thaws while other environments are provisioned."""
    cut, called, thawed = [], [], []
    with _backlog(ground, backlog) as provisioned:
        for number in range(trials):
            spec = ground.spec(f"freeze-{number}")
            ground.prove(spec)
            ground.deploy(spec)
            stream = Stream(ground.system_address(spec))
            stream.wait_for_answers(20)
            begun = time.perf_counter()
            freeze(ground.cluster, spec.trial_id)
            called.append(time.perf_counter() - begun)
            stream.close()
            cut.append(max(0.0, stream.last_at - begun))
            thawed.append(timed_all([partial(_thaw, ground, spec)])[0])
            _remove(ground, spec)
            told(f"freeze {number + 1} of {trials}: {cut[-1]:.2f} s")
        others = len(provisioned)
    return {
        "backlog_threads": backlog,
        "provisioned_meanwhile": others,
        "last_byte_s": figure(cut, p99=2.5),
        "freeze_call_s": figure(called),
        "thaw_with_proof_s": figure(thawed),
    }


def _thaw(ground: Ground, spec: EnvironmentSpec) -> None:
    ground.prove(spec)
    thaw(ground.cluster, spec, SYSTEM, wait_s=60)


def _remove(ground: Ground, spec: EnvironmentSpec) -> None:
    tear_down(ground.cluster, spec.trial_id, wait_s=_GONE_S)
    left = residue(ground.cluster, spec.trial_id)
    if left:
        raise SystemExit(f"residue of {spec.trial_id}: {', '.join(left)}")


@contextmanager
def _backlog(ground: Ground, threads: int) -> Iterator[list[str]]:
    """Provision and remove other environments all the time, in some threads."""
    stopped, provisioned = threading.Event(), []

    def work(worker: int) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            spec = ground.spec(f"backlog-{worker}-{number}")
            ground.prove(spec)
            ground.deploy(spec)
            provisioned.append(spec.trial_id)
            _remove(ground, spec)

    workers = [threading.Thread(target=work, args=(one,)) for one in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield provisioned
    finally:
        stopped.set()
        for worker in workers:
            worker.join()
