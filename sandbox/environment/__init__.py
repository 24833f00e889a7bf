"""What must exist in Kubernetes so that the rule is enforced, and does it hold?

| step | function |
|---|---|
| render | `environment_objects`, `system_objects`, `platform_objects` |
| before that, the API server | `audit_policy` |
| once per cluster | `apply_platform`, `ensure_platform`, `platform_differences` |
| take away | `uninstall_platform` |
| apply | `apply_environment`, `deploy_system` |
| examine beforehand | `examine_system` |
| prove | `standard_targets`, `prove_isolation` |
| watch | `find_drift`, `platform_lack`, `open_ways` |
| restore | `settle`, `put_back`, `reclaim` |
| keep ready | `warm_spec`, `WarmEnvironment`, `unclaimed`, `contents`, `discard` |
| claim | `claim`, `take_over`, `forget_parameters` |
| find | `located`, `namespace_of` |
| interrupt | `freeze`, `thaw` |
| end | `tear_down`, `residue`, `expired_environments` |
"""

from sandbox.environment.attempts import open_ways
from sandbox.environment.claim import claim, forget_parameters, take_over
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
from sandbox.environment.place import located, namespace_of
from sandbox.environment.platform import (
    Difference,
    Step,
    apply_platform,
    ensure_platform,
    platform_differences,
    platform_lack,
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
    audit_policy,
    environment_objects,
    platform_objects,
    system_objects,
)
from sandbox.environment.repair import put_back, reclaim, settle
from sandbox.environment.system import examine_system
from sandbox.environment.warm import (
    WarmEnvironment,
    contents,
    discard,
    unclaimed,
    warm_spec,
)

__all__ = [
    "ClusterAddresses",
    "Difference",
    "FreezeReport",
    "Step",
    "WarmEnvironment",
    "apply_environment",
    "apply_platform",
    "audit_policy",
    "claim",
    "cluster_addresses",
    "contents",
    "deploy_system",
    "discard",
    "ensure_platform",
    "environment_objects",
    "examine_system",
    "expired_environments",
    "find_drift",
    "forget_parameters",
    "freeze",
    "is_there",
    "located",
    "namespace_of",
    "open_ways",
    "platform_differences",
    "platform_lack",
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
    "take_over",
    "tear_down",
    "thaw",
    "unclaimed",
    "uninstall_platform",
    "warm_spec",
]
