"""chDB in a process of its own, as an object.

Rules of this module:

* The process is spawned, never forked, and is ended when it is closed, when a statement
  takes too long, and when this process ends.
* What goes wrong in it is an `EvidenceError` with the engine's own words.
* One statement at a time: the engine mixes up answers of two.
"""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from sandbox.adapters.spans_answers import NO_MEMORY, too_long
from sandbox.errors import EvidenceError

TIME_LIMIT_S = 60.0
"""A statement that takes longer is stopped."""
_GRACE_S = 5.0
"""How much longer the process is waited for before it is killed."""
_WORKER = "sandbox.adapters.spans_chdb_worker"
_DONE = b"\0"


class ChdbProcess:
    """A running chDB; a context manager.

    Args:
        memory_mib: Memory one statement may use.
        threads: Threads one statement may use; 0 is one for each core.
        time_limit_s: Time one statement may take.

    Raises:
        EvidenceError: chDB is not installed, or does not start; says what to do.
    """

    def __init__(self, *, memory_mib: int, threads: int, time_limit_s: float) -> None:
        if importlib.util.find_spec("chdb") is None:
            raise EvidenceError(
                "the engine chdb is not installed; install the extra `analytics` (uv "
                "sync --extra analytics), or ask --engine duckdb"
            )
        self._limit_s = time_limit_s
        self._guard = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-chdb-")
        self._said = self.folder / "stderr"
        self._connection, self._process = self._start()
        for name, value in _settings(memory_mib, threads, time_limit_s):
            self.run(f"SET {name} = {value}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self.close()

    def run(self, statement: str, form: str = "Null") -> bytes:
        """Return the result of a statement in one of ClickHouse's formats.

        Raises:
            EvidenceError: The engine refuses it, takes too long or died; in its words.
        """
        with self._guard:
            timer = threading.Timer(self._limit_s + _GRACE_S, self._process.kill)
            timer.start()
            try:
                self._connection.send_bytes(f"{form}\0{statement}".encode())
                answer = self._connection.recv_bytes()
            except (OSError, EOFError) as error:
                raise EvidenceError(self._last_words(timer)) from error
            finally:
                timer.cancel()
        if answer[:1] != _DONE:
            raise EvidenceError(_explained(answer[1:].decode(), self._limit_s))
        return answer[1:]

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """A folder that is removed with the process."""
        return Path(self._folder.name)

    @property
    def is_running(self) -> bool:
        """Whether the process can be asked."""
        return self._process.poll() is None and not self._connection.closed

    def close(self) -> None:
        """End the process and remove what it kept; idempotent."""
        self._connection.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _start(self) -> tuple[Connection, subprocess.Popen[bytes]]:
        ours, theirs = Pipe()
        data = str(self.folder / "data")
        with theirs, self._said.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _WORKER, str(theirs.fileno()), data],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        return ours, process

    def _last_words(self, timer: threading.Timer) -> str:
        if timer.finished.is_set():
            return too_long(self._limit_s)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_GRACE_S)
        words = self._said.read_bytes().decode(errors="replace").strip()
        return (
            f"chDB ended with status {self._process.returncode} before it answered: "
            f"{words[-2000:] or 'it said nothing'}"
        )


def _settings(
    memory_mib: int, threads: int, time_limit_s: float
) -> Iterable[tuple[str, str]]:
    yield "max_memory_usage", str(memory_mib << 20)
    yield "max_execution_time", str(time_limit_s)
    if threads:
        yield "max_threads", str(threads)
    # Types are given, and nothing is guessed that was not.
    yield "schema_inference_make_columns_nullable", "0"
    yield "input_format_parquet_allow_missing_columns", "0"
    yield "input_format_null_as_default", "0"
    # A question may name ten thousand places.
    yield "max_query_size", str(16 << 20)
    yield "max_ast_elements", "1000000"
    yield "max_expanded_ast_elements", "1000000"
    # A String is bytes; which of them are text the caller knows.
    yield "output_format_arrow_string_as_string", "0"
    yield "output_format_json_quote_denormals", "1"
    yield "output_format_json_quote_decimals", "1"
    yield "output_format_json_quote_64bit_integers", "0"
    yield "date_time_output_format", "'iso'"


def _explained(words: str, limit_s: float) -> str:
    if "TIMEOUT_EXCEEDED" in words:
        return too_long(limit_s)
    if "MEMORY_LIMIT_EXCEEDED" in words:
        return NO_MEMORY
    return f"chDB cannot answer: {words}"
