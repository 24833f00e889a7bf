"""How fast the log takes entries in and proves them, and a bundle is verified.

The log: one process, one SQLite file (write-ahead log, `synchronous=FULL`, so every
transaction is on disk when it returns), entries of about 600 bytes. A proof is one
`HashTree` on the database, nothing remembered from before, and is checked against the
root outside the time measured; a checkpoint is signed each time after ten more entries.

With `--peer`, the POSIX log of Tessera (Go module pinned in `tessera/`) takes up to
100,000 entries of 600 random bytes in batches of the same size on the same disk, each
batch awaited before the next. It is built first; Go fetches and checks its modules.

The bundle: spans as in the benchmark `ingest`, 500 a request, segments of at most
64 MiB. Sealing, writing and verifying read and write files that were just written, so
the page cache is warm. The verifier runs as users run it, in a process of its own.

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
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple, Self

from experiments.benches.ingesting.sending import export_request
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.segments import LocalSegments
from sandbox.evidence.bundle import BundleSource, write_bundle
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.log import sign_checkpoint
from sandbox.evidence.merkle import leaf_hash, verify_consistency, verify_inclusion
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.local.toolchain import find_toolchain
from sandbox.model.record import digest_of
from sandbox.model.segment import LogEntry
from sandbox.recorder import encode_frame, file_name, folder_name
from sandbox.settings import Settings
from sandbox.testing.records import FakeLog
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRIAL = "bench"
SIGNER = ThrowawaySigner("log.example/bench")
SPANS_PER_REQUEST = 500
PEER = Path(__file__).parent / "tessera"
# The process reads its own peak: what `wait4` says begins with this one's size.
_VERIFIER = """
import json, re, sys, time
from sandbox.evidence.__main__ import main
code = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s*([0-9]+)", open("/proc/self/status").read())
own = {"processor_s": time.process_time(), "resident_kib": int(peak[1])}
sys.stderr.write(json.dumps(own))
sys.exit(code)
"""
SEGMENT_BYTES = 64 * 2**20


class _Clocks(NamedTuple):
    """Seconds on the wall and of the processor."""

    wall: float
    processor: float

    @classmethod
    def read(cls) -> Self:
        return cls(time.perf_counter(), time.process_time())

    def until_now(self) -> _Clocks:
        now = _Clocks.read()
        return _Clocks(now.wall - self.wall, now.processor - self.processor)


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
            "bundle": _bundle(home / "bundle", asked.spans),
        }
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _log(home: Path, asked: argparse.Namespace) -> dict[str, Any]:
    log = SqlLog(open_database(Settings(home=home)))
    entries = _entries()
    single = [_timed(lambda: log.append(next(entries))) for _ in range(1000)]
    found: dict[str, Any] = {
        "single": {"n": len(single), **_per_s(len(single), sum(single))}
    }
    for size in sorted(asked.sizes):
        rest, taken = size - log.size(), 0.0
        for start in range(0, rest, asked.batch):
            count = min(asked.batch, rest - start)
            batch = [next(entries) for _ in range(count)]
            taken += _timed(partial(log.append_all, batch))
        found[f"{size}_entries"] = {
            "batched": {"n": rest, "batch": asked.batch, **_per_s(rest, taken)},
            "first_checkpoint_ms": round(
                1000 * _timed(lambda: sign_checkpoint(log, SIGNER)), 2
            ),
            "inclusion_ms": _spread(_inclusions(log, asked.proofs)),
            "consistency_ms": _spread(_consistencies(log, asked.proofs)),
            "checkpoint_ms": _spread(_checkpoints(log, entries)),
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


def _inclusions(log: SqlLog, count: int) -> Iterator[_Clocks]:
    chance, size = random.Random(7), log.size()
    root = HashTree(log.hashes, size).root()
    for _ in range(count):
        index = chance.randrange(size)
        begun = _Clocks.read()
        proof = HashTree(log.hashes, log.size()).inclusion_proof(index)
        yield begun.until_now()
        leaf = leaf_hash(log.leaves(index, index + 1)[0])
        verify_inclusion(leaf_hash=leaf, index=index, size=size, proof=proof, root=root)


def _consistencies(log: SqlLog, count: int) -> Iterator[_Clocks]:
    chance, size = random.Random(7), log.size()
    tree = HashTree(log.hashes, size)
    for _ in range(count):
        old = chance.randrange(1, size)
        begun = _Clocks.read()
        proof = HashTree(log.hashes, log.size()).consistency_proof(old)
        yield begun.until_now()
        verify_consistency(
            old_size=old,
            new_size=size,
            proof=proof,
            old_root=tree.root(old),
            new_root=tree.root(),
        )


def _checkpoints(log: SqlLog, entries: Iterator[LogEntry]) -> Iterator[_Clocks]:
    for _ in range(30):
        log.append_all([next(entries) for _ in range(10)])
        begun = _Clocks.read()
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


def _bundle(home: Path, spans: int) -> dict[str, Any]:
    log, segments = FakeLog(), LocalSegments.of(Settings(home=home))
    folder = Settings(home=home).evidence_dir / folder_name(TRIAL)
    sealing = raw_bytes = 0.0
    for number, raw in enumerate(_segments(spans), start=1):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file_name(number, "closed")).write_bytes(raw)
        raw_bytes += len(raw)
        sealing += _timed(partial(_seal, log, segments, number))
    target = home / "bundles" / TRIAL
    source = BundleSource(log, segments, SIGNER)
    writing = _timed(lambda: write_bundle(target, trial_id=TRIAL, source=source))
    return {
        "spans": spans,
        "segments": log.size(),
        "raw_mib": round(raw_bytes / 2**20),
        "packed_mib": round(
            sum(file.stat().st_size for file in target.rglob("*.gz")) / 2**20
        ),
        "seal_s": round(sealing, 2),
        "write_s": round(writing, 2),
        "verify": _verified(target, spans),
    }


def _segments(spans: int) -> Iterator[bytes]:
    requests = [export_request(SPANS_PER_REQUEST, seed=seed) for seed in range(20)]
    frames: list[bytes] = []
    for sequence in range(1, spans // SPANS_PER_REQUEST + 1):
        frame = encode_frame(
            requests[sequence % len(requests)],
            signal="traces",
            producer="bench",
            sequence=sequence,
            received_at=AT,
        )
        if sum(map(len, frames)) + len(frame) > SEGMENT_BYTES:
            yield b"".join(frames)
            frames = []
        frames.append(frame)
    yield b"".join(frames)


def _seal(log: FakeLog, segments: LocalSegments, number: int) -> None:
    sealed = seal_segment(
        segments.read(TRIAL, number),
        trial_id=TRIAL,
        number=number,
        rulebook_digest=digest_of(b"rulebook"),
        signer=SIGNER,
    )
    log.append(segment_entry(sealed, recorded_at=AT))
    segments.put_sealed(
        TRIAL, number, compressed=sealed.compressed, envelope=sealed.envelope
    )


def _verified(bundle: Path, spans: int) -> dict[str, Any]:
    command = [sys.executable, "-c", _VERIFIER, "verify", "--json", str(bundle)]
    begun = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - begun
    result, own = json.loads(ran.stdout), json.loads(ran.stderr)
    if not result["ok"] or result["spans"] != spans:
        raise SystemExit(f"the bundle does not verify: {result['steps'][-1]}")
    return {
        "seconds": round(taken, 2),
        "processor_s": round(own["processor_s"], 2),
        "resident_mib": round(own["resident_kib"] / 1024),
    }


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _per_s(count: int, seconds: float) -> dict[str, Any]:
    return {"entries_per_s": round(count / seconds) if count else None}


def _spread(taken: Iterator[_Clocks]) -> dict[str, Any]:
    clocks = list(taken)
    values = [1000 * item.wall for item in clocks]
    cuts = quantiles(values, n=100)
    return {
        "n": len(values),
        "p50": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "p99": round(cuts[98], 2),
        "max": round(max(values), 2),
        "processor_p50": round(1000 * median(item.processor for item in clocks), 2),
    }


if __name__ == "__main__":
    main()
