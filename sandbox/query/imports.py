"""Whether a file of telemetry may become evidence of a trial, by what the log says.

Rules of this module:

* Only while the environment of a trial exists: before there is nothing to observe, and
  afterwards the evidence is closed.
* The same content twice is refused unless it is meant; the log knows it by its SHA-256,
  whatever the file or the producer is called.
* Nobody can import as the recorder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sandbox.errors import InputError, ProcedureError
from sandbox.model.application import Defect
from sandbox.model.log import LoggedEntry, TelemetryImport
from sandbox.recorder import MAX_PRODUCER_BYTES, RECORDER

_OPEN = ("provisioning", "running", "paused")


class Earlier(NamedTuple):
    """An import of the same content that the log knows."""

    begun: LoggedEntry
    record: TelemetryImport
    is_whole: bool
    """Whether it came to its end."""


def check_open(entries: Sequence[LoggedEntry], trial_id: str) -> None:
    """Refuse a trial that takes no telemetry now.

    Args:
        entries: Its entries, in log order.
        trial_id: The trial.

    Raises:
        ProcedureError: There is no such trial, or its state is another.
    """
    states = [
        str(item.entry.body.get("after"))
        for item in entries
        if item.entry.kind == "transition"
    ]
    if not states:
        raise ProcedureError(
            f"there is no trial {trial_id} in the log; `sandbox trial list` names those"
            " there are"
        )
    if states[-1] not in _OPEN:
        raise ProcedureError(
            f"trial {trial_id} is {states[-1].replace('_', ' ')}, and takes telemetry"
            f" only while it is {', '.join(_OPEN[:-1])} or {_OPEN[-1]}; nothing was"
            " imported"
        )


def check_producer(name: str) -> None:
    """Refuse a name that no producer can have.

    Raises:
        InputError: It is none.
    """
    plain = bool(name) and all(" " < letter and letter.isprintable() for letter in name)
    if plain and len(name.encode()) <= MAX_PRODUCER_BYTES and name != RECORDER:
        return
    defect = Defect(
        code="import/producer",
        what=f"{name!r} cannot be a producer",
        remedy=f"Give a name of 1 to {MAX_PRODUCER_BYTES} bytes without spaces, other"
        f" than {RECORDER}",
        field="--producer",
    )
    raise InputError([defect])


def earlier_imports(entries: Sequence[LoggedEntry], digest: str) -> list[Earlier]:
    """Return what the log knows of imports of the same content, oldest first.

    Args:
        entries: Entries of the trial.
        digest: SHA-256 of the file.
    """
    logged = [
        (item, TelemetryImport.model_validate(item.entry.body))
        for item in entries
        if item.entry.kind == "import"
    ]
    ended = {record.attempt for _, record in logged if record.act == "end"}
    return [
        Earlier(item, record, record.attempt in ended)
        for item, record in logged
        if record.act == "begin" and record.file_digest == digest
    ]


def check_new(earlier: Sequence[Earlier], file: str) -> None:
    """Refuse content that was imported before.

    Args:
        earlier: Its earlier imports.
        file: What the file is called now.

    Raises:
        ProcedureError: There is one; says when it was, and how it ended.
    """
    if not earlier:
        return
    last = earlier[-1]
    how = "was imported" if last.is_whole else "began to be imported, without an end,"
    raise ProcedureError(
        f"{file} {how} at {last.begun.entry.recorded_at:%Y-%m-%d %H:%M:%S} UTC as"
        f" producer {last.record.producer} (entry {last.begun.index}); --again imports"
        " the whole of it once more"
    )
