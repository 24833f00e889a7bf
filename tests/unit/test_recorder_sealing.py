"""Sealed values: only the right key in the right place opens them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.evidence.subject import sealing_keys, subject_of
from sandbox.recorder import sealing
from sandbox.recorder.sealing import SubjectSealer, context, pad, pseudonym
from sandbox.testing.subject_keys import FakeSubjectKeys

TRIAL = "ride-1"
RIDER = "rider-17"


def enrolled(*subjects: str) -> tuple[FakeSubjectKeys, SubjectSealer]:
    """Return a key store with these subjects, and a producer's sealer for them."""
    keys = FakeSubjectKeys()
    for subject in subjects:
        keys.create(*subject_of(keys, TRIAL, subject))
    return keys, SubjectSealer.from_json(json.dumps(sealing_keys(keys, TRIAL)))


def test_a_sealed_value_shows_neither_subject_nor_value_nor_length() -> None:
    """Its text is made of a pseudonym and bytes that differ each time."""
    _, sealer = enrolled(RIDER)
    one = sealer.seal(RIDER, "rider.name", "Aiko Mori")
    again = sealer.seal(RIDER, "rider.name", "Aiko Mori")
    longer = sealer.seal(RIDER, "rider.name", "Aiko Mori, 17 Example Street")
    assert one.startswith("sealed:v1:")
    assert RIDER not in one
    assert one != again
    assert len(one) == len(longer)
    assert one.isascii()


def test_a_subject_without_a_key_is_refused() -> None:
    """Nothing is sent in clear by mistake, and the name is not in the error."""
    _, sealer = enrolled(RIDER)
    with pytest.raises(KeyError, match="no sealing key") as hit:
        sealer.seal("rider-18", "rider.name", "x")
    assert "rider-18" not in str(hit.value)


def test_pseudonyms_differ_by_trial_and_key() -> None:
    """One person in two trials cannot be linked without their naming keys."""
    names = {
        pseudonym(key, trial, RIDER) for key in (b"a" * 32, b"b" * 32) for trial in "xy"
    }
    assert len(names) == 4


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_padding_comes_off_again(value: bytes) -> None:
    """Whatever the value ends in."""
    padded = pad(value)
    assert len(padded) % 32 == 0
    assert padded.rpartition(b"\x80")[0] == value


PLACES = st.tuples(*[st.text(max_size=3)] * 3)


@settings(deadline=None)
@given(PLACES, PLACES)
def test_contexts_of_different_places_differ(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    """No two places join to the same bytes."""
    assert (context(*first) == context(*second)) == (first == second)


def test_only_exported_keys_make_a_sealer() -> None:
    """Another file is refused with what to do."""
    for text in ("", "[]", "{}", '{"keys": {"a": "zz"}}'):
        with pytest.raises(ValueError, match="subject-key export"):
            SubjectSealer.from_json(text)


def test_an_export_has_no_private_key() -> None:
    """What the producer gets seals, and opens nothing."""
    keys, _ = enrolled(RIDER)
    exported = sealing_keys(keys, TRIAL)
    (public,) = keys.list(TRIAL)
    assert exported["keys"] == {public.subject: public.public_key.hex()}
    assert set(exported) == {"kind", "trial_id", "naming_key", "keys"}


def test_the_file_works_alone(tmp_path: Path) -> None:
    """Copied elsewhere, with `cryptography` and nothing of this product."""
    keys, _ = enrolled(RIDER)
    source = Path(sealing.__file__).read_text()
    (tmp_path / "sealing.py").write_text(source)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import sealing; "
        "sealer = sealing.SubjectSealer.from_json(sys.stdin.read()); "
        "print(sealer.seal('rider-17', 'rider.name', 'Aiko')); "
        "assert not [name for name in sys.modules if name.startswith('sandbox')]"
    )
    out = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path)],
        input=json.dumps(sealing_keys(keys, TRIAL)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.startswith("sealed:v1:")
