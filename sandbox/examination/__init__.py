"""Does a cluster isolate at all, from when on, and what does it cut?

`examine_isolation` tries it in namespaces of its own (`throwaway`), and
`count_first_packets` counts what leaves a pod before the policy of its namespace holds.
What a trial's own environment holds is proven in `sandbox.environment`.
"""

from sandbox.examination.first_packets import count_first_packets
from sandbox.examination.isolation import Examination, examine_isolation
from sandbox.examination.throwaway import Place, throwaway

__all__ = [
    "Examination",
    "Place",
    "count_first_packets",
    "examine_isolation",
    "throwaway",
]
