"""Two verifiers that share no code agree: on what is right, and on what is not.

The second one is the Go program in `verifier/`, built from modules pinned beside it
(Go checks every download against its checksum database). Each mutation of a bundle is
refused by both; those an outsider cannot make are made with the log's own key.
"""

from __future__ import annotations

import base64
import gzip
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
from sandbox.evidence.note import checkpoint_text, signed_note
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.evidence.verify import Trust, verify_bundle
from sandbox.evidence.vkey import COSIGNATURE, NoteKey
from sandbox.evidence.witness import cosign
from sandbox.model.log import LogEntry
from sandbox.model.record import digest_of
from sandbox.testing.authority import STAMPED_AT, ThrowawayAuthority
from sandbox.testing.custody import OPERATOR, custody_of, ended_trial
from sandbox.testing.insider import edit_json, edit_lines, resign
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

Edit = Callable[[Path], None]


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
        documents={"report.html": b"<p>report</p>"},
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
    assert not verify_bundle(good, key=stranger).ok
    assert not second(good, "-key", stranger.hex()).ok


def test_both_refuse_a_changed_byte_anywhere(bundle: Path, second: Second) -> None:
    """In the first, the middle and the last byte of every file; and a byte more."""
    for file in sorted(item for item in bundle.rglob("*") if item.is_file()):
        data = file.read_bytes()
        changed = [data + b"\n", data[:-1]]
        for place in {0, len(data) // 2, len(data) - 1}:
            changed.append(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        for other in changed:
            file.write_bytes(other)
            refused_by_both(bundle, second)
        file.unlink()
        refused_by_both(bundle, second)
        file.write_bytes(data)
    assert verify_bundle(bundle).ok


def add_file(bundle: Path) -> None:
    (bundle / "documents" / "more.txt").write_text("more")


def add_folder(bundle: Path) -> None:
    (bundle / "empty").mkdir()


def add_link(bundle: Path) -> None:
    (bundle / "documents" / "link").symlink_to("report.html")


@pytest.mark.parametrize("edit", [add_file, add_folder, add_link])
def test_both_refuse_what_does_not_belong(
    bundle: Path, second: Second, edit: Edit
) -> None:
    """A file, an empty folder, a link that the manifest does not list."""
    edit(bundle)
    refused_by_both(bundle, second)


def entries(change: Callable[[list[Any]], object]) -> Edit:
    return lambda bundle: edit_lines(bundle / "entries.jsonl", change)


def keys(change: Callable[[Any], object]) -> Edit:
    return lambda bundle: edit_json(bundle / "keys.json", change)


def other_bytes(bundle: Path) -> None:
    """Exchange two frames of a segment, and pack them again."""
    file = bundle / "segments" / "000001.gz"
    raw = gzip.decompress(file.read_bytes())
    half = len(raw) // 2
    file.write_bytes(gzip.compress(raw[half:] + raw[:half]))


def more_bytes(bundle: Path) -> None:
    file = bundle / "segments" / "000001.gz"
    file.write_bytes(file.read_bytes() + gzip.compress(b"more"))


def statement_by(signer: ThrowawaySigner, number: int) -> Edit:
    """Sign a segment's statement with another key of the same log."""

    def edit(bundle: Path) -> None:
        file = bundle / "segments" / f"{number:06d}.dsse.json"
        payload = base64.b64decode(json.loads(file.read_bytes())["payload"])
        file.write_bytes(sign_statement(payload, signer).envelope)

    return edit


def other_statement(bundle: Path) -> None:
    """Say something else of a segment, rightly signed."""
    file = bundle / "segments" / "000002.dsse.json"
    payload = json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"]))
    payload["predicate"]["spans"] = 99
    file.write_bytes(sign_statement(canonical(payload), SECOND).envelope)


def without_segment(bundle: Path) -> None:
    entries(lambda lines: lines.pop(4))(bundle)
    for name in ("000001.gz", "000001.dsse.json"):
        (bundle / "segments" / name).unlink()


def fork(name: str, *, signer: ThrowawaySigner, size: int) -> Edit:
    """Put a signed checkpoint of another history in."""

    def edit(bundle: Path) -> None:
        text = checkpoint_text(NAME, size, bytes(32))
        key, signature = signer.public_key, signer.sign(text)
        note = signed_note(text, name=NAME, public_key=key, signature=signature)
        edit_lines(bundle / name, lambda lines: lines[-1].update(note=note))

    return edit


def by_the_key_before(bundle: Path) -> None:
    """Sign a checkpoint after the change of key with the key before it."""

    def change(lines: list[Any]) -> None:
        text = lines[-1]["note"].split("\n\n")[0].encode() + b"\n"
        key, signature = FIRST.public_key, FIRST.sign(text)
        note = signed_note(text, name=NAME, public_key=key, signature=signature)
        lines[-1].update(note=note)

    edit_lines(bundle / "checkpoints.jsonl", change)


def forged_cosignature(bundle: Path) -> None:
    """Claim that the witness saw it at another time."""

    def change(lines: list[Any]) -> None:
        head, _, token = lines[0]["note"].rstrip("\n").rpartition(" ")
        raw = bytearray(base64.b64decode(token))
        raw[11] ^= 1
        lines[0]["note"] = f"{head} {base64.b64encode(raw).decode()}\n"

    edit_lines(bundle / "cosignatures.jsonl", change)


def unsigned_change(bundle: Path) -> None:
    """Let the new key stand for the old one under the change."""

    def change(value: Any) -> None:
        signatures = value["keys"][1]["change"]["entry"]["body"]["signatures"]
        signatures["previous"] = signatures["new"]

    edit_json(bundle / "keys.json", change)


def old_format(bundle: Path) -> None:
    edit_json(bundle / "manifest.json", lambda value: value.update(format=1))


INSIDER: list[Edit] = [
    entries(lambda lines: lines[2]["entry"]["body"].update(after="refused")),
    entries(lambda lines: lines[1].update(index=2)),
    entries(lambda lines: lines[1].update(index=99)),
    entries(lambda lines: lines[1].update(index=-1)),
    entries(lambda lines: lines.reverse()),
    entries(lambda lines: lines.append(lines[-1])),
    entries(lambda lines: lines[1]["proof"].pop()),
    entries(lambda lines: lines[1]["proof"].append("00" * 32)),
    entries(lambda lines: lines[1].update(more=1)),
    entries(lambda lines: lines[1]["entry"].update(trial_id="another")),
    entries(lambda lines: lines.pop(4)),
    entries(lambda lines: lines.pop(0)),
    entries(lambda lines: lines.clear()),
    keys(lambda value: value["keys"].pop()),
    keys(lambda value: value["keys"][1].update(since=1)),
    keys(lambda value: value["keys"][1].update(since=99)),
    keys(lambda value: value["keys"][0].update(public_key="00" * 32)),
    keys(lambda value: value.update(name="other.example")),
    keys(lambda value: value["keys"].append(value["keys"][1])),
    unsigned_change,
    other_bytes,
    more_bytes,
    other_statement,
    without_segment,
    statement_by(SECOND, 1),
    statement_by(FIRST, 2),
    fork("checkpoints.jsonl", signer=SECOND, size=8),
    fork("checkpoints.jsonl", signer=FIRST, size=3),
    fork("checkpoints.jsonl", signer=FIRST, size=0),
    fork("checkpoints.jsonl", signer=SECOND, size=99),
    fork("cosignatures.jsonl", signer=FIRST, size=3),
    fork("timestamps.jsonl", signer=FIRST, size=3),
    by_the_key_before,
    forged_cosignature,
    old_format,
]


@pytest.mark.parametrize("edit", INSIDER)
def test_both_refuse_what_an_insider_changes(
    bundle: Path, second: Second, edit: Edit
) -> None:
    """With the manifest signed anew by the key in force."""
    edit(bundle)
    resign(bundle, SECOND)
    ours, theirs = refused_by_both(bundle, second)
    for told in (ours, theirs):
        assert "manifest.json is not the one that was signed" not in told
        assert "was changed" not in told


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
    refused_by_both(bundle, second)


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
