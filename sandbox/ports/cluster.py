"""A Kubernetes cluster, as the rooms need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

KubernetesObject = dict[str, Any]
"""A Kubernetes object as plain data, exactly as it would stand in YAML."""


class Applied(NamedTuple):
    """One object after server-side apply."""

    api_version: str
    kind: str
    name: str
    uid: str
    resource_version: str


class ObjectRef(NamedTuple):
    """Names one Kubernetes object; `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Cluster(Protocol):
    """A Kubernetes cluster; raises `ClusterError` only."""

    def apply(
        self, objects: Sequence[KubernetesObject], *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        """Server-side apply in order, strict field validation, owner as manager.

        An object that states the uid and version it was read with is refused (409) if
        it was changed since. With `dry_run` nothing is kept; refusals of the whole set
        are raised as one `ClusterError` that names every refused object.
        """
        ...

    def preview(self, item: KubernetesObject, *, owner: str) -> KubernetesObject:
        """Return what an object would be after `apply`, defaults included.

        Nothing is kept.
        """
        ...

    def replace(self, item: KubernetesObject) -> Applied:
        """Put an object in the place of the one it was read from, as a whole.

        Fields that are not in it are gone, whoever set them. Refused (409) if the
        object has been changed since `item` was read.
        """
        ...

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """Return the object, or None where there is none."""
        ...

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> list[KubernetesObject]:
        """Return the objects of a kind, in all namespaces where none is named."""
        ...

    def scale(self, ref: ObjectRef, replicas: int) -> None:
        """Set the replicas of a workload."""
        ...

    def delete(
        self,
        ref: ObjectRef,
        *,
        uid: str = "",
        version: str = "",
        grace_s: int | None = None,
    ) -> bool:
        """Delete one object; with `uid`, only if it is still that very object; with
        `version`, only if it was not changed since (409 otherwise).

        Returns:
            Whether there was something to delete.
        """
        ...

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Return what a container has printed so far; nothing before it has begun.

        A pod that is not there (404) and a container it does not have (400) are
        errors.
        """
        ...

    def rights(self, namespace: str, service_account: str) -> list[str]:
        """Return what a service account may do in its namespace, one line per rule.

        Rights every authenticated account has (self reviews, discovery) are left out.
        """
        ...

    def now(self) -> datetime:
        """Return what the API server's clock tells, to the second."""
        ...

    def namespaced_kinds(self) -> list[tuple[str, str]]:
        """Return (api_version, kind) of every listable namespaced kind."""
        ...
