"""Verifier keys and notes of others: the texts of C2SP, read as they stand."""

from __future__ import annotations

import base64

import pytest

from sandbox.errors import EvidenceError
from sandbox.evidence.log import parse_checkpoint
from sandbox.evidence.note import (
    checkpoint_text,
    cosigned_text,
    open_checkpoint,
    open_note,
    read_checkpoint,
    signature_line,
    signed_note,
    split_note,
)
from sandbox.evidence.vkey import (
    COSIGNATURE,
    ED25519,
    NoteKey,
    check_public_key,
    parse_vkey,
    read_keys,
)
from sandbox.testing.signer import ThrowawaySigner

LOG = ThrowawaySigner("log.example/trials")
WITNESS = ThrowawaySigner("witness.example", seed="w")
LOG_KEY = NoteKey(LOG.name, LOG.public_key)
WITNESS_KEY = NoteKey(WITNESS.name, WITNESS.public_key, COSIGNATURE)

# The example of C2SP signed-note, section "Verifier keys".
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYN"
    "ZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# The example of C2SP tlog-cosignature; the keys are not published.
BEHIND_THE_SOFA = (
    "example.com/behind-the-sofa\n20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRD"
    "e4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWX"
    "EhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()


def note(text: bytes = b"", *lines: str) -> bytes:
    """Return a note signed by the log, with further signature lines."""
    text = text or checkpoint_text(LOG.name, 7, b"r" * 32)
    own = signed_note(
        text, name=LOG.name, public_key=LOG.public_key, signature=LOG.sign(text)
    )
    return (own + "".join(lines)).encode()


def cosignature(text: bytes, *, at: int, signed_at: int | None = None) -> str:
    """Return a witness's line; `signed_at` other than `at` makes it false."""
    signature = WITNESS.sign(
        cosigned_text(text, at if signed_at is None else signed_at)
    )
    return signature_line(WITNESS_KEY, at.to_bytes(8, "big") + signature)


def test_the_example_of_the_specification_verifies() -> None:
    """Key and note of C2SP signed-note; its text comes back, changed it does not."""
    assert open_note(FOO_NOTE, [FOO]) == b"This is an example message.\n"
    assert open_note(FOO_NOTE, FOO) == b"This is an example message.\n"
    with pytest.raises(EvidenceError, match="not by the key"):
        open_note(FOO_NOTE.replace(b"example message", b"exemplary message"), [FOO])


def test_the_checkpoint_of_the_specification_is_read() -> None:
    """Origin, size, two signature lines; the second was made at its printed time."""
    text, lines = split_note(BEHIND_THE_SOFA)
    said = read_checkpoint(text)
    assert (said.origin, said.size) == ("example.com/behind-the-sofa", 20852163)
    assert [line.name for line in lines] == [said.origin, "witness.example.com/w1"]
    assert len(lines[1].signature) == 72
    assert lines[1].at == 1679315147
    assert cosigned_text(text, lines[1].at) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    with pytest.raises(EvidenceError, match="no trusted key"):
        parse_checkpoint(BEHIND_THE_SOFA, [FOO])


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        (FOO, ED25519),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", ED25519),
        (
            "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
            COSIGNATURE,
        ),
    ],
)
def test_keys_of_others_are_read_and_written_alike(text: str, algorithm: bytes) -> None:
    """Of the specification, of the Go implementation, of a public witness."""
    key = parse_vkey(text)
    assert key.algorithm == algorithm
    assert key.vkey() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        FOO.replace("530d903a", "530d903b"),
        FOO.replace("530d903a", "530D903A"),
        FOO.replace("530d903a", "530d903"),
        FOO.replace("example.com", "example .com"),
        FOO.replace("example.com/foo", ""),
        FOO[:-4],
        FOO + "=",
        FOO[:-1] + "!",
        FOO.replace("foo+", "foo+0+"),
        "x+12345678+AwEB",
        NoteKey("x", b"k" * 32, b"\x06").vkey(),
        NoteKey("x", bytes(32)).vkey(),
        NoteKey("x", b"k" * 31).vkey(),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """Parts missing or wrong, another's key id, unknown types, weak or short keys."""
    with pytest.raises(EvidenceError):
        parse_vkey(text)


def test_a_weak_key_is_refused_however_it_is_given() -> None:
    """Also raw, by name: under the neutral point anything would verify."""
    weak = b"\x01" + bytes(31)
    with pytest.raises(EvidenceError, match="weak"):
        open_checkpoint(note(), {LOG.name: weak})
    with pytest.raises(EvidenceError, match="31 bytes"):
        read_keys({LOG.name: bytes(31)})
    with pytest.raises(EvidenceError, match="cannot name"):
        read_keys({"two words": LOG.public_key})


@pytest.mark.parametrize("y", [2**255 - 19, 2**255 - 18, 2**255 - 1, 2])
@pytest.mark.parametrize("sign", [0, 1])
def test_bytes_that_are_no_point_are_refused(y: int, sign: int) -> None:
    """Second encodings of weak points, numbers beyond the field, no point at all."""
    with pytest.raises(EvidenceError):
        check_public_key((y | sign << 255).to_bytes(32, "little"), what="it")


@pytest.mark.parametrize("seed", range(20))
def test_real_keys_are_taken(seed: int) -> None:
    """Keys that were made as keys pass."""
    check_public_key(ThrowawaySigner(seed=str(seed)).public_key, what="it")


