"""Asks a time-stamping authority over HTTP (RFC 3161, section 3.4).

Rules of this module:

* A request carries a fresh nonce and asks for the authority's certificate; an answer
  with another nonce, or a token that does not verify, is no answer.
* It takes a bounded time once the authority's address is known, whatever it does, and
  reads a bounded answer. (How long a name is looked up is the resolver's to bound.)
"""

from __future__ import annotations

import time
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimeStampRequest,
    TimestampRequestBuilder,
    decode_timestamp_response,
)

from sandbox.errors import EvidenceError
from sandbox.evidence.timestamp import read_certificates, verify_token
from sandbox.settings import Settings

_PATIENCE_S = 5.0
_LARGEST_ANSWER = 1 << 18
_GRANTED = (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS)


class HttpTimestamps:
    """Implements `sandbox.ports.Timestamps`.

    Args:
        url: Where the authority answers; http or https.
        chain: Certificates above the authority's own, kept with every token. Given,
            only a token whose path reaches one of them is taken.
        patience_s: Seconds after which it counts as not answering.
    """

    def __init__(
        self,
        url: str,
        *,
        chain: tuple[x509.Certificate, ...] = (),
        patience_s: float = _PATIENCE_S,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise EvidenceError(f"{url!r} is not the URL of a time-stamping authority")
        self._url = url
        self._chain = chain
        self._patience_s = patience_s

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the authority that settings name, or None.

        Raises:
            EvidenceError: The chain of certificates cannot be read.
        """
        if not settings.tsa_url:
            return None
        chain = _read_chain(settings.tsa_chain) if settings.tsa_chain else ()
        return cls(settings.tsa_url, chain=chain)

    def stamp(self, text: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Return a token over the SHA-256 of `text`, and the chain above its signer.

        Raises:
            EvidenceError: The authority did not answer (retryable), refused, or its
                token does not verify or is by another authority.
        """
        asked = (
            TimestampRequestBuilder()
            .data(text)
            .hash_algorithm(HashAlgorithm.SHA256)
            .cert_request(cert_request=True)
            .build()
        )
        token = self._token(asked, self._post(asked.as_bytes()))
        stamp = verify_token(token, text, chain=self._chain, trusted=self._chain)
        if self._chain and not stamp.trusted:
            raise EvidenceError(
                f"{self._url} stamped as {stamp.authority}, which the chain in "
                "SANDBOX_TSA_CHAIN does not lead to; name the certificates above it"
            )
        chain = tuple(item.public_bytes(Encoding.DER) for item in self._chain)
        return token, chain

    def _token(self, asked: TimeStampRequest, answer: bytes) -> bytes:
        try:
            read = decode_timestamp_response(answer)
            if read.status not in _GRANTED:
                why = "; ".join(read.status_string) or "it says no more"
                raise EvidenceError(
                    f"{self._url} refused to stamp: status {read.status} ({why})"
                )
            if read.tst_info.nonce != asked.nonce:
                raise EvidenceError(f"{self._url} answered another request")
            return bytes(read.time_stamp_token())
        except ValueError as error:
            raise EvidenceError(
                f"{self._url} did not answer with a timestamp ({error})", retryable=True
            ) from error

    def _post(self, query: bytes) -> bytes:
        request = urllib.request.Request(
            self._url,
            data=query,
            headers={"Content-Type": "application/timestamp-query"},
        )
        deadline = time.monotonic() + self._patience_s
        try:
            with urllib.request.urlopen(request, timeout=self._patience_s) as answer:
                return _read(answer, deadline)
        except (OSError, HTTPException, ValueError) as error:
            raise EvidenceError(
                f"{self._url} did not answer ({error}); it is asked again with the "
                "next checkpoint",
                retryable=True,
            ) from error


def _read(answer: HTTPResponse, deadline: float) -> bytes:
    """Read what an authority sends, at most so much and at most so long."""
    data = b""
    while piece := answer.read1(_LARGEST_ANSWER):
        data += piece
        if len(data) > _LARGEST_ANSWER:
            raise ValueError("its answer is too large")
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long")
    return data


def _read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_certificates(path.read_bytes(), what=str(path))
    except OSError as error:
        raise EvidenceError(
            f"{path} cannot be read: {error}; name a PEM file in SANDBOX_TSA_CHAIN"
        ) from error
