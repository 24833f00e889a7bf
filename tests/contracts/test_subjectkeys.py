"""What every store of subjects' keys promises, and the one on files besides."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from sandbox.adapters.subject_keys import FileSubjectKeys
from sandbox.errors import EvidenceError
from sandbox.ports import SubjectKeys
from sandbox.recorder.sealing import SUITE
from sandbox.testing.subject_keys import FakeSubjectKeys

TRIAL = "ride-1"
ANNA, BEN = "a" * 32, "b" * 32


@pytest.fixture(name="keys", params=["fake", "file"])
def _keys(request: pytest.FixtureRequest, tmp_path: Path) -> SubjectKeys:
    if request.param == "fake":
        return FakeSubjectKeys()
    return FileSubjectKeys(tmp_path / "subjects")


def seal(public_key: bytes, value: bytes, info: bytes = b"i") -> bytes:
    """Seal as a producer does, with the public key alone."""
    return SUITE.encrypt(value, X25519PublicKey.from_public_bytes(public_key), info)


def test_what_is_sealed_to_a_key_opens_with_it_alone(keys: SubjectKeys) -> None:
    """Not with another subject's or trial's, not in another context, not changed."""
    anna, ben = keys.create(TRIAL, ANNA), keys.create(TRIAL, BEN)
    keys.create("ride-2", ANNA)
    sealed = seal(anna.public_key, b"value")
    assert keys.open(TRIAL, ANNA, sealed=sealed, info=b"i") == b"value"
    assert keys.open(TRIAL, ANNA, sealed=sealed, info=b"j") is None
    assert keys.open(TRIAL, BEN, sealed=sealed, info=b"i") is None
    assert keys.open("ride-2", ANNA, sealed=sealed, info=b"i") is None
    for wrong in (b"", sealed[:20], sealed[:-1], sealed + b"x"):
        assert keys.open(TRIAL, ANNA, sealed=wrong, info=b"i") is None
    assert anna.public_key != ben.public_key


def test_keys_stay_the_same_and_are_listed(keys: SubjectKeys) -> None:
    """Made once for each subject and trial; listed by pseudonym."""
    assert keys.list(TRIAL) == []
    ben, anna = keys.create(TRIAL, BEN), keys.create(TRIAL, ANNA)
    assert keys.create(TRIAL, BEN) == ben
    assert keys.list(TRIAL) == [anna, ben]
    assert keys.list("ride-2") == []
    naming = keys.naming_key(TRIAL)
    assert len(naming) == 32
    assert naming == keys.naming_key(TRIAL) != keys.naming_key("ride-2")
    assert keys.list(TRIAL) == [anna, ben]


def test_a_destroyed_key_is_gone(keys: SubjectKeys) -> None:
    """It opens nothing, is not listed, and destroying it again is no error."""
    anna, ben = keys.create(TRIAL, ANNA), keys.create(TRIAL, BEN)
    sealed = seal(anna.public_key, b"value")
    keys.destroy(TRIAL, ANNA)
    keys.destroy(TRIAL, ANNA)
    assert keys.list(TRIAL) == [ben]
    with pytest.raises(EvidenceError):
        keys.open(TRIAL, ANNA, sealed=sealed, info=b"i")


def test_the_files_are_private(tmp_path: Path) -> None:
    """Modes 0600 and 0700; a key others can read is not used."""
    keys = FileSubjectKeys(tmp_path / "subjects")
    keys.naming_key(TRIAL)
    keys.create(TRIAL, ANNA)
    folder = tmp_path / "subjects" / TRIAL
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(item.name for item in folder.iterdir()) == [
        f"{ANNA}.key",
        "naming.key",
    ]
    assert {item.stat().st_mode & 0o777 for item in folder.iterdir()} == {0o600}
    (folder / f"{ANNA}.key").chmod(0o640)
    with pytest.raises(EvidenceError, match="others can read it"):
        keys.create(TRIAL, ANNA)


@pytest.mark.parametrize("name", ["", "../x", "A" * 32, "a" * 31])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Only pseudonyms name keys, and only trials' names their folders."""
    keys = FileSubjectKeys(tmp_path)
    with pytest.raises(EvidenceError, match="not the pseudonym"):
        keys.create(TRIAL, name)
    with pytest.raises(EvidenceError, match="not a trial id"):
        keys.naming_key(f"../{name}")


def test_the_bytes_are_overwritten_before_the_name_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between leaves zeros, which is a destroyed key; again finishes it."""
    keys = FileSubjectKeys(tmp_path)
    keys.create(TRIAL, ANNA)
    path = tmp_path / TRIAL / f"{ANNA}.key"

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            keys.destroy(TRIAL, ANNA)
    assert path.read_bytes() == bytes(32)
    assert keys.list(TRIAL) == []
    for use in (
        lambda: keys.create(TRIAL, ANNA),
        lambda: keys.open(TRIAL, ANNA, sealed=b"", info=b""),
    ):
        with pytest.raises(EvidenceError, match="was destroyed"):
            use()
    keys.destroy(TRIAL, ANNA)
    assert not path.exists()


def test_a_copy_left_by_an_interrupted_creation_is_overwritten_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file under its first name is the very same one."""
    keys = FileSubjectKeys(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", lambda *_, **__: None)
        keys.create(TRIAL, ANNA)
    (left,) = (tmp_path / TRIAL).glob(".*")
    assert any(left.read_bytes())
    keys.destroy(TRIAL, ANNA)
    assert left.read_bytes() == bytes(32)


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    """The first to finish wins; nobody seals to a key that is then lost."""
    keys = FileSubjectKeys(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: keys.create(TRIAL, ANNA), range(16)))
    assert len(set(made)) == 1
    assert os.listdir(tmp_path / TRIAL) == [f"{ANNA}.key"]
