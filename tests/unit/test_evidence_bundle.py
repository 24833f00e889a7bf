"""Bundles: what is written verifies offline, and no byte of it can be changed.

A bundle is attacked in three ways: by anyone (a byte changed, a file added or taken
away), by someone with another key who signs everything anew, and by an insider with the
key who changes one thing and signs the manifest again.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import main
from sandbox.evidence.attest import (
    MANIFEST_PREDICATE,
    Subject,
    canonical,
    sha256,
    sign_statement,
    statement,
)
from sandbox.evidence.bundle import BundleSource, write_bundle
from sandbox.evidence.keys import KeyHistory, LogKey
from sandbox.evidence.log import keep_cosigned, sign_checkpoint
from sandbox.evidence.rotation import change_key
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.evidence.verify import Result, verify_bundle
from sandbox.evidence.witness import cosign
from sandbox.model.log import LogEntry, Verification
from sandbox.model.record import digest_of
from sandbox.recorder import encode_frame
from sandbox.testing.authority import ThrowawayAuthority
from sandbox.testing.insider import edit_lines, resign
from sandbox.testing.records import FakeLog
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRIAL = "ride-1"
SIGNER = ThrowawaySigner("log.example/trials")
WITNESS = ThrowawaySigner("witness.example", seed="witness")


class Story:
    """A small trial on fakes, up to the moment its bundle is written."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.segments = FakeSegments()
        self.signer = SIGNER
        self.sequence = 0
        self.add("application", "submit")

    def add(self, kind: str, name: str, owner: str = TRIAL, **body: Any) -> None:
        entry = {"kind": kind, "entry_id": name, "trial_id": owner, "body": body}
        self.log.append(LogEntry.model_validate(entry | {"recorded_at": AT}))

    def record(self, *names: str) -> None:
        for name in names:
            request = ExportTraceServiceRequest()
            request.resource_spans.add().scope_spans.add().spans.add(name=name)
            self.sequence += 1
            frame = encode_frame(
                request.SerializeToString(),
                signal="traces",
                producer="hotrod",
                sequence=self.sequence,
                received_at=AT,
            )
            self.segments.receive(TRIAL, frame)

    def seal(self) -> None:
        self.segments.roll(TRIAL)
        number = len(self.segments.files(TRIAL))
        sealed = seal_segment(
            self.segments.read(TRIAL, number),
            trial_id=TRIAL,
            number=number,
            rulebook_digest=digest_of(b"rulebook"),
            signer=self.signer,
        )
        self.segments.put_sealed(
            TRIAL, number, compressed=sealed.compressed, envelope=sealed.envelope
        )
        self.log.append(segment_entry(sealed, recorded_at=AT))

    def source(self, **more: Any) -> BundleSource:
        return BundleSource(self.log, self.segments, self.signer, **more)


def told_story() -> Story:
    story = Story()
    story.add("rule-version", "rulebook/transport/1", "rulebook/transport", version=1)
    story.add("transition", "t1", version=1, before="submitted", after="approved")
    story.add("decision", "other/1", "another-trial", outcome="refused")
    story.add("plan", "plan", goal="offers-in-time")
    sign_checkpoint(story.log, SIGNER)
    story.add("environment", "environment", namespace="trial-ride-1")
    story.record("a", "b")
    story.seal()
    seen = sign_checkpoint(story.log, SIGNER).note.encode()
    keep_cosigned(story.log, SIGNER, cosign(seen, WITNESS, at=AT))
    story.record("c")
    story.seal()
    story.add("transition", "t2", version=2, before="approved", after="closed")
    return story


@pytest.fixture(name="bundle", scope="module")
def _bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / TRIAL
    source = told_story().source(
        documents={"report.html": b"<p>report</p>"},
        also_entries_of=("rulebook/transport",),
    )
    write_bundle(path, trial_id=TRIAL, source=source)
    return path


