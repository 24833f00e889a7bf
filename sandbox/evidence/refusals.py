"""Refused requests as entries of the log.

Rules of this module:

* An entry is a count of equal refusals in one window, never one request. Of each owner
  and window the `MOST_LISTED` most frequent are listed, and the rest as one for each
  reason, so nobody can fill the log by being refused.
* What a token named belongs to its trial; what no token named to `@recorder`.
* The entry id is made of the contents: entries of a window taken in twice are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sandbox.model.log import LogEntry
from sandbox.model.record import canonical_json, digest_of
from sandbox.model.segment import RecorderRefusal, RefusalWindow
from sandbox.recorder import RECORDER

MOST_LISTED = 20
"""Refusals of one owner and window that are listed one by one."""
MANY = "many"
"""Peer of refusals that are not listed one by one."""


def refusal_entries(window: RefusalWindow, *, recorded_at: datetime) -> list[LogEntry]:
    """Return the entries of one window, at most `MOST_LISTED` and one for each reason.

    Args:
        window: A closed window of the recorder.
        recorded_at: When they are entered.
    """
    owners: dict[str, list[RecorderRefusal]] = {}
    for refusal in window.refusals:
        owners.setdefault(refusal.trial_id or RECORDER, []).append(refusal)
    return [
        _entry(owner, window.name, refusal=refusal, at=recorded_at)
        for owner in sorted(owners)
        for refusal in _listed(owners[owner])
    ]


def _entry(
    owner: str, window: str, *, refusal: RecorderRefusal, at: datetime
) -> LogEntry:
    digest = digest_of(canonical_json(refusal)).removeprefix("sha256:")
    return LogEntry(
        kind="refusal",
        entry_id=f"refusal/{owner}/{window}/{digest[:16]}",
        trial_id=owner,
        recorded_at=at,
        body=refusal.model_dump(mode="json"),
    )


def _listed(refusals: Iterable[RecorderRefusal]) -> list[RecorderRefusal]:
    ranked = sorted(refusals, key=lambda item: (-item.count, canonical_json(item)))
    rest: dict[str, list[RecorderRefusal]] = {}
    for refusal in ranked[MOST_LISTED:]:
        rest.setdefault(refusal.reason, []).append(refusal)
    return ranked[:MOST_LISTED] + [_together(rest[reason]) for reason in sorted(rest)]


def _together(refusals: list[RecorderRefusal]) -> RecorderRefusal:
    return RecorderRefusal(
        reason=refusals[0].reason,
        peer=MANY,
        trial_id=refusals[0].trial_id,
        count=sum(item.count for item in refusals),
        first_at=min(item.first_at for item in refusals),
        last_at=max(item.last_at for item in refusals),
    )
