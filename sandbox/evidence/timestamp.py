"""Checks a timestamp token: who says that a text existed, and when.

Rules of this module:

* The token is an RFC 3161 TimeStampToken; its message imprint is the SHA-256 of the
  text. A nonce is for whoever asked; a stored token is read without it.
* The signer's certificate has the extended key usage timeStamping, critical and alone
  (RFC 3161, section 2.3).
* Every certificate of the token belongs to one path from the signer upwards; on it each
  is signed by the next, which may sign certificates and reaches that far, and was valid
  at the time of the stamp, not now; a critical extension that is not read here is
  refused (RFC 5280, section 6). Revocation is not looked up.
* Whether the path ends in a certificate one trusts is told apart from whether the token
  verifies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from sandbox.errors import EvidenceError
from sandbox.evidence.cms import DIGESTS, UNREADABLE, algorithm, open_signed
from sandbox.evidence.der import (
    OCTETS,
    SEQUENCE,
    check_tag,
    children,
    instant,
    integer,
    oid,
    read_one,
)

TST_INFO = "1.2.840.113549.1.9.16.1.4"
"""Content type of a timestamp (id-ct-TSTInfo)."""

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

_EXTENSIONS = 0xA1
_READ_EXTENSIONS = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        # Says under which policy a certificate was issued; restricts nothing.
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)
_LONGEST_PATH = 8


class Stamp(NamedTuple):
    """What a token says, once it verifies."""

    at: datetime
    authority: str
    """Subject of the signer's certificate."""
    trusted: bool
    """Whether the path of certificates reaches one that is trusted."""


def verify_token(
    token: bytes,
    text: bytes,
    *,
    chain: Sequence[x509.Certificate] = (),
    trusted: Sequence[x509.Certificate] = (),
) -> Stamp:
    """Check a token over a text.

    Args:
        token: DER of the TimeStampToken.
        text: What was stamped.
        chain: Further certificates that may stand on the path; nothing is believed of
            them.
        trusted: Certificates one trusts: of an authority itself, or above it.

    Raises:
        EvidenceError: The token does not verify; says why.
    """
    try:
        return _verify(token, text, chain, trusted)
    except UNREADABLE as error:
        raise EvidenceError(f"a certificate cannot be read: {error}") from error


def _verify(
    token: bytes,
    text: bytes,
    chain: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
) -> Stamp:
    signed = open_signed(token, content_type=TST_INFO)
    at = _check_info(signed.content, text)
    _check_purpose(signed.signer)
    pool = [*signed.certificates, *chain, *trusted]
    path = _path(signed.signer, pool, trusted, at)
    if not set(signed.certificates) <= set(path):
        raise EvidenceError("the token carries a certificate that is not its signer's")
    return Stamp(
        at=at,
        authority=signed.signer.subject.rfc4514_string(),
        trusted=any(item in trusted for item in path),
    )


def read_certificates(pem: bytes, *, what: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates in PEM, one at least.

    Raises:
        EvidenceError: There is none, or one cannot be read; names `what`.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise EvidenceError(f"{what} holds no certificate in PEM ({error})") from error


def _check_info(content: bytes, text: bytes) -> datetime:
    parts = children(read_one(content, SEQUENCE))
    if len(parts) < 5 or integer(parts[0]) != 1:
        raise EvidenceError("the token does not hold a timestamp of version 1")
    oid(parts[1])
    integer(parts[3])
    imprint = children(parts[2], SEQUENCE)
    hashing = DIGESTS.get(algorithm(imprint[0])) if len(imprint) == 2 else None
    if not isinstance(hashing, hashes.SHA256):
        raise EvidenceError("the token is not over a SHA-256")
    if check_tag(imprint[1], OCTETS).body != hashlib.sha256(text).digest():
        raise EvidenceError("the token is over something else than this checkpoint")
    if any(part.tag == _EXTENSIONS for part in parts[5:]):
        raise EvidenceError("the token has extensions, which are not read here")
    return instant(parts[4])


def _check_purpose(signer: x509.Certificate) -> None:
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        purposes = list(usage.value)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise EvidenceError("the signer's certificate names no purpose") from error
    if purposes != [ExtendedKeyUsageOID.TIME_STAMPING] or not usage.critical:
        raise EvidenceError(
            "the signer's certificate is not for timestamps, critically and alone"
        )
    signs = _extension(signer, x509.KeyUsage)
    if signs and not (signs.digital_signature or signs.content_commitment):
        raise EvidenceError("the signer's certificate is not for signatures")


def _path(
    signer: x509.Certificate,
    pool: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    at: datetime,
) -> list[x509.Certificate]:
    """Return the path from the signer up to a root, or as far as it is known."""
    path = [signer]
    while True:
        top = path[-1]
        _check_critical(top)
        if not top.not_valid_before_utc <= at <= top.not_valid_after_utc:
            raise EvidenceError(
                f"the certificate of {top.subject.rfc4514_string()} was not valid at "
                f"the time of the stamp, {at.isoformat()}"
            )
        if top in trusted and top.issuer == top.subject:
            # It is believed as it is; its own signature, perhaps of an algorithm no
            # longer read, adds nothing.
            return path
        above = _issuer(top, pool)
        if above is None or above == top:
            return path
        if above in path or len(path) == _LONGEST_PATH:
            raise EvidenceError("the certificates of the token go in a circle")
        _check_reach(above, len(path) - 1)
        path.append(above)


def _issuer(
    certificate: x509.Certificate, pool: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    named = [item for item in pool if item.subject == certificate.issuer]
    for item in named:
        if _is_issued_by(certificate, item):
            return item
    if named:
        raise EvidenceError(
            f"the certificate of {certificate.subject.rfc4514_string()} is not signed "
            "by the one above it: the chain is broken"
        )
    return None


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return certificate == issuer or _may_issue(issuer)


def _may_issue(certificate: x509.Certificate) -> bool:
    basic = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    may_sign = usage is None or usage.key_cert_sign
    return basic is not None and basic.ca and may_sign


def _check_reach(issuer: x509.Certificate, between: int) -> None:
    basic = _extension(issuer, x509.BasicConstraints)
    if basic and basic.path_length is not None and basic.path_length < between:
        raise EvidenceError(
            f"{issuer.subject.rfc4514_string()} may not have {between} authorities "
            "between it and the signer"
        )


def _check_critical(certificate: x509.Certificate) -> None:
    for item in certificate.extensions:
        if item.critical and item.oid not in _READ_EXTENSIONS:
            raise EvidenceError(
                f"the certificate of {certificate.subject.rfc4514_string()} has the "
                f"critical extension {item.oid.dotted_string}, not read here"
            )


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
