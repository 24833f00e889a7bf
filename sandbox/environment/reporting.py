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
    readings = _Readings(cluster)

    def silent() -> list[str]:
        return [line for probe in started if (line := readings.lacking(probe))]

    left = wait_until(silent, wait_s=_WAIT_S, pause=pause)
    if left:
        raise IsolationError(
            f"The attempts of the isolation proof did not end within {_WAIT_S:g} s:"
            f" {'; '.join(left)}. Correct what is named and prove again."
        )
    return [readings.found[probe] for probe in started]


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


class _Readings:
    """What probes have reported so far."""

    def __init__(self, cluster: Cluster) -> None:
        self.found: dict[Probe, ProbeReport] = {}
        self._cluster = cluster
        self._ended: set[Probe] = set()

    def lacking(self, probe: Probe) -> str:
        """Look for a report; return what it waits for, or nothing once it is there."""
        if probe in self.found:
            return ""
        pod = _the_very(self._cluster, probe)
        state = _state(pod)
        _require_able_to_start(probe, state)
        if not state.keys() & {"running", "terminated"}:
            return f"{title(probe.ref)} has not started{_reasons(pod)}"
        place = probe.ref
        log = self._cluster.logs(place.namespace, place.name, PROBE)
        report = report_in(log)
        if report is None:
            self._require_more(probe, state, log)
            return f"{title(probe.ref)} has printed no whole report"
        # A name is given again at will, a uid never: so the log was this pod's.
        _the_very(self._cluster, probe)
        self.found[probe] = report
        return ""

    def _require_more(self, probe: Probe, state: dict[str, Any], log: str) -> None:
        if probe in self._ended:
            raise IsolationError(
                f"{title(probe.ref)} ended without a report of its attempts, so nothing"
                f" is proven. It printed: {_shortened(log) or 'nothing'}. Check that"
                " the image is this product's own, then prove again."
            )
        # What it printed last may still be on its way: it is asked for once more.
        if "terminated" in state:
            self._ended.add(probe)


def _the_very(cluster: Cluster, probe: Probe) -> KubernetesObject:
    pod = cluster.get(probe.ref)
    if pod is None or pod["metadata"]["uid"] != probe.uid:
        raise IsolationError(
            f"{title(probe.ref)} was removed or replaced while it made the attempts of"
            " the isolation proof. Find out by whom, then prove again."
        )
    return pod


def _state(pod: KubernetesObject) -> dict[str, Any]:
    """Return the state of the container; empty before the kubelet has told it."""
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state") or {})


def _require_able_to_start(probe: Probe, state: dict[str, Any]) -> None:
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _CANNOT_START:
        raise IsolationError(
            f"Container {PROBE} of {title(probe.ref)} cannot start:"
            f" {waiting['reason']} {waiting.get('message', '')}. Import this product's"
            " image on the node, or correct its digest."
        )


def _reasons(pod: KubernetesObject) -> str:
    """Return what the cluster says of a pod that does not start, in brackets."""
    conditions = pod.get("status", {}).get("conditions") or []
    said = [c["message"] for c in conditions if c.get("message")]
    return f" ({_shortened('; '.join(said))})" if said else ""


def _shortened(text: str) -> str:
    return " ".join(text.split())[:_SAID]
