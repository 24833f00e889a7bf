"""Opens CMS SignedData of one signer, as timestamp tokens are.

Rules of this module:

* One signer, named by issuer and serial number, whose certificate is in the token
  (RFC 5652, section 5; RFC 3161, section 2.4.2).
* The signature is over the signed attributes; they name the content's type and digest
  (RFC 5652, section 5.4) and the signer's certificate (RFC 5816; ESSCertID, RFC 2634).
* Digests are SHA-256, SHA-384 or SHA-512; signatures RSA (PKCS #1 v1.5, 2048 bits or
  more) or ECDSA. There are no unsigned attributes and no revocation lists, so that no
  byte can change unseen.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.errors import EvidenceError
from sandbox.evidence.der import (
    OCTETS,
    SEQUENCE,
    SET,
    Node,
    check_tag,
    children,
    integer,
    oid,
    read_one,
)

DIGESTS = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
"""Digest algorithms read here, by object identifier."""

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate that is none raises, at once or when it is looked into."""

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_RSA = frozenset({"1.2.840.113549.1.1.1"})
_RSA_WITH = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
_ECDSA_WITH = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_LEAST_RSA_BITS = 2048


class Signed(NamedTuple):
    """What was signed, and with which certificates; the signature holds."""

    content: bytes
    signer: x509.Certificate
    certificates: tuple[x509.Certificate, ...]
    """Every one in the token, the signer's too."""


def open_signed(token: bytes, *, content_type: str) -> Signed:
    """Check the signature of a token, and return what it signs.

    Whether the certificate may sign such a thing, or is anyone's, is not looked at.

    Args:
        token: DER of a ContentInfo with SignedData.
        content_type: Object identifier that the content must have.

    Raises:
        EvidenceError: It is not such a token, or the signature is not by its signer.
    """
    kind, wrapped = _shape(children(read_one(token, SEQUENCE)), "token", 2)
    if oid(kind) != _SIGNED_DATA:
        raise EvidenceError("the token is not CMS SignedData")
    (data,) = _shape(children(wrapped, 0xA0), "token", 1)
    version, algorithms, content, certificates, signers = _shape(
        children(data, SEQUENCE), "token", 5
    )
    said, octets = _shape(children(content, SEQUENCE), "token's content", 2)
    if integer(version) != 3 or oid(said) != content_type:
        raise EvidenceError("the token does not hold what it should (RFC 3161)")
    (inner,) = _shape(children(octets, 0xA0), "token's content", 1)
    body = check_tag(inner, OCTETS).body
    known = tuple(_certificate(item) for item in children(certificates, 0xA0))
    (info,) = _shape(children(signers, SET), "token's signers", 1)
    signer = _check_signer(info, known, algorithms, (content_type, body))
    return Signed(body, signer, known)


def read_certificate(der: bytes) -> x509.Certificate:
    """Return a certificate from its DER.

    Raises:
        EvidenceError: It is none.
    """
    try:
        # What cryptography only warns of, such as a negative serial number, RFC 5280
        # forbids.
        with warnings.catch_warnings(action="error"):
            return x509.load_der_x509_certificate(der)
    except (*UNREADABLE, Warning) as error:
        raise EvidenceError(f"a certificate cannot be read: {error}") from error


def algorithm(node: Node) -> str:
    """Return the object identifier of an AlgorithmIdentifier without parameters.

    Raises:
        EvidenceError: It has parameters other than NULL.
    """
    parts = children(node, SEQUENCE)
    if not 1 <= len(parts) <= 2 or any(item.whole != b"\5\0" for item in parts[1:]):
        raise EvidenceError("an algorithm of the token has parameters not read here")
    return oid(parts[0])


def _shape(nodes: list[Node], what: str, count: int) -> list[Node]:
    if len(nodes) != count:
        raise EvidenceError(f"the {what} has {len(nodes)} parts, and {count} are read")
    return nodes


def _certificate(node: Node) -> x509.Certificate:
    return read_certificate(check_tag(node, SEQUENCE).whole)


