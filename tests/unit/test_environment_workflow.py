"""What the workflow of an environment keeps when it begins a new history."""

from __future__ import annotations

import pytest

from workflows.environment import EnvironmentWorkflow
from workflows.messages import EnvironmentInput


@pytest.mark.parametrize(
    ("known", "expected"),
    [("", "trial-ride-1"), ("trial-warm-00c0ffee", "trial-warm-00c0ffee")],
    ids=["of-its-own", "claimed"],
)
def test_where_it_lies_outlives_a_history(known: str, expected: str) -> None:
    """A trial in an environment it claimed is not said to be in another one later."""
    first = EnvironmentWorkflow(
        EnvironmentInput(trial_id="ride-1", generation=3, namespace=known)
    )
    assert first.status().namespace == expected
    second = EnvironmentWorkflow(first._carry())
    assert second.status().namespace == expected
    assert second._task(4).namespace == expected
