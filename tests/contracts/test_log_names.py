"""An entry of the log cannot be hidden by changing what it is found by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from sandbox.adapters.database import open_database, writing
from sandbox.adapters.log import SqlLog
from sandbox.adapters.tables import OWNER
from sandbox.errors import EvidenceError, RecordsError
from sandbox.evidence.hold import Order, holds_in_force, place_hold
from sandbox.evidence.log import sign_checkpoint
from sandbox.evidence.log_check import check_log
from sandbox.model.log import LogEntry
from sandbox.model.party import Actor
from sandbox.settings import Settings
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 3, 1, tzinfo=UTC)
HELD = Order(Actor(name="Ida", role="authority"), "a claim", AT)

# What someone does who may change the schema: a plain column in place of the computed.
PLAIN = (
    "DROP INDEX ix_log_entries_trial_id",
    "ALTER TABLE log_entries DROP COLUMN trial_id",
    "ALTER TABLE log_entries ADD COLUMN trial_id TEXT",
    "DROP TRIGGER log_entries_no_update",
    f"UPDATE log_entries SET trial_id = {OWNER}",
)
MOVE_AWAY = "UPDATE log_entries SET trial_id = 'elsewhere' WHERE \"index\" = 1"
RENAME = "UPDATE log_entries SET entry_id = 'other' WHERE \"index\" = 1"
TO_T = "UPDATE log_entries SET trial_id = 't'"


@pytest.fixture(name="engine")
def _engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(Settings(home=tmp_path))
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    """Change the file behind the log's back."""
    with writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def held(engine: Engine) -> SqlLog:
    """Return a log whose second entry is a hold on trial `t`."""
    log = SqlLog(engine)
    log.append(LogEntry(kind="look", entry_id="e", trial_id="t", recorded_at=AT))
    place_hold(log, "t", HELD)
    return log


def test_hold_cannot_be_moved_away(engine: Engine) -> None:
    """Without its triggers too, the table does not let an entry go to another trial."""
    log = held(engine)
    with pytest.raises(RecordsError, match="generated column"):
        run(engine, "DROP TRIGGER log_entries_no_update", MOVE_AWAY)
    assert holds_in_force(log.entries("t"))


def test_hidden_hold_comes_back(tmp_path: Path) -> None:
    """A hold that was moved away in an older database is in force after the upgrade."""
    engine = open_database(Settings(home=tmp_path))
    held(engine)
    config = Config()
    config.set_main_option("script_location", "sandbox.adapters:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    run(engine, "DROP TRIGGER log_entries_no_update", MOVE_AWAY)
    engine.dispose()
    engine = open_database(Settings(home=tmp_path))
    assert holds_in_force(SqlLog(engine).entries("t"))
    engine.dispose()


@pytest.mark.parametrize("change", [(*PLAIN, MOVE_AWAY), (PLAIN[3], RENAME)])
def test_hidden_entry_is_named(engine: Engine, change: tuple[str, ...]) -> None:
    """The check of the log names an entry not found by what was hashed of it."""
    log = held(engine)
    assert all(step.ok for step in check_log(log))
    run(engine, *change)
    step = check_log(log)[-1]
    assert (step.step, step.ok) == ("Every entry is found by its own names", False)
    assert "entry 1 " in step.detail


@pytest.mark.parametrize("change", [(*PLAIN, MOVE_AWAY), (PLAIN[3], RENAME)])
def test_hidden_entry_is_not_signed(engine: Engine, change: tuple[str, ...]) -> None:
    """No checkpoint is signed over a new entry that was hidden."""
    log = held(engine)
    run(engine, *change)
    with pytest.raises(EvidenceError, match="entry 1 of the log is not found"):
        sign_checkpoint(log, ThrowawaySigner("log.example"))
    assert log.checkpoints() == []


def test_entry_of_another_is_not_read(engine: Engine) -> None:
    """An entry found by another's id or trial is refused where it is read."""
    log = held(engine)
    log.append(LogEntry(kind="look", entry_id="f", trial_id="u", recorded_at=AT))
    run(engine, *PLAIN, TO_T, RENAME)
    with pytest.raises(RecordsError, match="of 'u'"):
        log.entries("t")
    with pytest.raises(RecordsError, match="says of itself"):
        log.entry("other")
