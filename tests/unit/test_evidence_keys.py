"""A log changes its key: who trusts one of its keys can check everything."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import canonical, pae, sign_statement
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.cosignatures import Witnesses
from sandbox.evidence.disclose import (
    LogHead,
    SegmentEvidence,
    make_disclosure,
    verify_disclosure,
)
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.keys import (
    CHANGE_TYPE,
    KeyHistory,
    LoggedChange,
    build_history,
    change_body,
    read_history,
)
from sandbox.evidence.log import keep_cosigned, key_history, sign_checkpoint
from sandbox.evidence.note import checkpoint_text, open_checkpoint, signed_note
from sandbox.evidence.rotation import change_key, check_sealed
from sandbox.evidence.verify import Result, Trust, verify_bundle
from sandbox.evidence.vkey import COSIGNATURE, NoteKey
from sandbox.evidence.witness import cosign
from sandbox.model.log import LogEntry
from sandbox.testing.insider import edit_json, resign
from sandbox.testing.records import FakeLog
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from sandbox.testing.trial import RecordedTrial

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "log.example/trials"
FIRST, SECOND, THIRD, STRANGER = (
    ThrowawaySigner(NAME, seed=seed) for seed in ("1", "2", "3", "stranger")
)
Change = Callable[[dict[str, Any]], None]


def told(*, keys: tuple[ThrowawaySigner, ...] = (SECOND, THIRD)) -> RecordedTrial:
    """Tell a trial with a sealed segment under each of its keys."""
    trial = RecordedTrial(signer=FIRST)
    trial.move("submitted", "running", 1)
    trial.record("under the first")
    trial.seal()
    for key in keys:
        trial.rotate(key)
        trial.record(f"under {key.public_key.hex()}")
        trial.seal()
    trial.move("running", "closed", 2)
    return trial


def written(trial: RecordedTrial, folder: Path) -> Path:
    write_bundle(folder / "b", trial_id=trial.trial_id, source=trial.source())
    return folder / "b"


def failure(result: Result) -> str:
    assert not result.ok
    return result.steps[-1].detail


def test_any_key_of_the_log_is_enough(tmp_path: Path) -> None:
    """The first, the one between and the last; another one's is not."""
    bundle = written(told(), tmp_path)
    for key in (FIRST, SECOND, THIRD):
        result = verify_bundle(bundle, key=key.public_key)
        assert result.ok, result
        assert result.frames == 3
    assert "follows from the key you gave" in result.steps[0].detail or key is THIRD
    said = verify_bundle(bundle, key=FIRST.public_key).steps
    assert f"the one in force is {THIRD.public_key.hex()}" in said[0].detail
    assert "3 keys, changed at entry 3, 5" in [step.detail for step in said]
    stranger = verify_bundle(bundle, key=STRANGER.public_key)
    assert "another key than given" in failure(stranger)


def test_the_name_of_the_log_stays(tmp_path: Path) -> None:
    """Checkpoints before and after a change have one origin."""
    trial = told()
    origins = {item.origin for item in trial.log.checkpoints()}
    assert origins == {NAME}
    other = ThrowawaySigner("other.example", seed="4")
    with pytest.raises(EvidenceError, match="name stays the same"):
        trial.rotate(other)


def test_only_the_key_in_force_hands_on() -> None:
    """Not one that was, not one that never was, and none of them twice."""
    trial = told(keys=(SECOND,))
    for old, new in ((FIRST, THIRD), (STRANGER, THIRD)):
        with pytest.raises(EvidenceError, match="in force|signed"):
            change_key(trial.log, old, new, at=AT)
    with pytest.raises(EvidenceError, match="in force before"):
        change_key(trial.log, SECOND, FIRST, at=AT)
    assert key_history(trial.log, SECOND).latest == SECOND.public_key


def test_a_key_that_is_not_in_force_signs_no_checkpoint() -> None:
    """One that was replaced, or one made anew after the right one was lost."""
    trial = told(keys=(SECOND,))
    lost = told(keys=())
    sign_checkpoint(lost.log, FIRST)
    for log, signer in ((trial.log, FIRST), (trial.log, STRANGER), (lost.log, SECOND)):
        before = log.checkpoints()
        with pytest.raises(EvidenceError, match="signed|restore the key"):
            sign_checkpoint(log, signer)
        assert log.checkpoints() == before


def test_a_log_may_change_its_key_before_its_first_entry(tmp_path: Path) -> None:
    """The checkpoint of the empty log stays by the first key."""
    log = FakeLog()
    sign_checkpoint(log, FIRST)
    assert change_key(log, FIRST, SECOND, at=AT).index == 0
    trial = RecordedTrial(log=log, signer=SECOND)
    trial.move("submitted", "approved", 1)
    for key in (FIRST, SECOND):
        assert verify_bundle(written(trial, tmp_path), key=key.public_key).ok


