"""Telemetry out of one installation and into another, through a real recorder.

What is imported must be what was exported, byte for byte, and must have come the way
all telemetry comes: identified by a token, checked, durable, sealed like the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from typer.testing import CliRunner, Result

from sandbox.errors import (
    EvidenceError,
    InputError,
    ProcedureError,
    RecorderError,
    RecordsError,
)
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.log import TelemetryImport
from sandbox.model.record import digest_of
from sandbox.query.otlp_file import delimited, json_line
from sandbox.recorder import Frame, encode_frame, from_json
from sandbox.recorder.otlp_json import origin_digest
from sandbox.testing.recorder import TRIAL, RecorderProcess, trace_request
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.activities.keeping import Ledger
from workflows.cli import importing
from workflows.cli.evidence import application
from workflows.worker import open_ledger

LINES = [json_line("traces", trace_request([f"s{n}", "t"])) for n in range(5)]


class Installation(NamedTuple):
    """A running recorder, and the record of one trial that runs."""

    recorder: RecorderProcess
    ledger: Ledger
    trial: RecordedTrial

    def call(self, *arguments: object) -> Result:
        """Run `sandbox evidence …` in this process."""
        settings = self.recorder.settings
        env = {"SANDBOX_RECORDER_HTTP_PORT": str(settings.recorder_http_port)}
        words = [str(item) for item in (*arguments, "--home", settings.home)]
        return CliRunner().invoke(application(), words, env=env)

    def load(self, *arguments: object) -> Result:
        """Import files as producer `lab`."""
        return self.call("import", TRIAL, *arguments, "--producer", "lab")

    def imports(self) -> list[TelemetryImport]:
        """Return what the log says of imports."""
        return [
            TelemetryImport.model_validate(item.entry.body)
            for item in self.ledger.log.entries(TRIAL)
            if item.entry.kind == "import"
        ]


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[Installation]:
    """Make a running trial in an installation with a real recorder."""
    recorder = RecorderProcess(tmp_path / "home", sql_tokens=True)
    with recorder:
        ledger, _ = open_ledger(recorder.settings)
        trial = RecordedTrial(TRIAL, log=ledger.log, signer=ledger.signer)
        trial.move("approved", "provisioning", 1)
        trial.move("provisioning", "running", 2)
        yield Installation(recorder, ledger, trial)


def write(file: Path, *parts: bytes) -> Path:
    """Write a file and return it."""
    file.write_bytes(b"".join(parts))
    return file


def test_imported_is_durable_and_on_record(here: Installation, tmp_path: Path) -> None:
    """Every line is a request of the named producer; the log says what it was."""
    file = write(tmp_path / "a.jsonl", *LINES)
    ended = here.load(file, "-o", "json")
    assert ended.exit_code == 0, ended.exception
    frames = here.recorder.frames()
    assert [frame.producer for frame in frames] == ["lab"] * 5
    converted = [from_json("traces", line.rstrip(b"\n")) for line in LINES]
    assert [frame.payload for frame in frames] == [a + b for a, b in converted]
    digests = [hashlib.sha256(line.rstrip(b"\n")).digest() for line in LINES]
    assert [origin_digest("traces", frame.payload) for frame in frames] == digests
    begin, end = here.imports()
    assert (begin.act, end.act) == ("begin", "end")
    assert end == begin.model_copy(update={"act": "end"})
    assert (end.file, end.requests, end.spans) == ("a.jsonl", 5, 10)
    assert end.file_digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert (end.producer, end.signal, end.form) == ("lab", "traces", "otlp")
    assert end.by
    (row,) = json.loads(ended.stdout)
    assert row["entry"] == here.ledger.log.entries(TRIAL)[-1].index


def test_a_file_with_bad_lines_changes_nothing(
    here: Installation, tmp_path: Path
) -> None:
    """Every bad line of every file is named; no request is sent, no entry made."""
    one = write(tmp_path / "a.jsonl", LINES[0], b"oops\n", LINES[1], b'{"a":1}\n')
    two = write(tmp_path / "b.jsonl", b"[]\n")
    ended = here.load(one, two, tmp_path / "none.jsonl")
    assert isinstance(ended.exception, InputError)
    said = ended.exception.diagnosis
    for place in (f"{one}:2:", f"{one}:4:", f"{two}:1:", "none.jsonl"):
        assert place in said
    assert here.recorder.frames() == []
    assert here.imports() == []


def test_the_same_content_is_recognised(here: Installation, tmp_path: Path) -> None:
    """Under another name it is refused with the place of the first, unless meant."""
    here.load(write(tmp_path / "a.jsonl", *LINES))
    other = write(tmp_path / "b.jsonl", *LINES)
    ended = here.load(other)
    assert isinstance(ended.exception, ProcedureError)
    assert "was imported at" in ended.exception.diagnosis
    assert len(here.recorder.frames()) == 5
    assert here.load(other, "--again").exit_code == 0
    assert len(here.recorder.frames()) == 10
    assert [item.earlier for item in here.imports()] == [0, 0, 1, 1]


def test_an_interrupted_import_is_recognised(
    here: Installation, tmp_path: Path
) -> None:
    """Its beginning is on record; a repetition is told so."""
    file = write(tmp_path / "a.jsonl", *LINES)
    here.recorder.stop()
    blocked = here.load(file)
    assert isinstance(blocked.exception, RecorderError)
    assert "sandbox recorder run" in blocked.exception.diagnosis
    # Without a recorder nothing was going to be sent, so nothing is on record.
    assert here.imports() == []
    here.recorder.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing.OtlpSender, "send", fail)
        assert isinstance(here.load(file).exception, RecorderError)
    assert [item.act for item in here.imports()] == ["begin"]
    ended = here.load(file)
    assert isinstance(ended.exception, ProcedureError)
    assert "without an end" in ended.exception.diagnosis
    assert here.load(file, "--again").exit_code == 0
    assert len(here.recorder.frames()) == 5


def fail(*_: object, **__: object) -> None:
    """Stand for a sender whose recorder ended."""
    raise RecorderError("it went away")


class Planned(NamedTuple):
    """An import that was planned and not yet begun."""

    door: importing.Door
    checked: importing.Checked
    begin: TelemetryImport

    def run(self) -> None:
        """Import the file."""
        importing.import_file(*self)


def planned(here: Installation, file: Path) -> Planned:
    """Check a file and plan its import."""
    (checked,) = importing.check_files([file], importing.Kind("otlp", "traces"))
    intent = importing.Intent(TRIAL, "lab", "someone", again=False)
    begin = importing.plan_import(here.ledger, checked, intent)
    _, tokens = open_ledger(here.recorder.settings)
    port = here.recorder.settings.recorder_http_port
    return Planned(importing.Door(here.ledger, tokens, port), checked, begin)


def test_a_file_that_changes_is_noticed(here: Installation, tmp_path: Path) -> None:
    """What was not checked is not sent, and the log has no end."""
    file = write(tmp_path / "a.jsonl", *LINES)
    plan = planned(here, file)
    write(file, LINES[0], LINES[2], *LINES[2:])
    with pytest.raises(EvidenceError, match="was changed while .*; 1 of its 5"):
        plan.run()
    assert len(here.recorder.frames()) == 1
    assert [item.act for item in here.imports()] == ["begin"]


def test_a_trial_that_ends_meanwhile_takes_nothing(
    here: Installation, tmp_path: Path
) -> None:
    """What counts is the order in the log, not what was so when it was planned."""
    plan = planned(here, write(tmp_path / "a.jsonl", *LINES))
    here.trial.move("running", "closing", 3)
    with pytest.raises(ProcedureError, match="is closing"):
        plan.run()
    assert here.recorder.frames() == []


def test_two_imports_of_one_file_at_once(here: Installation, tmp_path: Path) -> None:
    """The log lets one begin; the other is refused, and nothing of it is sent."""
    file = write(tmp_path / "a.jsonl", *LINES)
    first, second = planned(here, file), planned(here, file)
    first.run()
    with pytest.raises(RecordsError, match="already entry"):
        second.run()
    assert len(here.recorder.frames()) == 5


def test_a_trial_that_is_over_takes_nothing(here: Installation, tmp_path: Path) -> None:
    """Neither does one that does not exist; nothing is read or sent."""
    file = write(tmp_path / "a.jsonl", *LINES)
    here.trial.move("running", "closing", 3)
    ended = here.load(file)
    assert isinstance(ended.exception, ProcedureError)
    assert "is closing" in ended.exception.diagnosis
    ended = here.call("import", "other", file, "--producer", "lab")
    assert isinstance(ended.exception, ProcedureError)
    assert here.recorder.frames() == []


def test_tokens_of_others_stay(here: Installation, tmp_path: Path) -> None:
    """An import neither revokes a producer's token nor needs one."""
    _, tokens = open_ledger(here.recorder.settings)
    tokens.issue(TRIAL, "hotrod", "live-token")
    here.load(write(tmp_path / "a.jsonl", *LINES))
    sent = here.recorder.post(trace_request(), authorization="Bearer live-token")
    assert sent.status == 200
    assert here.recorder.frames()[-1].producer == "hotrod"