@pytest.fixture(name="copy")
def _copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def failure(path: Path) -> str:
    """Return what the failing step says; fail the test if there is none."""
    result = verify_bundle(path)
    assert not result.ok
    assert all(step.ok for step in result.steps[:-1])
    return result.steps[-1].detail


def blames(detail: str, name: str) -> bool:
    """Return whether a detail says of this file, and no other, that it is not right."""
    before_the_list = {"manifest.json", "manifest.dsse.json", "keys.json"}
    reason = name if name in before_the_list else f"{name} was changed"
    return detail.removeprefix("the signature of ").startswith(reason)


def files_of(path: Path) -> list[Path]:
    return sorted(item for item in path.rglob("*") if item.is_file())


def test_a_bundle_as_written_verifies(bundle: Path) -> None:
    """Every step holds and the counts are those of the story."""
    result = verify_bundle(bundle, key=SIGNER.public_key)
    assert result.ok, result
    assert (result.entries, result.frames, result.spans) == (8, 3, 3)
    assert len(result.steps) == 12
    assert Verification.model_validate(result.as_dict()).ok
    (earlier,) = [s for s in result.steps if s.step.startswith("Earlier")]
    assert earlier.detail == "2 earlier checkpoints"


def test_what_was_written_is_told(tmp_path: Path) -> None:
    """The summary names manifest, counts and checkpoint."""
    story = told_story()
    told = write_bundle(tmp_path / "b", trial_id=TRIAL, source=story.source())
    manifest = (tmp_path / "b" / "manifest.json").read_bytes()
    assert told["manifest_digest"] == digest_of(manifest)
    assert (told["entries"], told["segments"]) == (7, 2)
    assert told["checkpoint"]["size"] == len(story.log.leaf_hashes())
    assert told["files"] == len(files_of(tmp_path / "b"))


def test_every_byte_of_every_file_matters(tmp_path: Path) -> None:
    """Flip a bit of any byte of any file: it does not verify, and the file is named."""
    story = Story()
    story.add("transition", "t1", version=1, before="submitted", after="approved")
    seen = sign_checkpoint(story.log, SIGNER).note.encode()
    keep_cosigned(story.log, SIGNER, cosign(seen, WITNESS, at=AT))
    (checkpoint,) = story.log.checkpoints()
    stamp_checkpoint(story.log, ThrowawayAuthority(), checkpoint)
    story.signer = ThrowawaySigner(SIGNER.name, seed="next")
    change_key(story.log, SIGNER, story.signer, at=AT)
    story.record("a")
    story.seal()
    copy = written(tmp_path, story)
    for item in files_of(copy):
        name, data = item.relative_to(copy).as_posix(), item.read_bytes()
        for place in range(len(data)):
            flipped = bytes([data[place] ^ 1 << place % 8])
            item.write_bytes(data[:place] + flipped + data[place + 1 :])
            detail = failure(copy)
            assert blames(detail, name), (name, place, detail)
        item.write_bytes(data)
    assert verify_bundle(copy).ok


@pytest.mark.parametrize("name", ["manifest.json", "manifest.dsse.json", "keys.json"])
def test_the_case_of_every_letter_matters(copy: Path, name: str) -> None:
    """Hexadecimal, base64 and JSON have one way of being written."""
    data = (copy / name).read_bytes()
    letters = [place for place, byte in enumerate(data) if chr(byte).isalpha()]
    for place in letters:
        flipped = data[:place] + data[place : place + 1].swapcase() + data[place + 1 :]
        (copy / name).write_bytes(flipped)
        assert blames(failure(copy), name)


@pytest.mark.parametrize("tail", [b"\n", b" ", b"\0", b"{}"])
def test_nothing_can_be_appended_or_cut(copy: Path, tail: bytes) -> None:
    """A byte more or less at the end of any file is seen."""
    for item in files_of(copy):
        data = item.read_bytes()
        for changed in {data + tail, data[:-1], b""} - {data}:
            item.write_bytes(changed)
            assert blames(failure(copy), item.relative_to(copy).as_posix())
        item.write_bytes(data)


