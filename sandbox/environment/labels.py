"""Names and labels by which the objects of a trial are found again."""

from __future__ import annotations

FIELD_MANAGER = "regulatory-sandbox"
"""Owner of every field this product applies (server-side apply)."""
MANAGED_BY = "app.kubernetes.io/managed-by"
TRIAL = "regulatory-sandbox/trial"
"""Label of every object of a trial; its value is the trial's id."""
WARM = "regulatory-sandbox/warm"
"""Label of a namespace that was made before a trial asked for it: the id it was made
with. It stays when a trial claims it."""
NEIGHBOUR = "regulatory-sandbox/neighbour"
"""Label of the listeners that proofs of all trials share."""
PART = "regulatory-sandbox/part"
"""`environment`, `system` or `proof`."""
EXPIRES_AT = "regulatory-sandbox/expires-at"
"""Annotation of the namespace: when the trial ends, with or without this product."""
CONTROL_NAMESPACE = "sandbox-control"
"""Where positive controls run; shared by all trials."""
RULES_OF = "regulatory-sandbox/rules-of"
"""Label of the admission policies that a trial's rules were rendered into."""
PLATFORM = "regulatory-sandbox-platform"
"""ConfigMap of the control namespace that says which platform is installed."""
PARAMS = "trial-params"
"""ConfigMap with what the decision allowed; the admission policies compare with it."""
PROOF_POD = "isolation-proof"
"""The pod of a trial that makes the attempts of an isolation proof."""
RECORDER_TOKEN = "recorder-token"
"""The Secret of a trial: the credential of its telemetry."""
DEFAULT_DENY = "default-deny"
"""The NetworkPolicy that stays while everything else is taken away."""


def trial_namespace(trial_id: str) -> str:
    """Return the namespace of a trial."""
    return f"trial-{trial_id}"


def trial_labels(trial_id: str, part: str) -> dict[str, str]:
    """Return the labels of an object that belongs to a trial."""
    return {MANAGED_BY: FIELD_MANAGER, TRIAL: trial_id, PART: part}


def trial_selector(trial_id: str) -> str:
    """Return the label selector that finds every object of a trial."""
    return f"{TRIAL}={trial_id}"
