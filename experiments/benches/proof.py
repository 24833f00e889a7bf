"""How fast the log takes entries in and proves them, and a bundle is verified.

The log: one process, one SQLite file (write-ahead log, `synchronous=FULL`, so every
transaction is on disk when it returns), entries of about 600 bytes. A proof is one
`HashTree` on the database, nothing remembered from before, and is checked against the
root outside the time measured; a checkpoint is signed each time after ten more entries.

With `--peer`, the POSIX log of Tessera (Go module pinned in `proving/tessera/`) takes
up to 100,000 entries of 600 random bytes in batches of the same size on the same disk,
each batch awaited before the next. It is built first; Go fetches and checks its
modules.

The bundle: spans with 11 attributes, 500 a request, segments of at most 64 MiB.
Sealing, writing and verifying read and write files that were just written, so the page
cache is warm. The verifier runs as users run it, in a process of its own.

`processor_p50` is processor time, which other work on the machine changes less than
what a clock on the wall says: all other figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benches.proving.bundle import bundle_figures
from experiments.benches.proving.clocks import Clocks, spread, timed
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.log import sign_checkpoint
from sandbox.evidence.merkle import leaf_hash, verify_consistency, verify_inclusion
from sandbox.local.toolchain import find_toolchain
from sandbox.model.log import LogEntry
from sandbox.settings import Settings
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, tzinfo=UTC)
SIGNER = ThrowawaySigner("log.example/bench")
PEER = Path(__file__).parent / "proving" / "tessera"


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--batch", type=int, default=1000, help="entries together")
    parser.add_argument("--proofs", type=int, default=300, help="of each kind and size")
    parser.add_argument("--spans", type=int, default=10**6)
    parser.add_argument("--peer", action="store_true", help="also measure Tessera")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        home = Path(folder)
        said = {
            "machine": {
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "load_before": os.getloadavg()[0],
            },
            "log": _log(home / "log", asked),
            "peer": _peer(home / "peer", asked) if asked.peer else None,
            "bundle": bundle_figures(home / "bundle", asked.spans),
        }
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _log(home: Path, asked: argparse.Namespace) -> dict[str, Any]:
    log = SqlLog(open_database(Settings(home=home)))
    entries = _entries()
    single = [timed(lambda: log.append(next(entries))) for _ in range(1000)]
    found: dict[str, Any] = {
        "single": {"n": len(single), **_per_s(len(single), sum(single))}
    }
    for size in sorted(asked.sizes):
        rest, taken = size - log.size(), 0.0
        for start in range(0, rest, asked.batch):
            count = min(asked.batch, rest - start)
            batch = [next(entries) for _ in range(count)]
            taken += timed(partial(log.append_all, batch))
        found[f"{size}_entries"] = {
            "batched": {"n": rest, "batch": asked.batch, **_per_s(rest, taken)},
            "first_checkpoint_ms": round(
                1000 * timed(lambda: sign_checkpoint(log, SIGNER)), 2
            ),
            "inclusion_ms": spread(_inclusions(log, asked.proofs)),
            "consistency_ms": spread(_consistencies(log, asked.proofs)),
            "checkpoint_ms": spread(_checkpoints(log, entries)),
        }
    return found


def _entries() -> Iterator[LogEntry]:
    body = {f"field-{number}": f"value of field {number}" for number in range(12)}
    number = 0
    while True:
        number += 1
        yield LogEntry(
            kind="look",
            entry_id=f"look/{number}",
            trial_id=f"trial-{number % 100}",
            recorded_at=AT,
            body={**body, "number": number},
        )


def _inclusions(log: SqlLog, count: int) -> Iterator[Clocks]:
    chance, size = random.Random(7), log.size()
    root = HashTree(log.hashes, size).root()
    for _ in range(count):
        index = chance.randrange(size)
        begun = Clocks.read()
        proof = HashTree(log.hashes, log.size()).inclusion_proof(index)
        yield begun.until_now()
        leaf = leaf_hash(log.leaves(index, index + 1)[0])
        verify_inclusion(leaf_hash=leaf, index=index, size=size, proof=proof, root=root)


def _consistencies(log: SqlLog, count: int) -> Iterator[Clocks]:
    chance, size = random.Random(7), log.size()
    tree = HashTree(log.hashes, size)
    for _ in range(count):
        old = chance.randrange(1, size)
        begun = Clocks.read()
        proof = HashTree(log.hashes, log.size()).consistency_proof(old)
        yield begun.until_now()
        verify_consistency(
            old_size=old,
            new_size=size,
            proof=proof,
            old_root=tree.root(old),
            new_root=tree.root(),
        )


def _checkpoints(log: SqlLog, entries: Iterator[LogEntry]) -> Iterator[Clocks]:
    for _ in range(30):
        log.append_all([next(entries) for _ in range(10)])
        begun = Clocks.read()
        sign_checkpoint(log, SIGNER)
        yield begun.until_now()


def _peer(home: Path, asked: argparse.Namespace) -> dict[str, Any]:
    home.mkdir()
    program = str(home / "peer")
    build = [str(find_toolchain((1, 25)).go), "build", "-mod=readonly", "-o", program]
    subprocess.run([*build, "."], cwd=PEER, check=True)
    sizes = ["--entries", str(min(max(asked.sizes), 10**5)), "--batch"]
    command = [program, "--folder", str(home / "log"), *sizes, str(asked.batch)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _per_s(count: int, seconds: float) -> dict[str, Any]:
    return {"entries_per_s": round(count / seconds) if count else None}


if __name__ == "__main__":
    main()
