"""Who changed an object of a cluster, as its API server wrote it down."""

from __future__ import annotations

from typing import Protocol

from sandbox.model.drift import Author
from sandbox.ports.cluster import ObjectRef


class AuditLog(Protocol):
    """The audit log of an API server; raises `ClusterError` only."""

    def last_change(self, ref: ObjectRef) -> Author | None:
        """Return who made the latest change of an object that was not refused.

        A deletion is a change. Dry runs and changes of the status alone are none. None
        where the log does not say, or does not go back that far.
        """
        ...