def test_a_weak_key_is_not_put_in_force() -> None:
    """One under which anyone could sign."""

    class Weak:
        name, public_key = NAME, bytes([1]) + bytes(31)

        def sign(self, data: bytes) -> bytes:
            raise AssertionError("nothing is signed")

    with pytest.raises(EvidenceError, match="weak key"):
        change_key(told().log, THIRD, Weak(), at=AT)


def body_of(change: Change | None = None) -> dict[str, Any]:
    """Return the body of a change from the first key to the second, edited."""
    body = change_body(FIRST, SECOND, number=2)
    if change is not None:
        change(body)
    return body


def history(body: dict[str, Any], *, place: int = 3, **entry: Any) -> KeyHistory:
    whole = {
        "kind": "key",
        "entry_id": "log/keys/2",
        "trial_id": "log/keys",
        "recorded_at": "2026-01-01T00:00:00Z",
        "body": body,
    }
    logged = LoggedChange(place, {**whole, **entry})
    return build_history(NAME, FIRST.public_key, [logged])


def signed_by(signer: ThrowawaySigner, which: str) -> Change:
    def change(body: dict[str, Any]) -> None:
        said = {key: value for key, value in body.items() if key != "signatures"}
        signature = signer.sign(pae(CHANGE_TYPE, canonical(said)))
        body["signatures"][which] = base64.b64encode(signature).decode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        signed_by(STRANGER, "previous"),
        signed_by(SECOND, "previous"),
        signed_by(STRANGER, "new"),
        signed_by(FIRST, "new"),
        lambda body: body["signatures"].pop("previous"),
        lambda body: body["signatures"].pop("new"),
        lambda body: body.update(name="other.example"),
        lambda body: body.update(number=3),
        lambda body: body.update(previous=STRANGER.public_key.hex()),
        lambda body: body.update(public_key=STRANGER.public_key.hex()),
        lambda body: body.update(public_key=FIRST.public_key.hex()),
        lambda body: body.update(public_key=body["public_key"].upper()),
        lambda body: body.update(more=1),
    ],
)
def test_a_change_that_both_keys_did_not_sign_is_refused(change: Change) -> None:
    """Signed by another, by one of them alone, or with a word of it changed."""
    assert history(body_of()).latest == SECOND.public_key
    with pytest.raises(EvidenceError, match="change 1"):
        history(body_of(change))


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "decision"},
        {"entry_id": "log/keys/3"},
        {"trial_id": "ride-1"},
        {"more": 1},
    ],
)
def test_a_change_is_an_entry_of_its_own(entry: dict[str, Any]) -> None:
    """Of its kind, its owner and its number, with nothing besides."""
    with pytest.raises(EvidenceError, match="change 1"):
        history(body_of(), **entry)


@pytest.mark.parametrize("place", [-1, True, "3", None])
def test_a_change_has_a_place(place: Any) -> None:
    """A number, from which the new key is in force."""
    with pytest.raises(EvidenceError, match="out of order"):
        history(body_of(), place=place)
    keys = history(body_of(), place=3)
    assert [keys.at(index) == SECOND.public_key for index in (2, 3)] == [False, True]


def rewrite(bundle: Path, edit: Change, *, signer: ThrowawaySigner = SECOND) -> None:
    """Edit `keys.json` and sign the manifest anew, as one who holds the key can."""
    edit_json(bundle / "keys.json", edit)
    resign(bundle, signer)


def test_a_change_that_is_not_in_the_log_is_seen(tmp_path: Path) -> None:
    """Both keys signed it, and it stands elsewhere, at another time, or nowhere."""
    for edit in (
        lambda keys: keys["keys"][1].update(since=1),
        lambda keys: keys["keys"][1]["change"]["entry"].update(
            recorded_at="2020-01-01T00:00:00Z"
        ),
        lambda keys: keys["keys"][1]["change"]["proof"].pop(),
        lambda keys: keys["keys"][1].update(since=99),
    ):
        bundle = written(told(keys=(SECOND,)), tmp_path)
        rewrite(bundle, edit)
        detail = failure(verify_bundle(bundle))
        assert "the change of key at entry" in detail


def test_a_key_that_is_left_out_is_missed(tmp_path: Path) -> None:
    """Without its change the last checkpoint is by nobody the first key knows."""
    bundle = written(told(keys=(SECOND,)), tmp_path)
    rewrite(bundle, lambda keys: keys["keys"].pop(), signer=FIRST)
    assert "checkpoint" in failure(verify_bundle(bundle, key=FIRST.public_key))


