"""`python -m sandbox.evidence verify PATH`: check a bundle, offline.

Exit codes: 0 it verifies, 1 it does not, 2 it cannot be read or the call is wrong, or
it verifies but what was asked besides cannot be done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from sandbox.errors import EvidenceError
from sandbox.evidence.cosignatures import Witnesses
from sandbox.evidence.stamps import Authorities
from sandbox.evidence.steps import in_words
from sandbox.evidence.timestamp import read_certificates
from sandbox.evidence.verify import Result, Trust, verify_bundle
from sandbox.evidence.vkey import read_keys

Further = Callable[[Path, Result], Result]
"""Checks a bundle further, and returns the steps before with its own."""


def main(
    arguments: Sequence[str] | None = None, *, further: Further | None = None
) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: Of the command line; those of the process when None.
        further: What is checked besides, where the bundle verifies; raises
            `EvidenceError` where that cannot be done.
    """
    asked = _parser().parse_args(arguments)
    try:
        key = read_key(asked.key) if asked.key else None
        trust = _trust(asked)
        if not asked.path.is_dir():
            raise EvidenceError(
                f"{asked.path} is not a folder; name the folder of a bundle"
            )
    except EvidenceError as error:
        sys.stderr.write(f"{error.diagnosis}\n")
        return 2
    result = verify_bundle(asked.path, key=key, trust=trust)
    undone = ""
    if further is not None and result.ok:
        try:
            result = further(asked.path, result)
        except EvidenceError as error:
            undone = error.diagnosis
    sys.stdout.write(_told(result, as_json=asked.json) + "\n")
    if undone:
        sys.stderr.write(f"VERIFIED ONLY: {undone}\n")
        return 2
    return 0 if result.ok else 1


def read_key(path: Path) -> bytes:
    """Return the raw Ed25519 public key in a file: PEM, 64 hex digits, or 32 bytes.

    Raises:
        EvidenceError: The file cannot be read or holds no such key.
    """
    try:
        data = path.read_bytes()
        if data.lstrip().startswith(b"-----BEGIN"):
            return _from_pem(data)
        raw = data if len(data) == 32 else bytes.fromhex(data.decode().strip())
        return Ed25519PublicKey.from_public_bytes(raw).public_bytes_raw()
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError(
            f"{path} holds no Ed25519 public key ({error}); give PEM, 64 hexadecimal "
            "digits, or 32 raw bytes"
        ) from error


def _trust(asked: argparse.Namespace) -> Trust:
    read_keys(asked.witness)
    if asked.require_witness < 0:
        raise EvidenceError("--require-witness asks for fewer than no witness")
    certificates = [item for path in asked.tsa for item in _certificates(path)]
    authorities = Authorities(tuple(certificates), asked.require_timestamp)
    witnesses = Witnesses(tuple(asked.witness), asked.require_witness)
    return Trust(witnesses, authorities)


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_certificates(path.read_bytes(), what=str(path))
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error}") from error


def _told(result: Result, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(result.as_dict(), indent=2)
    counts = f"{result.entries} entries, {result.frames} frames, {result.spans} spans"
    if result.erased_frames:
        counts += (
            f"; not counted again, because erased: {result.erased_frames} frames, "
            f"{result.erased_spans} spans"
        )
    return in_words(result.steps, verified=f"VERIFIED: {counts}")


def _from_pem(data: bytes) -> bytes:
    key = load_pem_public_key(data)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is a key of another kind")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.evidence")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="check a bundle, offline")
    verify.add_argument("path", type=Path, help="folder of the bundle")
    verify.add_argument("--json", action="store_true", help="write the result as JSON")
    verify.add_argument(
        "--key", type=Path, help="file of the public key you trust (PEM, hex or raw)"
    )
    verify.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="VKEY",
        help="key line of a witness you trust; may be repeated",
    )
    verify.add_argument(
        "--tsa",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="PEM file of a time-stamping authority you trust; may be repeated",
    )
    verify.add_argument(
        "--require-witness",
        type=int,
        default=0,
        metavar="N",
        help="fail unless N witnesses you trust saw every entry of the bundle",
    )
    verify.add_argument(
        "--require-timestamp",
        action="store_true",
        help="fail unless an authority you trust stamped every entry of the bundle",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
