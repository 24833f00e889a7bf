"""The timestamps of a bundle: when an authority says that the log existed.

Rules of this module:

* What is stamped is the text of a checkpoint: origin, size and root (RFC 3161 over
  C2SP tlog-checkpoint). A timestamp bounds from above when its entries were written.
* A token that does not verify fails; one by an authority that is not trusted is told,
  and proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cryptography import x509

from sandbox.errors import EvidenceError
from sandbox.evidence.cms import read_certificate
from sandbox.evidence.layout import fields, read_lines
from sandbox.evidence.note import split_note
from sandbox.evidence.timestamp import Stamp, verify_token
from sandbox.evidence.view import LogView
from sandbox.evidence.vkey import strict_base64

NAME = "timestamps.jsonl"
_FIELDS = ("note", "consistency", "token", "chain")


class Authorities(NamedTuple):
    """Which time-stamping authorities one trusts, and whether one of them is needed."""

    trusted: tuple[x509.Certificate, ...] = ()
    """Their certificates, or ones above them."""
    needed: bool = False
    """Whether a stamp by one of them must cover every entry."""


class Stamped(NamedTuple):
    """A checkpoint's size with what a token says of it."""

    size: int
    stamp: Stamp


def check_timestamps(
    data: bytes,
    *,
    view: LogView,
    authorities: Authorities,
    entries: int,
) -> str:
    """Check the timestamps of a bundle, and say what they show.

    Args:
        data: The file `timestamps.jsonl`.
        view: The log.
        authorities: Whom one trusts, and whether one asks for a stamp by them.
        entries: Size at which the log holds every entry of the bundle.

    Raises:
        EvidenceError: A stamped checkpoint is not of this log, or a token does not
            verify, or the stamp that one asks for is not there.
    """
    stamped = []
    for number, line in enumerate(read_lines(data, NAME), start=1):
        what = f"{NAME} line {number}"
        note, proof, token, chain = fields(line, _FIELDS, what)
        size = view.earlier(note, proof, what=what).size
        text, _ = split_note(note.encode())
        try:
            stamp = _verify(text, token, chain, authorities.trusted)
        except EvidenceError as error:
            raise EvidenceError(f"{what}: {error.diagnosis}") from error
        stamped.append(Stamped(size, stamp))
    covering = (item for item in stamped if item.size >= entries)
    if authorities.needed and not any(item.stamp.trusted for item in covering):
        raise EvidenceError(
            f"{NAME}: no authority you trust (--tsa) has stamped every entry of this "
            f"bundle (the log at {entries} entries), and you ask for that; ask the "
            "operator for a newer bundle"
        )
    return _told(stamped, entries)


def _verify(
    text: bytes, token: Any, chain: Any, authorities: Sequence[x509.Certificate]
) -> Stamp:
    if not isinstance(chain, list):
        raise EvidenceError("the chain of the timestamp is not a list")
    return verify_token(
        strict_base64(str(token)),
        text,
        chain=[read_certificate(strict_base64(str(item))) for item in chain],
        trusted=authorities,
    )


def _told(stamped: list[Stamped], entries: int) -> str:
    if not stamped:
        return "no checkpoint of this log was stamped"
    trusted = [item for item in stamped if item.stamp.trusted]
    if trusted:
        return f"{_in_words(trusted, entries)}"
    return (
        f"not trusted: {len(stamped)} verify, but by no authority you trust (--tsa); "
        f"they say: {_in_words(stamped, entries)}"
    )


def _in_words(stamped: list[Stamped], entries: int) -> str:
    """Tell the earliest that covers every entry, or else the largest there is."""
    whole = [item for item in stamped if item.size >= entries]
    told = min(whole, key=lambda item: item.stamp.at) if whole else max(stamped)
    size, (at, authority, _) = told
    less = "" if whole else f", not yet all {entries} of this bundle"
    return f"{size} entries existed at {at.isoformat()} ({authority}){less}"
