"""Who else has seen a log: cosignatures, read and weighed.

Rules of this module:

* A cosignature says that a witness saw the log at that size, and had seen it only grow
  until then (C2SP tlog-cosignature, `cosignature/v1` with Ed25519).
* Only witnesses one trusts count; lines of others are left unread. A line in the name
  of a trusted one that does not verify is an error, never a missing one.
* A witness is needed where a number of them is asked for, and then it must have seen
  every entry of what is checked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.layout import fields, read_lines
from sandbox.evidence.note import known_signatures, split_note
from sandbox.evidence.view import LogView
from sandbox.evidence.vkey import COSIGNATURE, Keys, read_keys

NAME = "cosignatures.jsonl"


class Cosignature(NamedTuple):
    """Who saw a checkpoint, and when it says so."""

    witness: str
    at: datetime


class Witnesses(NamedTuple):
    """Which witnesses one trusts, and how many of them one asks for."""

    trusted: tuple[str, ...] = ()
    """Verifier keys, one line each."""
    needed: int = 0


def open_cosignatures(note: bytes, witnesses: Keys) -> tuple[Cosignature, ...]:
    """Return who of the witnesses one trusts has signed a note.

    Lines of others are ignored (C2SP signed-note).

    Args:
        note: The whole note.
        witnesses: Keys of witnesses: raw by name, or verifier keys.

    Raises:
        EvidenceError: It is not a note, or a line that a trusted witness's key is named
            in does not verify.
    """
    text, lines = split_note(note)
    known = read_keys(witnesses, algorithm=COSIGNATURE)
    return tuple(
        Cosignature(key.name, _instant(line.at))
        for key, line in known_signatures(text, lines, known)
        if key.algorithm == COSIGNATURE
    )


def check_cosignatures(
    data: bytes, *, view: LogView, witnesses: Witnesses, entries: int
) -> str:
    """Check the cosigned checkpoints of a bundle, and say who saw what.

    Args:
        data: The file `cosignatures.jsonl`.
        view: The log.
        witnesses: Whom one trusts.
        entries: Size at which the log holds every entry of the bundle.

    Raises:
        EvidenceError: A cosigned checkpoint is not of this log, a trusted witness's
            line does not verify, or fewer witnesses than needed saw every entry.
    """
    _check_witnesses(witnesses.trusted, view)
    newest: dict[str, tuple[int, Cosignature]] = {}
    lines = read_lines(data, NAME)
    for number, line in enumerate(lines, start=1):
        what = f"{NAME} line {number}"
        note, proof = fields(line, ("note", "consistency"), what)
        size = view.earlier(note, proof, what=what).size
        for found in open_cosignatures(note.encode(), witnesses.trusted):
            seen = newest.setdefault(found.witness, (size, found))
            newest[found.witness] = max(seen, (size, found), key=lambda item: item[0])
    whole = [name for name, (size, _) in newest.items() if size >= entries]
    if len(whole) < witnesses.needed:
        raise EvidenceError(
            f"{NAME}: {len(whole)} of the witnesses you trust have seen every entry of "
            f"this bundle (the log at {entries} entries), and you ask for "
            f"{witnesses.needed}; ask them, or the operator for a newer bundle"
        )
    return _told(newest, len(lines), entries)


def _told(newest: dict[str, tuple[int, Cosignature]], notes: int, entries: int) -> str:
    if not newest:
        return f"no witness you trust has seen this log ({notes} cosigned checkpoints)"
    return "; ".join(
        f"{name} saw {size} entries at {found.at.isoformat()}"
        + ("" if size >= entries else f", not yet all {entries} of this bundle")
        for name, (size, found) in sorted(newest.items())
    )


def _check_witnesses(trusted: tuple[str, ...], view: LogView) -> None:
    known = read_keys(trusted, algorithm=COSIGNATURE).values()
    for key in known:
        if view.history.knows(key.public_key):
            raise EvidenceError(
                f"the witness {key.name} has the log's own key; a witness is someone "
                "else"
            )
    if len({key.public_key for key in known}) < len(trusted):
        raise EvidenceError("a witness is named twice; name each once")
    if len({key.name for key in known}) < len(trusted):
        raise EvidenceError("two witnesses have the same name; name one of them")


def _instant(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise EvidenceError("a cosignature was made at no possible time") from error
