"""Which engine answers a question about spans."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sandbox.errors import EvidenceError
from sandbox.ports import Spans
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
        "--engine", help="What answers; `both` asks both, and they must agree."
    ),
]


def open_spans(settings: Settings, ledger: Ledger, engine: Engine) -> Spans:
    """Open an engine for the recorded spans of an installation.

    Raises:
        EvidenceError: The engine is not installed.
    """
    raise EvidenceError(
        f"there is no engine {engine} in {settings.home} for {ledger.signer.name}"
    )
