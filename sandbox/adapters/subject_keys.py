"""Private keys of data subjects, one file each.

Rules of this module:

* Only their owner may read the files (0600 in folders 0700); a key others can read is
  not used. No name in clear is kept: files are named by pseudonyms.
* Destroying writes zeros over the key, makes that durable, then removes the file. A
  file of zeros is a key already destroyed.
* A key never lies in the records database: its write-ahead log and free pages would
  keep copies. What disks and backups keep is beyond this module.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sandbox.adapters.durable import create_secret, sync_folder
from sandbox.errors import EvidenceError, RecorderError
from sandbox.ports import SubjectKey
from sandbox.recorder import folder_name
from sandbox.recorder.sealing import SUITE

_SUBJECT = re.compile(r"^[0-9a-f]{32}$")
_BYTES = 32
_NAMING = "naming.key"


class FileSubjectKeys:
    """Implements `sandbox.ports.SubjectKeys`.

    Args:
        root: The folder of all trials' keys, for example `keys/subjects` of the state
            directory; made at first use.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def naming_key(self, trial_id: str) -> bytes:
        """Return the key under which subjects of a trial get their pseudonyms.

        Raises:
            EvidenceError: It cannot be made or read.
        """
        return self._made(self._folder(trial_id) / _NAMING)

    def create(self, trial_id: str, subject: str) -> SubjectKey:
        """Make the key of a subject, or return the one there is.

        Raises:
            EvidenceError: It cannot be made or read.
        """
        path = self._path(trial_id, subject)
        key = self._made(path)
        if not any(key):
            raise _unusable(path, "it was destroyed")
        return _public(subject, key)

    def list(self, trial_id: str) -> list[SubjectKey]:
        """Return the keys of a trial's subjects, by pseudonym.

        Raises:
            EvidenceError: One cannot be read.
        """
        folder = self._folder(trial_id)
        paths = sorted(folder.glob("*.key")) if folder.is_dir() else []
        found = {path.stem: _read(path) for path in paths if path.name != _NAMING}
        return [_public(name, key) for name, key in found.items() if any(key)]

    def open(
        self, trial_id: str, subject: str, *, sealed: bytes, info: bytes
    ) -> bytes | None:
        """Return what was sealed to a subject, or None where it does not open.

        Raises:
            EvidenceError: There is no such key, or it cannot be read.
        """
        key = _read(self._path(trial_id, subject))
        if not any(key):
            raise _unusable(self._path(trial_id, subject), "it was destroyed")
        try:
            return SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(key), info)
        except (InvalidTag, ValueError):
            return None

    def destroy(self, trial_id: str, subject: str) -> None:
        """Overwrite and remove the key of a subject; without one, do nothing.

        Raises:
            EvidenceError: It cannot be overwritten or removed.
        """
        path = self._path(trial_id, subject)
        try:
            with path.open("r+b") as file:
                file.write(bytes(_BYTES))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unusable(path, str(error)) from error

    def _path(self, trial_id: str, subject: str) -> Path:
        if not _SUBJECT.match(subject):
            raise EvidenceError(
                f"{subject!r} is not the pseudonym of a subject (32 hexadecimal digits)"
            )
        return self._folder(trial_id) / f"{subject}.key"

    def _folder(self, trial_id: str) -> Path:
        try:
            return self._root / folder_name(trial_id)
        except RecorderError as error:
            raise EvidenceError(error.diagnosis) from error

    def _made(self, path: Path) -> bytes:
        try:
            if not path.exists():
                create_secret(path, secrets.token_bytes(_BYTES))
            return _read(path)
        except OSError as error:
            raise _unusable(path, str(error)) from error


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode & 0o777
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if mode & 0o077:
        raise _unusable(path, f"others can read it (mode {mode:o}); run chmod 600")
    if len(data) != _BYTES:
        raise _unusable(path, f"it has {len(data)} bytes, not {_BYTES}; restore it")
    return data


def _public(subject: str, private: bytes) -> SubjectKey:
    key = X25519PrivateKey.from_private_bytes(private)
    return SubjectKey(subject, key.public_key().public_bytes_raw())


def _unusable(path: Path, why: str) -> EvidenceError:
    return EvidenceError(f"the key {path} cannot be used: {why}")
