"""A subject's data from the span to its erasure, on the files of an installation."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner, Result

from sandbox.adapters.subject_keys import FileSubjectKeys
from sandbox.errors import ProcedureError, SandboxError
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.verify import verify_bundle
from sandbox.ports import SubjectKey
from sandbox.recorder import encode_frame
from sandbox.recorder.sealing import SUITE, SubjectSealer, context, pad
from sandbox.settings import Settings
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.cli.evidence import application
from workflows.worker import open_ledger

TRIAL, RIDER, NAME = "ride-1", "rider-17", "Aiko Mori of Example Street"
ACT = ("--reason", "Asked for by the subject.", "--by", "Ren Sato")


def call(*arguments: object, given: str = "") -> Result:
    """Run `sandbox evidence …` in this process."""
    return CliRunner().invoke(
        application(), [str(item) for item in arguments], input=given
    )


def traced(attributes: dict[str, str]) -> bytes:
    """Return the OTLP request of one span that a producer made with the SDK."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("ride") as span:
        span.set_attributes(attributes)
    return encode_spans(exporter.get_finished_spans()).SerializeToString()


class Installation:
    """Files of an installation with one trial and one enrolled subject."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings(home=home)
        self.ledger, _ = open_ledger(self.settings)
        self.trial.add("plan", "plan")
        self.pseudonym = self.call("subject-key", "new", TRIAL, RIDER).stdout.strip()
        exported = home.with_name("sealing.json")
        assert self.call("subject-key", "export", TRIAL, exported).exit_code == 0
        self.sealer = SubjectSealer.from_json(exported.read_text())

    def call(self, *arguments: object, given: str = "") -> Result:
        return call(*arguments, "--home", self.home, given=given)

    def record(self, *spans: dict[str, str]) -> None:
        """Record and seal one segment with one request for each span."""
        frames = [
            encode_frame(
                traced(attributes),
                signal="traces",
                producer="system",
                sequence=number,
                received_at=STARTED_AT,
            )
            for number, attributes in enumerate(spans, start=1)
        ]
        folder = self.settings.evidence_dir / TRIAL
        folder.mkdir(parents=True)
        (folder / "000001.closed").write_bytes(b"".join(frames))
        self.trial.seal()

    @property
    def trial(self) -> RecordedTrial:
        ledger = self.ledger
        return RecordedTrial(
            log=ledger.log, segments=ledger.segments, signer=ledger.signer
        )

    def unsealed(self, subject: str = RIDER) -> list[tuple[str, str | None]]:
        ended = self.call("unseal", TRIAL, subject, "-o", "json")
        assert ended.exit_code == 0, ended
        rows = json.loads(ended.stdout)
        return [(row["attribute"], row["value"]) for row in rows]

    def bundle(self, name: str) -> Path:
        place = self.home.with_name(name)
        write_bundle(place, trial_id=TRIAL, source=self.trial.source())
        return place

    def holds(self, secret: bytes) -> list[str]:
        """Return the files of the installation in which some bytes lie."""
        forms = (secret, secret.hex().encode())
        files = [item for item in self.home.rglob("*") if item.is_file()]
        assert any(item.suffix == ".sqlite3" for item in files)
        return [
            item.name for item in files if any(f in item.read_bytes() for f in forms)
        ]


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


def test_a_value_is_sealed_recorded_and_unsealed(place: Installation) -> None:
    """The evidence holds ciphertext; the operator's key opens it."""
    sealed = place.sealer.seal(RIDER, "rider.name", NAME)
    place.record({"rider.name": sealed, "car": "7"}, {"car": "8"})
    assert place.unsealed() == [("rider.name", NAME)]
    raw = place.ledger.segments.read(TRIAL, 1)
    assert sealed.encode() in raw
    assert NAME.encode() not in raw
    assert place.holds(NAME.encode()) == []
    assert place.holds(RIDER.encode()) == []


def test_a_subject_s_name_may_come_from_standard_input(place: Installation) -> None:
    """So that it stays out of the shell's history."""
    again = place.call("subject-key", "new", TRIAL, "-", given=f"{RIDER}\n")
    assert again.stdout.strip() == place.pseudonym
    listed = place.call("subject-key", "list", TRIAL, "-o", "name")
    assert listed.stdout.strip() == place.pseudonym


def test_a_value_moved_elsewhere_does_not_open(place: Installation) -> None:
    """To another attribute or another trial, or changed."""
    sealed = place.sealer.seal(RIDER, "rider.name", NAME)
    (key,) = FileSubjectKeys(place.home / "keys" / "subjects").list(TRIAL)
    public = X25519PublicKey.from_public_bytes(key.public_key)
    info = context("ride-2", key.subject, "rider.name")
    other = base64.urlsafe_b64encode(SUITE.encrypt(pad(b"x"), public, info)).decode()
    place.record(
        {"rider.phone": sealed},
        {"rider.name": sealed[:-4] + "AAAA"},
        {"rider.name": f"sealed:v1:{key.subject}:{other}"},
        {"rider.name": f"sealed:v1:{key.subject}:*"},
    )
    assert place.unsealed() == [
        ("rider.phone", None),
        ("rider.name", None),
        ("rider.name", None),
        ("rider.name", None),
    ]


