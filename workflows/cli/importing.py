"""Files of telemetry become evidence, by the way all telemetry takes.

Rules of this module:

* A file is read to its end before anything of it is sent; everything wrong with it is
  said at once, and then nothing is imported.
* Record first: the log says what is going to be imported, then it is sent, then the log
  says that all of it was acknowledged.
* What is sent is what was checked: a file that changes in between is noticed before the
  changed request is sent.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from sandbox.adapters.otlp_sender import OtlpSender
from sandbox.errors import EvidenceError, InputError
from sandbox.model.application import Defect
from sandbox.model.log import TelemetryImport
from sandbox.model.segment import Signal
from sandbox.ports import Tokens
from sandbox.query.imports import check_new, check_open, earlier_imports
from sandbox.query.otlp_reading import (
    BadRequest,
    Body,
    FileRequest,
    read_delimited,
    read_json_lines,
    split_delimited,
    split_lines,
)
from workflows.activities.keeping import Ledger

Form = Literal["otlp", "otlp-proto"]


class Kind(NamedTuple):
    """How a file is written, and what its requests carry."""

    form: Form
    signal: Signal
    """Of JSON lines it is read from the lines."""


class Checked(NamedTuple):
    """A file that can be imported as it is."""

    file: Path
    digest: str
    size: int
    kind: Kind
    spans: int
    requests: tuple[bytes, ...]
    """A short digest of every request, in order."""


class Door(NamedTuple):
    """What an import goes through."""

    ledger: Ledger
    tokens: Tokens
    port: int
    """The recorder's port of OTLP/HTTP."""


class Intent(NamedTuple):
    """What somebody wants to import."""

    trial_id: str
    producer: str
    by: str
    """The account that does it."""
    again: bool
    """Also what was imported before."""


class _Hashing:
    """A file that remembers the digest of what was read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"

    def read(self, size: int, /) -> bytes:
        return self._note(self._file.read(size))

    def readline(self, size: int, /) -> bytes:
        return self._note(self._file.readline(size))

    def _note(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.size += len(data)
        return data


def check_files(files: Sequence[Path], kind: Kind) -> list[Checked]:
    """Read files to their end.

    Raises:
        InputError: Something is wrong with one; every problem of all is named.
    """
    defects: list[Defect] = []
    checked = [_check_file(file, kind, defects) for file in files]
    seen: dict[str, Path] = {}
    for item in checked:
        first = seen.setdefault(item.digest, item.file)
        if first is not item.file:
            what = f"has the same content as {first}"
            defects.append(_defect(item.file, what, "Give it once"))
    if defects:
        raise InputError(defects)
    return checked


def plan_import(ledger: Ledger, checked: Checked, intent: Intent) -> TelemetryImport:
    """Return what the log will say of an import before it begins.

    Raises:
        ProcedureError: The trial takes no telemetry now, or the same content was
            imported before.
    """
    entries = ledger.log.entries(intent.trial_id)
    check_open(entries, intent.trial_id)
    earlier = earlier_imports(entries, checked.digest)
    if not intent.again:
        check_new(earlier, str(checked.file))
    return TelemetryImport(
        act="begin",
        trial_id=intent.trial_id,
        attempt=secrets.token_hex(8),
        file=checked.file.name,
        file_digest=checked.digest,
        file_size=checked.size,
        form=checked.kind.form,
        producer=intent.producer,
        signal=checked.kind.signal,
        requests=len(checked.requests),
        spans=checked.spans,
        earlier=len(earlier),
        by=intent.by,
    )


def import_file(door: Door, checked: Checked, begin: TelemetryImport) -> int:
    """Import one file; return the place of the entry that ends its import.

    Raises:
        EvidenceError: The file changed after it was checked.
        ProcedureError: The trial has ended since the import was planned.
        RecorderError: The recorder does not take it.
    """
    token = secrets.token_urlsafe(32)
    with OtlpSender(door.port, token) as sender:
        door.tokens.issue(begin.trial_id, begin.producer, token)
        place = _log(door.ledger, begin)
        # A trial that ends from here on revokes the token: it was issued before.
        entries = door.ledger.log.entries(begin.trial_id)
        check_open([item for item in entries if item.index < place], begin.trial_id)
        _send(sender, checked)
    return _log(door.ledger, begin.model_copy(update={"act": "end"}))


def _log(ledger: Ledger, record: TelemetryImport) -> int:
    # The number of earlier imports is part of the name, so that of two that begin at
    # the same time one is refused by the log.
    content = record.file_digest.removeprefix("sha256:")
    name = f"import/{record.trial_id}/{content}/{record.earlier + 1}/{record.act}"
    return ledger.write("import", name, record.trial_id, record)


def _send(sender: OtlpSender, checked: Checked) -> None:
    signal, form = checked.kind.signal, checked.kind.form
    sent = 0
    with checked.file.open("rb") as file:
        split = split_lines(file) if form == "otlp" else split_delimited(file)
        for body, known in zip_longest(split, checked.requests):
            if not isinstance(body, Body) or _short_digest(body.data) != known:
                raise EvidenceError(
                    f"{checked.file} was changed while it was imported; {sent} of its"
                    f" {len(checked.requests)} requests were sent as they were checked,"
                    " and the log has no end of this import"
                )
            sender.send(signal, body.data, in_json=form == "otlp")
            sent += 1


def _check_file(file: Path, kind: Kind, defects: list[Defect]) -> Checked:
    requests: list[bytes] = []
    bad: list[BadRequest] = []
    spans, signal, digest, size = 0, kind.signal, "", 0
    try:
        with file.open("rb") as opened:
            source = _Hashing(opened)
            for item in _read(source, kind):
                if isinstance(item, BadRequest):
                    bad.append(item)
                    continue
                requests.append(_short_digest(item.body))
                spans, signal = spans + item.spans, item.signal
            digest, size = source.digest, source.size
        if not requests and not bad:
            defects.append(_defect(file, "holds no request", "Give one that does"))
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        defects.append(_defect(file, what, "Name an existing file"))
    defects += [_bad_request(file, item, kind.form) for item in bad]
    found = Kind(kind.form, signal)
    return Checked(file, digest or str(file), size, found, spans, tuple(requests))


def _read(source: _Hashing, kind: Kind) -> Iterator[FileRequest | BadRequest]:
    if kind.form == "otlp":
        return read_json_lines(source)
    return read_delimited(source, kind.signal)


def _short_digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:8]


def _bad_request(file: Path, item: BadRequest, form: Form) -> Defect:
    if form == "otlp":
        return _defect(file, item.reason, "Correct the line", line=item.number)
    what = f"request {item.number}: {item.reason}"
    return _defect(file, what, "Write the file again")


def _defect(file: Path, what: str, remedy: str, *, line: int | None = None) -> Defect:
    return Defect(
        code="import/file", what=what, remedy=remedy, file=str(file), line=line
    )
