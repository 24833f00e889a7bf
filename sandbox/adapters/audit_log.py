"""The audit log of an API server, in a file of JSON lines.

Rules of this module:

* Read from its end, and no further back than 16 MiB: a change that was found now is
  near the end, and an inspection must not wait.
* The file turns over: what is no longer in it is not known. A last line that is still
  being written is passed over.

Kubernetes: audit.k8s.io/v1 Event, log backend (`--audit-log-path`, format json).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sandbox.environment.kinds import KINDS
from sandbox.errors import ClusterError
from sandbox.model.drift import Author
from sandbox.ports import ObjectRef

_MOST_BYTES = 16 * 1024 * 1024
_BLOCK = 64 * 1024
_CHANGES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_STATUS = "status"


class FileAuditLog:
    """Reads the file a `kube-apiserver` writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last_change(self, ref: ObjectRef) -> Author | None:
        """Return who made the latest change of an object that was not refused.

        Raises:
            ClusterError: The file cannot be read.
        """
        if (ref.api_version, ref.kind) not in KINDS:
            return None
        part = json.dumps(KINDS[ref.api_version, ref.kind].plural).encode()
        try:
            for line in _from_the_end(self._path):
                event = _event(line) if part in line else None
                if event is not None and _changed(event, ref):
                    return _author(event)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ClusterError(
                f"The audit log of the API server cannot be read: {error}. Let this"
                " account read it, or leave SANDBOX_AUDIT_LOG out."
            ) from error
        return None


def _from_the_end(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        least, rest = max(0, end - _MOST_BYTES), b""
        while end > least:
            begin = max(least, end - _BLOCK)
            file.seek(begin)
            first, *lines = (file.read(end - begin) + rest).split(b"\n")
            yield from reversed(lines)
            rest, end = first, begin
        if least == 0:
            yield rest


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _changed(event: dict[str, Any], ref: ObjectRef) -> bool:
    code = (event.get("responseStatus") or {}).get("code", 0)
    is_dry = "dryRun" in parse_qs(urlsplit(event.get("requestURI", "")).query)
    is_change = event.get("verb") in _CHANGES and 200 <= code < 300 and not is_dry
    return is_change and _is_of(event.get("objectRef") or {}, ref, event["verb"])


def _is_of(named: dict[str, Any], ref: ObjectRef, verb: str) -> bool:
    resource = KINDS[ref.api_version, ref.kind]
    group, _, version = ref.api_version.rpartition("/")
    if named.get("resource") != resource.plural or named.get("subresource") == _STATUS:
        return False
    if (named.get("apiGroup", ""), named.get("apiVersion")) != (group, version):
        return False
    if resource.namespaced and named.get("namespace", "") != ref.namespace:
        return False
    is_all = verb == "deletecollection" and not named.get("name")
    return is_all or named.get("name") == ref.name


def _author(event: dict[str, Any]) -> Author:
    user = str((event.get("user") or {}).get("username", ""))
    behind = (event.get("impersonatedUser") or {}).get("username")
    return Author(
        user=f"{user} as {behind}" if behind else user,
        verb=event["verb"],
        agent=str(event.get("userAgent", "")),
        at=event["requestReceivedTimestamp"],
    )
