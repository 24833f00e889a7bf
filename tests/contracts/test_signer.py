"""One suite for every signer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sandbox.adapters.signer import FileSigner
from sandbox.errors import EvidenceError
from sandbox.ports import Signer
from sandbox.testing.signer import ThrowawaySigner

Make = Callable[[str], Signer]


@pytest.fixture(name="make", params=["file", "throwaway"])
def _make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "file":
        return lambda name: FileSigner(tmp_path / "keys" / "log.pem", name)
    return ThrowawaySigner


def test_a_signature_verifies_with_the_public_key_alone(make: Make) -> None:
    """RFC 8032: 32-byte key, 64-byte signature, the same each time."""
    signer = make("log.example/a")
    signature = signer.sign(b"data")
    assert (len(signer.public_key), len(signature)) == (32, 64)
    assert signer.sign(b"data") == signature
    key = Ed25519PublicKey.from_public_bytes(signer.public_key)
    key.verify(signature, b"data")
    with pytest.raises(InvalidSignature):
        key.verify(signature, b"other")


def test_the_key_stays_the_same(make: Make) -> None:
    """Made again it holds the same key; the name is the one given."""
    assert make("log.example/a").public_key == make("log.example/a").public_key
    assert make("log.example/a").name == "log.example/a"


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb"])
def test_a_name_a_note_cannot_carry_is_refused(make: Make, name: str) -> None:
    """No space, no plus sign, not empty."""
    with pytest.raises(EvidenceError, match="cannot name a key"):
        make(name)


def test_the_key_file_is_private(tmp_path: Path) -> None:
    """Mode 0600 in a folder 0700; a key others can read is not used."""
    path = tmp_path / "keys" / "log.pem"
    FileSigner(path, "n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [item.name for item in path.parent.iterdir()] == ["log.pem"]
    path.chmod(0o640)
    with pytest.raises(EvidenceError, match="read by others"):
        FileSigner(path, "n")


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    """The first to finish wins; nobody signs with a key that is then lost."""
    path = tmp_path / "log.pem"
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: FileSigner(path, "n"), range(16)))
    assert len({signer.public_key for signer in signers}) == 1


@pytest.mark.parametrize("content", [b"", b"noise", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_key_is_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    """It is never replaced silently."""
    path = tmp_path / "log.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(EvidenceError, match="restore it from a backup"):
        FileSigner(path, "n")
    assert path.read_bytes() == content
