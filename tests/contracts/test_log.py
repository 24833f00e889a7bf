"""What every `Log` promises, and what the SQL one promises besides."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from sandbox.adapters.database import open_database, reading, writing
from sandbox.adapters.log import SqlLog
from sandbox.adapters.tables import METADATA
from sandbox.errors import RecordsError
from sandbox.model.record import canonical_json
from sandbox.model.segment import Checkpoint, LogEntry, Timestamp
from sandbox.ports import Log
from sandbox.settings import Settings
from sandbox.testing.records import FakeLog

AT = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)

# One appender process: prints each id only after `append` has returned.
APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.model.segment import LogEntry
from sandbox.settings import Settings

home, prefix, count = sys.argv[1:]
log = SqlLog(open_database(Settings(home=Path(home))))
for number in range(int(count)):
    entry = LogEntry(
        kind="look",
        entry_id=f"{prefix}/{number}",
        trial_id="t",
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    print(log.append(entry).entry.entry_id, flush=True)
"""


def entry(entry_id: str = "e", trial_id: str = "ride-1", **changes: object) -> LogEntry:
    """Make a log entry."""
    data = {"kind": "decision", "recorded_at": AT, "body": {"outcome": "approved"}}
    return LogEntry.model_validate(
        {**data, "entry_id": entry_id, "trial_id": trial_id, **changes}
    )


def checkpoint(size: int, root: str = "a", note: str = "") -> Checkpoint:
    """Make a checkpoint; its note is not signed, the log does not look at it."""
    return Checkpoint(
        origin="log.example",
        size=size,
        root="sha256:" + root * 64,
        note=note or f"log.example\n{size}\n{root}\n",
    )


@pytest.fixture(name="engine")
def _engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(Settings(home=tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture(name="log", params=["fake", "sql"])
def _log(request: pytest.FixtureRequest) -> Log:
    if request.param == "fake":
        return FakeLog()
    return SqlLog(request.getfixturevalue("engine"))


def test_order(log: Log) -> None:
    """Entries get indexes from 0 without holes, in the order of appending."""
    places = [log.append(entry(f"e{number}")).index for number in (3, 1, 2)]
    assert places == [0, 1, 2]
    assert [item.entry.entry_id for item in log.entries()] == ["e3", "e1", "e2"]
    assert [item.index for item in log.entries()] == [0, 1, 2]


def test_empty(log: Log) -> None:
    """A new log has no entries, no hashes, no checkpoints."""
    assert (log.entries(), log.leaf_hashes(), log.checkpoints()) == ([], [], [])


def test_leaf_hash(log: Log) -> None:
    """A leaf hashes as SHA-256 of a zero byte and the entry's canonical JSON."""
    item = entry(body={"ü": ["値", 1.5, None, True], "a": {"z": 1, "b": 2}})
    wanted = hashlib.sha256(b"\x00" + canonical_json(item)).digest()
    logged = log.append(item)
    assert logged.leaf_hash == "sha256:" + wanted.hex()
    assert log.leaf_hashes() == [wanted]


def test_kept_whole(log: Log) -> None:
    """An entry comes back equal, to the microsecond."""
    item = entry(recorded_at=AT.astimezone(), body={"n": 0.1 + 0.2, "s": "\u0000\n"})
    logged = log.append(item)
    assert log.entries() == [logged]
    assert log.entries()[0].entry == item


def test_by_trial(log: Log) -> None:
    """Entries of one trial keep their indexes; a name that only starts alike is out."""
    for name, trial in (("a", "ride-1"), ("b", "ride-10"), ("c", "ride-1")):
        log.append(entry(name, trial))
    assert [item.index for item in log.entries("ride-1")] == [0, 2]
    assert log.entries("RIDE-1") == []


def test_same_again(log: Log) -> None:
    """The same id with the same content is the first entry, whenever repeated."""
    first = log.append(entry())
    again = log.append(entry(recorded_at=AT + timedelta(hours=1)))
    assert again == first
    assert again.entry.recorded_at == AT
    assert len(log.entries()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"body": {"outcome": "refused"}},
        {"body": {}},
        {"kind": "opinion"},
        {"trial_id": "ride-2"},
    ],
)
def test_other_content(log: Log, changes: dict[str, object]) -> None:
    """The same id with other content is refused for good, and changes nothing."""
    first = log.append(entry())
    with pytest.raises(RecordsError, match="'e'") as caught:
        log.append(entry(**changes))
    assert not caught.value.retryable
    assert log.entries() == [first]