def test_files_cannot_be_added_taken_away_or_linked(copy: Path) -> None:
    """Extra files, empty folders, links and missing files are each named."""
    (copy / "extra.txt").write_text("x")
    assert "extra.txt does not belong" in failure(copy)
    (copy / "extra.txt").unlink()
    (copy / "empty").mkdir()
    assert "empty" in failure(copy)
    (copy / "empty").rmdir()
    for item in files_of(copy):
        data = item.read_bytes()
        item.unlink()
        assert item.name in failure(copy)
        item.symlink_to("/etc/hostname")
        assert item.name in failure(copy)
        item.unlink()
        item.write_bytes(data)
    assert verify_bundle(copy).ok


def test_another_key_is_seen_only_by_who_knows_the_right_one(copy: Path) -> None:
    """With the trusted key a bundle signed by someone else fails at the first step."""
    other = ThrowawaySigner("log.example/trials", seed="other")
    result = verify_bundle(copy, key=other.public_key)
    assert [step.ok for step in result.steps] == [False]
    assert "another key than given" in result.steps[0].detail
    own = verify_bundle(copy)
    assert "trusting the key in the bundle" in own.steps[0].detail


def test_signing_the_manifest_anew_with_another_key_does_not_help(copy: Path) -> None:
    """The statements and the checkpoint inside are still by the first key."""
    other = ThrowawaySigner("log.example/trials", seed="other")
    keys = KeyHistory(other.name, (LogKey(0, other.public_key),))
    (copy / "keys.json").write_bytes(canonical(keys.to_json([])))
    resign(copy, other)
    assert "checkpoint" in failure(copy)


def insider(copy: Path, name: str, edit: Callable[[list[Any]], None]) -> str:
    edit_lines(copy / name, edit)
    resign(copy, SIGNER)
    return failure(copy)


def test_an_insider_cannot_change_an_entry(copy: Path) -> None:
    """A changed body does not hash to the leaf the checkpoint covers."""

    def edit(lines: list[Any]) -> None:
        lines[2]["entry"]["body"]["goal"] = "something-easier"

    detail = insider(copy, "entries.jsonl", edit)
    assert "entries.jsonl line 3" in detail
    assert "root" in detail


def test_an_insider_cannot_move_or_repeat_an_entry(copy: Path) -> None:
    """Another index, another order, or a line twice fails."""
    original = (copy / "entries.jsonl").read_bytes()
    for edit in (
        lambda lines: lines[1].update(index=2),
        lambda lines: lines.reverse(),
        lambda lines: lines.append(lines[-1]),
        lambda lines: lines[0].update(index=True),
    ):
        (copy / "entries.jsonl").write_bytes(original)
        assert "entries.jsonl line" in insider(copy, "entries.jsonl", edit)


def test_an_insider_cannot_leave_out_a_transition(copy: Path) -> None:
    """The numbers of the transitions would have a hole."""

    def edit(lines: list[Any]) -> None:
        lines[:] = [line for line in lines if line["entry"]["entry_id"] != "t1"]

    assert "transition 1 is missing" in insider(copy, "entries.jsonl", edit)


def test_an_insider_cannot_bring_in_entries_of_others(copy: Path) -> None:
    """An entry that is truly in the log, but of another trial, does not belong."""

    def edit(lines: list[Any]) -> None:
        lines[0]["entry"]["trial_id"] = "another-trial"

    assert "belongs to 'another-trial'" in insider(copy, "entries.jsonl", edit)


def test_an_insider_cannot_leave_out_a_segment(copy: Path) -> None:
    """With its entry or without, a missing segment is missed."""
    for item in (copy / "segments").glob("000001.*"):
        item.unlink()
    resign(copy, SIGNER)
    assert "segments/000001" in failure(copy)

    def edit(lines: list[Any]) -> None:
        lines[:] = [line for line in lines if "000001" not in line["entry"]["entry_id"]]

    assert "one is missing" in insider(copy, "entries.jsonl", edit)


