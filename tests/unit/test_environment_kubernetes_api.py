"""Requests to the API server: what is tried again, what is final, what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes.client import ApiClient, Configuration

from sandbox.adapters.cluster import KubernetesCluster
from sandbox.errors import ClusterError
from sandbox.ports import KubernetesObject, ObjectRef

NODE = ObjectRef("v1", "Node", "", "n")
CONFIG: KubernetesObject = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "namespace": "x"},
}
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: production
contexts:
- {name: production, context: {cluster: c, user: u}}
- {name: local, context: {cluster: c, user: u}}
clusters: [{name: c, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: u, user: {token: t}}]
"""


class Reply:
    """One scripted answer of the API server."""

    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        self.status = status
        self.headers = {key.replace("_", "-"): text for key, text in headers.items()}
        self._body = json.dumps(body if body is not None else {}).encode()

    def read(self) -> bytes:
        """Return the body."""
        return self._body


class Scripted(ApiClient):
    """A client whose server answers as scripted; notes what it was asked."""

    def __init__(self, *script: Reply | Exception) -> None:
        super().__init__(Configuration(host="https://192.0.2.1"))
        self.script = list(script)
        self.asked: list[tuple[str, str, Any]] = []
        self.limits: list[Any] = []

    def call_api(self, *args: Any, **kwargs: Any) -> Any:
        """Return or raise the next line of the script."""
        self.asked.append((args[0], args[1], args[3]))
        self.limits.append(kwargs["_request_timeout"])
        line = self.script.pop(0)
        if isinstance(line, Exception):
            raise line
        return line


def scripted(
    *script: Reply | Exception,
) -> tuple[KubernetesCluster, Scripted, list[float]]:
    client, waits = Scripted(*script), list[float]()
    return KubernetesCluster(client, pause=waits.append), client, waits


def test_busy_server() -> None:
    """429 and 503 are tried again after the time the server asks for."""
    cluster, client, waits = scripted(
        Reply(429, Retry_After="2"), Reply(503), Reply(200, {"kind": "Node"})
    )
    assert cluster.get(NODE) == {"kind": "Node"}
    assert waits[0] == 2.0 and waits[1] > 0
    assert client.limits == [(3.0, 20.0)] * 3


def test_retry_after_is_bounded() -> None:
    """A server that asks for an hour is asked again within seconds."""
    cluster, _, waits = scripted(Reply(429, Retry_After="3600"), Reply(200, {}))
    cluster.get(NODE)
    assert waits == [8.0]


def test_broken_connection() -> None:
    """A broken connection is tried again."""
    broken = urllib3.exceptions.ProtocolError("reset")
    cluster, client, _ = scripted(broken, Reply(200, {}))
    cluster.get(NODE)
    assert len(client.asked) == 2


def test_no_answer() -> None:
    """A server that never answers is a retryable error without a status."""
    broken = urllib3.exceptions.ProtocolError("reset")
    cluster, client, _ = scripted(*[broken] * 10)
    with pytest.raises(ClusterError, match="did not answer") as caught:
        cluster.get(NODE)
    assert caught.value.status is None and caught.value.retryable
    assert len(client.asked) == 6


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_refusals_are_final(status: int) -> None:
    """A refusal is not tried again, and carries the server's own words."""
    cluster, client, waits = scripted(Reply(status, {"message": "quota exceeded"}))
    with pytest.raises(ClusterError, match=r"ConfigMap x/c.*quota exceeded") as caught:
        cluster.apply([CONFIG], owner="me")
    assert caught.value.status == status and not caught.value.retryable
    assert len(client.asked) == 1 and waits == []


def test_server_error() -> None:
    """An error of the server itself is retryable, by whoever asked."""
    cluster, _, _ = scripted(Reply(500, {"message": "etcd"}))
    with pytest.raises(ClusterError) as caught:
        cluster.get(NODE)
    assert caught.value.retryable


