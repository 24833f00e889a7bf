"""Checks that a trial's entries tell one unbroken procedure.

Rules of this module:

* The trial's application is there: with it every story begins.
* Transitions are numbered from 1 without a hole, and each starts where the one before
  ended.
* No locked plan, no environment: the plan's entry precedes every entry of the
  environment and its isolation proof.
* An entry id occurs once.
* Where the story ends is said and not judged: a tail that was cut off leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.errors import EvidenceError

_NEEDS_PLAN = frozenset({"environment", "isolation-proof"})


def check_order(entries: Sequence[dict[str, Any]], trial_id: str) -> str:
    """Check the order of a trial's entries, and say what was seen.

    Args:
        entries: Entries in log order, as JSON-ready data.
        trial_id: The trial; entries of other owners are passed over.

    Raises:
        EvidenceError: The order is broken, which names the entry, or the application
            is missing.
    """
    own = [entry for entry in entries if entry.get("trial_id") == trial_id]
    _check_begun(own, trial_id)
    _check_unique(own)
    _check_plan_first(own)
    count, state = _check_transitions(own)
    end = f"in state {state}" if count else "before the first"
    return f"{count} transitions in order; the story ends {end}"


def _check_begun(entries: Sequence[dict[str, Any]], trial_id: str) -> None:
    if not any(entry.get("kind") == "application" for entry in entries):
        raise EvidenceError(
            f"the application of trial {trial_id} is missing from its "
            f"{len(entries)} entries"
        )


def _check_unique(entries: Sequence[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = str(entry.get("entry_id"))
        if name in seen:
            raise EvidenceError(f"entry {name} occurs twice")
        seen.add(name)


def _check_plan_first(entries: Sequence[dict[str, Any]]) -> None:
    has_plan = False
    for entry in entries:
        has_plan = has_plan or entry.get("kind") == "plan"
        if entry.get("kind") in _NEEDS_PLAN and not has_plan:
            raise EvidenceError(
                f"entry {entry.get('entry_id')}: the environment existed before a plan "
                "was locked"
            )


def _check_transitions(entries: Sequence[dict[str, Any]]) -> tuple[int, Any]:
    """Return how many transitions there are, and the state after the last."""
    bodies = [entry["body"] for entry in entries if entry.get("kind") == "transition"]
    state = None
    for version, body in enumerate(bodies, start=1):
        if body.get("version") != version:
            raise EvidenceError(
                f"transition {version} is missing; the log goes on with "
                f"{body.get('version')}"
            )
        if state is not None and body.get("before") != state:
            raise EvidenceError(
                f"transition {version} starts from {body.get('before')}, but the one "
                f"before ended in {state}"
            )
        state = body.get("after")
    return len(bodies), state
