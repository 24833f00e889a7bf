"""What the log says was erased, for the verifier.

Rules of this module:

* It imports the standard library only, like all the verifier does.
* A segment without its bytes is accepted if, and only if, the log names its erasure.
* An erasure follows the segment's own entry, names its statement and the regime under
  which the application was filed, happens once, and happens neither before the period
  it cites is over nor while a hold is in force; which came first, a hold or an erasure,
  is what the order of the log says.
* Of an erased segment only what its signed statement says is known. That is counted
  apart, and never together with what was counted again.
* Frames are numbered on through erased segments: what they lack, others cannot hide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.unseal import SegmentCount, read_predicate

Entry = Mapping[str, Any]


class Erasures(NamedTuple):
    """What the log of one trial says was erased."""

    segments: Mapping[int, Entry]
    """The erasure's entry by number of the segment."""
    subjects: tuple[Entry, ...]
    """Entries of destroyed keys."""

    def in_words(self) -> str:
        """Return every erasure, by whom, when and why, in one line."""
        told = [
            f"segment {number} was erased on {entry['recorded_at']} by "
            f"{entry['body']['by']['name']} because of {entry['body']['source']}"
            for number, entry in sorted(self.segments.items())
        ]
        told += [
            f"the key of subject {entry['body']['subject']} was destroyed on "
            f"{entry['recorded_at']} by {entry['body']['by']['name']} because "
            f"{entry['body']['reason']}"
            for entry in self.subjects
        ]
        return "; ".join(told) or "nothing was erased"


def read_erasures(entries: Sequence[Entry], trial_id: str) -> Erasures:
    """Return the erasures of a trial, once their order has been checked.

    Args:
        entries: Entries in log order, as JSON-ready data.
        trial_id: The trial; entries of other owners are passed over.

    Raises:
        EvidenceError: An erasure or a hold is out of order; names the entry.
    """
    statements: dict[int, str] = {}
    segments: dict[int, Entry] = {}
    subjects: dict[str, Entry] = {}
    holds, regime = _Holds(), None
    for entry in entries:
        if entry["trial_id"] != trial_id:
            continue
        name, kind, body = entry["entry_id"], entry["kind"], entry["body"]
        if kind == "segment":
            statements[body["segment"]["number"]] = body["statement_digest"]
        elif kind == "application":
            regime = body.get("regime_digest", regime)
        elif kind == "hold":
            holds.take(name, body)
        elif kind == "erasure":
            holds.check_none(name)
            if body["kind"] == "segment-erasure":
                _check_erasure(entry, statements, segments)
                _check_regime(entry, regime)
                segments[body["number"]] = entry
            else:
                _check_subject(entry, subjects)
                subjects[body["subject"]] = entry
    return Erasures(segments, tuple(subjects.values()))


def check_erased(body: Entry, payload: bytes, *, before: SegmentCount) -> SegmentCount:
    """Check the statement of an erased segment, and count what it says.

    Args:
        body: Body of the segment's log entry.
        payload: Its statement, whose signature has been checked.
        before: What the segments before it held.

    Returns:
        The count including what the statement says of this segment.

    Raises:
        EvidenceError: The statement is not the one in the log, or does not continue
            the numbers of the frames before.
    """
    name = f"segments/{body['segment']['number']:06d}"
    said = read_predicate(dict(body), payload, name)
    last = before.last_sequence + int(said["frames"])
    # Statements that do not state them are older; the segment after this one will show.
    stated = (said.get("first_sequence"), said.get("last_sequence"))
    if stated not in ((None, None), (before.last_sequence + 1, last)):
        raise EvidenceError(
            f"{name}: its statement says frames {stated[0]} to {stated[1]}, but "
            f"{before.last_sequence + 1} to {last} come next; evidence is missing"
        )
    return before._replace(
        last_sequence=last,
        erased_frames=before.erased_frames + int(said["frames"]),
        erased_spans=before.erased_spans + int(said["spans"]),
    )


def not_recounted(count: SegmentCount) -> str:
    """Return what a count says of erased segments, in words; empty without any."""
    if not count.erased_frames:
        return ""
    return (
        f"; besides these, {count.erased_frames} frames, {count.erased_spans} spans "
        "were erased: their statements say so, they were not counted again"
    )


class _Holds:
    """Which holds are in force at one place of the log."""

    def __init__(self) -> None:
        self._placed = 0
        self._in_force: set[int] = set()

    def take(self, name: str, body: Entry) -> None:
        number = body["number"]
        if body["act"] == "place" and number == self._placed + 1:
            self._placed = number
            self._in_force.add(number)
        elif body["act"] == "release" and number in self._in_force:
            self._in_force.remove(number)
        else:
            raise EvidenceError(
                f"entry {name}: hold {number} cannot be {body['act']}d here; "
                f"{self._placed} were placed and {sorted(self._in_force)} are in force"
            )

    def check_none(self, name: str) -> None:
        if self._in_force:
            raise EvidenceError(
                f"entry {name} erases evidence while hold {min(self._in_force)} is in "
                "force"
            )


def _check_erasure(
    entry: Entry, statements: Mapping[int, str], erased: Mapping[int, Entry]
) -> None:
    name, body = entry["entry_id"], entry["body"]
    number = body["number"]
    if number not in statements:
        raise EvidenceError(
            f"entry {name} erases segment {number}, which was not in the log by then"
        )
    if statements[number] != body["statement_digest"]:
        raise EvidenceError(f"entry {name} names another statement than the log's own")
    if number in erased:
        raise EvidenceError(f"entry {name} erases segment {number} a second time")
    if _instant(entry["recorded_at"]) < _instant(body["kept_until"]):
        raise EvidenceError(
            f"entry {name} erases segment {number} before {body['kept_until']}, until "
            f"when it was to be kept"
        )


def _check_regime(entry: Entry, filed: str | None) -> None:
    # Trials filed before regimes were kept have none, and no period to erase by.
    if filed is not None and entry["body"]["regime_digest"] != filed:
        raise EvidenceError(
            f"entry {entry['entry_id']} cites another regime than the one under which "
            "the application was filed"
        )


def _check_subject(entry: Entry, destroyed: Mapping[str, Entry]) -> None:
    name, body = entry["entry_id"], entry["body"]
    if body["kind"] != "subject-erasure":
        raise EvidenceError(f"entry {name} erases something this verifier knows not")
    if body["subject"] in destroyed:
        raise EvidenceError(f"entry {name} destroys a key a second time")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