def test_keys_by_name_and_as_text_are_the_same_trust() -> None:
    """A checkpoint parses to the same record with either."""
    by_name = parse_checkpoint(note(), {LOG.name: LOG.public_key})
    assert parse_checkpoint(note(), [LOG_KEY.vkey()]) == by_name
    assert parse_checkpoint(note(), iter([FOO, LOG_KEY.vkey()])) == by_name
    assert (by_name.origin, by_name.size) == (LOG.name, 7)


def test_sixteen_signatures_and_more_are_read_but_not_any_number() -> None:
    """The specification asks for sixteen at least, and for some limit."""
    unknown = "\u2014 someone.example AAAAAAA=\n"
    for count in (15, 99):
        assert (
            open_checkpoint(note(b"", *[unknown] * count), [LOG_KEY.vkey()]).size == 7
        )
    with pytest.raises(EvidenceError, match="101 signatures"):
        open_checkpoint(note(b"", *[unknown] * 100), [LOG_KEY.vkey()])


def test_unknown_signatures_are_passed_over() -> None:
    """Of a known name with another id, of a known id with another name, of any size."""
    identity = LOG_KEY.key_id
    lines = [
        f"\u2014 {LOG.name} {base64.b64encode(b'0000' + b's' * 64).decode()}\n",
        f"\u2014 other {base64.b64encode(identity + b's' * 64).decode()}\n",
        f"\u2014 large {base64.b64encode(b'0000' + b's' * 5000).decode()}\n",
    ]
    assert open_checkpoint(note(b"", *lines), [LOG_KEY.vkey()]).size == 7


def test_a_false_signature_of_a_known_key_fails_the_whole_note() -> None:
    """Even beside a good one of the log."""
    false = base64.b64encode(LOG_KEY.key_id + b"s" * 64).decode()
    with pytest.raises(EvidenceError, match="not by the key"):
        open_checkpoint(note(b"", f"\u2014 {LOG.name} {false}\n"), [LOG_KEY.vkey()])


def test_a_cosignature_is_checked_where_its_key_is_known() -> None:
    """With its own time it verifies; with another time, or none, the note fails."""
    text = checkpoint_text(LOG.name, 7, b"r" * 32)
    keys = [LOG_KEY.vkey(), WITNESS_KEY.vkey()]
    assert open_checkpoint(note(text, cosignature(text, at=5)), keys).size == 7
    for false in (
        cosignature(text, at=5, signed_at=6),
        signature_line(WITNESS_KEY, WITNESS.sign(text)),
        cosignature(text, at=1 << 63),
    ):
        with pytest.raises(EvidenceError):
            open_checkpoint(note(text, false), keys)


def test_a_witness_cannot_sign_for_the_log() -> None:
    """Trusted or not, its line does not replace the log's own."""
    text = checkpoint_text(LOG.name, 7, b"r" * 32)
    alone = (text.decode() + "\n" + cosignature(text, at=5)).encode()
    with pytest.raises(EvidenceError, match="not trusted or did not sign"):
        open_checkpoint(alone, [LOG_KEY.vkey(), WITNESS_KEY.vkey()])
    other = ThrowawaySigner("other.example", seed="o")
    line = signature_line(NoteKey(other.name, other.public_key), other.sign(text))
    trusted = {LOG.name: LOG.public_key, other.name: other.public_key}
    with pytest.raises(EvidenceError, match="not trusted or did not sign"):
        open_checkpoint((text.decode() + "\n" + line).encode(), trusted)


def test_extension_lines_are_signed_and_given_out() -> None:
    """They may be there, must not be empty, and count in the signature."""
    text = checkpoint_text(LOG.name, 7, b"r" * 32)
    said = open_checkpoint(note(text + b"one\ntwo words\n"), [LOG_KEY.vkey()])
    assert said.extensions == ("one", "two words")
    assert open_checkpoint(note(text), [LOG_KEY.vkey()]).extensions == ()
    with pytest.raises(EvidenceError, match="origin, size and root"):
        open_checkpoint(note(text + b"\nafter an empty line\n"), [LOG_KEY.vkey()])
    with pytest.raises(EvidenceError, match="not by the key"):
        changed = note(text + b"one\n").replace(b"\none\n", b"\ntwo\n")
        open_checkpoint(changed, [LOG_KEY.vkey()])


@pytest.mark.parametrize("mark", ["\t", "\r", "\0", "\x1f"])
def test_control_characters_are_refused(mark: str) -> None:
    """Also where they are signed (C2SP signed-note, "Format")."""
    text = checkpoint_text(LOG.name, 7, b"r" * 32) + f"a{mark}b\n".encode()
    with pytest.raises(EvidenceError, match="control characters"):
        open_checkpoint(note(text), [LOG_KEY.vkey()])


@pytest.mark.parametrize(
    "line",
    ["\u2014 n AAAA\n", "\u2014 n AAAAAA==\n", "- n AAAAAAA=\n", "\u2014 n\n", "\n"],
)
def test_what_is_no_signature_line_fails_the_note(line: str) -> None:
    """Too short for a key id and a signature, another dash, no base64, empty."""
    with pytest.raises(EvidenceError):
        open_checkpoint(note(b"", line), [LOG_KEY.vkey()])
