"""Which engine answers a question about spans."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.evidence.log import key_history
from sandbox.ports import Spans
from sandbox.query import ask_both
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
        help="What answers; `both` asks two engines, and fails where they differ.",
    ),
]


def open_spans(settings: Settings, ledger: Ledger, engine: Engine) -> Spans:
    """Open an engine for the recorded spans of an installation.

    Raises:
        EvidenceError: When the engine is asked: it is not installed.
    """
    if engine is Engine.both:
        first, second = (
            open_spans(settings, ledger, one) for one in (Engine.duckdb, Engine.chdb)
        )
        return ask_both(first, second)
    kind = ChdbSpans if engine is Engine.chdb else DuckSpans
    history = key_history(ledger.log, ledger.signer)
    return kind.of(
        settings,
        segments=ledger.segments,
        rules=ledger.rules,
        keys=[key.public_key for key in history.keys],
    )
