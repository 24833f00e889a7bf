"""Commands of agnhost run in pods of a namespace to their end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from experiments.attack_corpus.pods import usual_pod
from sandbox.environment.kinds import ref_of
from sandbox.environment.waiting import wait_until
from sandbox.ports import Cluster, KubernetesObject

_SILENT = ("TIMEOUT", "REFUSED", "OTHER")
_WAIT_S = 60.0

Command = tuple[str, ...]


class End(NamedTuple):
    """How a command ended."""

    code: int
    printed: str

    @property
    def outcome(self) -> Literal["reached", "blocked", "error"]:
        """Return what came of a command `connect`; an error proves nothing."""
        if self.code == 0:
            return "reached"
        return "blocked" if self.printed.startswith(_SILENT) else "error"


def connect(host: str, port: int, protocol: str = "tcp", said: str = "") -> Command:
    """Return the command that tries an address, and says something by UDP."""
    data = (f"--udp-data={said}",) if said else ()
    return (
        "connect",
        f"{host}:{port}",
        "--timeout=2s",
        f"--protocol={protocol}",
        *data,
    )


def run_all(
    cluster: Cluster, image: str, namespace: str, commands: Sequence[Command]
) -> list[End]:
    """Run each command as the very first act of a pod of its own.

    Args:
        cluster: Where to run.
        image: Reference of the image with `/agnhost`.
        namespace: Where the pods are made; they are deleted again.
        commands: Arguments of agnhost.
    """
    pods = []
    for number, command in enumerate(commands):
        pod = usual_pod(image, namespace, f"try-{number}")
        pod["spec"]["containers"][0]["command"] = ["/agnhost", *command]
        pods.append(pod)
    try:
        cluster.apply(pods, owner="attacker")
        return [_end(cluster, pod) for pod in pods]
    finally:
        for pod in pods:
            cluster.delete(ref_of(pod), grace_s=0)


def _end(cluster: Cluster, pod: KubernetesObject) -> End:
    ends: list[int] = []

    def running() -> list[str]:
        found = cluster.get(ref_of(pod)) or {}
        statuses = found.get("status", {}).get("containerStatuses", [])
        ends.extend(
            status["state"]["terminated"]["exitCode"]
            for status in statuses
            if "terminated" in status["state"]
        )
        return [] if ends else [str(found.get("status"))]

    left = wait_until(running, wait_s=_WAIT_S, pause=time.sleep)
    if left:
        raise TimeoutError(f"A pod did not end within {_WAIT_S:g} s: {left[0]}.")
    metadata = pod["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    return End(ends[0], cluster.logs(namespace, name, name).strip())