def test_a_destroyed_key_leaves_no_byte_and_breaks_no_proof(
    place: Installation,
) -> None:
    """Neither key nor value is in any file; every bundle verifies as before."""
    place.record({"rider.name": place.sealer.seal(RIDER, "rider.name", NAME)})
    key = place.home / "keys" / "subjects" / TRIAL / f"{place.pseudonym}.key"
    private = key.read_bytes()
    assert place.holds(private) == [key.name]
    before = place.bundle("before")
    steps = verify_bundle(before).steps
    segment = (before / "segments" / "000001.gz").read_bytes()
    ended = place.call("subject-key", "destroy", TRIAL, RIDER, *ACT)
    assert ended.exit_code == 0, ended
    assert place.holds(private) == []
    assert place.holds(NAME.encode()) == []
    assert verify_bundle(before).steps == steps
    after = place.bundle("after")
    result = verify_bundle(after)
    assert result.ok
    assert (after / "segments" / "000001.gz").read_bytes() == segment
    assert (
        f"the key of subject {place.pseudonym} was destroyed" in result.steps[-2].detail
    )
    assert (result.frames, result.spans) == (1, 1)


def test_after_destruction_the_subject_is_not_unsealed_nor_enrolled_again(
    place: Installation,
) -> None:
    """Both say when, by whom and why; destroying again is no error."""
    for _ in range(2):
        ended = place.call("subject-key", "destroy", TRIAL, RIDER, *ACT)
        assert ended.exit_code == 0
    assert sum(i.entry.kind == "erasure" for i in place.ledger.log.entries(TRIAL)) == 1
    for command in (("unseal",), ("subject-key", "new")):
        ended = place.call(*command, TRIAL, RIDER)
        assert isinstance(ended.exception, ProcedureError)
        assert "by Ren Sato: Asked for by the subject." in ended.exception.diagnosis


def test_a_key_made_while_it_is_destroyed_does_not_stay(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure comes between the look at the log and the making."""
    make = FileSubjectKeys.create

    def late(keys: FileSubjectKeys, trial: str, subject: str) -> SubjectKey:
        with monkeypatch.context() as usual:
            usual.setattr(FileSubjectKeys, "create", make)
            place.call("subject-key", "destroy", TRIAL, RIDER, *ACT)
        return make(keys, trial, subject)

    monkeypatch.setattr(FileSubjectKeys, "create", late)
    ended = place.call("subject-key", "new", TRIAL, RIDER)
    assert isinstance(ended.exception, ProcedureError)
    assert FileSubjectKeys(place.home / "keys" / "subjects").list(TRIAL) == []


def test_exported_keys_are_their_owner_s_alone(place: Installation) -> None:
    """Also where a file that others can read lay before; a link is not followed."""
    file, other = place.home.with_name("keys.json"), place.home.with_name("other")
    other.write_text("other")
    file.symlink_to(other)
    assert place.call("subject-key", "export", TRIAL, file).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert not file.is_symlink()
    assert other.read_text() == "other"


def test_an_interrupted_destruction_is_finished_by_the_next_call(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry came first; then the key goes, whoever calls."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(FileSubjectKeys, "destroy", crash)
        place.call("subject-key", "destroy", TRIAL, RIDER, *ACT)
    keys = FileSubjectKeys(place.home / "keys" / "subjects")
    assert len(keys.list(TRIAL)) == 1
    by_other = ("--reason", "Again.", "--by", "Aiko")
    ended = place.call("subject-key", "destroy", TRIAL, RIDER, *by_other)
    assert ended.exit_code == 0
    assert keys.list(TRIAL) == []
    (entry,) = [
        i.entry for i in place.ledger.log.entries(TRIAL) if i.entry.kind == "erasure"
    ]
    assert entry.body["reason"] == "Asked for by the subject."


def test_no_key_is_destroyed_under_a_hold_or_without_reason(
    place: Installation,
) -> None:
    """Nor one that does not exist; nothing is recorded, and the key still opens."""
    place.record({"rider.name": place.sealer.seal(RIDER, "rider.name", NAME)})
    acts = (
        (RIDER, "--reason", " ", "--by", "Ren Sato"),
        ("rider-18", *ACT),
    )
    assert place.call("hold", TRIAL, "--reason", "Case 12.", "--by", "A").exit_code == 0
    for act in ((RIDER, *ACT), *acts):
        ended = place.call("subject-key", "destroy", TRIAL, *act)
        assert isinstance(ended.exception, SandboxError)
    assert place.unsealed() == [("rider.name", NAME)]
    kinds = [item.entry.kind for item in place.ledger.log.entries(TRIAL)]
    assert "erasure" not in kinds
