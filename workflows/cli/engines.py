"""Which engine answers a question about spans."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.evidence.log import key_history
from sandbox.ports import Spans
from sandbox.settings import Settings
from workflows.activities.keeping import Ledger


class Engine(StrEnum):
    """What answers a question about spans."""

    duckdb = "duckdb"


EngineOption = Annotated[Engine, typer.Option("--engine", help="What answers.")]


def open_spans(settings: Settings, ledger: Ledger, engine: Engine) -> Spans:
    """Open an engine for the recorded spans of an installation."""
    engines = {Engine.duckdb: DuckSpans}
    history = key_history(ledger.log, ledger.signer)
    return engines[engine].of(
        settings,
        segments=ledger.segments,
        rules=ledger.rules,
        keys=[key.public_key for key in history.keys],
    )
