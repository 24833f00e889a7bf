"""What must exist in Kubernetes so that the rule is enforced, and does it hold?

| step | function |
|---|---|
| render | `environment_objects`, `system_objects`, `platform_objects` |
| once per cluster | `apply_platform`, `ensure_platform`, `platform_differences` |
| apply | `apply_environment`, `deploy_system` |
| ask beforehand | `ask_admission` |
| prove | `standard_targets`, `prove_isolation` |
| watch | `find_drift`, `settle`, `open_ways`, `reclaim` |
| interrupt | `freeze`, `thaw` |
| end | `tear_down`, `residue`, `expired_environments`, `uninstall_platform` |
"""

from sandbox.environment.admission import AdmissionAnswer, ask_admission
from sandbox.environment.attempts import open_ways
from sandbox.environment.drift import find_drift, recorder_token
from sandbox.environment.expiry import expired_environments, is_there
from sandbox.environment.lifecycle import (
    FreezeReport,
    apply_environment,
    deploy_system,
    freeze,
    residue,
    tear_down,
    thaw,
)
from sandbox.environment.platform import (
    Difference,
    Step,
    apply_platform,
    ensure_platform,
    platform_differences,
    uninstall_platform,
)
from sandbox.environment.proof import (
    ClusterAddresses,
    cluster_addresses,
    proof_targets,
    prove_isolation,
    standard_targets,
)
from sandbox.environment.render import (
    environment_objects,
    platform_objects,
    system_objects,
)
from sandbox.environment.repair import put_back, reclaim, settle

__all__ = [
    "AdmissionAnswer",
    "ClusterAddresses",
    "Difference",
    "FreezeReport",
    "Step",
    "apply_environment",
    "apply_platform",
    "ask_admission",
    "cluster_addresses",
    "deploy_system",
    "ensure_platform",
    "environment_objects",
    "expired_environments",
    "find_drift",
    "freeze",
    "is_there",
    "open_ways",
    "platform_differences",
    "platform_objects",
    "proof_targets",
    "prove_isolation",
    "put_back",
    "reclaim",
    "recorder_token",
    "residue",
    "settle",
    "standard_targets",
    "system_objects",
    "tear_down",
    "thaw",
    "uninstall_platform",
]
