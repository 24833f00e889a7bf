"""Whether a pod sends anything before the policy of its namespace holds.

Rules of this module:

* Connecting is the first act of each pod, and each pod counts, not each container.
* Each batch starts in a new namespace, its pods right after its policy: an agent that
  learns of policies or pods too late is caught.
* A control starts beside each batch, without a policy: a target that answers nobody
  proves nothing.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from sandbox.environment.attempts import Outcome
from sandbox.examination.throwaway import Place, ended, outcomes
from sandbox.model.isolation import FirstPackets
from sandbox.ports import KubernetesObject

_TIMEOUT = "1500ms"
_TARGET = "first-packet"


class _Seen(NamedTuple):
    """What became of the pods of one batch."""

    tried: list[Outcome]
    controls: list[Outcome]


def count_first_packets(
    place: Place,
    target: tuple[str, int],
    *,
    starts: int,
    batch: int = 20,
) -> FirstPackets:
    """Start pods under a policy that denies everything; count what gets through.

    Pods that are blocked try for 1.5 s, so a first packet and its repetition after a
    second both count.

    Args:
        place: Where namespaces are made, and removed by `throwaway` around this.
        target: Address and port of a listener that answers where it is allowed to.
        starts: How many pods start under the policy.
        batch: How many of them start at once, in a namespace of their own.

    Raises:
        IsolationError: Pods did not end.
        ClusterError: Kubernetes refused or did not answer.
    """
    begun, seen = time.monotonic(), []
    free = place.namespace("first-free")
    for number, first in enumerate(range(0, starts, batch)):
        size = min(batch, starts - first)
        seen.append(_one_batch(place, (number, size), target=target, free=free))
    tried = [outcome for one in seen for outcome in one.tried]
    controls = [outcome for one in seen for outcome in one.controls]
    return FirstPackets(
        starts=len(tried),
        got_through=tried.count("reached"),
        unclear=tried.count("error"),
        controls=len(controls),
        controls_through=controls.count("reached"),
        namespaces=len(seen),
        seconds=round(time.monotonic() - begun, 1),
    )


def _one_batch(
    place: Place, numbered: tuple[int, int], *, target: tuple[str, int], free: str
) -> _Seen:
    number, size = numbered
    denied = place.namespace(f"first-{number}")
    place.deny(denied)
    pods = [_pod(place, denied, f"first-{one}", target) for one in range(size)]
    control = _pod(place, free, f"control-{number}", target)
    place.apply([*pods, control])
    tried = ended(place, pods)
    controls = ended(place, [control])
    place.drop(denied)
    return _Seen(_outcomes(tried, target), _outcomes(controls, target))


def _pod(
    place: Place, namespace: str, name: str, target: tuple[str, int]
) -> KubernetesObject:
    attempt = place.attempt(_TARGET, *target, _TIMEOUT)
    return place.pod(namespace, name, [attempt], role="first")


def _outcomes(pods: list[KubernetesObject], target: tuple[str, int]) -> list[Outcome]:
    return [outcomes(pod, {_TARGET: target})[_TARGET] for pod in pods]
