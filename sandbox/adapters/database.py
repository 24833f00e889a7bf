"""The records database: one SQLite file, used by several processes at once.

Rules of this module:

* A transaction that has returned is on disk: write-ahead log, `synchronous=FULL`.
* A writer takes the write lock before it reads (`BEGIN IMMEDIATE`), so nothing it
  decides on can change under it; readers never wait for writers.
* Opening brings the schema up to date; one process at a time does so.
* Whatever fails leaves as `RecordsError`: retryable when waiting may help (a lock, a
  full or failing disk), not when only a person can help.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from sandbox.errors import RecordsError
from sandbox.model.record import Record, canonical_json
from sandbox.settings import Settings

_BUSY_S = 30.0
_MIGRATIONS = Path(__file__).parent / "migrations"
_BEGIN = "begin"

_FILE_ADVICE = (
    "move the file away to start with an empty one, or name another one in "
    "SANDBOX_DATABASE"
)
_ADVICE = {
    sqlite3.SQLITE_BUSY: (True, "another process keeps it locked; it is tried again"),
    sqlite3.SQLITE_LOCKED: (True, "another thread keeps it locked; it is tried again"),
    sqlite3.SQLITE_NOMEM: (True, "the machine is out of memory; free some"),
    sqlite3.SQLITE_IOERR: (True, "the disk failed to read or write; check the disk"),
    sqlite3.SQLITE_FULL: (True, "the disk is full; free some space"),
    sqlite3.SQLITE_PROTOCOL: (True, "its locks were contended; it is tried again"),
    sqlite3.SQLITE_CANTOPEN: (False, "check that the folder exists and may be written"),
    sqlite3.SQLITE_READONLY: (False, "give this user the right to write the file"),
    sqlite3.SQLITE_NOTADB: (False, _FILE_ADVICE),
    sqlite3.SQLITE_CORRUPT: (False, f"restore it from a copy, or {_FILE_ADVICE}"),
}


def open_database(settings: Settings) -> Engine:
    """Open the records database, making or upgrading it where needed.

    Args:
        settings: Names the database; its folder is made when it does not exist.

    Returns:
        An engine for `SqlRecords`, `SqlLog` and `SqlTokens`; the caller disposes of it.

    Raises:
        RecordsError: It cannot be opened, is no SQLite file, or was written by a newer
            version of this product.
    """
    url = _sqlite_url(settings.database_url)
    file = Path(str(url.database))
    engine = create_engine(url, connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    try:
        with _opening(file):
            _use_write_ahead_log(engine)
            _upgrade(engine, file)
    except RecordsError:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Read one consistent state of the database.

    Raises:
        RecordsError: The database refused or did not answer.
    """
    with _naming(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Hold the write lock; what was written is durable when this returns.

    Raises:
        RecordsError: The database refused or did not answer; nothing was written.
    """
    with _naming(engine), engine.connect() as plain:
        connection = plain.execution_options(**{_BEGIN: "IMMEDIATE"})
        with connection.begin():
            yield connection


def json_text(value: Record | Mapping[str, Any], what: str) -> str:
    """Return canonical JSON for storing.

    Args:
        value: A record, or data.
        what: Names it in the error.

    Raises:
        RecordsError: The data have no JSON form.
    """
    try:
        return canonical_json(
            value if isinstance(value, Record) else dict(value)
        ).decode()
    except (TypeError, ValueError) as error:
        raise RecordsError(
            f"{what} cannot be stored: {error}; give plain JSON values, numbers finite",
            retryable=False,
        ) from error


def _sqlite_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise RecordsError(
            f"SANDBOX_DATABASE: {text!r} is not a database URL; "
            "write sqlite:////absolute/path",
            retryable=False,
        ) from error
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise RecordsError(
            f"SANDBOX_DATABASE: {url.render_as_string()} names no SQLite file; "
            "write sqlite:////absolute/path",
            retryable=False,
        )
    return url


def _on_connect(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # `_on_begin` begins; the driver must not
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _on_begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


@contextmanager
def _opening(file: Path) -> Iterator[None]:
    """Let one process at a time open; switching to the WAL cannot wait for locks."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(f"{file}.opening", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise RecordsError(
            f"records database {file} cannot be opened: {error.strerror}; check that "
            "the folder may be written and the disk has space",
            retryable=False,
        ) from error


def _use_write_ahead_log(engine: Engine) -> None:
    with _naming(engine):
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode=WAL")
        finally:
            raw.close()


def _upgrade(engine: Engine, file: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    head = ScriptDirectory.from_config(config).get_current_head()
    with writing(engine) as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise RecordsError(
                f"records database {file} was written by a newer version of this "
                f"product ({error}); install that version, or {_FILE_ADVICE}",
                retryable=False,
            ) from error


@contextmanager
def _naming(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise _refusal(engine, cause or error) from error


def _refusal(engine: Engine, cause: BaseException) -> RecordsError:
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    # Extended result codes keep the primary code in the low byte.
    retryable, advice = _ADVICE.get(code & 0xFF, (False, "report it with this message"))
    return RecordsError(
        f"records database {engine.url.database}: {cause}; {advice}",
        retryable=retryable,
    )
