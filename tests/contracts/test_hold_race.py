"""A hold against an expiry, in two processes on one database and one disk."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from threading import Thread

from sqlalchemy import Engine

from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.records import SqlRecords
from sandbox.adapters.segments import LocalSegments
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.erased import read_erasures
from sandbox.evidence.expire import record_erasures
from sandbox.evidence.hold import Order, place_hold
from sandbox.evidence.verify import verify_bundle
from sandbox.recorder import file_name
from sandbox.settings import Settings
from sandbox.testing.clock import FixedClock
from sandbox.testing.custody import AFTER, OPERATOR, custody_of
from sandbox.testing.trial import RecordedTrial

TRIALS = [f"ride-{number}" for number in range(1, 41)]

# Both begin at the line they are sent, from opposite ends, and meet somewhere.
HOLDER = """
import sys
from pathlib import Path
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.evidence.hold import Order, place_hold
from sandbox.settings import Settings
from sandbox.testing.custody import AFTER, OPERATOR

home, *trials = sys.argv[1:]
log = SqlLog(open_database(Settings(home=Path(home))))
print("ready", flush=True)
sys.stdin.readline()
for trial in reversed(trials):
    place_hold(log, trial, Order(OPERATOR, "An audit.", AFTER))
"""
ERASER = """
import sys
from pathlib import Path
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.records import SqlRecords
from sandbox.adapters.segments import LocalSegments
from sandbox.evidence.expire import Custody, expire
from sandbox.settings import Settings
from sandbox.testing.clock import FixedClock
from sandbox.testing.custody import AFTER, OPERATOR

home, *trials = sys.argv[1:]
settings = Settings(home=Path(home))
engine = open_database(settings)
custody = Custody(
    SqlLog(engine), SqlRecords(engine), LocalSegments.of(settings), FixedClock(AFTER)
)
print("ready", flush=True)
sys.stdin.readline()
for trial in trials:
    expire(custody, trial, by=OPERATOR)
"""


def closed_trial(home: Path, trial_id: str) -> RecordedTrial:
    """Record a closed trial of one segment, without a recorder."""
    settings = Settings(home=home)
    engine = open_database(settings)

    def receive(name: str, raw: bytes) -> None:
        folder = settings.evidence_dir / name
        folder.mkdir(parents=True)
        (folder / file_name(1, "closed")).write_bytes(raw)

    trial = RecordedTrial(
        trial_id,
        log=SqlLog(engine),
        segments=LocalSegments.of(settings),
        receive=receive,
    )
    custody_of(trial, records=SqlRecords(engine))
    trial.record("a")
    trial.seal()
    trial.move("running", "closing", 1)
    trial.move("closing", "closed", 2)
    return trial


def test_the_order_of_the_log_decides_between_hold_and_erasure(tmp_path: Path) -> None:
    """Held first: every byte is there. Erased first: none is, and the log says so."""
    trials = {name: closed_trial(tmp_path, name) for name in TRIALS}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), *TRIALS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for program in (HOLDER, ERASER)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.wait(timeout=120) for racer in racers] == [0, 0]
    for racer in racers:
        for pipe in (racer.stdin, racer.stdout):
            assert pipe is not None
            pipe.close()
    for name, trial in trials.items():
        logged = trial.log.entries(name)
        kinds = [item.entry.kind for item in logged]
        erased = "erasure" in kinds
        assert kinds.count("hold") == 1
        assert not erased or kinds.index("erasure") < kinds.index("hold")
        (file,) = trial.segments.files(name)
        assert file.state == ("erased" if erased else "sealed")
        read_erasures([item.entry.model_dump(mode="json") for item in logged], name)
    write_bundle(tmp_path / "b", trial_id="ride-1", source=trials["ride-1"].source())
    assert verify_bundle(tmp_path / "b").ok


def test_nothing_comes_between_weighing_and_appending(tmp_path: Path) -> None:
    """A hold placed while an expiry decides waits, and is logged after the erasure."""
    trial = closed_trial(tmp_path, "ride-1")
    custody = custody_of(trial, records=SqlRecords(_engine(tmp_path)))
    other = SqlLog(_engine(tmp_path))
    order = Order(OPERATOR, "An audit.", AFTER)
    holder = Thread(target=place_hold, args=(other, "ride-1", order))

    class Slow(FixedClock):
        """Asked the time within the decision; a hold is tried at that moment."""

        def now(self) -> datetime:
            holder.start()
            # Without a lock the hold is placed within this time, and the test fails.
            holder.join(1)
            assert holder.is_alive()
            return super().now()

    record_erasures(custody._replace(clock=Slow(AFTER)), "ride-1", by=OPERATOR)
    holder.join(60)
    kinds = [item.entry.kind for item in trial.log.entries("ride-1")]
    assert kinds[-2:] == ["erasure", "hold"]


def _engine(home: Path) -> Engine:
    return open_database(Settings(home=home))
