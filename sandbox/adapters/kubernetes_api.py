"""Requests to one Kubernetes API server: time limits, own retry, one error family.

Rules of this module:

* Every request has a time limit: 3 s to connect, 20 s to be answered.
* 429, 503 and broken connections are tried again, waiting as `Retry-After` says
  (RFC 9110 section 10.2.3); the client itself retries nothing. So only idempotent
  requests may come here.
* 403, 409, 422 and every other refusal are final at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import urllib3
from kubernetes.client import ApiClient

from sandbox.errors import ClusterError

_TIMEOUT_S = (3.0, 20.0)
_ATTEMPTS = 6
_LONGEST_WAIT_S = 8.0
_RETRIED = frozenset({429, 503})

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Request(NamedTuple):
    """One idempotent request."""

    method: str
    path: str
    what: str
    """What is attempted, for a person: `apply Pod trial-x/probe`."""
    query: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    content_type: str = JSON
    accept: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Answer(NamedTuple):
    """What the API server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as data."""
        return json.loads(self.body)


class KubernetesApi:
    """Sends requests with the credentials of one `ApiClient`.

    Args:
        client: Holds address, credentials and connections; used by many threads.
        pause: Waits for some seconds between attempts.
    """

    def __init__(self, client: ApiClient, *, pause: Callable[[float], None]) -> None:
        self._client = client
        self._pause = pause

    def call(self, request: Request) -> Answer:
        """Return the answer.

        Raises:
            ClusterError: The API server refused, or did not answer in time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            try:
                answer = self._send(request)
            except urllib3.exceptions.HTTPError as error:
                if last:
                    raise _no_answer(request, error) from error
                self._pause(_backoff(attempt))
                continue
            if answer.status < 400:
                return answer
            if last or answer.status not in _RETRIED:
                raise _refusal(request, answer)
            self._pause(_asked_wait(answer, attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(self, request: Request) -> Answer:
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            **dict(request.headers),
        }
        serialized = self._client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query),
            header_params=headers,
            body=request.body,
            auth_settings=["BearerToken"],
        )
        response = self._client.call_api(*serialized, _request_timeout=_TIMEOUT_S)
        body = response.read()  # type: ignore[no-untyped-call]
        return Answer(response.status, response.headers, body or b"")


def _backoff(attempt: int) -> float:
    return float(min(_LONGEST_WAIT_S, 0.1 * 2**attempt))


def _asked_wait(answer: Answer, attempt: int) -> float:
    asked = answer.headers.get("Retry-After", "")
    if asked.isdecimal():
        return min(_LONGEST_WAIT_S, float(asked))
    return _backoff(attempt)


def _no_answer(request: Request, error: Exception) -> ClusterError:
    return ClusterError(
        f"Kubernetes did not answer when asked to {request.what}: {error}. Check that"
        " the API server runs and that this machine reaches it."
    )


_REMEDIES = {
    401: "The credentials are not valid; renew the kubeconfig.",
    403: "Correct what the message names, or grant this account the right.",
    404: "Create what the object needs first, or check the kind's version.",
    409: "Another change came between, or the object is another one; read it again.",
    422: "Correct the field the message names.",
}


_UNKNOWN_FIELD = "failed to create typed patch object"
"""What the API server says, with status 500, of a field its schema does not know."""


def _refusal(request: Request, answer: Answer) -> ClusterError:
    said = _message(answer)
    is_final = said.startswith(_UNKNOWN_FIELD)
    remedy = _REMEDIES.get(
        422 if is_final else answer.status, "Try again later, or read the server's log."
    )
    return ClusterError(
        f"Kubernetes refused to {request.what} (HTTP {answer.status}): {said} {remedy}",
        status=answer.status,
        said=said,
        retryable=False if is_final else None,
    )


def _message(answer: Answer) -> str:
    try:
        status = answer.json()
    except ValueError:
        status = None
    text = status.get("message") if isinstance(status, dict) else None
    said = str(text or answer.body[:300].decode("utf-8", "replace")).strip()
    return said if said.endswith((".", "!", "?")) else said + "."