def test_an_insider_cannot_exchange_a_segment(copy: Path) -> None:
    """A statement signed anew is not the one the log names."""
    story = told_story()
    story.record("other")
    story.seal()
    compressed, envelope = story.segments.read_sealed(TRIAL, 3)
    raw = zstandard.ZstdDecompressor().decompress(compressed)
    (copy / "segments/000002.gz").write_bytes(gzip.compress(raw))
    resign(copy, SIGNER)
    assert "000002.gz" in failure(copy)
    (copy / "segments/000002.dsse.json").write_bytes(envelope)
    resign(copy, SIGNER)
    assert "000002.dsse.json is not the statement" in failure(copy)


def test_an_insider_cannot_rewrite_an_earlier_checkpoint(copy: Path) -> None:
    """A validly signed checkpoint of another history is not continued."""
    fork = FakeLog()
    story = Story()
    story.log = fork
    for number in range(4):
        story.add("decision", f"fork/{number}")
    checkpoint = sign_checkpoint(fork, SIGNER)

    def edit(lines: list[Any]) -> None:
        lines[0]["note"] = checkpoint.note

    assert "does not continue" in insider(copy, "checkpoints.jsonl", edit)


def written(tmp_path: Path, story: Story) -> Path:
    write_bundle(tmp_path / "b", trial_id=TRIAL, source=story.source())
    return tmp_path / "b"


def test_frames_taken_out_before_sealing_are_missed(tmp_path: Path) -> None:
    """Frames are numbered through the trial, so even honest sealing shows the hole."""
    story = Story()
    story.record("a")
    story.sequence += 1
    story.record("c")
    story.seal()
    assert "has number 3, but 2 comes next" in failure(written(tmp_path, story))


def test_an_environment_without_a_locked_plan_is_seen(tmp_path: Path) -> None:
    """No plan in the log before the environment: the procedure is broken."""
    story = Story()
    story.add("environment", "environment")
    story.add("plan", "plan")
    assert "before a plan was locked" in failure(written(tmp_path, story))


def test_transitions_that_do_not_meet_are_seen(tmp_path: Path) -> None:
    """Each starts where the one before ended."""
    story = Story()
    story.add("transition", "t1", version=1, before="submitted", after="approved")
    story.add("transition", "t2", version=2, before="running", after="closed")
    assert "starts from running" in failure(written(tmp_path, story))


def test_a_trial_without_telemetry_has_a_bundle(tmp_path: Path) -> None:
    """A refused application is provable too; its counts are zero."""
    story = Story()
    story.add("decision", "d", outcome="refused")
    found = verify_bundle(written(tmp_path, story))
    assert found == Result(True, found.steps, 2, 0, 0)


def test_only_sealed_and_logged_segments_are_bundled(tmp_path: Path) -> None:
    """Open segments and segments without an entry stop the writing; nothing appears."""
    story = Story()
    story.record("a")
    with pytest.raises(EvidenceError, match="segment 1 is open"):
        written(tmp_path, story)
    story.seal()
    story.log = FakeLog()
    story.add("decision", "d")
    with pytest.raises(EvidenceError, match="000001.zst"):
        written(tmp_path, story)
    assert not (tmp_path / "b").exists()


def test_a_bundle_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    """Writing again is fine; a folder of something else is left alone."""
    story = told_story()
    first = written(tmp_path, story)
    (first / "left-over").write_text("x")
    assert verify_bundle(written(tmp_path, story)).ok
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    with pytest.raises(EvidenceError, match="not a bundle"):
        write_bundle(precious, trial_id=TRIAL, source=story.source())
    assert (precious / "file").read_text() == "x"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_a_document_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    """Document names are plain."""
    source = told_story().source(documents={name: b""})
    with pytest.raises(EvidenceError, match="cannot be a document"):
        write_bundle(tmp_path / "b", trial_id=TRIAL, source=source)


