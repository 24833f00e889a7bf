"""Does a cluster isolate at all, from when on, and what does it cut?

`inspect_isolation` tries it in namespaces of its own (`throwaway`), and
`count_first_packets` counts what leaves a pod before the policy of its namespace holds.
What a trial's own environment holds is proven in `sandbox.environment`.
"""

from sandbox.inspection.first_packets import count_first_packets
from sandbox.inspection.isolation import Inspection, inspect_isolation
from sandbox.inspection.throwaway import Place, throwaway

__all__ = [
    "Inspection",
    "Place",
    "count_first_packets",
    "inspect_isolation",
    "throwaway",
]
