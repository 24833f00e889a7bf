"""What every `Log` promises, and what the SQL one promises besides."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, inspect

from sandbox.adapters.database import open_database, reading, writing
from sandbox.adapters.log import SqlLog
from sandbox.adapters.tables import METADATA
from sandbox.errors import EvidenceError, ProcedureError, RecordsError
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.log import sign_checkpoint
from sandbox.evidence.log_check import check_log
from sandbox.evidence.merkle import leaf_hash, root_of_hashes, verify_inclusion
from sandbox.model.log import Checkpoint, LogEntry, LoggedEntry, Timestamp
from sandbox.model.record import canonical_json
from sandbox.ports import Log
from sandbox.settings import Settings
from sandbox.testing.records import FakeLog
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)

# One appender process: prints each id only after `append` has returned.
APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.model.log import LogEntry
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


def test_conditional_append(log: Log) -> None:
    """What is decided sees the trial's entries alone, and all of it is appended."""
    log.append(entry("other", "ride-2"))
    first = log.append(entry("a"))
    seen: list[LoggedEntry] = []

    def decide(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        seen.extend(entries)
        return [first.entry, entry("b"), entry("c")]

    assert [item.index for item in log.append_if("ride-1", decide)] == [1, 2, 3]
    assert seen == [first]
    assert [item.entry.entry_id for item in log.entries("ride-1")] == ["a", "b", "c"]


def test_conditional_append_refused(log: Log) -> None:
    """Who decides may raise anything; then, or on a conflict, nothing is appended."""
    log.append(entry("a"))

    def refuse(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        raise ProcedureError(f"{len(entries)} is enough")

    def conflict(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        return [entry("b"), entry("a", body={"outcome": "refused"})]

    with pytest.raises(ProcedureError, match="1 is enough"):
        log.append_if("ride-1", refuse)
    with pytest.raises(RecordsError, match="other content"):
        log.append_if("ride-1", conflict)
    assert log.append_if("ride-1", lambda entries: []) == []
    assert [item.entry.entry_id for item in log.entries()] == ["a"]
    assert log.append(entry("c")).index == 1


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


def test_entry(log: Log) -> None:
    """An entry is found by its id; what is not there is none."""
    log.append(entry("e0"))
    wanted = log.append(entry("e1"))
    assert log.entry("e1") == wanted
    assert log.entry("e2") is None


def test_append_all(log: Log) -> None:
    """Entries given together stand in their order, each with its place."""
    log.append(entry("e0"))
    logged = log.append_all([entry(name) for name in ("e2", "e1", "e3")])
    assert [item.index for item in logged] == [1, 2, 3]
    assert log.entries()[1:] == logged
    assert (log.append_all([]), log.size()) == ([], 4)


def test_append_all_again(log: Log) -> None:
    """What is there already, or twice among them, keeps its first place."""
    first = log.append(entry("e0"))
    later = {"recorded_at": AT + timedelta(hours=1)}
    names = ("e1", "e0", "e2", "e1")
    logged = log.append_all([entry(name, **later) for name in names])
    assert [item.index for item in logged] == [1, 0, 2, 1]
    assert logged[1] == first
    assert log.append_all([entry(name) for name in names]) == logged
    assert log.size() == 3


@pytest.mark.parametrize("names", [("e1", "e0"), ("e1", "e2", "e2"), ("e1", "nan")])
def test_append_all_or_none(log: Log, names: tuple[str, ...]) -> None:
    """If one has other content than its id, or no JSON form, none is appended."""
    first = log.append(entry("e0"))
    given_ = [entry(name, body={"place": at}) for at, name in enumerate(names)]
    if names[-1] == "nan":
        given_[-1] = entry("e2", body={"n": float("nan")})
    with pytest.raises(RecordsError) as caught:
        log.append_all(given_)
    assert not caught.value.retryable
    assert log.entries() == [first]
    assert log.append(entry("e1")).index == 1


def test_hashes(log: Log) -> None:
    """However entries came, level 1 has a hash for every full 256, and no more."""
    assert (log.size(), log.hashes(0, 0, 9), log.hashes(1, 0, 9)) == (0, [], [])
    numbers = iter(range(1000))
    for count in (1, 254, 1, 1, 300):
        log.append_all([entry(f"e{next(numbers)}") for _ in range(count)])
    leaves = log.leaf_hashes()
    assert log.size() == len(leaves) == 557
    assert log.hashes(0, 10, 20) == leaves[10:20]
    runs = [root_of_hashes(leaves[:256]), root_of_hashes(leaves[256:512])]
    assert log.hashes(1, 0, 9) == runs
    assert (log.hashes(1, 1, 2), log.hashes(1, 1, 1)) == (runs[1:], [])
    assert log.hashes(2, 0, 9) == []


def test_proofs(log: Log) -> None:
    """A proof from stored hashes leads from what was hashed to the signed root."""
    log.append_all([entry(f"e{number}") for number in range(600)])
    log.append(entry("last"))
    root = root_of_hashes(log.leaf_hashes())
    tree = HashTree(log.hashes, log.size())
    for index in (0, 255, 256, 511, 512, 600):
        (leaf,) = log.leaves(index, index + 1)
        verify_inclusion(
            leaf_hash=leaf_hash(leaf),
            index=index,
            size=601,
            proof=tree.inclusion_proof(index),
            root=root,
        )


def test_leaves(log: Log) -> None:
    """What was hashed comes back byte for byte."""
    items = [entry("a", body={"ü": 1.0}), entry("b")]
    log.append_all(items)
    assert log.leaves(0, 9) == [canonical_json(item) for item in items]
    assert log.leaves(1, 2) == [canonical_json(items[1])]


def test_largest_checkpoint(log: Log) -> None:
    """It is the one of the most entries, not the last kept; of those the newest."""
    assert log.largest_checkpoint() is None
    for kept in (checkpoint(4), checkpoint(9), checkpoint(9, note="cosigned")):
        log.keep_checkpoint(kept)
    log.keep_checkpoint(checkpoint(7))
    assert log.largest_checkpoint() == checkpoint(9, note="cosigned")


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
        "UPDATE log_hashes SET hash = x'00'",
        "DELETE FROM log_hashes",
        "UPDATE cosigned_checkpoints SET note = 'other'",
        "DELETE FROM cosigned_checkpoints",
        "UPDATE timestamps SET body = 'other'",
        "DELETE FROM timestamps",
        "REPLACE INTO cosigned_checkpoints VALUES (1, 'o', 1, 'r', 'other')",
        "REPLACE INTO timestamps SELECT 2, 1, token, 'other' FROM timestamps",
        "REPLACE INTO log_entries VALUES (0, 'other', 'h', 'other')",
        "REPLACE INTO log_entries VALUES (256, 'e', 'h', 'other')",
        "REPLACE INTO checkpoints VALUES (1, 'o', 1, 'r', 'other')",
        "REPLACE INTO checkpoints SELECT 2, 'o', 1, 'r', note FROM checkpoints",
        "REPLACE INTO log_hashes VALUES (1, 0, zeroblob(32))",
    ],
)
def test_append_only(engine: Engine, statement: str) -> None:
    """The database itself refuses to change or remove what is in the log."""
    log = SqlLog(engine)
    log.append_all([entry(), *(entry(f"e{number}") for number in range(255))])
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
    assert log.hashes(1, 0, 9) == [root_of_hashes(log.leaf_hashes())]


def test_index(engine: Engine) -> None:
    """The entries of one trial are found by an index, in order without sorting."""
    plans = []
    with reading(engine) as connection:
        for query in (
            "SELECT leaf FROM log_entries WHERE trial_id = 't' ORDER BY \"index\"",
            "SELECT * FROM checkpoints ORDER BY size DESC, number DESC LIMIT 1",
        ):
            told = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")
            plans.append(" ".join(str(row[-1]) for row in told))
    assert "USING INDEX ix_log_entries_trial_id" in plans[0]
    assert "USING INDEX ix_checkpoints_size" in plans[1]
    assert not any("TEMP B-TREE" in plan for plan in plans)


def test_upgrade(tmp_path: Path) -> None:
    """A log from before hashes were stored has them after it was opened."""
    engine = open_database(Settings(home=tmp_path))
    log = SqlLog(engine)
    log.append_all([entry(f"e{number}") for number in range(600)])
    wanted = log.hashes(1, 0, 9)
    config = Config()
    config.set_main_option("script_location", "sandbox.adapters:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        assert not inspect(connection).has_table("log_hashes")
    engine.dispose()
    engine = open_database(Settings(home=tmp_path))
    assert SqlLog(engine).hashes(1, 0, 9) == wanted
    assert len(wanted) == 2
    assert all(step.ok for step in check_log(SqlLog(engine)))
    engine.dispose()


def unguarded(engine: Engine, statement: str) -> None:
    """Change the file as someone can who first takes the triggers away."""
    names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    with writing(engine) as connection:
        for name in connection.exec_driver_sql(names).scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE log_entries SET leaf = '{}' WHERE \"index\" = 300", "entry 300"),
        ("UPDATE log_entries SET leaf_hash = 'sha256:00' WHERE entry_id='e1'", "ry 1 "),
        ('DELETE FROM log_entries WHERE "index" = 300', "1 of the entries 256"),
        ("UPDATE log_hashes SET hash = zeroblob(32) WHERE number = 1", "hash 1 of lev"),
        ("DELETE FROM log_hashes WHERE number = 0", "hash 0 of level 1"),
        ("INSERT INTO log_hashes VALUES (1, 2, zeroblob(32))", "hash 2 of level 1"),
        ("INSERT INTO log_hashes VALUES (2, 0, zeroblob(32))", "hash 0 of level 2"),
        ('DELETE FROM log_entries WHERE "index" = 599', "size 600"),
        (
            "UPDATE checkpoints SET root = 'sha256:' || lower(hex(zeroblob(32)))",
            "size 600",
        ),
    ],
)
def test_check_of_the_whole(engine: Engine, statement: str, named: str) -> None:
    """Whatever was changed in the file, the check of the log finds and names it."""
    log = SqlLog(engine)
    log.append_all([entry(f"e{number}") for number in range(600)])
    sign_checkpoint(log, ThrowawaySigner("log.example"))
    assert [step.ok for step in check_log(log)] == [True] * 4
    unguarded(engine, statement)
    step = check_log(log)[-1]
    assert not step.ok
    assert named in step.detail


def test_wrong_hash_is_not_signed(engine: Engine) -> None:
    """A wrong hash over entries no checkpoint covers yet is found before one does."""
    log, signer = SqlLog(engine), ThrowawaySigner("log.example")
    log.append_all([entry(f"e{number}") for number in range(300)])
    signed = sign_checkpoint(log, signer)
    log.append_all([entry(f"e{number}") for number in range(300, 600)])
    unguarded(engine, "UPDATE log_hashes SET hash = zeroblob(32) WHERE number = 1")
    with pytest.raises(EvidenceError, match="entries 256 to 511"):
        sign_checkpoint(log, signer)
    assert log.checkpoints() == [signed]


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
