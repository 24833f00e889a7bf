"""What the node's API server is asked while the node starts.

Rules of this module:

* The client authenticates with the certificate files of the state directory; no
  kubeconfig of the person who starts the node is read.
* "Not yet" is an answer while a cluster starts: connections refused, missing
  namespaces and server errors are asked again until the caller's patience ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, utils

from sandbox.errors import LocalError

# 422 among them: until the API server's own address ranges are loaded, which /readyz
# does not wait for, it calls the address of a service invalid.
_NOT_YET = {403, 404, 409, 422, 429, 500, 503, 504}
_TIMEOUT = (1, 5)


def connect_api(server: str, pki: Path) -> client.ApiClient:
    """Return a client of the API server, as `admin`.

    Args:
        server: URL of the API server.
        pki: Holds `ca.crt`, `admin.crt` and `admin.key`.
    """
    configuration = client.Configuration(host=server)
    configuration.ssl_ca_cert = str(pki / "ca.crt")
    configuration.cert_file = str(pki / "admin.crt")
    configuration.key_file = str(pki / "admin.key")
    configuration.retries = False
    configuration.no_proxy = "*"
    return client.ApiClient(configuration)


def api_is_ready(api: client.ApiClient) -> bool:
    """Return whether the API server finished starting (`/readyz`)."""
    try:
        api.call_api(
            *api.param_serialize("GET", "/readyz", auth_settings=[]),
            _request_timeout=_TIMEOUT,
        )
    except (client.ApiException, urllib3.exceptions.HTTPError):
        return False
    return True


def apply_objects(api: client.ApiClient, objects: Sequence[dict[str, Any]]) -> bool:
    """Create objects that do not exist yet.

    Returns:
        Whether all exist now; False asks the caller to try again.

    Raises:
        LocalError: One was refused for good.
    """
    complete = True
    for one in objects:
        try:
            utils.create_from_dict(api, one)  # type: ignore[no-untyped-call]
        except utils.FailToCreateError as error:
            statuses = {cause.status for cause in error.api_exceptions}
            if not statuses <= _NOT_YET:
                raise LocalError(
                    f"the API server refuses {one['kind']} "
                    f"{one['metadata']['name']} of the node's own: {error}"
                ) from error
            complete = complete and statuses == {409}
        except urllib3.exceptions.HTTPError:
            complete = False
    return complete


def node_is_ready(api: client.ApiClient, name: str) -> bool:
    """Return whether the node reports that it can run pods."""
    try:
        node = client.CoreV1Api(api).read_node(name, _request_timeout=_TIMEOUT)
    except (client.ApiException, urllib3.exceptions.HTTPError):
        return False
    conditions = (node.status.conditions if node.status else None) or []
    return any(c.type == "Ready" and c.status == "True" for c in conditions)


def dns_is_ready(api: client.ApiClient) -> bool:
    """Return whether the cluster's DNS answers."""
    try:
        dns = client.AppsV1Api(api).read_namespaced_deployment(
            "coredns", "kube-system", _request_timeout=_TIMEOUT
        )
    except (client.ApiException, urllib3.exceptions.HTTPError):
        return False
    return bool(dns.status and dns.status.available_replicas)
