"""Environments that are proven before a trial asks for one."""

from __future__ import annotations

from pydantic import Field

from sandbox.model.record import Record


class WarmInput(Record):
    """How many to keep."""

    count: int = Field(ge=0)


class WarmResult(Record):
    """Ids of the warm environments that were found fit, made and removed."""

    kept: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