def test_malformed_parts_fail_with_words(copy: Path) -> None:
    """JSON of an unexpected shape, validly signed, is a failure and no traceback."""
    for name, data in [
        ("entries.jsonl", b"[]\n"),
        ("entries.jsonl", b'{"entry":[],"index":0,"proof":[]}\n'),
        ("entries.jsonl", b'{"entry":{"trial_id":"ride-1"},"index":0,"proof":1}\n'),
        ("checkpoints.jsonl", b'{"consistency":["zz"],"note":1}\n'),
        ("checkpoint", b"\xff"),
    ]:
        original = (copy / name).read_bytes()
        (copy / name).write_bytes(data)
        resign(copy, SIGNER)
        assert failure(copy)
        (copy / name).write_bytes(original)
    manifest = json.loads((copy / "manifest.json").read_bytes())
    manifest["files"] = [1]
    (copy / "manifest.json").write_bytes(canonical(manifest))
    payload = statement(
        [Subject("manifest.json", sha256(canonical(manifest)))],
        predicate_type=MANIFEST_PREDICATE,
        predicate={},
    )
    envelope = sign_statement(payload, SIGNER).envelope
    (copy / "manifest.dsse.json").write_bytes(envelope)
    assert "must have exactly" in failure(copy)


def test_the_command_line_has_three_exit_codes(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 verified, 1 not, 2 for what cannot be read; words or JSON on stdout."""
    key = tmp_path / "key.pem"
    public = Ed25519PublicKey.from_public_bytes(SIGNER.public_key)
    key.write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    assert main(["verify", str(copy), "--key", str(key)]) == 0
    assert "VERIFIED: 8 entries, 3 frames, 3 spans" in capsys.readouterr().out
    key.write_text(SIGNER.public_key.hex() + "\n")
    assert main(["verify", str(copy), "--key", str(key), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    (copy / "keys.json").write_bytes(b"{}")
    assert main(["verify", str(copy)]) == 1
    assert "FAILED" in capsys.readouterr().out
    key.write_text("not a key")
    assert main(["verify", str(copy), "--key", str(key)]) == 2
    assert main(["verify", str(tmp_path / "nowhere")]) == 2
    assert "not a folder" in capsys.readouterr().err


LISTS_MODULES = """
import sys
from sandbox.evidence.__main__ import main
code = main(["verify", sys.argv[1]])
print("\\n".join(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def test_the_verifier_needs_only_cryptography(bundle: Path) -> None:
    """In a fresh process nothing else from outside the standard library is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LISTS_MODULES, str(bundle)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split("VERIFIED")[1].splitlines()[1:])
    foreign = {
        name
        for name in loaded - set(sys.stdlib_module_names)
        if name.strip("_") and not name.startswith(("_", "sitecustomize"))
    }
    assert foreign <= {"sandbox", "cryptography"}
    assert {"sandbox", "cryptography"} <= loaded


def test_a_packed_segment_that_is_longer_than_said_is_not_unpacked(copy: Path) -> None:
    """A stream beyond its statement's size, or with more after its end, is refused."""
    path = copy / "segments/000001.gz"
    raw = gzip.decompress(path.read_bytes())
    for packed, said in (
        (gzip.compress(raw + bytes(10_000_000)), "does not hold"),
        (gzip.compress(raw) + b"more", "not one whole packed stream"),
        (gzip.compress(raw)[:-9], "000001.gz"),
        (b"no gzip", "cannot be unpacked"),
    ):
        path.write_bytes(packed)
        resign(copy, SIGNER)
        assert said in failure(copy)


def test_it_runs_as_a_module(bundle: Path) -> None:
    """`python -m sandbox.evidence verify PATH` works from anywhere."""
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.evidence", "verify", str(bundle), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True), done.stderr