def _check_signer(
    info: Node,
    certificates: tuple[x509.Certificate, ...],
    algorithms: Node,
    content: tuple[str, bytes],
) -> x509.Certificate:
    version, name, digest, attributes, by, signature = _shape(
        children(info, SEQUENCE), "token's signer", 6
    )
    named = [item.whole for item in children(algorithms, SET)]
    if integer(version) != 1 or named != [digest.whole]:
        raise EvidenceError("the token's signer does not name its one digest")
    hashing = DIGESTS.get(algorithm(digest))
    if hashing is None:
        raise EvidenceError("the token's digest is not SHA-256, SHA-384 or SHA-512")
    signer = _named(name, certificates)
    _check_attributes(check_tag(attributes, 0xA0), content, hashing.name, signer)
    # What is signed is the attributes as a SET, not under their own tag (RFC 5652).
    signed = bytes([SET]) + attributes.whole[1:]
    _verify(signer, check_tag(signature, OCTETS).body, signed, (algorithm(by), hashing))
    return signer


def _named(name: Node, certificates: tuple[x509.Certificate, ...]) -> x509.Certificate:
    issuer, serial = _shape(children(name, SEQUENCE), "signer's name", 2)
    found = [
        item
        for item in certificates
        if item.serial_number == integer(serial)
        and item.issuer.public_bytes() == issuer.whole
    ]
    if len(found) != 1:
        raise EvidenceError("the token does not carry its signer's certificate")
    return found[0]


def _check_attributes(
    attributes: Node, content: tuple[str, bytes], digest: str, signer: x509.Certificate
) -> None:
    values: dict[str, Node] = {}
    for attribute in children(attributes):
        kind, held = _shape(children(attribute, SEQUENCE), "signed attribute", 2)
        (value,) = _shape(children(held, SET), "signed attribute", 1)
        if values.setdefault(oid(kind), value) is not value:
            raise EvidenceError("the token has a signed attribute twice")
    content_type, body = content
    if _CONTENT_TYPE not in values or oid(values[_CONTENT_TYPE]) != content_type:
        raise EvidenceError("the token's signature is not of its content's type")
    said = values.get(_MESSAGE_DIGEST)
    found = hashlib.new(digest, body).digest()
    if said is None or check_tag(said, OCTETS).body != found:
        raise EvidenceError("the token's content is not what was signed")
    _check_certificate_named(values, signer)


def _check_certificate_named(values: dict[str, Node], signer: x509.Certificate) -> None:
    whole = signer.public_bytes(Encoding.DER)
    if _SIGNING_CERTIFICATE_V2 in values:
        first = _first_certificate(values[_SIGNING_CERTIFICATE_V2])
        name = "sha256"
        if first[0].tag == SEQUENCE:
            hashing = DIGESTS.get(algorithm(first.pop(0)))
            name = hashing.name if hashing else ""
    elif _SIGNING_CERTIFICATE in values:
        first, name = _first_certificate(values[_SIGNING_CERTIFICATE]), "sha1"
    else:
        raise EvidenceError("the token does not sign which certificate it is by")
    if not name or not first:
        raise EvidenceError("the token names its certificate in a way not read here")
    digest = hashlib.new(name, whole, usedforsecurity=name != "sha1").digest()
    if check_tag(first[0], OCTETS).body != digest:
        raise EvidenceError("the token was signed under another certificate")


def _first_certificate(value: Node) -> list[Node]:
    lists = children(value, SEQUENCE)
    named = children(lists[0], SEQUENCE) if lists else []
    parts = children(named[0], SEQUENCE) if named else []
    if not parts:
        raise EvidenceError("the token does not sign which certificate it is by")
    return parts


def _verify(
    signer: x509.Certificate,
    signature: bytes,
    signed: bytes,
    how: tuple[str, hashes.HashAlgorithm],
) -> None:
    named, hashing = how
    try:
        key = signer.public_key()
        if isinstance(key, rsa.RSAPublicKey) and _is(named, _RSA_WITH, hashing, _RSA):
            if key.key_size < _LEAST_RSA_BITS:
                raise EvidenceError("the token is signed with an RSA key that is weak")
            key.verify(signature, signed, padding.PKCS1v15(), hashing)
        elif isinstance(key, ec.EllipticCurvePublicKey) and _is(
            named, _ECDSA_WITH, hashing
        ):
            key.verify(signature, signed, ec.ECDSA(hashing))
        else:
            raise EvidenceError(f"the token's signature ({named}) is not read here")
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError("the token's signature is not by its signer") from error


def _is(
    named: str,
    table: dict[str, str],
    hashing: hashes.HashAlgorithm,
    plain: frozenset[str] = frozenset(),
) -> bool:
    return named in plain or table.get(named) == hashing.name
