"""Statements that are signed: in-toto Statement v1 in a DSSE envelope.

Rules of this module:

* What is signed is PAE(payload type, payload) (DSSE protocol, version 1), with Ed25519.
* Payload and envelope are canonical JSON; an envelope written in any other way is
  refused, so no byte of it can change without being seen.
* An envelope carries one signature; its key id is the SHA-256 of the raw public key.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sandbox.errors import EvidenceError
from sandbox.evidence.note import verify_signature
from sandbox.evidence.vkey import strict_base64

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SEGMENT_PREDICATE = "urn:regulatory-sandbox:evidence-segment:v1"
"""Predicate: one `EvidenceSegment`."""
MANIFEST_PREDICATE = "urn:regulatory-sandbox:bundle-manifest:v1"
"""Predicate: which trial's bundle the manifest is of."""


class Signs(Protocol):
    """The part of a signer that is needed here (`sandbox.ports.Signer`)."""

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the public key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""
        ...


class Subject(NamedTuple):
    """What a statement is about."""

    name: str
    digest: str
    """`sha256:` and 64 hexadecimal digits."""


class Signed(NamedTuple):
    """A signed statement."""

    envelope: bytes
    statement_digest: str
    """SHA-256 of the payload: the statement itself, without its signature."""


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of JSON-ready data.

    The same bytes as `sandbox.model.record.canonical_json`; written out here because
    the verifier does without the records.
    """
    text = json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return text.encode()


def read_canonical(data: bytes, *, what: str) -> Any:
    """Parse JSON that must be in its canonical form.

    Args:
        data: UTF-8 JSON.
        what: Named in the error.

    Raises:
        EvidenceError: It is not JSON, or is written in another way.
    """
    try:
        value = json.loads(data)
        same = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{what} is not JSON: {error}") from error
    if not same:
        raise EvidenceError(f"{what} is not in canonical form; it was changed")
    return value


def sha256(data: bytes) -> str:
    """Return the digest of bytes as `sha256:…`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def statement(
    subjects: Iterable[Subject], *, predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return the canonical JSON of an in-toto Statement v1."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": item.name, "digest": {"sha256": item.digest[7:]}}
                for item in subjects
            ],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding that DSSE signs."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_statement(payload: bytes, signer: Signs) -> Signed:
    """Sign a statement and put it into an envelope.

    Args:
        payload: Canonical JSON of the statement.
        signer: Whose key signs.
    """
    signature = signer.sign(pae(PAYLOAD_TYPE, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {
                "keyid": sha256(signer.public_key)[7:],
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    return Signed(canonical(envelope), sha256(payload))


def open_envelope(envelope: bytes, keys: Sequence[bytes], *, what: str) -> bytes:
    """Check an envelope and return the statement in it, as bytes.

    Args:
        envelope: Canonical JSON of the envelope.
        keys: Raw public keys one trusts.
        what: Named in the error.

    Raises:
        EvidenceError: It is not such an envelope, or no trusted key signed it.
    """
    data = read_canonical(envelope, what=what)
    try:
        payload = strict_base64(data["payload"])
        ((key_id, written),) = [(s["keyid"], s["sig"]) for s in data["signatures"]]
        signature = strict_base64(written)
        known = {sha256(key)[7:]: key for key in keys}
        whole = set(data) == {"payload", "payloadType", "signatures"}
        whole = whole and set(data["signatures"][0]) == {"keyid", "sig"}
    except EvidenceError as error:
        raise EvidenceError(f"{what}: {error.diagnosis}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(
            f"{what} is not a DSSE envelope of one signature"
        ) from error
    if not whole or data["payloadType"] != PAYLOAD_TYPE:
        raise EvidenceError(f"{what} is not an envelope of an in-toto statement")
    if key_id not in known:
        raise EvidenceError(f"{what} was signed by a key that is not trusted")
    signed = pae(PAYLOAD_TYPE, payload)
    verify_signature(known[key_id], signature, signed, what=what)
    return payload


def read_statement(payload: bytes, *, predicate_type: str, what: str) -> dict[str, Any]:
    """Return the parsed statement of an opened envelope.

    Raises:
        EvidenceError: It is not an in-toto Statement v1 of that predicate type.
    """
    data = read_canonical(payload, what=what)
    if not isinstance(data, dict) or data.get("_type") != STATEMENT_TYPE:
        raise EvidenceError(f"{what} is not an in-toto Statement v1")
    if data.get("predicateType") != predicate_type:
        raise EvidenceError(f"{what} is not a statement of type {predicate_type}")
    return data
