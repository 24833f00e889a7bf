"""Two verifiers that share no code agree: on what is right, and on what is not.

The second one is the Go program in `verifier/`, built from modules pinned beside it
(Go checks every download against its checksum database). Each mutation of a bundle is
refused by both; those an outsider cannot make are made with the log's own key.

* Compared with each other: whether a bundle verifies, and in one that does, the numbers
  of entries, frames and spans.
* Compared with what is written here: why each refuses a bundle, in its own words, and
  the second one's keys, earlier checkpoints and cosignatures.
* Not compared, because only the first one checks it: certificates and signatures of
  timestamps, the order of the procedure, whether an erasure was lawful. Nor do these
  tests say that the two refuse the same of all bundles: only of those made here.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.evidence.attest import canonical, sha256, sign_statement
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.cosignatures import Witnesses
from sandbox.evidence.expire import expire
from sandbox.evidence.log import keep_cosigned, sign_checkpoint
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.evidence.verify import Trust, verify_bundle
from sandbox.evidence.vkey import COSIGNATURE, NoteKey
from sandbox.evidence.witness import cosign
from sandbox.model.log import LogEntry
from sandbox.model.record import digest_of
from sandbox.testing.authority import STAMPED_AT, ThrowawayAuthority
from sandbox.testing.custody import OPERATOR, custody_of, ended_trial
from sandbox.testing.insider import (
    Edit,
    entries,
    forged_cosignature,
    fork,
    keys,
    more_bytes,
    old_format,
    other_bytes,
    other_statement,
    resign,
    signed_by,
    statement_by,
    unsigned_change,
    without_segment,
)
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from sandbox.testing.trial import STARTED_AT, RecordedTrial

SOURCE = Path(__file__).parent / "verifier"
NAME = "log.example/trials"
FIRST, SECOND = (ThrowawaySigner(NAME, seed=seed) for seed in ("1", "2"))
WITNESS = ThrowawaySigner("anna.example", seed="anna")
LINE = NoteKey(WITNESS.name, WITNESS.public_key, COSIGNATURE).vkey()
AUTHORITY = ThrowawayAuthority()
AT = datetime(2026, 1, 2, tzinfo=UTC)


class Verdict(NamedTuple):
    """What the second verifier said."""

    ok: bool
    found: dict[str, Any]
    why: str


Second = Callable[..., Verdict]


@pytest.fixture(name="second", scope="session")
def _second(built: Callable[..., Path]) -> Second:
    ready = built(SOURCE, "verifier")

    def run(bundle: Path, *arguments: str) -> Verdict:
        done = subprocess.run(
            [str(ready), *arguments, str(bundle)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        return Verdict(done.returncode == 0, found, done.stderr)

    return run


def told_trial() -> RecordedTrial:
    """Tell a trial with everything a bundle can have."""
    trial = RecordedTrial(signer=FIRST)
    sign_checkpoint(trial.log, trial.signer)
    trial.add("rule-version", "rulebook/transport/1", "rulebook/transport", version=1)
    trial.move("submitted", "approved", 1)
    trial.add("decision", "another/1", "another", outcome="<refused> & \u2028 ü")
    trial.add("plan", "plan", goal="offers in time, <5 s & ü")
    trial.record("a", "b")
    trial.seal()
    checkpoint = sign_checkpoint(trial.log, trial.signer)
    seen = cosign(checkpoint.note.encode(), WITNESS, at=AT)
    keep_cosigned(trial.log, trial.signer, seen)
    stamp_checkpoint(trial.log, AUTHORITY, checkpoint)
    trial.rotate(SECOND)
    trial.record("c", "d", "e")
    trial.seal()
    sign_checkpoint(trial.log, trial.signer)
    trial.move("approved", "closed", 2)
    return trial


def write(trial: RecordedTrial, bundle: Path) -> Path:
    source = trial.source(
        documents={"report.html": b"<p>report</p>", "plan.html": b"<p>plan</p>"},
        also_entries_of=("rulebook/transport",),
    )
    write_bundle(bundle, trial_id=trial.trial_id, source=source)
    return bundle


@pytest.fixture(name="good", scope="module")
def _good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(told_trial(), tmp_path_factory.mktemp("good") / "b")


@pytest.fixture(name="bundle")
def _bundle(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "b"))


@pytest.mark.parametrize("key", [FIRST, SECOND])
def test_both_count_the_same_in_a_good_bundle(
    good: Path, second: Second, key: ThrowawaySigner
) -> None:
    """Entries, frames, spans, keys, checkpoints and the witness's word."""
    trust = Trust(Witnesses((LINE,)))
    ours = verify_bundle(good, key=key.public_key, trust=trust)
    theirs = second(good, "-key", key.public_key.hex(), "-witness", LINE)
    assert (ours.ok, theirs.ok) == (True, True), (ours, theirs)
    assert (ours.entries, ours.frames, ours.spans) == (7, 5, 5)
    assert theirs.found == {
        "entries": ours.entries,
        "frames": ours.frames,
        "spans": ours.spans,
        "keys": 2,
        "checkpoints": 5,
        "cosignatures": ["anna.example 2026-01-02T00:00:00Z"],
    }