def test_a_statement_counts_only_by_the_key_in_force_at_its_entry(
    tmp_path: Path,
) -> None:
    """Signed by the key after it or before it, it does not."""
    for number, wrong in ((1, SECOND), (2, FIRST)):
        bundle = written(told(keys=(SECOND,)), tmp_path)
        file = bundle / f"segments/{number:06d}.dsse.json"
        payload = base64.b64decode(json.loads(file.read_bytes())["payload"])
        file.write_bytes(sign_statement(payload, wrong).envelope)
        resign(bundle, SECOND)
        detail = failure(verify_bundle(bundle))
        assert f"segments/{number:06d}.dsse.json was signed by a key that is" in detail


def test_a_checkpoint_counts_only_by_the_key_in_force_at_its_end() -> None:
    """The old key cannot speak of the log after the change, nor the new one before."""
    trial = told(keys=(SECOND,))
    keys = key_history(trial.log, SECOND)
    hashes = trial.log.leaf_hashes()
    right = {3: FIRST, 4: SECOND, len(hashes): SECOND}
    for size, signer in right.items():
        wrong = SECOND if signer is FIRST else FIRST
        text = checkpoint_text(NAME, size, bytes(32))
        assert keys.open(note(text, signer)).size == size
        with pytest.raises(EvidenceError, match="key then in force"):
            keys.open(note(text, wrong))


def note(text: bytes, signer: ThrowawaySigner) -> bytes:
    signature = signer.sign(text)
    whole = signed_note(
        text, name=NAME, public_key=signer.public_key, signature=signature
    )
    return whole.encode()


def test_a_disclosure_survives_a_change_of_key() -> None:
    """A request recorded under the first key, shown after two changes."""
    trial = told()
    logged = trial.log.entries(trial.trial_id)[2]
    _, envelope = trial.segments.read_sealed(trial.trial_id, 1)
    evidence = SegmentEvidence(
        trial.segments.read(trial.trial_id, 1),
        envelope,
        logged.entry.model_dump(mode="json"),
        logged.index,
    )
    checkpoint = sign_checkpoint(trial.log, trial.signer)
    keys = key_history(trial.log, trial.signer)
    tree = HashTree(trial.log.hashes, checkpoint.size)
    head = LogHead(checkpoint.note.encode(), tree, keys)
    data = make_disclosure(evidence, head, frame=1)
    for key in (FIRST, SECOND, THIRD):
        result = verify_disclosure(data, key.public_key)
        assert result.ok, result.steps[-1]
    assert not verify_disclosure(data, STRANGER.public_key).ok
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert not verify_disclosure(changed, FIRST.public_key).ok


def test_a_witness_goes_on_after_a_change_of_key(tmp_path: Path) -> None:
    """What was cosigned under the first key is still of the log, and so is the next."""
    witness = ThrowawaySigner("anna.example", seed="anna")
    trial = told(keys=())
    for key in (None, SECOND):
        if key is not None:
            trial.rotate(key)
        own = sign_checkpoint(trial.log, trial.signer).note.encode()
        keep_cosigned(trial.log, trial.signer, cosign(own, witness, at=AT))
    line = NoteKey(witness.name, witness.public_key, COSIGNATURE).vkey()
    trust = Trust(Witnesses((line,), 1))
    result = verify_bundle(written(trial, tmp_path), key=FIRST.public_key, trust=trust)
    assert result.ok, result.steps[-1]


def test_the_log_as_tiles_ends_in_a_checkpoint_of_the_new_key() -> None:
    """Its text is what it was; the key in force signs it."""
    trial = told(keys=(SECOND,))
    last = sign_checkpoint(trial.log, trial.signer)
    opened = open_checkpoint(last.note.encode(), {NAME: SECOND.public_key})
    assert opened.size == len(trial.log.leaf_hashes())


def test_a_half_sealed_segment_forbids_a_change() -> None:
    """Logged, and its file still as it was closed: it would be signed by both."""
    segments = FakeSegments()
    trial = RecordedTrial(segments=segments, receive=segments.receive)
    trial.record("a")
    trial.seal()
    check_sealed(trial.log, segments)
    trial.record("b")
    segments.roll(trial.trial_id)
    check_sealed(trial.log, segments)
    name = f"{trial.trial_id}/segment/000002"
    entry = {"kind": "segment", "entry_id": name, "trial_id": trial.trial_id}
    trial.log.append(LogEntry.model_validate(entry | {"recorded_at": AT}))
    with pytest.raises(EvidenceError, match="segment 2 of trial ride-1 is logged"):
        check_sealed(trial.log, segments)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"algorithm": "ed25519", "name": NAME, "keys": []},
        {"algorithm": "rsa", "name": NAME, "keys": [{}]},
        {"algorithm": "ed25519", "name": "a b", "keys": [{}]},
    ],
)
def test_what_is_no_history_is_named(data: Any) -> None:
    """Malformed in any way, it is an error that says where."""
    with pytest.raises(EvidenceError, match=r"keys\.json"):
        read_history(data, what="keys.json")
