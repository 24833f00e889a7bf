"""How fast recorded telemetry leaves as files, and comes in again through a recorder.

A trial of `--spans` spans with 11 attributes each, in requests of 500, lies in closed
segments of 8 MiB. It is exported in every form to a file, and the OTLP files are
imported into a running recorder on loopback, which makes each request durable before
the next is sent. Exporting includes reading, checksums and writing the file; importing
includes reading the file twice, checking every request, and sending it. The recorder
shares the machine. `peak_mib` is the largest resident memory of the exporting process
so far, with everything it has loaded; `loaded_mib` is what it had before. Speeds are by
the clock, and by the processor time of this process, without the recorder's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.recorder import encode_frame
from sandbox.testing.recorder import TRIAL, RecorderProcess
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.cli.exporting import Form, Source, Wanted, pieces, write_out
from workflows.cli.importing import (
    Checked,
    Door,
    Intent,
    Kind,
    check_files,
    import_file,
    plan_import,
)
from workflows.worker import open_ledger

_A_REQUEST = 500
_SEGMENT_BYTES = 8 * 1024 * 1024


def main() -> None:
    """Export and import `--spans` spans `--runs` times and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    runs = [_run(chosen.spans) for _ in range(chosen.runs)]
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    said = {"spans": chosen.spans, "n": chosen.runs, "machine": machine, "runs": runs}
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _run(spans: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        home = Path(folder) / "state"
        recorder = RecorderProcess(home, sql_tokens=True)
        ledger, tokens = open_ledger(recorder.settings)
        RecordedTrial(TRIAL, log=ledger.log).move("approved", "running", 1)
        size = _record(recorder.folder, spans)
        figures: dict[str, Any] = {"raw_mib": round(size / 2**20, 1)}
        figures["loaded_mib"] = _peak_mib()
        files = {}
        for form in Form:
            files[form] = Path(folder) / form.value
            source = Source(ledger, Wanted(TRIAL, "traces"))
            parts = pieces(source, form)
            act: Callable[[], object] = partial(write_out, files[form], parts)
            figures[f"export_{form.value}"] = _speed(spans, act)
            figures["peak_mib"] = _peak_mib()
        with recorder:
            door = Door(ledger, tokens, recorder.settings.recorder_http_port)
            for form in (Form.otlp, Form.otlp_proto):
                act = partial(_import, door, files[form], form)
                figures[f"import_{form.value}"] = _speed(spans, act)
        return figures


def _speed(spans: int, act: Callable[[], object]) -> dict[str, int]:
    begun, used = time.monotonic(), time.process_time()
    act()
    took, used = time.monotonic() - begun, time.process_time() - used
    return {"spans_per_s": round(spans / took), "spans_per_cpu_s": round(spans / used)}


def _import(door: Door, file: Path, form: Form) -> None:
    kind = Kind("otlp" if form is Form.otlp else "otlp-proto", "traces")
    checked: list[Checked] = check_files([file], kind)
    intent = Intent(TRIAL, "bench", by="bench", again=False)
    import_file(door, checked[0], plan_import(door.ledger, checked[0], intent))


def _record(folder: Path, spans: int) -> int:
    """Write closed segments and return how many bytes they have."""
    folder.mkdir(parents=True)
    chance = random.Random(7)
    raw, number, size = b"", 1, 0
    for sequence in range(1, spans // _A_REQUEST + 1):
        raw += encode_frame(
            _request(chance),
            signal="traces",
            producer="bench",
            sequence=sequence,
            received_at=STARTED_AT,
        )
        if len(raw) >= _SEGMENT_BYTES or sequence == spans // _A_REQUEST:
            (folder / f"{number:06d}.closed").write_bytes(raw)
            raw, number, size = b"", number + 1, size + len(raw)
    return size


def _request(chance: random.Random) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(_A_REQUEST):
        start = 1_790_000_000_000_000_000 + chance.randrange(10**9)
        span = scope.spans.add(
            trace_id=chance.randbytes(16),
            span_id=chance.randbytes(8),
            name="/dispatch",
            kind=2,
            start_time_unix_nano=start,
            end_time_unix_nano=start + chance.randrange(10**9),
        )
        for number in range(11):
            item = span.attributes.add(key=f"attribute.{number}")
            item.value.string_value = f"value-{chance.randrange(1000)}"
    return request.SerializeToString()


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
