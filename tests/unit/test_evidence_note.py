"""Signed notes, checkpoints and DSSE envelopes."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import (
    SEGMENT_PREDICATE,
    Subject,
    canonical,
    open_envelope,
    pae,
    read_canonical,
    read_statement,
    sha256,
    sign_statement,
    statement,
)
from sandbox.evidence.log import parse_checkpoint, sign_checkpoint
from sandbox.evidence.merkle import root_hash
from sandbox.evidence.note import (
    checkpoint_text,
    open_checkpoint,
    open_note,
    signed_note,
)
from sandbox.evidence.vkey import key_id
from sandbox.model.log import LogEntry
from sandbox.model.record import canonical_json
from sandbox.testing.records import FakeLog
from sandbox.testing.signer import ThrowawaySigner

SIGNER = ThrowawaySigner("log.example/trials")
KEYS = {SIGNER.name: SIGNER.public_key}


def entry(number: int) -> LogEntry:
    return LogEntry(
        kind="decision",
        entry_id=f"t/{number}",
        trial_id="t",
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        body={"number": number},
    )


def note(text: bytes, signer: ThrowawaySigner = SIGNER) -> bytes:
    return signed_note(
        text,
        name=signer.name,
        public_key=signer.public_key,
        signature=signer.sign(text),
    ).encode()


def test_a_note_of_the_go_implementation_is_read() -> None:
    """The example of golang.org/x/mod/sumdb/note verifies, with its key id c74f20a3."""
    encoded = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    algorithm_and_key = base64.b64decode(encoded)
    public_key = algorithm_and_key[1:]
    assert algorithm_and_key[0] == 1
    assert key_id("PeterNeumann", public_key).hex() == "c74f20a3"
    text = (
        b"If you think cryptography is the answer to your problem,\n"
        b"then you don't know what your problem is.\n"
    )
    signed = text + (
        b"\n\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIu"
        b"GUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(signed, {"PeterNeumann": public_key}) == text


def test_the_checkpoint_of_a_log_says_origin_size_and_root() -> None:
    """It is kept, parses with the key, and is the same when signed again."""
    log = FakeLog()
    for number in range(3):
        log.append(entry(number))
    checkpoint = sign_checkpoint(log, SIGNER)
    root = root_hash([canonical_json(entry(number)) for number in range(3)])
    assert checkpoint.note.startswith(
        f"log.example/trials\n3\n{base64.b64encode(root).decode()}\n\n\u2014 "
    )
    assert checkpoint.root == f"sha256:{root.hex()}"
    assert parse_checkpoint(checkpoint.note.encode(), KEYS) == checkpoint
    assert sign_checkpoint(log, SIGNER) == checkpoint
    assert log.checkpoints() == [checkpoint]


def test_a_log_that_lost_entries_is_not_signed() -> None:
    """A checkpoint that covers more than is there stops the signing."""
    log, shorter = FakeLog(), FakeLog()
    for number in range(3):
        log.append(entry(number))
    shorter.append(entry(0))
    shorter.keep_checkpoint(sign_checkpoint(log, SIGNER))
    with pytest.raises(EvidenceError, match="changed or removed"):
        sign_checkpoint(shorter, SIGNER)


def test_every_changed_byte_of_a_checkpoint_is_seen() -> None:
    """Flip any bit of any byte: it is never accepted."""
    signed = note(checkpoint_text(SIGNER.name, 7, b"r" * 32))
    assert open_checkpoint(signed, KEYS).size == 7
    for place in range(len(signed)):
        for bit in range(8):
            flipped = bytearray(signed)
            flipped[place] ^= 1 << bit
            with pytest.raises(EvidenceError):
                open_checkpoint(bytes(flipped), KEYS)


def test_signatures_of_others_are_passed_over_but_do_not_suffice() -> None:
    """A witness may sign too; without the log's own key nothing is accepted."""
    text = checkpoint_text(SIGNER.name, 7, b"r" * 32)
    witness = ThrowawaySigner("witness.example", seed="w")
    line = note(text, witness).split(b"\n\n", 1)[1]
    assert open_checkpoint(note(text) + line, KEYS).size == 7
    with pytest.raises(EvidenceError, match="no trusted key"):
        open_checkpoint(note(text, witness), KEYS)
    imposter = ThrowawaySigner(SIGNER.name, seed="imposter")
    with pytest.raises(EvidenceError, match="no trusted key"):
        open_checkpoint(note(text, imposter), KEYS)


