"""Does a system conform: would the cluster take it, and is a rule against it?

| module | question |
|---|---|
| `pieces` | of which objects does a system consist? |
| `dry_run` | would a cluster admit them, before anyone files them? |
| `lawful` | is a rule about objects against them, before they run or while they do? |

Whether the manifests fit an environment at all is `examine_system` of `environment`.
"""

from sandbox.conformity.dry_run import AdmissionAnswer, ask_admission
from sandbox.conformity.lawful import (
    RulesInForce,
    find_unlawful,
    rules_asked_for,
    system_objections,
)

__all__ = [
    "AdmissionAnswer",
    "RulesInForce",
    "ask_admission",
    "find_unlawful",
    "rules_asked_for",
    "system_objections",
]
