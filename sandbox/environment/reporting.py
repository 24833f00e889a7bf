"""Runs the pods of an isolation proof and reads what they report.

Rules of this module:

* What the pods print is read, not how they ended: the kubelet tells of an end about a
  second late.
* A report counts only if it came from the very pod that was started, and as a whole. A
  pod that cannot start, ends without a report, or is replaced, is an error in words.
* No pod stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sandbox.environment.attempts import ProbeReport, report_in
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import FIELD_MANAGER
from sandbox.environment.probe import PROBE
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, IsolationError
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

Pause = Callable[[float], None]

NO_PARAMETERS = "no params found"
"""What the API server says where it does not see the parameters of a policy."""

_WAIT_S = 60.0
_ADMISSION_WAIT_S = 10.0
_SAID = 300
_CANNOT_START = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)


class Probe(NamedTuple):
    """One pod that was started."""

    ref: ObjectRef
    uid: str


@contextmanager
def probes(
    cluster: Cluster, pods: Sequence[KubernetesObject], pause: Pause
) -> Iterator[list[Probe]]:
    """Start pods, and delete them at the end.

    Args:
        cluster: Where.
        pods: What to start; what is left of earlier ones is deleted first.
        pause: Waits for some seconds.

    Raises:
        IsolationError: The API server does not find the parameters of its policies.
        ClusterError: Kubernetes refused or did not answer.
    """
    refs = [ref_of(pod) for pod in pods]
    try:
        for ref in refs:
            cluster.delete(ref, grace_s=0)
        yield [_started(cluster, pod, pause) for pod in pods]
    finally:
        for ref in refs:
            cluster.delete(ref, grace_s=0)


def reports(
    cluster: Cluster, started: Sequence[Probe], pause: Pause
) -> list[ProbeReport]:
    """Return what each pod reports, once the last has.

    Raises:
        IsolationError: One does not, or not as it should.
        ClusterError: Kubernetes refused or did not answer.
    """
    found: dict[Probe, ProbeReport] = {}

    def silent() -> list[str]:
        for probe in started:
            report = None if probe in found else _report(cluster, probe)
            if report is not None:
                found[probe] = report
        return [title(probe.ref) for probe in started if probe not in found]

    left = wait_until(silent, wait_s=_WAIT_S, pause=pause)
    if left:
        raise IsolationError(
            f"The attempts of the isolation proof did not end within {_WAIT_S:g} s:"
            f" {', '.join(left)} printed no whole report. Look at its events and log,"
            " correct what they name, and prove again."
        )
    return [found[probe] for probe in started]


def no_parameters(namespace: str) -> IsolationError:
    """Return what is wrong where the API server goes on to say `NO_PARAMETERS`."""
    return IsolationError(
        "The API server does not find the parameters of regulatory-sandbox-decision in"
        f" {namespace}, so it admits no pod. Up to Kubernetes 1.36 it stops looking for"
        " good once its last binding with parameters was deleted"
        " (kubernetes/kubernetes#130887): restart it, then prove again."
    )


def _started(cluster: Cluster, pod: KubernetesObject, pause: Pause) -> Probe:
    """Start a pod; a new namespace's parameters are seen by policies a moment later."""
    started: list[Probe] = []

    def refused() -> list[str]:
        try:
            (applied,) = cluster.apply([pod], owner=FIELD_MANAGER)
        except ClusterError as error:
            if NO_PARAMETERS not in error.diagnosis:
                raise
            return [error.diagnosis]
        started.append(Probe(ref_of(pod), applied.uid))
        return []

    if wait_until(refused, wait_s=_ADMISSION_WAIT_S, pause=pause):
        raise no_parameters(ref_of(pod).namespace)
    return started[0]


def _report(cluster: Cluster, probe: Probe) -> ProbeReport | None:
    state = _state(cluster, probe)
    if not state.keys() & {"running", "terminated"}:
        return None
    log = cluster.logs(probe.ref.namespace, probe.ref.name, PROBE)
    report = report_in(log)
    if report is None and "terminated" in state:
        raise IsolationError(
            f"{title(probe.ref)} ended without a report of its attempts, so nothing is"
            f" proven. It printed: {_shortened(log) or 'nothing'}. Check that the image"
            " is this product's own, of this version, then prove again."
        )
    if report is not None:
        # A pod is named anew at will; its uid never comes back.
        _state(cluster, probe)
    return report


def _state(cluster: Cluster, probe: Probe) -> dict[str, Any]:
    """Return the state of the container; empty before the kubelet has told it."""
    pod = cluster.get(probe.ref)
    if pod is None or pod["metadata"]["uid"] != probe.uid:
        raise IsolationError(
            f"{title(probe.ref)} was removed or replaced while it made the attempts of"
            " the isolation proof. Find out by whom, then prove again."
        )
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    state: dict[str, Any] = statuses[0].get("state") or {}
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _CANNOT_START:
        raise IsolationError(
            f"Container {PROBE} of {title(probe.ref)} cannot start:"
            f" {waiting['reason']} {waiting.get('message', '')}. Import this product's"
            " image on the node, or correct its digest."
        )
    return state


def _shortened(log: str) -> str:
    return " ".join(log.split())[:_SAID]