@pytest.mark.skipif(
    shutil.which("openssl") is None,
    reason="NOT TESTED: no openssl here to read a bundle's timestamp with",
)
def test_openssl_reads_the_timestamp_of_a_bundle(good: Path, tmp_path: Path) -> None:
    """With the note's text, the token and the root, as the documentation says."""
    (line,) = (good / "timestamps.jsonl").read_bytes().splitlines()
    item = json.loads(line)
    root = AUTHORITY.root.public_bytes(Encoding.PEM)
    (tmp_path / "text").write_text(item["note"].split("\n\n")[0] + "\n")
    (tmp_path / "token").write_bytes(base64.b64decode(item["token"]))
    (tmp_path / "root.pem").write_bytes(root)
    command = "openssl ts -verify -data text -in token -token_in -CAfile root.pem"
    at = str(int(STAMPED_AT.timestamp()))
    for text in (None, "another text\n"):
        if text is not None:
            (tmp_path / "text").write_text(text)
        done = subprocess.run(
            [*command.split(), "-attime", at],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert (done.returncode == 0) == (text is None), done.stderr


def refused_by_both(bundle: Path, second: Second) -> tuple[str, str]:
    """Return why each of the two verifiers refuses a bundle."""
    trust = Trust(Witnesses((LINE,)))
    ours = verify_bundle(bundle, key=FIRST.public_key, trust=trust)
    theirs = second(bundle, "-key", FIRST.public_key.hex(), "-witness", LINE)
    assert (ours.ok, theirs.ok) == (False, False), (ours, theirs)
    return ours.steps[-1].detail, theirs.why


def test_both_refuse_another_key(good: Path, second: Second) -> None:
    """One that the log never had."""
    stranger = ThrowawaySigner(NAME, seed="stranger").public_key
    ours = verify_bundle(good, key=stranger)
    theirs = second(good, "-key", stranger.hex())
    assert (ours.ok, theirs.ok) == (False, False)
    assert "the bundle is by another key than given" in ours.steps[-1].detail
    assert "the bundle is by another key" in theirs.why


def test_both_refuse_a_changed_byte_anywhere(bundle: Path, second: Second) -> None:
    """First, middle, last byte of every file, a byte more, no file: both name it."""

    def refuse(name: str) -> None:
        ours, theirs = refused_by_both(bundle, second)
        assert ours.removeprefix("the signature of ").startswith(name)
        assert theirs.startswith(f"NOT VERIFIED: {name}")

    for file in sorted(item for item in bundle.rglob("*") if item.is_file()):
        data, name = file.read_bytes(), file.relative_to(bundle).as_posix()
        changed = [data + b"\n", data[:-1]]
        for place in {0, len(data) // 2, len(data) - 1}:
            changed.append(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        for other in changed:
            file.write_bytes(other)
            refuse(name)
        file.unlink()
        refuse(name)
        file.write_bytes(data)
    assert verify_bundle(bundle).ok


def add_file(bundle: Path) -> None:
    (bundle / "documents" / "more.txt").write_text("more")


def add_folder(bundle: Path) -> None:
    (bundle / "empty").mkdir()


def add_link(bundle: Path) -> None:
    (bundle / "documents" / "link").symlink_to("report.html")


@pytest.mark.parametrize(
    ("edit", "first_says", "second_says"),
    [
        (add_file, "more.txt does not belong here", "more.txt does not belong here"),
        (add_folder, "empty/ does not belong here", "empty is empty"),
        (add_link, "documents/link is a link", "documents/link is not a plain file"),
    ],
)
def test_both_refuse_what_does_not_belong(
    bundle: Path, second: Second, edit: Edit, first_says: str, second_says: str
) -> None:
    """A file, an empty folder, a link that the manifest does not list."""
    edit(bundle)
    ours, theirs = refused_by_both(bundle, second)
    assert (first_says in ours, second_says in theirs) == (True, True), (ours, theirs)


# What an insider does, and a part of why the first and the second verifier refuse it.
INSIDER: list[tuple[Edit, str, str]] = [
    (
        entries(lambda lines: lines[1]["entry"]["body"].update(after="refused")),
        "line 2: the proof of leaf 1 does not",
        "entry 1: invalid transparency proof",
    ),
    (
        entries(lambda lines: lines[1].update(index=2)),
        "line 2: the proof of leaf 2 does not",
        "entry 2: invalid transparency proof",
    ),
    (
        entries(lambda lines: lines[1].update(index=99)),
        "there is no leaf 99",
        "entry 99: tlog: invalid inputs",
    ),
    (
        entries(lambda lines: lines[1].update(index=-1)),
        "its index -1 is out of order",
        "entry -1 is out of order",
    ),
    (
        entries(lambda lines: lines.reverse()),
        "its index 7 is out of order",
        "entry 7 is out of order",
    ),
    (
        entries(lambda lines: lines.append(lines[-1])),
        "its index 8 is out of order",
        "entry 8 is out of order",
    ),
    (
        entries(lambda lines: lines[1]["proof"].pop()),
        "line 2: the proof of leaf 1 does not",
        "entry 1: invalid transparency proof",
    ),
    (
        entries(lambda lines: lines[1]["proof"].append("00" * 32)),
        "the proof of leaf 1 is too long",
        "entry 1: invalid transparency proof",
    ),
    (
        entries(lambda lines: lines[1].update(more=1)),
        "must have exactly index, entry, proof",
        'unknown field "more"',
    ),
    (
        entries(lambda lines: lines[1]["entry"].update(trial_id="another")),
        "it belongs to 'another'",
        "entry 1: invalid transparency proof",
    ),
    (
        entries(lambda lines: lines.pop(4)),
        "segments [2]; one is missing",
        "segments/000001: it is not signed by the key in force",
    ),
    (entries(lambda lines: lines.pop(0)), "application", "entries"),
    (entries(lambda lines: lines.clear()), "application", "entries"),
    (
        keys(lambda value: value["keys"].pop()),
        "dsse.json (checked with the key of keys.json) was signed by a key",
        "manifest.dsse.json: it is not signed by the key in force",
    ),
    (
        keys(lambda value: value["keys"][1].update(since=1)),
        "the change of key at entry 1 does not stand",
        "keys.json: entry 1: invalid transparency proof",
    ),
    (
        keys(lambda value: value["keys"][1].update(since=99)),
        "the change of key at entry 99 does not stand",
        "checkpoint: note has no verifiable",
    ),
    (
        keys(lambda value: value["keys"][0].update(public_key="00" * 32)),
        "its first key: its key is a weak key",
        "change 1: it does not follow",
    ),
    (
        keys(lambda value: value.update(name="other.example")),
        "change 1 of the log's key does not follow",
        "change 1: it does not follow",
    ),
    (
        keys(lambda value: value["keys"].append(value["keys"][1])),
        "change 2 of the log's key is not entry",
        "key 3 is none, or comes back",
    ),
    (unsigned_change, "by the old key is not by", "not signed by both keys"),
    (other_bytes, "000001.gz: raw_digest is", "000001: its bytes are not those"),
    (more_bytes, "000001.gz is not one whole", "000001: it does not hold"),
    (other_statement(SECOND), "not the statement", "its statement is not the"),
    (without_segment, "segments [2]; one is missing", "segments/000001: EOF"),
    (
        statement_by(SECOND, 1),
        "000001.dsse.json was signed by a key",
        "segments/000001: it is not signed by the key in force",
    ),
    (
        statement_by(FIRST, 2),
        "000002.dsse.json was signed by a key",
        "segments/000002: it is not signed by the key in force",
    ),
    (
        fork("checkpoints.jsonl", signer=SECOND, size=9),
        "line 3: the root of 9 leaves is not",
        "checkpoints.jsonl: invalid transparency proof",
    ),
    (
        fork("checkpoints.jsonl", signer=FIRST, size=3),
        "checkpoints.jsonl line 3: the tree of 9",
        "checkpoints.jsonl: invalid transparency proof",
    ),
    (
        fork("checkpoints.jsonl", signer=FIRST, size=0),
        "line 3: the root of 0 leaves is not",
        "an empty log has another root",
    ),
    (
        fork("checkpoints.jsonl", signer=SECOND, size=99),
        "nothing shows that 99 leaves became 9",
        "checkpoints.jsonl: tlog: invalid inputs",
    ),
    (
        fork("cosignatures.jsonl", signer=FIRST, size=3),
        "cosignatures.jsonl line 1: the tree of 9",
        "cosignatures.jsonl: invalid transparency proof",
    ),
    (
        fork("timestamps.jsonl", signer=FIRST, size=3),
        "timestamps.jsonl line 1: the tree of 9",
        "timestamps.jsonl: invalid transparency proof",
    ),
    (signed_by(FIRST), "line 3: no trusted key", "note has no verifiable"),
    (forged_cosignature, "(by anna.example) is not by", "invalid signature for"),
    (old_format, "the bundle is of format 1", "the bundle is not of format 2"),
]


@pytest.mark.parametrize(("edit", "first_says", "second_says"), INSIDER)
def test_both_refuse_what_an_insider_changes(
    bundle: Path, second: Second, edit: Edit, first_says: str, second_says: str
) -> None:
    """With the manifest signed anew by the key in force."""
    edit(bundle)
    resign(bundle, SECOND)
    ours, theirs = refused_by_both(bundle, second)
    assert (first_says in ours, second_says in theirs) == (True, True), (ours, theirs)


def lying(trial: RecordedTrial, **said: Any) -> None:
    """Seal a segment whose statement and entry say something else than its bytes."""
    trial.segments.roll(trial.trial_id)
    number = len(trial.segments.files(trial.trial_id))
    sealed = seal_segment(
        trial.segments.read(trial.trial_id, number),
        trial_id=trial.trial_id,
        number=number,
        rulebook_digest=digest_of(b"rulebook"),
        signer=trial.signer,
    )
    payload = json.loads(base64.b64decode(json.loads(sealed.envelope)["payload"]))
    payload["predicate"].update(said)
    body = segment_entry(sealed, recorded_at=AT).model_dump(mode="json")
    body["body"]["segment"].update(said)
    body["body"]["statement_digest"] = sha256(canonical(payload))
    envelope = sign_statement(canonical(payload), trial.signer).envelope
    trial.segments.put_sealed(
        trial.trial_id, number, compressed=sealed.compressed, envelope=envelope
    )
    trial.log.append(LogEntry.model_validate(body))


@pytest.mark.parametrize(
    "said",
    [
        {"spans": 99},
        {"frames": 3},
        {"raw_size": 7},
        {"frames_root": "sha256:" + "00" * 32},
    ],
)
def test_both_count_for_themselves(
    tmp_path: Path, second: Second, said: dict[str, Any]
) -> None:
    """Statement, log and manifest agree and are signed; the bytes say otherwise."""
    trial = RecordedTrial(signer=FIRST)
    trial.record("a", "b")
    lying(trial, **said)
    ours, theirs = refused_by_both(write(trial, tmp_path / "b"), second)
    assert "segments/000001" in ours
    assert "segments/000001" in theirs


def test_both_go_on_after_an_erased_segment(tmp_path: Path, second: Second) -> None:
    """Without its bytes if the log says so, and then frames are numbered on."""
    trial = ended_trial(RecordedTrial(signer=FIRST))
    last = STARTED_AT.replace(year=2029, second=1)
    expire(custody_of(trial, at=last), trial.trial_id, by=OPERATOR)
    trial.rotate(SECOND)
    bundle = write(trial, tmp_path / "b")
    ours, theirs = verify_bundle(bundle), second(bundle)
    assert (ours.ok, theirs.ok) == (True, True), (ours, theirs)
    assert (ours.frames, theirs.found["frames"]) == (1, 1)
    (bundle / "segments" / "000002.gz").unlink()
    resign(bundle, SECOND)
    said, told = refused_by_both(bundle, second)
    assert "segments/000002.gz is missing" in said
    assert "segments/000002: EOF" in told


def test_both_miss_a_frame_that_was_taken_out(tmp_path: Path, second: Second) -> None:
    """Taken out before sealing, so that all that is left fits together."""
    segments = FakeSegments()
    trial = RecordedTrial(signer=FIRST, segments=segments, receive=segments.receive)
    trial.record("a")
    trial.seal()
    frames: list[bytes] = []
    recorder = RecordedTrial(receive=lambda _, frame: frames.append(frame))
    recorder.record("a", "b", "c")
    segments.receive(trial.trial_id, frames[2])
    trial.seal()
    ours, theirs = refused_by_both(write(trial, tmp_path / "b"), second)
    assert "evidence is missing" in ours
    assert "evidence is missing" in theirs
