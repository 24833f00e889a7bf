"""A bundle of many spans: sealed, written, verified."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benches.ingesting.sending import export_request
from experiments.benches.proving.clocks import timed
from sandbox.adapters.segments import LocalSegments
from sandbox.evidence.bundle import BundleSource, write_bundle
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.record import digest_of
from sandbox.recorder import encode_frame, file_name, folder_name
from sandbox.settings import Settings
from sandbox.testing.records import FakeLog
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRIAL = "bench"
SIGNER = ThrowawaySigner("log.example/bench")
SPANS_PER_REQUEST = 500
SEGMENT_BYTES = 64 * 2**20
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


def bundle_figures(home: Path, spans: int) -> dict[str, Any]:
    """Return how long sealing, writing and verifying take, and with how much memory."""
    log, segments = FakeLog(), LocalSegments.of(Settings(home=home))
    folder = Settings(home=home).evidence_dir / folder_name(TRIAL)
    sealing = raw_bytes = 0.0
    for number, raw in enumerate(_segments(spans), start=1):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file_name(number, "closed")).write_bytes(raw)
        raw_bytes += len(raw)
        sealing += timed(partial(_seal, log, segments, number))
    target = home / "bundles" / TRIAL
    source = BundleSource(log, segments, SIGNER)
    writing = timed(lambda: write_bundle(target, trial_id=TRIAL, source=source))
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