def exported(here: Installation, *options: object) -> Path:
    """Return a file that `export` wrote."""
    file = here.recorder.settings.home.parent / f"exported-{len(options)}"
    ended = here.call("export", TRIAL, "--to", file, *options)
    assert ended.exit_code == 0, ended.exception
    return file


@pytest.mark.parametrize("form", ["otlp", "otlp-proto"])
def test_out_and_in_again_loses_nothing(
    here: Installation, tmp_path: Path, form: str
) -> None:
    """Requests in JSON and in protobuf come back as the same protobuf bytes."""
    _, tokens = open_ledger(here.recorder.settings)
    tokens.issue(TRIAL, "hotrod", "live-token")
    live = {"authorization": "Bearer live-token"}
    here.recorder.post(rich_request(), **live)
    body = LINES[0]
    here.recorder.post(body, content_type="application/json", **live)
    first = here.recorder.frames()
    out = exported(here, "--format", form)
    ended = here.load(out, "--format", form)
    assert ended.exit_code == 0, ended.exception
    frames = here.recorder.frames()[len(first) :]
    assert [without_origin(item) for item in frames] == [
        without_origin(item) for item in first
    ]
    assert exported(here, "--format", form, "--signal", "traces").read_bytes() == (
        out.read_bytes() * 2
    )


