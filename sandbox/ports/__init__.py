"""What the rooms need from outside, as small Protocols.

| module | what it is about |
|---|---|
| `audit` | who changed an object of a cluster |
| `clock` | tells the time |
| `cluster` | a Kubernetes cluster, as the rooms need it |
| `telemetry` | who may send telemetry, where it lies, and what is asked of it |
| `ledger` | the log, what proves it, and the records beside it |
| `storage` | blobs that never change, and keys that can be destroyed |

Every port has a fake in `sandbox.testing`, a real adapter in `sandbox.adapters`, and
one contract suite in `tests/contracts` that runs on both. Adapters raise only errors of
`sandbox.errors`.
"""

from sandbox.ports.audit import AuditLog
from sandbox.ports.clock import Clock
from sandbox.ports.cluster import Applied, Cluster, KubernetesObject, ObjectRef
from sandbox.ports.ledger import Log, Records, Signer, Timestamps
from sandbox.ports.storage import Objects, SubjectKey, SubjectKeys
from sandbox.ports.telemetry import (
    Backtests,
    Comparisons,
    Producer,
    SegmentFile,
    Segments,
    Spans,
    Tokens,
)

__all__ = [
    "Applied",
    "AuditLog",
    "Backtests",
    "Clock",
    "Cluster",
    "Comparisons",
    "KubernetesObject",
    "Log",
    "ObjectRef",
    "Objects",
    "Producer",
    "Records",
    "SegmentFile",
    "Segments",
    "Signer",
    "Spans",
    "SubjectKey",
    "SubjectKeys",
    "Timestamps",
    "Tokens",
]
