"""Which engine answers a question about spans."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_chdb_raw import ChdbCheck
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.evidence.log import key_history
from sandbox.ports import Spans
from sandbox.query import ask_both, checked_by
from sandbox.settings import Settings
from workflows.activities.keeping import Ledger


class Engine(StrEnum):
    """What answers a question about spans."""

    duckdb = "duckdb"
    chdb = "chdb"
    both = "both"


EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="What answers. `both` lets chdb compare the derived files with the raw "
        "segments first, then asks both, and fails where they differ.",
    ),
]


RuleEngineOption = Annotated[
    Engine,
    typer.Option("--engine", help="What counts. `both` asks one after the other."),
]


def open_spans(settings: Settings, ledger: Ledger, engine: Engine) -> Spans:
    """Open an engine for the recorded spans of an installation.

    An engine that is not installed says so when it is asked.
    """
    history = key_history(ledger.log, ledger.signer)
    files = DerivedFiles.of(
        settings,
        segments=ledger.segments,
        rules=ledger.rules,
        keys=[key.public_key for key in history.keys],
    )
    memory_mib, threads = settings.query_memory_mib, settings.query_threads
    duckdb = DuckSpans(files, memory_mib=memory_mib, threads=threads)
    if engine is Engine.duckdb:
        return duckdb
    chdb = ChdbSpans(files, memory_mib=memory_mib, threads=threads)
    if engine is Engine.chdb:
        return chdb
    check = ChdbCheck(files, ledger.segments, memory_mib=memory_mib, threads=threads)
    return checked_by(ask_both(duckdb, chdb), check.check)
