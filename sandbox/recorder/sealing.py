"""For innovators: seals a person's data before it is sent, so that it can be forgotten.

Evidence cannot be changed, so personal data stay out of spans. Where a value must be
sent, seal it to the person's key: the evidence then holds something that only the
authority's key opens, and destroying that key is the erasure.

    sealer = SubjectSealer.from_json(Path("/etc/sandbox/sealing.json").read_text())
    span.set_attribute("rider.name", sealer.seal("rider-17", "rider.name", "Aiko Mori"))

Rules of this module:

* It imports the standard library and `cryptography` (50 or later), nothing else of this
  product, so this one file may be copied into a system under trial as it is.
* It holds public keys only: what was sealed cannot be opened where it was sealed.
* Sealing is HPKE, base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
  ChaCha20-Poly1305. Each value has an ephemeral key of its own, so there is no nonce to
  be used twice, in however many processes.
* The trial, the subject and the attribute's name are bound in (HPKE `info`): a sealed
  value moved to another place does not open.
* A subject is named by HMAC-SHA-256 under a key of the trial, never in clear. Whoever
  has that key and guesses the name can confirm the guess.
* Values are padded to a multiple of 32 bytes, so that their length tells little.
* A subject without a key is refused: nothing leaves in clear by mistake.

Text of a sealed value: `sealed:v1:SUBJECT:` and the unpadded base64url form of the
encapsulated key followed by the ciphertext.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

PREFIX = "sealed:v1:"
"""How every sealed value begins."""
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_CONTEXT = b"regulatory-sandbox sealed value v1"
_BLOCK = 32


class SubjectSealer:
    """Seals values to the keys of a trial's subjects.

    Safe to use from several threads and processes.

    Args:
        trial: Name of the trial.
        naming_key: Key under which subjects get their pseudonyms, 32 bytes.
        keys: Public key (X25519, 32 bytes) of each subject, by pseudonym.
    """

    def __init__(
        self, trial: str, *, naming_key: bytes, keys: Mapping[str, bytes]
    ) -> None:
        self._trial = trial
        self._naming_key = naming_key
        self._keys = {
            name: X25519PublicKey.from_public_bytes(key) for name, key in keys.items()
        }

    @classmethod
    def from_json(cls, text: str) -> SubjectSealer:
        """Return the sealer of a file that `sandbox evidence subject-key export` wrote.

        Raises:
            ValueError: It is not such a file.
        """
        try:
            data = json.loads(text)
            keys = {name: bytes.fromhex(key) for name, key in data["keys"].items()}
            naming_key = bytes.fromhex(data["naming_key"])
            return cls(data["trial_id"], naming_key=naming_key, keys=keys)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                "this is not a file of sealing keys; write one with "
                "`sandbox evidence subject-key export TRIAL FILE`"
            ) from error

    def seal(self, subject: str, attribute: str, value: str) -> str:
        """Return a value sealed to a subject, for one attribute.

        Args:
            subject: Whose data it is, by the name given to `subject-key new`.
            attribute: Name of the span or resource attribute that will hold it.
            value: What to seal.

        Raises:
            KeyError: The subject has no key; do not send the value.
        """
        name = pseudonym(self._naming_key, self._trial, subject)
        if name not in self._keys:
            raise KeyError(
                f"a subject of trial {self._trial} has no sealing key (pseudonym "
                f"{name}); enrol it with `sandbox evidence subject-key new` and export "
                "the keys again"
            )
        info = context(self._trial, name, attribute)
        sealed = SUITE.encrypt(pad(value.encode()), self._keys[name], info)
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        return f"{PREFIX}{name}:{text}"


def pseudonym(naming_key: bytes, trial: str, subject: str) -> str:
    """Return the name of a subject in the evidence, 32 hexadecimal digits."""
    message = _joined(b"subject", trial.encode(), subject.encode())
    return hmac.digest(naming_key, message, "sha256")[:16].hex()


def context(trial: str, name: str, attribute: str) -> bytes:
    """Return what a sealed value is bound to (HPKE `info`)."""
    return _joined(_CONTEXT, trial.encode(), name.encode(), attribute.encode())


def pad(value: bytes) -> bytes:
    """Return a value with its end marked, filled up (ISO/IEC 7816-4)."""
    return value + b"\x80" + bytes(-(len(value) + 1) % _BLOCK)


def _joined(*parts: bytes) -> bytes:
    # Each part with its length before it, so that no two lists join to the same bytes.
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
