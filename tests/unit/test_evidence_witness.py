"""Witnesses: a log that only grew is cosigned, any other is refused."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.evidence.cosignatures import Cosignature, open_cosignatures
from sandbox.evidence.log import parse_checkpoint
from sandbox.evidence.merkle import consistency_proof, leaf_hash, root_of_hashes
from sandbox.evidence.note import (
    NoteCheckpoint,
    checkpoint_text,
    open_checkpoint,
    signed_note,
)
from sandbox.evidence.vkey import COSIGNATURE, NoteKey, check_public_key, parse_vkey
from sandbox.evidence.witness import Growth, check_growth, cosign
from sandbox.testing.signer import ThrowawaySigner

LOG = ThrowawaySigner("log.example")
WITNESS = ThrowawaySigner("witness.example")
AT = datetime(2026, 5, 1, 12, 0, 1, tzinfo=UTC)
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]


class Seen(NamedTuple):
    note: bytes
    checkpoint: NoteCheckpoint


def seen(size: int, *, leaves: list[bytes] = LEAVES, origin: str = LOG.name) -> Seen:
    text = checkpoint_text(origin, size, root_of_hashes(leaves[:size]))
    note = signed_note(
        text, name=LOG.name, public_key=LOG.public_key, signature=LOG.sign(text)
    ).encode()
    return Seen(note, NoteCheckpoint(origin, size, root_of_hashes(leaves[:size])))


def test_a_cosigned_note_names_witness_and_time() -> None:
    """The log's own signature still verifies; the witness's line is found beside it."""
    note = cosign(seen(7).note, WITNESS, at=AT)
    assert open_checkpoint(note, {LOG.name: LOG.public_key}).size == 7
    trusted = {WITNESS.name: WITNESS.public_key}
    assert open_cosignatures(note, trusted) == (Cosignature("witness.example", AT),)
    assert open_cosignatures(seen(7).note, trusted) == ()


def test_what_is_signed_is_what_the_specification_says() -> None:
    """Header, time in seconds, and the checkpoint's text (C2SP tlog-cosignature)."""
    signed: list[bytes] = []

    class Recording:
        name, public_key = WITNESS.name, WITNESS.public_key

        def sign(self, data: bytes) -> bytes:
            signed.append(data)
            return WITNESS.sign(data)

    note = seen(3).note
    cosign(note, Recording(), at=AT)
    text = note.split(b"\n\n")[0] + b"\n"
    assert signed == [b"cosignature/v1\ntime 1777636801\n" + text]


def test_any_changed_byte_of_a_cosigned_note_is_noticed() -> None:
    """Flipped anywhere, it is an error or nobody's signature."""
    note = cosign(seen(7).note, WITNESS, at=AT)
    trusted = {WITNESS.name: WITNESS.public_key}
    for position in range(len(note)):
        changed = bytearray(note)
        changed[position] ^= 1
        try:
            found = open_cosignatures(bytes(changed), trusted)
            open_checkpoint(bytes(changed), {LOG.name: LOG.public_key})
        except EvidenceError:
            continue
        assert found == (), position


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_log_that_grew_is_signed_and_one_that_shrank_is_not(a: int, b: int) -> None:
    """Between any two sizes of one log."""
    proof = consistency_proof(a, LEAVES[:b]) if a < b else []
    growth = Growth(seen(a).checkpoint, seen(b).checkpoint, proof)
    if a <= b:
        check_growth(growth)
    else:
        with pytest.raises(EvidenceError, match="shrank"):
            check_growth(growth)


def test_a_rewritten_log_is_refused_with_both_proofs_kept() -> None:
    """One entry changed before the last signature, of the same size or larger."""
    other = [leaf_hash(b"other"), *LEAVES[1:]]
    for size in (5, 9):
        proof = consistency_proof(5, other[:size]) if size > 5 else []
        growth = Growth(seen(5).checkpoint, seen(size, leaves=other).checkpoint, proof)
        with pytest.raises(EvidenceError, match="keep both notes"):
            check_growth(growth)


def test_another_log_is_not_taken_for_the_first() -> None:
    """A state belongs to one log."""
    growth = Growth(seen(5).checkpoint, seen(5, origin="other").checkpoint, [])
    with pytest.raises(EvidenceError, match="another|of the log 'other'"):
        check_growth(growth)


def test_keys_are_read_from_the_line_their_owner_prints() -> None:
    """`name+id+key`, of the right type; a checkpoint opens with such a line."""
    line = NoteKey(LOG.name, LOG.public_key).vkey()
    assert parse_vkey(line) == NoteKey(LOG.name, LOG.public_key)
    assert parse_checkpoint(seen(4).note, [line]).size == 4
    mine = NoteKey(WITNESS.name, WITNESS.public_key, COSIGNATURE)
    assert parse_vkey(mine.vkey()) == mine
    for wrong in (line.replace("+", "-"), f"x{line}", line[:-8], ""):
        with pytest.raises(EvidenceError):
            parse_vkey(wrong)


def _weak_keys() -> list[bytes]:
    """Points of small order, found by arithmetic: 8 times each is the neutral one."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        k = d * a[0] * b[0] * a[1] * b[1] % p
        x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + k, -1, p) % p
        y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, p) % p
        return x, y

    i = pow(2, (p - 1) // 4, p)
    found = {(0, 1), (0, p - 1), (i, 0), (p - i, 0)}
    # Order 8: doubling gives y = 0, that is y² = -x² and -x² + y² = 1 + d x² y².
    for square in (_root(1 + d, p),):
        for half in (square - 1, -square - 1):
            y2 = half * pow(d, -1, p) % p
            if pow(y2, (p - 1) // 2, p) == 1:
                y = _root(y2, p)
                x = y * i % p
                found |= {(x, y), (x, p - y), (p - x, y), (p - x, p - y)}
    for point in found:
        eight = point
        for _ in range(3):
            eight = add(eight, eight)
        assert eight == (0, 1)
    return [(y | (x & 1) << 255).to_bytes(32, "little") for x, y in sorted(found)]


def _root(value: int, p: int) -> int:
    root = pow(value, (p + 3) // 8, p)
    if root * root % p != value % p:
        root = root * pow(2, (p - 1) // 4, p) % p
    assert root * root % p == value % p
    return root


def test_keys_under_which_anyone_can_sign_are_refused() -> None:
    """All eight points of small order, wrong lengths; a real key passes."""
    weak = _weak_keys()
    assert len(weak) == 8
    for key in (*weak, b"", bytes(31), LOG.public_key + b"0"):
        with pytest.raises(EvidenceError, match="weak key|has .* bytes"):
            check_public_key(key, what="it")
    check_public_key(LOG.public_key, what="it")


def test_the_key_line_has_the_form_of_the_specification() -> None:
    """Name, eight hexadecimal digits, base64 of type and key."""
    line = NoteKey(WITNESS.name, WITNESS.public_key, COSIGNATURE).vkey()
    assert re.fullmatch(r"witness\.example\+[0-9a-f]{8}\+B[A-Za-z0-9+/]{43}", line)