@pytest.mark.parametrize(("first", "second"), [(1, True), (1, 1.0), (0.0, -0.0)])
def test_equal_in_python_only(log: Log, first: object, second: object) -> None:
    """Values that Python calls equal but JSON writes differently are other content."""
    log.append(entry(body={"n": first}))
    with pytest.raises(RecordsError):
        log.append(entry(body={"n": second}))


def test_not_json(log: Log) -> None:
    """A body with NaN is refused, as it has no canonical form."""
    with pytest.raises(RecordsError) as caught:
        log.append(entry(body={"n": float("nan")}))
    assert not caught.value.retryable
    assert log.entries() == []


def test_checkpoints(log: Log) -> None:
    """Checkpoints come back oldest first; keeping one again changes nothing."""
    for kept in (checkpoint(1), checkpoint(4), checkpoint(4), checkpoint(1)):
        log.keep_checkpoint(kept)
    assert log.checkpoints() == [checkpoint(1), checkpoint(4)]


def test_cosigned(log: Log) -> None:
    """The same root under another note, as after a cosignature, is kept too."""
    log.keep_checkpoint(checkpoint(1))
    log.keep_checkpoint(checkpoint(1, note="cosigned"))
    assert len(log.checkpoints()) == 2


def test_cosigned_and_stamped(log: Log) -> None:
    """What others said of a checkpoint is kept once, in order, beside it."""
    seen = [checkpoint(1, note="cosigned"), checkpoint(1, note="by another too")]
    stamps = [Timestamp(size=1, note="n", token=token, chain=("c",)) for token in "ab"]
    for _ in range(2):
        for item, stamp in zip(seen, stamps, strict=True):
            log.keep_cosigned(item)
            log.keep_timestamp(stamp)
    larger = Timestamp(size=2, note="n", token="later")
    log.keep_timestamp(larger)
    assert (log.cosigned(), log.timestamps()) == (seen, [*stamps, larger])
    assert (log.timestamps(1), log.timestamps(2)) == (stamps, [larger])
    assert log.timestamps(3) == []
    assert log.checkpoints() == []


def test_second_history(log: Log) -> None:
    """Another root for a size that has one is refused for good."""
    log.keep_checkpoint(checkpoint(1, "a"))
    with pytest.raises(RecordsError) as caught:
        log.keep_checkpoint(checkpoint(1, "b"))
    assert not caught.value.retryable
    assert log.checkpoints() == [checkpoint(1, "a")]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=8,
)


@given(body=st.dictionaries(st.sampled_from(["a", "b", "ü"]), json_values))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_hash_of_what_is_read(log: Log, body: dict[str, object]) -> None:
    """What is read back has the hash that was appended, whatever the body."""
    logged = log.append(entry(f"e{len(log.entries())}", body=body))
    read = log.entries()[-1]
    again = hashlib.sha256(b"\x00" + canonical_json(read.entry)).hexdigest()
    assert read.leaf_hash == logged.leaf_hash == f"sha256:{again}"