def test_an_unknown_field_is_final() -> None:
    """The server answers 500 to a field its schema lacks; asking again cannot help."""
    said = "failed to create typed patch object (x/c; /v1): .dta: field not declared"
    cluster, client, _ = scripted(Reply(500, {"message": said}))
    with pytest.raises(ClusterError, match="Correct the field") as caught:
        cluster.apply([CONFIG], owner="me")
    assert not caught.value.retryable and caught.value.said.startswith(said)
    assert len(client.asked) == 1


def test_apply_is_strict() -> None:
    """Apply is a forced server-side apply with strict validation, owner as manager."""
    cluster, client, _ = scripted(Reply(200, CONFIG), Reply(200, CONFIG))
    cluster.apply([CONFIG], owner="me")
    cluster.apply([CONFIG], owner="me", dry_run=True)
    (method, url, _), (_, dry_url, _) = client.asked
    path, _, query = url.partition("?")
    assert (method, path) == (
        "PATCH",
        "https://192.0.2.1/api/v1/namespaces/x/configmaps/c",
    )
    expected = {"fieldManager=me", "force=true", "fieldValidation=Strict"}
    assert set(query.split("&")) == expected
    assert set(dry_url.partition("?")[2].split("&")) == expected | {"dryRun=All"}


def test_dry_run_names_all() -> None:
    """A dry run goes through the whole set and names every refused object."""
    other = {**CONFIG, "metadata": {"name": "d", "namespace": "x"}}
    cluster, _, _ = scripted(
        Reply(403, {"message": "one"}),
        Reply(200, CONFIG),
        Reply(422, {"message": "two"}),
    )
    with pytest.raises(ClusterError) as caught:
        cluster.apply([CONFIG, CONFIG, other], owner="me", dry_run=True)
    assert "x/c" in caught.value.diagnosis and "x/d" in caught.value.diagnosis
    assert caught.value.status == 403


def test_pages() -> None:
    """A list in pages is one list, and each object says what it is."""
    first = {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]}
    second = {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}
    cluster, client, _ = scripted(Reply(200, first), Reply(200, second))
    found = cluster.find("v1", "Pod", namespace="x", labels="a=b")
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert {item["kind"] for item in found} == {"Pod"}
    assert "continue=more" in client.asked[1][1]
    assert all("labelSelector=a%3Db" in url for _, url, _ in client.asked)


def test_delete_preconditions() -> None:
    """A delete carries its uid and its grace, and tells whether there was anything."""
    cluster, client, _ = scripted(Reply(200), Reply(404))
    assert cluster.delete(NODE, uid="u", grace_s=0)
    assert not cluster.delete(NODE)
    body = client.asked[0][2]
    assert body["preconditions"] == {"uid": "u"}
    assert body["gracePeriodSeconds"] == 0


def test_rights() -> None:
    """What every account has is left out; everything else is a line."""
    everyone = [
        {
            "verbs": ["create"],
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        },
        {"verbs": ["list", "get"], "apiGroups": [""], "resources": ["secrets"]},
    ]
    urls = [{"verbs": ["get"], "nonResourceURLs": ["/api", "/metrics"]}]
    status = {"status": {"resourceRules": everyone, "nonResourceRules": urls}}
    cluster, _, _ = scripted(Reply(201, status))
    assert cluster.rights("x", "workload") == ["get /metrics", "get,list core/secrets"]


def test_context_has_to_be_named(tmp_path: Path) -> None:
    """The current context of a file is never used by itself."""
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    for context in ("", "staging"):
        with pytest.raises(ClusterError, match="local, production") as caught:
            KubernetesCluster.from_kubeconfig(file, context)
        assert not caught.value.retryable
    KubernetesCluster.from_kubeconfig(file, "local").close()


def test_unreadable_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig that is not there is an error that names it."""
    with pytest.raises(ClusterError, match="nowhere"):
        KubernetesCluster.from_kubeconfig(tmp_path / "nowhere", "local")
