"""`sandbox evidence export` and `import`: recorded telemetry out, and telemetry in."""

from __future__ import annotations

import os
import pwd
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from sandbox.errors import EvidenceError, InputError
from sandbox.model.application import Defect
from sandbox.model.log import TelemetryImport
from sandbox.model.trace import SpanAnswer
from sandbox.query.imports import check_open, check_producer
from sandbox.query.wording import counted
from workflows.cli.engines import Engine, EngineOption, open_spans
from workflows.cli.exporting import Form, Source, Wanted, pieces, write_out
from workflows.cli.importing import (
    Door,
    Intent,
    Kind,
    check_files,
    import_file,
    plan_import,
)
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.questions import Trial, check_trace_id
from workflows.cli.setup import Home, read_settings, read_text
from workflows.worker import open_ledger


class SignalName(StrEnum):
    """What requests carry."""

    traces = "traces"
    metrics = "metrics"
    logs = "logs"


class ImportForm(StrEnum):
    """How a file is written."""

    otlp = "otlp"
    otlp_proto = "otlp-proto"


SignalOption = Annotated[
    SignalName,
    typer.Option(
        help="What the requests carry; imported JSON lines say so themselves."
    ),
]
ImportFormOption = Annotated[
    ImportForm,
    typer.Option(
        "--format",
        help="otlp: JSON lines; otlp-proto: protobuf, each request after its length.",
    ),
]
FormOption = Annotated[
    Form,
    typer.Option(
        "--format",
        help="otlp: JSON lines (OTLP File Exporter); otlp-proto: each request as it "
        "was received, after its length; jaeger: for Jaeger's interface.",
    ),
]


def export(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    form: FormOption = Form.otlp,
    trace: Annotated[str, typer.Option(help="Only this trace.")] = "",
    found: Annotated[
        Path | None,
        typer.Option(
            help="Only the spans of an answer in JSON, as `search -o json` writes it; "
            "- reads standard input."
        ),
    ] = None,
    signal: SignalOption = SignalName.traces,
    to: Annotated[
        Path | None, typer.Option(help="File to write; else standard output.")
    ] = None,
    engine: EngineOption = Engine.duckdb,
    home: Home = None,
) -> None:
    """Write recorded telemetry for other tools; without a choice, all of it."""
    _check_options(form, signal, trace=trace, found=found)
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    answer = None
    if trace:
        wanted_trace = check_trace_id(trace)
        answer = open_spans(settings, ledger, engine).trace(trial, wanted_trace)
    elif found is not None:
        answer = _read_answer(found, trial)
    if answer is not None and not answer.spans:
        raise EvidenceError(
            f"there is no span to export: {trace or found} names none in the sealed"
            f" segments of trial {trial}"
        )
    source = Source(ledger, Wanted(trial, signal.value, answer))
    digest = write_out(to, pieces(source, form))
    _tell(source, digest)
    if answer is not None and answer.unsealed:
        unsealed = counted(answer.unsealed, "segment")
        say(f"{unsealed} not sealed yet and not searched")


def import_(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    files: Annotated[list[Path], typer.Argument(help="Files of OTLP.")],
    producer: Annotated[
        str, typer.Option(help="Name under which their telemetry is recorded.")
    ],
    form: ImportFormOption = ImportForm.otlp,
    signal: SignalOption = SignalName.traces,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was imported before.")
    ] = False,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Make files of telemetry evidence of a producer, through the running recorder."""
    settings = read_settings(home)
    ledger, tokens = open_ledger(settings)
    check_producer(producer)
    check_open(ledger.log.entries(trial), trial)
    checked = check_files(files, Kind(form.value, signal.value))
    intent = Intent(trial, producer, by=account(), again=again)
    planned = [(item, plan_import(ledger, item, intent)) for item in checked]
    door = Door(ledger, tokens, settings.recorder_http_port)
    rows = [_imported(begin, import_file(door, item, begin)) for item, begin in planned]
    emit(rows, output, name="entry")


def _imported(begin: TelemetryImport, entry: int) -> dict[str, Any]:
    return {
        "file": begin.file,
        "requests": begin.requests,
        "spans": begin.spans,
        "digest": begin.file_digest,
        "entry": entry,
    }


def account() -> str:
    """Return the account of this machine that runs the command."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _check_options(
    form: Form, signal: SignalName, *, trace: str, found: Path | None
) -> None:
    """Refuse options that contradict each other.

    Raises:
        InputError: They do; every contradiction is named.
    """
    defects = []
    if trace and found is not None:
        what = "--trace and --found choose the spans twice"
        defects.append(("export/choice", what, "Give one of them"))
    if signal is not SignalName.traces:
        for word, given in (
            ("--format jaeger", form is Form.jaeger),
            ("--trace", bool(trace)),
            ("--found", found is not None),
        ):
            if given:
                what = f"{word} speaks of traces, not of {signal.value}"
                defects.append(("export/signal", what, "Leave --signal away"))
    if defects:
        raise InputError(
            [Defect(code=code, what=what, remedy=do) for code, what, do in defects]
        )


def _read_answer(file: Path, trial: str) -> SpanAnswer:
    text = sys.stdin.read() if str(file) == "-" else read_text(file)
    try:
        answer = SpanAnswer.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"is not an answer of `sandbox evidence search`: {where} {first['msg']}"
        remedy = "Give what `sandbox evidence search TRIAL … -o json` wrote"
        raise InputError(
            [Defect(code="export/found", what=what, remedy=remedy, file=str(file))]
        ) from error
    if answer.trial_id != trial:
        what = f"is about trial {answer.trial_id}, not {trial}"
        remedy = "Name the trial it is about"
        raise InputError(
            [Defect(code="export/found", what=what, remedy=remedy, file=str(file))]
        )
    return answer


def _tell(source: Source, digest: str) -> None:
    states = list(source.segments.values())
    unsealed = states.count("open") + states.count("closed")
    said = f"exported {counted(source.requests, 'request')}"
    said += f" with {counted(source.spans, 'span')}"
    said += f" of {counted(len(states), 'segment')}"
    said += f" ({unsealed} of them not sealed yet)" if unsealed else ""
    erased = states.count("erased")
    said += f" ({erased} of them erased, as the log says)" if erased else ""
    say(f"{said}; {digest}")
    if source.unusual:
        say(
            f"{counted(source.unusual, 'request')} with fields that this version of"
            " OTLP does not know and JSON cannot hold; --format otlp-proto keeps them"
        )
