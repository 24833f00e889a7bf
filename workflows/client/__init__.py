"""The typed client that every door uses.

Rules of this room:

* The actor of an act is filled by the door, from who is signed in, never from a file.
* Every act has a decision id; calling again with the same id is the same act.
* Workflow ids carry the business meaning; nothing here knows a run id.
"""

from workflows.client.connection import connect
from workflows.client.revision import RevisionClient
from workflows.client.schedules import schedule_reaper, schedule_warm_pool
from workflows.client.trial import TrialClient

__all__ = [
    "RevisionClient",
    "TrialClient",
    "connect",
    "schedule_reaper",
    "schedule_warm_pool",
]
