"""A real Kubernetes cluster behind the `Cluster` port.

Rules of this module:

* Objects are plain data; writes are server-side apply with strict field validation, so
  applying the same again changes nothing and an unknown field is a refusal.
* Paths of known kinds come from a static table, of others from aggregated discovery.
* The current context of a kubeconfig file is never used by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import kubernetes.config
from kubernetes.client import ApiClient, Configuration

from sandbox.adapters.cluster_rights import rights_in
from sandbox.adapters.kubernetes_api import (
    APPLY_PATCH,
    MERGE_PATCH,
    KubernetesApi,
    Request,
)
from sandbox.environment.kinds import KINDS, Resource, ref_of, title
from sandbox.errors import ClusterError
from sandbox.ports import Applied, KubernetesObject, ObjectRef

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_PAGE = "500"
_NOT_BEGUN = (
    # The kubelet has the pod, and no process of the container yet.
    (400, "is waiting to start"),
    # The scheduler has not placed the pod.
    (400, "does not have a host assigned"),
    # The pod is placed, and its kubelet has not heard of it.
    (404, "the server could not find the requested resource"),
)
"""Status and words that answer a question for the log of a container to come."""


class KubernetesCluster:
    """One cluster, reached with the credentials of one context.

    Args:
        client: The official client, already configured; kept for the process's life.
        pause: Waits for some seconds; replaced in tests.
    """

    def __init__(
        self, client: ApiClient, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._api = KubernetesApi(client, pause=pause)
        self._found: dict[tuple[str, str], Resource] = {}

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str = "") -> KubernetesCluster:
        """Return the cluster that a context of a kubeconfig file names.

        Args:
            path: The file.
            context: Name of the context; without it nothing is used, so that a trial
                never starts in whatever cluster someone worked with last.

        Raises:
            ClusterError: No context was named, or the file does not hold it.
        """
        configuration = _configuration()
        contexts = _contexts(path)
        if context not in contexts:
            named = f"`{context}` is not in it" if context else "none was named"
            raise ClusterError(
                f"A context of {path} has to be named, and {named}. Choose one of:"
                f" {', '.join(sorted(contexts))}.",
                retryable=False,
            )
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(path), context=context, client_configuration=configuration
        )
        return cls(ApiClient(configuration))

    @classmethod
    def from_service_account(cls) -> KubernetesCluster:
        """Return the cluster this process runs in, as the account of its pod.

        The mounted token is read again as it is renewed.

        Raises:
            ClusterError: This is no pod, or no token is mounted into it.
        """
        configuration = _configuration()
        try:
            kubernetes.config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        except kubernetes.config.ConfigException as error:
            raise ClusterError(
                f"There is no service account to use: {error} Run this in a pod with"
                " automountServiceAccountToken: true.",
                retryable=False,
            ) from error
        return cls(ApiClient(configuration))

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.pool_manager.clear()

    def apply(
        self, objects: Sequence[KubernetesObject], *, owner: str, dry_run: bool = False
    ) -> list[Applied]:
        """Server-side apply in order; see `Cluster.apply`.

        A dry run of an object whose namespace does not exist is a refusal (404), as the
        API server answers it: create the namespace first.
        """
        if not dry_run:
            return [self._apply(item, owner) for item in objects]
        applied: list[Applied] = []
        refusals: list[ClusterError] = []
        for item in objects:
            try:
                applied.append(self._apply(item, owner, dry_run=True))
            except ClusterError as error:
                refusals.append(error)
        if refusals:
            raise _joined(refusals)
        return applied

    def preview(self, item: KubernetesObject, *, owner: str) -> KubernetesObject:
        """Return what an object would be after `apply`; see `Cluster.preview`."""
        return self._patched(item, owner, dry_run=True)

    def replace(self, item: KubernetesObject) -> Applied:
        """Put an object in the place of the one it was read from; see `Cluster`."""
        ref = ref_of(item)
        request = Request(
            "PUT",
            self._path(ref),
            f"replace {title(ref)}",
            query=(("fieldValidation", "Strict"),),
            body=item,
        )
        return _applied(ref, self._api.call(request).json())

    def get(self, ref: ObjectRef) -> KubernetesObject | None:
        """Return the object, or None where there is none."""
        path = self._path(ref)
        try:
            answer = self._api.call(Request("GET", path, f"read {title(ref)}"))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        return _object(answer.json())

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> list[KubernetesObject]:
        """Return the objects of a kind; see `Cluster.find`."""
        path = self._resource(api_version, kind).path(namespace)
        found: list[KubernetesObject] = []
        position = ""
        while True:
            asked = {"limit": _PAGE, "labelSelector": labels, "continue": position}
            query = tuple((key, value) for key, value in asked.items() if value)
            request = Request("GET", path, f"list {kind} objects", query=query)
            page = self._api.call(request).json()
            for item in page.get("items") or []:
                found.append({"apiVersion": api_version, "kind": kind, **item})
            position = page.get("metadata", {}).get("continue", "")
            if not position:
                return found

    def scale(self, ref: ObjectRef, replicas: int) -> None:
        """Set the replicas of a workload."""
        self._api.call(
            Request(
                "PATCH",
                self._path(ref, "scale"),
                f"scale {title(ref)} to {replicas}",
                body={"spec": {"replicas": replicas}},
                content_type=MERGE_PATCH,
            )
        )

    def delete(
        self,
        ref: ObjectRef,
        *,
        uid: str = "",
        version: str = "",
        grace_s: int | None = None,
    ) -> bool:
        """Delete one object; see `Cluster.delete`."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        stated = {"uid": uid, "resourceVersion": version}
        if any(stated.values()):
            options["preconditions"] = {k: v for k, v in stated.items() if v}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        path, what = self._path(ref), f"delete {title(ref)}"
        try:
            self._api.call(Request("DELETE", path, what, body=options))
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Return what a container has printed so far; see `Cluster.logs`."""
        path = KINDS["v1", "Pod"].path(namespace, pod, "log")
        what = f"read the log of {container} in Pod {namespace}/{pod}"
        request = Request(
            "GET", path, what, query=(("container", container),), accept="*/*"
        )
        try:
            return self._api.call(request).body.decode("utf-8", "replace")
        except ClusterError as error:
            if any(
                error.status == s and words in error.said for s, words in _NOT_BEGUN
            ):
                return ""
            raise

    def rights(self, namespace: str, service_account: str) -> list[str]:
        """Return what a service account may do; see `Cluster.rights`.

        Asks by impersonation, with the groups a token of the account would carry.
        """
        request = Request(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            f"review the rights of {service_account} in {namespace}",
            body={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectRulesReview",
                "spec": {"namespace": namespace},
            },
            headers=(
                (
                    "Impersonate-User",
                    f"system:serviceaccount:{namespace}:{service_account}",
                ),
            ),
        )
        status = self._api.call(request).json()["status"]
        return rights_in(status)

    def now(self) -> datetime:
        """Return what the API server's clock tells: the Date of one of its answers."""
        answer = self._api.call(Request("GET", "/version", "tell the time"))
        return parsedate_to_datetime(answer.headers["Date"])

    def namespaced_kinds(self) -> list[tuple[str, str]]:
        """Return (api_version, kind) of every listable namespaced kind."""
        self._discover()
        kinds = ((key, item) for key, item in self._found.items() if item.namespaced)
        return sorted(key for key, _ in kinds)

    def _apply(
        self, item: KubernetesObject, owner: str, *, dry_run: bool = False
    ) -> Applied:
        return _applied(ref_of(item), self._patched(item, owner, dry_run=dry_run))

    def _patched(
        self, item: KubernetesObject, owner: str, *, dry_run: bool
    ) -> KubernetesObject:
        ref = ref_of(item)
        query = [
            ("fieldManager", owner),
            ("force", "true"),
            ("fieldValidation", "Strict"),
        ]
        if dry_run:
            query.append(("dryRun", "All"))
        request = Request(
            "PATCH",
            self._path(ref),
            f"apply {title(ref)}",
            query=tuple(query),
            body=item,
            content_type=APPLY_PATCH,
        )
        return _object(self._api.call(request).json())

    def _path(self, ref: ObjectRef, part: str = "") -> str:
        resource = self._resource(ref.api_version, ref.kind)
        return resource.path(ref.namespace, ref.name, part)

    def _resource(self, api_version: str, kind: str) -> Resource:
        key = (api_version, kind)
        if key not in KINDS and key not in self._found:
            self._discover()
        resource = KINDS.get(key) or self._found.get(key)
        if resource is None:
            raise ClusterError(
                f"The cluster has no kind {kind} in {api_version}. Check the spelling,"
                " or install what brings that kind.",
                status=404,
            )
        return resource

    def _discover(self) -> None:
        found: dict[tuple[str, str], Resource] = {}
        for path in ("/api", "/apis"):
            request = Request("GET", path, "list its kinds", accept=_DISCOVERY)
            for group in self._api.call(request).json().get("items") or []:
                found.update(_preferred_kinds(group))
        self._found = found


