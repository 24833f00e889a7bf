"""Namespaces that are made to try something in, and go when that is done.

Rules of this module:

* They carry a label of their own: what a killed run left behind is found by it, and
  nothing else is ever touched.
* They go also when the try fails; what does not go is said.
* Pods of a try obey Pod Security *restricted*, as those of a trial do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sandbox.environment.attempts import Outcome
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import FIELD_MANAGER, MANAGED_BY
from sandbox.environment.template import fill
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError, IsolationError
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

DOCTOR = "regulatory-sandbox/doctor"
"""Label of every throwaway namespace."""
FOLDER = "doctor"

Pause = Callable[[float], None]

_SELECTOR = f"{DOCTOR},{MANAGED_BY}={FIELD_MANAGER}"
_PATIENCE = "4s"
_BLOCKED = ("TIMEOUT", "REFUSED", "OTHER")
"""What agnhost says of a way that is closed; anything else is an error."""
_WAIT_S = 60.0
_GONE_S = 120.0


class Place(NamedTuple):
    """Where throwaway namespaces are made, and what their pods run."""

    cluster: Cluster
    image: str
    """Reference of the image that makes the attempts, agnhost."""
    tag: str
    """Tells the namespaces of this run from those of others."""
    pause: Pause

    def namespace(self, name: str) -> str:
        """Make a namespace in which pods can start; return its full name."""
        full = f"sandbox-doctor-{self.tag}-{name}"
        values = {"namespace": full, "tag": self.tag}
        files = ("namespace.yaml", "account.yaml")
        self.apply([fill(FOLDER, file, values) for file in files])
        return full

    def apply(self, objects: Sequence[KubernetesObject]) -> None:
        """Apply objects as ours."""
        self.cluster.apply(objects, owner=FIELD_MANAGER)

    def deny(self, namespace: str) -> None:
        """Deny all traffic of a namespace."""
        self.apply([fill(FOLDER, "deny.yaml", {"namespace": namespace})])

    def drop(self, namespace: str) -> None:
        """Delete a namespace without waiting for its end."""
        self.cluster.delete(ObjectRef("v1", "Namespace", "", namespace))

    def container(self, name: str, command: Sequence[str], **more: Any) -> Any:
        """Return a container that runs agnhost; `more` fills what is optional."""
        optional = dict.fromkeys(("env", "readiness", "volume_mounts"))
        values = {
            "container_name": name,
            "image": self.image,
            "command": ["/agnhost", *command],
        }
        return fill(FOLDER, "container.yaml", {**optional, **more, **values})

    def attempt(self, name: str, host: str, port: int, timeout: str) -> Any:
        """Return a container whose first act is to connect, and which then ends."""
        place = f"[{host}]" if ":" in host else host
        values = {
            "target": name,
            "image": self.image,
            "connect_args": [f"{place}:{port}", f"--timeout={timeout}"],
        }
        return fill(FOLDER, "attempt.yaml", values)

    def pod(
        self, namespace: str, name: str, containers: Sequence[Any], **more: Any
    ) -> KubernetesObject:
        """Return a pod; `more` fills what is optional."""
        optional = {"role": name, "host_aliases": None, "volumes": None}
        values = {
            "namespace": namespace,
            "pod_name": name,
            "containers": list(containers),
        }
        return fill(FOLDER, "pod.yaml", {**optional, **more, **values})


@contextmanager
def throwaway(place: Place) -> Iterator[None]:
    """Remove what an earlier run left, and in the end what this one made.

    Raises:
        ClusterError: Kubernetes refused, or a namespace did not go.
    """
    _drop_all(place, _SELECTOR)
    try:
        yield
    finally:
        _drop_all(place, f"{_SELECTOR},{DOCTOR}={place.tag}")


def try_all(
    place: Place,
    namespace: str,
    name: str,
    targets: Mapping[str, tuple[str, int]],
) -> dict[str, Outcome]:
    """Connect to every address from one new pod; return what became of each.

    Args:
        place: Where the namespace is.
        namespace: Where the pod starts.
        name: Name of the pod.
        targets: Name of a target → address and port.

    Raises:
        IsolationError: The attempts did not end.
    """
    containers = [
        place.attempt(target, host, port, _PATIENCE)
        for target, (host, port) in targets.items()
    ]
    pod = place.pod(namespace, name, containers)
    place.apply([pod])
    seen = ended(place, [pod])[0]
    return outcomes(seen, targets)


def outcomes(
    pod: KubernetesObject, targets: Mapping[str, tuple[str, int]]
) -> dict[str, Outcome]:
    """Return what became of each attempt of a pod that has ended."""
    ends = {
        status["name"]: status["state"]["terminated"]
        for status in pod["status"]["containerStatuses"]
    }
    return {name: _outcome(ends[name]) for name in targets}


def _outcome(end: Mapping[str, Any]) -> Outcome:
    if end["exitCode"] == 0:
        return "reached"
    said = (end.get("message") or "").strip()
    return "blocked" if end["exitCode"] == 1 and said.startswith(_BLOCKED) else "error"


def ended(place: Place, pods: Sequence[KubernetesObject]) -> list[KubernetesObject]:
    """Return pods once each has ended.

    Raises:
        IsolationError: They did not end in time.
    """
    namespace = pods[0]["metadata"]["namespace"]
    names = [pod["metadata"]["name"] for pod in pods]
    seen: dict[str, KubernetesObject] = {}

    def running() -> list[str]:
        found = place.cluster.find("v1", "Pod", namespace=namespace)
        seen.update({pod["metadata"]["name"]: pod for pod in found})
        return [_state(seen[n]) for n in names if n in seen and not has_ended(seen[n])]

    left = wait_until(running, wait_s=_WAIT_S, pause=place.pause)
    if left:
        raise IsolationError(
            f"Pods of the examination did not end within {_WAIT_S:g} s:"
            f" {'; '.join(left)}. Correct what is named and examine again."
        )
    return [seen[name] for name in names]


def addresses(place: Place, pods: Sequence[KubernetesObject]) -> list[list[str]]:
    """Return the addresses of pods once each is ready.

    Raises:
        IsolationError: They did not become ready in time.
    """
    seen: list[KubernetesObject] = []

    def starting() -> list[str]:
        seen[:] = [place.cluster.get(ref_of(pod)) or pod for pod in pods]
        return [_state(pod) for pod in seen if not is_ready(pod)]

    left = wait_until(starting, wait_s=_WAIT_S, pause=place.pause)
    if left:
        raise IsolationError(
            f"Pods of the examination did not start within {_WAIT_S:g} s:"
            f" {'; '.join(left)}. Correct what is named, or name an image of agnhost"
            " that the cluster can run with --image."
        )
    return [_addresses_of(pod) for pod in seen]


def is_ready(pod: KubernetesObject) -> bool:
    """Return whether a pod says that it is ready."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def has_ended(pod: KubernetesObject) -> bool:
    """Return whether every container of a pod has ended."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    states = [status.get("state", {}) for status in statuses]
    return len(states) == len(pod["spec"]["containers"]) and all(
        "terminated" in state for state in states
    )


def _addresses_of(pod: KubernetesObject) -> list[str]:
    status = pod["status"]
    given = [item["ip"] for item in status.get("podIPs") or []]
    return given or [status["podIP"]]


def _state(pod: KubernetesObject) -> str:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    waits = [
        f"{wait.get('reason', '')} {wait.get('message', '')}".strip()
        for status in statuses
        if (wait := status.get("state", {}).get("waiting"))
    ]
    phase = pod.get("status", {}).get("phase", "not started")
    return f"{title(ref_of(pod))} ({'; '.join(waits) or phase})"


def _drop_all(place: Place, selector: str) -> None:
    for item in place.cluster.find("v1", "Namespace", labels=selector):
        place.drop(item["metadata"]["name"])
    left = wait_until(
        lambda: [
            item["metadata"]["name"]
            for item in place.cluster.find("v1", "Namespace", labels=selector)
        ],
        wait_s=_GONE_S,
        pause=place.pause,
    )
    if left:
        raise ClusterError(
            f"Namespaces of an examination are still there after {_GONE_S:g} s:"
            f" {', '.join(left)}. Look at their conditions, then delete them."
        )
