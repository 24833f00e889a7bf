"""Which environments have no right to be there any more.

Rules of this module:

* An environment carries its own deadline; nothing else has to be asked.
* One without a readable deadline is not ours to judge and is left alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sandbox.environment.labels import (
    EXPIRES_AT,
    FIELD_MANAGER,
    MANAGED_BY,
    TRIAL,
)
from sandbox.environment.place import namespaces_of
from sandbox.ports import Cluster, KubernetesObject


class StandingEnvironment(NamedTuple):
    """An environment that is there, and when it ends."""

    trial_id: str
    namespace: str
    uid: str
    expires_at: datetime


def expired_environments(
    cluster: Cluster, *, at: datetime, grace_s: float
) -> list[str]:
    """Return the trials whose environments are there past their deadline.

    Args:
        cluster: Where the environments are.
        at: The present instant.
        grace_s: Seconds past the deadline that are left to the trial's own workflow.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    late = at - timedelta(seconds=grace_s)
    return sorted(
        item.trial_id
        for item in standing_environments(cluster)
        if item.expires_at <= late
    )


def is_there(cluster: Cluster, trial_id: str) -> bool:
    """Return whether a trial has a namespace, whatever state that is in.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    return bool(namespaces_of(cluster, trial_id))


def standing_environments(cluster: Cluster) -> list[StandingEnvironment]:
    """Return every environment that says until when it may be there.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    namespaces = cluster.find(
        "v1", "Namespace", labels=f"{TRIAL},{MANAGED_BY}={FIELD_MANAGER}"
    )
    return [
        StandingEnvironment(
            item["metadata"]["labels"][TRIAL],
            item["metadata"]["name"],
            item["metadata"]["uid"],
            deadline,
        )
        for item in namespaces
        if (deadline := _deadline(item)) is not None
    ]


def _deadline(namespace: KubernetesObject) -> datetime | None:
    annotations = namespace["metadata"].get("annotations") or {}
    try:
        deadline = datetime.fromisoformat(annotations[EXPIRES_AT])
    except (KeyError, ValueError):
        return None
    return deadline if deadline.tzinfo is not None else None
