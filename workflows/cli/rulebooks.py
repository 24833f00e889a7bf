"""Which version of a rulebook is meant by what was typed, and at which instant.

Rules of this module:

* An existing file is read as it is, and so is what ends like one; anything else is a
  published version: NAME (the one in force at the instant), NAME@NUMBER or
  NAME@sha256:DIGEST.
* A day without a time of day is its first instant, in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from sandbox.adapters.clock import SystemClock
from sandbox.errors import InputError, RecordsError
from sandbox.model.application import Defect
from sandbox.model.record import digest_of
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.ports import Records
from sandbox.rules import (
    check_temporary_rule,
    read_rulebook,
    read_temporary_rule,
    version_in_force,
)
from workflows.activities.keeping import Ledger
from workflows.cli.output import say
from workflows.cli.setup import read_settings, read_text
from workflows.worker import open_ledger

Version = Annotated[
    str, typer.Argument(help="FILE, NAME, NAME@VERSION or NAME@sha256:DIGEST.")
]
At = Annotated[
    str, typer.Option("--at", help="Instant or day, such as 2026-04-01; default: now.")
]
Trial = Annotated[
    str, typer.Option("--trial", help="With the temporary rule of this trial over it.")
]
Overlay = Annotated[
    Path | None,
    typer.Option("--temporary-rule", help="With the temporary rule of this file."),
]


class Asked(NamedTuple):
    """A version of a rulebook, the overlay over it, and the instant."""

    rulebook: Rulebook
    temporary_rule: TemporaryRule | None
    at: datetime


def instant(text: str) -> datetime:
    """Return the instant that was typed; now where nothing was.

    Raises:
        InputError: It is neither an instant nor a day.
    """
    if not text:
        return SystemClock().now()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        defect = Defect(
            code="rule/instant",
            what=f"`{text}` is neither an instant nor a day",
            remedy="Write for example 2026-04-01 or 2026-04-01T09:00:00+09:00",
            field="--at",
        )
        raise InputError([defect]) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def find_version(text: str, *, home: Path | None, at: datetime) -> Rulebook:
    """Return the version that was typed.

    Raises:
        InputError: The file is not a sound rulebook.
        RecordsError: It was never published.
        RuleError: No version is in force at the instant.
    """
    path = Path(text)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return read_rulebook(read_text(path), file=text)
    return published(_ledger(home).records, text, at=at)


def published(records: Records, text: str, *, at: datetime) -> Rulebook:
    """Return a published version by number, by digest, or as in force.

    Raises:
        RecordsError: It was never published.
        RuleError: No version is in force at the instant.
    """
    name, _, wanted = text.partition("@")
    if wanted.isdecimal():
        return records.rulebook(name, int(wanted))
    versions = records.versions(name)
    if wanted:
        return _by_digest(versions, text, wanted)
    if not versions:
        raise _never_published(text, "publish it, or name an existing file")
    found = version_in_force(versions, at.date())
    for later in versions:
        if later.version > found.version:
            say(
                f"version {later.version} is published and enters into force on "
                f"{later.in_force_from}"
            )
    return found


def asked_for(  # noqa: PLR0913 - one parameter per word of the command line
    text: str,
    *,
    home: Path | None,
    at: datetime,
    trial: str = "",
    overlay: Path | None = None,
) -> Asked:
    """Return the version that was typed with the overlay that was asked for.

    With a trial and a name without a version, the version is that of the trial.

    Raises:
        InputError: A file does not hold what it should, or the overlay does not fit.
        RecordsError: Version or trial are not known here.
        RuleError: No version is in force at the instant.
    """
    if trial:
        rule = _ledger(home).temporary_rule(trial)
        if text == rule.of.rulebook:
            text = f"{text}@{rule.of.version}"
        rulebook = find_version(text, home=home, at=at)
        return Asked(rulebook, _fitting(rule, rulebook), at)
    rulebook = find_version(text, home=home, at=at)
    if overlay is None:
        return Asked(rulebook, None, at)
    found = read_temporary_rule(read_text(overlay), rulebook, file=str(overlay))
    return Asked(rulebook, found, at)


def named(rulebook: Rulebook) -> str:
    """Return a version as one line: name, number, digest, since when."""
    return (
        f"{rulebook.rulebook} version {rulebook.version}, {digest_of(rulebook)}, "
        f"in force from {rulebook.in_force_from}"
    )


def _fitting(rule: TemporaryRule, rulebook: Rulebook) -> TemporaryRule:
    defects = check_temporary_rule(rule, rulebook)
    if defects:
        raise InputError(defects)
    return rule


def _by_digest(versions: Sequence[Rulebook], text: str, digest: str) -> Rulebook:
    for version in versions:
        if digest_of(version) == digest:
            return version
    known = ", ".join(f"{item.version} is {digest_of(item)}" for item in versions)
    raise _never_published(text, known or "nothing of that name is published")


def _never_published(text: str, hint: str) -> RecordsError:
    return RecordsError(f"{text} was never published; {hint}", retryable=False)


def _ledger(home: Path | None) -> Ledger:
    ledger, _ = open_ledger(read_settings(home))
    return ledger
