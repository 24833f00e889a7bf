"""Options every noun shares, and the settings they give."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.settings import Settings

R = TypeVar("R")

Home = Annotated[
    Path | None,
    typer.Option("--home", help="All state lies here; default: SANDBOX_HOME."),
]
Temporal = Annotated[
    str, typer.Option("--temporal", help="HOST:PORT of an existing Temporal server.")
]
Context = Annotated[
    str, typer.Option("--context", help="kubeconfig context of an existing cluster.")
]


def read_settings(home: Path | None = None, **chosen: Any) -> Settings:
    """Return the settings: options before environment before defaults.

    Raises:
        InputError: A variable holds something its field cannot be.
    """
    given = {key: value for key, value in chosen.items() if value not in (None, "")}
    if home is not None:
        given["home"] = home.absolute()
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise InputError([_defect(item) for item in error.errors()]) from error
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return settings


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        defect = Defect(
            code="document/unreadable",
            what=f"cannot be read: {reason}",
            remedy="Name an existing text file",
            file=str(path),
        )
        raise InputError([defect]) from error


def log_to_stderr(settings: Settings) -> None:
    """Send log lines to standard error at the configured level."""
    logging.basicConfig(
        level=settings.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )


def run_async(work: Coroutine[Any, Any, R]) -> R:
    """Run one coroutine to its end."""
    return asyncio.run(work)


def _defect(problem: Any) -> Defect:
    field = ".".join(str(part) for part in problem["loc"])
    return Defect(
        code="settings/invalid",
        what=f"SANDBOX_{field.upper()} {problem['msg'].lower()}",
        field=field,
        remedy="Correct or unset the variable",
    )
