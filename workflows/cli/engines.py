"""Which engine answers a question about spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, TypedDict

import typer

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_chdb_raw import ChdbCheck
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.evidence.log import key_history
from sandbox.ports import Segments, Spans
from sandbox.query import ask_both, checked_by
from sandbox.rules import CompiledRules
from sandbox.settings import Settings
from workflows.activities.keeping import Ledger


class Source(TypedDict):
    """What every engine is opened with."""

    segments: Segments
    rules: Callable[[str], CompiledRules]
    keys: Sequence[bytes]


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


def open_spans(settings: Settings, ledger: Ledger, engine: Engine) -> Spans:
    """Open an engine for the recorded spans of an installation.

    An engine that is not installed says so when it is asked.
    """
    history = key_history(ledger.log, ledger.signer)
    source: Source = {
        "segments": ledger.segments,
        "rules": ledger.rules,
        "keys": [key.public_key for key in history.keys],
    }
    if engine is Engine.duckdb:
        return DuckSpans.of(settings, **source)
    if engine is Engine.chdb:
        return ChdbSpans.of(settings, **source)
    both = ask_both(DuckSpans.of(settings, **source), ChdbSpans.of(settings, **source))
    return checked_by(both, ChdbCheck.of(settings, **source).check)