def rich_request() -> bytes:
    """Return a request with values of every type."""
    request = ExportTraceServiceRequest.FromString(trace_request(["a", "b"]))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="i").value.int_value = -(2**63)
    span.attributes.add(key="d").value.double_value = float("-inf")
    span.attributes.add(key="raw").value.bytes_value = b"\x00\xff"
    nested = span.attributes.add(key="traceId").value.kvlist_value.values
    nested.add(key="deep").value.array_value.values.add(bool_value=True)
    span.events.add(name="e", time_unix_nano=2**64 - 1)
    span.links.add(trace_id=b"0" * 16, span_id=b"1" * 8)
    return request.SerializeToString()


def without_origin(frame: Frame) -> bytes:
    """Return a payload without the digest of the JSON it was made from."""
    came = origin_digest("traces", frame.payload)
    return frame.payload[:-36] if came else frame.payload


def test_changed_evidence_does_not_leave(here: Installation, tmp_path: Path) -> None:
    """A segment that is not the one the log names is refused, and no file appears."""
    here.load(write(tmp_path / "a.jsonl", *LINES))
    here.recorder.roll()
    number = here.ledger.segments.files(TRIAL)[-1].number
    other = encode_frame(
        trace_request(["other"]),
        signal="traces",
        producer="lab",
        sequence=1,
        received_at=STARTED_AT,
    )
    sealed = seal_segment(
        other,
        trial_id=TRIAL,
        number=number,
        rulebook_digest=digest_of(b"rulebook"),
        signer=here.ledger.signer,
    )
    here.ledger.log.append(segment_entry(sealed, recorded_at=STARTED_AT))
    out = tmp_path / "out"
    ended = here.call("export", TRIAL, "--to", out)
    assert isinstance(ended.exception, EvidenceError)
    assert f"segment {number}" in ended.exception.diagnosis
    assert not list(tmp_path.glob("*out*"))


def test_protobuf_that_claims_json_is_refused(
    here: Installation, tmp_path: Path
) -> None:
    """The digest of a body is the recorder's to write, in files too."""
    converted = from_json("traces", LINES[0].rstrip(b"\n"))
    file = write(tmp_path / "a.pb", delimited(converted.payload + converted.origin))
    ended = here.load(file, "--format", "otlp-proto")
    assert isinstance(ended.exception, InputError)
    assert "request 1" in ended.exception.diagnosis


def test_logs_leave_and_come_in_too(here: Installation, tmp_path: Path) -> None:
    """Another signal is chosen by name; JSON lines say themselves what they carry."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=b"0123456789abcdef").body.string_value = "hello"
    payload = request.SerializeToString()
    lines = write(tmp_path / "a.jsonl", json_line("logs", payload))
    assert here.load(lines).exit_code == 0
    blocks = write(tmp_path / "a.pb", delimited(payload))
    options = ("--format", "otlp-proto", "--signal", "logs")
    assert here.load(blocks, *options).exit_code == 0
    assert [frame.signal for frame in here.recorder.frames()] == ["logs", "logs"]
    assert {item.signal for item in here.imports()} == {"logs"}
    assert exported(here, *options).read_bytes() == delimited(payload) * 2
    assert exported(here).read_bytes() == b""