@pytest.mark.parametrize(
    "text",
    [
        b"log.example/trials\n7\n",
        b"log.example/trials\n07\ncnJycg==\n",
        b"log.example/trials\n-1\ncnJycg==\n",
        b"log.example/trials\n7\ncnJycg==\n",
        b"\n7\n" + base64.b64encode(b"r" * 32) + b"\n",
        b"other.example\n7\n" + base64.b64encode(b"r" * 32) + b"\n",
        b"\xff\n7\n" + base64.b64encode(b"r" * 32) + b"\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: bytes) -> None:
    """Missing lines, odd numbers, short roots, another log's origin, no UTF-8."""
    signature = base64.b64encode(
        key_id(SIGNER.name, SIGNER.public_key) + SIGNER.sign(text)
    )
    line = "\u2014 ".encode() + SIGNER.name.encode() + b" " + signature + b"\n"
    with pytest.raises(EvidenceError):
        open_checkpoint(text + b"\n" + line, KEYS)


def test_an_origin_with_a_space_is_refused_before_signing() -> None:
    """A name that a note cannot carry is not signed."""
    with pytest.raises(EvidenceError, match="without space"):
        checkpoint_text("two words", 0, b"r" * 32)


def signed_statement() -> tuple[bytes, bytes]:
    payload = statement(
        [Subject("000001.zst", sha256(b"data"))],
        predicate_type=SEGMENT_PREDICATE,
        predicate={"number": 1},
    )
    return payload, sign_statement(payload, SIGNER).envelope


def test_the_encoding_that_is_signed_is_that_of_the_specification() -> None:
    """The example of the DSSE protocol document."""
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert encoded == expected


def test_envelopes_verify_in_an_independent_library() -> None:
    """The library securesystemslib accepts the envelope with the same key."""
    payload, envelope = signed_statement()
    key = SSlibKey(
        hashlib.sha256(SIGNER.public_key).hexdigest(),
        "ed25519",
        "ed25519",
        {"public": SIGNER.public_key.hex()},
    )
    read = Envelope.from_dict(json.loads(envelope))
    assert read.payload == payload
    assert key.keyid in read.verify([key], 1)


def test_every_changed_byte_of_an_envelope_is_seen() -> None:
    """Flip any bit of any byte: it does not open, or opens to nothing else."""
    payload, envelope = signed_statement()
    assert open_envelope(envelope, [SIGNER.public_key], what="e") == payload
    for place in range(len(envelope)):
        for bit in range(8):
            flipped = bytearray(envelope)
            flipped[place] ^= 1 << bit
            with pytest.raises(EvidenceError):
                open_envelope(bytes(flipped), [SIGNER.public_key], what="e")


def test_an_envelope_of_another_key_is_refused() -> None:
    """Also when the key id is copied."""
    payload, envelope = signed_statement()
    other = ThrowawaySigner(seed="other")
    with pytest.raises(EvidenceError, match="not trusted"):
        open_envelope(envelope, [other.public_key], what="e")
    forged = json.loads(sign_statement(payload, other).envelope)
    forged["signatures"][0]["keyid"] = sha256(SIGNER.public_key)[7:]
    with pytest.raises(EvidenceError, match="signature"):
        open_envelope(canonical(forged), [SIGNER.public_key], what="e")


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"[]",
        b"{}",
        b'{"a":1}\n',
        b'{"payload":"","payloadType":"x","signatures":[]}',
        b'{"payload":1,"payloadType":"x","signatures":[{"keyid":"","sig":""}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_envelope_is_refused(envelope: bytes) -> None:
    """Malformed JSON of any kind raises EvidenceError and nothing else."""
    with pytest.raises(EvidenceError):
        open_envelope(envelope, [SIGNER.public_key], what="e")


@pytest.mark.parametrize("signature", [5, None, ["x"], "é", "!"])
def test_a_signature_that_is_no_base64_is_refused(signature: object) -> None:
    """Also under the id of the right key; the envelope is named."""
    forged = json.loads(signed_statement()[1])
    forged["signatures"][0]["sig"] = signature
    with pytest.raises(EvidenceError, match="^e[: ]"):
        open_envelope(canonical(forged), [SIGNER.public_key], what="e")


def test_json_written_otherwise_is_refused() -> None:
    """Spaces, order, escapes and repeated keys all count."""
    assert read_canonical('{"a":"ü","b":1.5}'.encode(), what="x")
    for text in ('{"a": 1}', '{"b":1,"a":2}', '{"a":"\\u00fc"}', '{"a":1,"a":1}', "1 "):
        with pytest.raises(EvidenceError):
            read_canonical(text.encode(), what="x")


def test_the_predicate_type_is_checked() -> None:
    """A statement of another type is not taken for the one asked for."""
    payload, _ = signed_statement()
    read = read_statement(payload, predicate_type=SEGMENT_PREDICATE, what="s")
    assert read["predicate"] == {"number": 1}
    with pytest.raises(EvidenceError, match="not a statement of type"):
        read_statement(payload, predicate_type="urn:other", what="s")
    with pytest.raises(EvidenceError, match="Statement v1"):
        read_statement(b"[]", predicate_type="urn:other", what="s")


def test_canonical_json_is_that_of_the_records() -> None:
    """The verifier and the records write the same bytes."""
    value = {"ü": [1, 0.1, 1e300, None, True], "a": {"z": "\u2028", "b": "\\"}}
    assert canonical(value) == canonical_json(value)