def _configuration() -> Configuration:
    configuration = Configuration()
    configuration.retries = False
    configuration.keep_alive = True
    return configuration


def _contexts(path: Path) -> set[str]:
    try:
        contexts, _ = kubernetes.config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
            str(path)
        )
    except (kubernetes.config.ConfigException, OSError) as error:
        raise ClusterError(
            f"The kubeconfig file {path} cannot be read: {error} Give an existing one.",
            retryable=False,
        ) from error
    return {context["name"] for context in contexts}


def _applied(ref: ObjectRef, item: KubernetesObject) -> Applied:
    metadata = item["metadata"]
    uid, version = metadata.get("uid", ""), metadata.get("resourceVersion", "")
    return Applied(ref.api_version, ref.kind, ref.name, uid, version)


def _object(data: Any) -> KubernetesObject:
    return dict(data)


def _preferred_kinds(group: dict[str, Any]) -> dict[tuple[str, str], Resource]:
    """Return the listable kinds of a group, each in the version the server prefers."""
    name = group["metadata"].get("name", "")
    kinds: dict[tuple[str, str], Resource] = {}
    seen: set[str] = set()
    for version in group.get("versions") or []:
        api_version = f"{name}/{version['version']}" if name else version["version"]
        for item in version.get("resources") or []:
            kind = (item.get("responseKind") or {}).get("kind", "")
            if "list" in item.get("verbs", []) and item["resource"] not in seen:
                seen.add(item["resource"])
                kinds[api_version, kind] = Resource(
                    api_version, item["resource"], item.get("scope") == "Namespaced"
                )
    return kinds


def _joined(refusals: Sequence[ClusterError]) -> ClusterError:
    return ClusterError(
        "\n".join(error.diagnosis for error in refusals),
        status=refusals[0].status,
        said=refusals[0].said if len(refusals) == 1 else "",
        retryable=all(error.retryable for error in refusals),
    )