def start(home: Path, prefix: str, count: int) -> subprocess.Popen[str]:
    """Start an appender process."""
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(home), prefix, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes(tmp_path: Path) -> None:
    """Four processes that open an empty home and append 50 each give 200 entries."""
    running = [start(tmp_path, f"p{number}", 50) for number in range(4)]
    printed = [process.communicate(timeout=120)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * 4
    log = SqlLog(open_database(Settings(home=tmp_path)))
    entries = log.entries()
    assert [item.index for item in entries] == list(range(200))
    ids = [item.entry.entry_id for item in entries]
    assert sorted(ids) == sorted(sum(printed, []))
    for own in printed:
        assert [name for name in ids if name in own] == own


def test_same_ids_from_four_processes(tmp_path: Path) -> None:
    """Four processes that append the same ids give each entry once."""
    running = [start(tmp_path, "same", 20) for _ in range(4)]
    for process in running:
        process.communicate(timeout=120)
    assert [process.returncode for process in running] == [0] * 4
    entries = SqlLog(open_database(Settings(home=tmp_path))).entries()
    assert [item.entry.entry_id for item in entries] == [
        f"same/{number}" for number in range(20)
    ]


def test_killed(tmp_path: Path) -> None:
    """Every entry whose append returned is there after SIGKILL of the process."""
    process = start(tmp_path, "k", 100_000)
    assert process.stdout is not None
    printed = [process.stdout.readline().strip() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    printed += process.communicate(timeout=60)[0].split("\n")[:-1]
    ids = [
        item.entry.entry_id
        for item in SqlLog(open_database(Settings(home=tmp_path))).entries()
    ]
    assert ids[: len(printed)] == printed
    assert len(ids) <= len(printed) + 1


def test_durable(engine: Engine) -> None:
    """Every connection writes ahead and syncs in full."""
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            assert (journal, synchronous) == ("wal", 2)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entries SET leaf = 'other'",
        "DELETE FROM log_entries",
        "UPDATE checkpoints SET root = 'other'",
        "DELETE FROM checkpoints",
        "UPDATE cosigned_checkpoints SET note = 'other'",
        "DELETE FROM cosigned_checkpoints",
        "UPDATE timestamps SET body = 'other'",
        "DELETE FROM timestamps",
    ],
)
def test_append_only(engine: Engine, statement: str) -> None:
    """The database itself refuses to change or remove an entry or a checkpoint."""
    log = SqlLog(engine)
    log.append(entry())
    log.keep_checkpoint(checkpoint(1))
    log.keep_cosigned(checkpoint(1))
    log.keep_timestamp(Timestamp(size=1, note="n", token="t"))
    with (
        pytest.raises(RecordsError, match="append-only"),
        writing(engine) as connection,
    ):
        connection.exec_driver_sql(statement)
    assert log.entries()[0].entry == entry()
    assert log.checkpoints() == [checkpoint(1)]


def test_migrations_complete(engine: Engine) -> None:
    """The migrations make exactly the tables the adapters use."""
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another process keeps is an error worth trying again."""
    monkeypatch.setattr("sandbox.adapters.database._BUSY_S", 0.05)
    engine = open_database(Settings(home=tmp_path))
    other = sqlite3.connect(tmp_path / "records.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RecordsError, match="locked") as caught:
        SqlLog(engine).append(entry())
    assert caught.value.retryable
    assert SqlLog(engine).entries() == []
    other.execute("COMMIT")
    other.close()
    assert SqlLog(engine).append(entry()).index == 0
    engine.dispose()


def test_newer_version(tmp_path: Path) -> None:
    """A database of a later version of the product is refused and left as it is."""
    engine = open_database(Settings(home=tmp_path))
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    before = (tmp_path / "records.sqlite3").read_bytes()
    with pytest.raises(RecordsError, match="newer version") as caught:
        open_database(Settings(home=tmp_path))
    assert not caught.value.retryable
    assert (tmp_path / "records.sqlite3").read_bytes() == before


@pytest.mark.parametrize(
    "url", ["postgresql://host/name", "not a url", "sqlite://", "sqlite:///:memory:"]
)
def test_no_file(tmp_path: Path, url: str) -> None:
    """A URL that names no SQLite file is refused, saying what to write."""
    with pytest.raises(RecordsError, match="write sqlite:////") as caught:
        open_database(Settings(home=tmp_path, database=url))
    assert not caught.value.retryable


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is no database is refused, named, and left as it is."""
    file = tmp_path / "records.sqlite3"
    file.write_bytes(b"these are not the records you are looking for" * 50)
    with pytest.raises(RecordsError, match=str(file)) as caught:
        open_database(Settings(home=tmp_path))
    assert not caught.value.retryable
    assert file.read_bytes().startswith(b"these are not")


def test_no_folder(tmp_path: Path) -> None:
    """A home that cannot be made is refused, naming the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be opened") as caught:
        open_database(Settings(home=tmp_path / "file" / "home"))
    assert not caught.value.retryable
