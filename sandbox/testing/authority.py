"""A time-stamping authority whose key exists only in memory, and its server.

Rules of this module:

* Tokens are written here by hand, as DER, and share no code with what reads them; the
  server reads requests as far as it needs (RFC 3161, sections 2.4.1 and 3.4).
* Everything about a token that a test may want wrong is a field of `Habits`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.evidence.der import children, read_one

STAMPED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When every token says that it was made, unless told otherwise."""
SHA256_ALGORITHM = bytes.fromhex("300d06096086480165030402010500")

_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("060b2a864886f70d010910022f")
_POLICY = bytes.fromhex("06042a030401")


class Habits(NamedTuple):
    """How an authority does its work; the defaults are right."""

    at: datetime = STAMPED_AT
    valid_for: timedelta = timedelta(days=30)
    """How long its certificates are valid, from the day before `at`."""
    purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,)
    is_purpose_critical: bool = True
    echoes_nonce: bool = True
    extensions: tuple[x509.ExtensionType, ...] = ()
    """Further critical extensions of its certificate."""
    carries: tuple[x509.Certificate, ...] = ()
    """Certificates in the token besides its own."""
    names_itself: bool = True
    """Whether what it signs names its own certificate, or another one."""
    is_indirect: bool = False
    """Whether there is another authority between the root and it."""
    reach: int = 0
    """How many may stand between the root and it."""


RIGHT = Habits()


class ThrowawayAuthority:
    """Implements `sandbox.ports.Timestamps`; never use it for evidence.

    Args:
        habits: How it works.
    """

    def __init__(self, habits: Habits = RIGHT) -> None:
        self._habits = habits
        self._key, above = _new_key(), _new_key()
        name = _name("Throwaway Root")
        self.root = self._issuer(name, name, above, by=above)
        """The certificate at the top."""
        self.chain = [self.root]
        """Those above the authority's own."""
        if habits.is_indirect:
            between, key = _name("Throwaway Between"), _new_key()
            self.chain.append(self._issuer(between, name, key, by=above))
            name, above = between, key
        own = self._certificate(_name("Throwaway TSA"), name, self._key.public_key())
        usage = x509.ExtendedKeyUsage(habits.purposes)
        own = own.add_extension(usage, critical=habits.is_purpose_critical)
        for extension in habits.extensions:
            own = own.add_extension(extension, critical=True)
        self.certificate = own.sign(above, hashes.SHA256())
        """The authority's own certificate; every token carries it."""

    def stamp(self, text: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Return a token over the SHA-256 of `text`, and the chain above its signer."""
        token = self.token(hashlib.sha256(text).digest())
        return token, tuple(item.public_bytes(Encoding.DER) for item in self.chain)

    def token(self, imprint: bytes, *, nonce: bytes = b"") -> bytes:
        """Return a token.

        Args:
            imprint: SHA-256 of what is stamped.
            nonce: DER of the request's nonce, or nothing.
        """
        info = self._info(imprint, nonce if self._habits.echoes_nonce else b"")
        attributes = self._attributes(info)
        signed = self._key.sign(_der(0x31, *attributes), ec.ECDSA(hashes.SHA256()))
        certificates = [
            item.public_bytes(Encoding.DER)
            for item in (self.certificate, *self._habits.carries)
        ]
        signer = _der(
            0x30,
            _integer(1),
            _der(
                0x30,
                self.certificate.issuer.public_bytes(),
                _integer(self.certificate.serial_number),
            ),
            SHA256_ALGORITHM,
            _der(0xA0, *attributes),
            _ECDSA_SHA256,
            _der(0x04, signed),
        )
        data = _der(
            0x30,
            _integer(3),
            _der(0x31, SHA256_ALGORITHM),
            _der(0x30, _TST_INFO, _der(0xA0, _der(0x04, info))),
            _der(0xA0, *certificates),
            _der(0x31, signer),
        )
        return _der(0x30, _SIGNED_DATA, _der(0xA0, data))

    def _info(self, imprint: bytes, nonce: bytes) -> bytes:
        at = self._habits.at.strftime("%Y%m%d%H%M%SZ").encode()
        return _der(
            0x30,
            _integer(1),
            _POLICY,
            _der(0x30, SHA256_ALGORITHM, _der(0x04, imprint)),
            _integer(1),
            _der(0x18, at),
            nonce,
        )

    def _attributes(self, info: bytes) -> list[bytes]:
        named = self.certificate if self._habits.names_itself else self.root
        whole = named.public_bytes(Encoding.DER)
        digest = _der(0x04, hashlib.sha256(whole).digest())
        certificate = _der(0x30, _der(0x30, _der(0x30, digest)))
        content = _der(0x04, hashlib.sha256(info).digest())
        return [
            _der(0x30, _CONTENT_TYPE, _der(0x31, _TST_INFO)),
            _der(0x30, _MESSAGE_DIGEST, _der(0x31, content)),
            _der(0x30, _SIGNING_CERTIFICATE_V2, _der(0x31, certificate)),
        ]

    def _issuer(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        by: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        limits = x509.BasicConstraints(ca=True, path_length=self._habits.reach)
        made = self._certificate(subject, issuer, key.public_key())
        return made.add_extension(limits, critical=True).sign(by, hashes.SHA256())

    def _certificate(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        start = self._habits.at - timedelta(days=1)
        return x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=start,
            not_valid_after=start + self._habits.valid_for,
        )


@contextmanager
def serving(authority: ThrowawayAuthority, *, answer: bytes = b"") -> Iterator[str]:
    """Serve an authority over HTTP on loopback; yields its URL.

    Args:
        authority: Who stamps.
        answer: Sent in its place, if not empty.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            data = answer or _answer(authority, query)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def _answer(authority: ThrowawayAuthority, query: bytes) -> bytes:
    parts = children(read_one(query))
    imprint = children(parts[1])[1].body
    nonce = next((part.whole for part in parts[2:] if part.tag == 0x02), b"")
    granted = _der(0x30, _integer(0))
    return _der(0x30, granted, authority.token(imprint, nonce=nonce))


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body
