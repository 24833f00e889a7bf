"""How a durable program writes into the evidence log: record first, then act."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.activities.ledger import LedgerActivities
    from workflows.messages import EntryDraft
    from workflows.options import perform


async def record_entry(
    kind: str, entry_id: str, *, owner: str, body: dict[str, Any]
) -> int:
    """Append an entry and return its place in the log.

    Args:
        kind: One of `EntryKind`.
        entry_id: Names the entry for good; the same one again changes nothing.
        owner: The trial, or `rulebook/NAME`.
        body: The record, ready for JSON.
    """
    draft = EntryDraft.model_validate(
        {"kind": kind, "entry_id": entry_id, "trial_id": owner, "body": body}
    )
    place = await perform(LedgerActivities.record_entry, draft, summary=kind)
    return place.index
