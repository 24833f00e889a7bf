"""How fast questions about recorded spans are answered, and what that costs.

Spans are generated through real frames and real sealing: traces of six spans, one for
each of six services, 24 operations, 11 attributes of a thousand values each and one
that a rule reads; requests of 500 spans, 2,000 spans a second of the trial's time. Each
step runs in a process of its own, so that its memory is its own. Questions of one kind
differ from each other; `cold` is the first answer of a new process, which also reads
the statement of every segment and checks every derived file. Files are in the page
cache. Generating is not measured. `check` is the comparison of derived files with raw
segments that `--engine both` begins with, start of its process included. The memory of
an engine includes its process; bars are those of the default engine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from experiments.benches.processes import apart, peak_mib
from sandbox.adapters.segments import LocalSegments
from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_chdb_raw import ChdbCheck
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.evidence.seal import seal_segment
from sandbox.model.record import digest_of
from sandbox.model.trace import AttributeTest, SpanQuestion
from sandbox.ports import Spans
from sandbox.recorder import encode_frame, file_name
from sandbox.rules import CompiledRules
from sandbox.settings import Settings
from sandbox.testing.rules import one_rule
from sandbox.testing.signer import ThrowawaySigner

Made = TypeVar("Made", bound=DerivedFiles)
TRIAL = "bench-1"
SERVICES = ("frontend", "dispatch", "driver", "route", "customer", "payment")
BEGUN = datetime(2026, 4, 1, tzinfo=UTC)
TRACES_A_REQUEST = 500
TRACE_NS = 3_000_000
"""From the start of one trace to that of the next."""
QUESTIONS = 20
ENGINES = ("duckdb", "chdb")
BARS_MS = {
    "trace_by_id": 25.0,
    "service_operation_duration_time": 50.0,
    "promoted_attribute": 100.0,
    "any_attribute": 800.0,
}
BAR_BYTES = 130.0
BAR_MIB = 2048.0
_T0 = int(BEGUN.timestamp()) * 10**9
_SIGNER = ThrowawaySigner("bench.example/log")


class Task(NamedTuple):
    """What a step works on."""

    home: Path
    spans: int
    segment_spans: int


def main() -> None:
    """Generate, derive, ask, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--segment-spans", type=int, default=20_000)
    parser.add_argument("--home", type=Path, help="kept, and used again if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsbx-bench-") as folder:
        task = Task(asked.home or Path(folder), asked.spans, asked.segment_spans)
        said = _measure(task)
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _measure(task: Task) -> dict[str, Any]:
    apart(_generate, task)
    derivation = apart(_derive, task)
    size = _sizes(task)
    engines = {name: _engine(name, task) for name in ENGINES}
    return {
        "spans": task.spans,
        "segment_spans": task.segment_spans,
        "questions_of_each_kind": QUESTIONS,
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "derivation": derivation,
        "bytes_per_span": size,
        "check": apart(_check, task),
        "engines": engines,
    }


def _engine(name: str, task: Task) -> dict[str, Any]:
    cold = [apart(_ask_once, task, name) for _ in range(3)]
    return {"cold_ms": [item["ms"] for item in cold], **apart(_ask, task, name)}


def _generate(task: Task) -> None:
    folder = Settings(home=task.home).evidence_dir / TRIAL
    folder.mkdir(parents=True, exist_ok=True)
    last = math.ceil(task.spans / task.segment_spans)
    if (folder / file_name(last, "zst")).exists():
        return
    requests = _requests(task.spans)
    sequence = number = 0
    while sequence * TRACES_A_REQUEST < task.spans:
        number += 1
        frames = []
        for _ in range(max(1, task.segment_spans // TRACES_A_REQUEST)):
            if (payload := next(requests, None)) is None:
                break
            sequence += 1
            frames.append(_frame(payload, sequence))
        _seal(folder, number, b"".join(frames))


def _frame(payload: bytes, sequence: int) -> bytes:
    seconds = sequence * TRACES_A_REQUEST * TRACE_NS / len(SERVICES) / 1e9
    return encode_frame(
        payload,
        signal="traces",
        producer=SERVICES[sequence % len(SERVICES)],
        sequence=sequence,
        received_at=BEGUN + timedelta(seconds=seconds + 5),
    )


def _seal(folder: Path, number: int, raw: bytes) -> None:
    sealed = seal_segment(
        raw,
        trial_id=TRIAL,
        number=number,
        rulebook_digest=digest_of(b"rulebook"),
        signer=_SIGNER,
    )
    (folder / file_name(number, "dsse.json")).write_bytes(sealed.envelope)
    (folder / file_name(number, "zst")).write_bytes(sealed.compressed)


def _requests(spans: int) -> Iterator[bytes]:
    chance = random.Random(7)
    first = 0
    while first * len(SERVICES) < spans:
        traces = range(first, first + TRACES_A_REQUEST)
        for service in SERVICES:
            yield _request(service, traces, chance)
        first += TRACES_A_REQUEST


def _request(service: str, traces: range, chance: random.Random) -> bytes:
    """Return one request; its spans are put together from serialized attributes, since
    ten million of them are many.
    """
    spans = b"".join(_span(service, trace, chance) for trace in traces)
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = service
    batch.scope_spans.append(ScopeSpans.FromString(spans))
    return request.SerializeToString()


def _span(service: str, trace: int, chance: random.Random) -> bytes:
    start = _T0 + trace * TRACE_NS + chance.randrange(10**6)
    span = Span(
        trace_id=trace_id(trace),
        span_id=chance.randbytes(8),
        parent_span_id=chance.randbytes(8) if service != "frontend" else b"",
        name=f"/{service}/{chance.randrange(4)}",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start,
        end_time_unix_nano=start + chance.randrange(10**9),
    )
    parts = [
        _attribute(f"attribute.{n}", "value", int(chance.random() * 1000))
        for n in range(11)
    ]
    parts.append(_attribute("dispatch.zone", "zone", int(chance.random() * 500)))
    # Serialized messages that follow each other are one message (protobuf encoding).
    whole = span.SerializeToString() + b"".join(parts)
    return ScopeSpans(spans=[Span.FromString(whole)]).SerializeToString()


@lru_cache(None)
def _attribute(key: str, word: str, number: int) -> bytes:
    span = Span()
    span.attributes.add(key=key).value.string_value = f"{word}-{number}"
    return span.SerializeToString()


def trace_id(trace: int) -> bytes:
    """Return the id of a generated trace."""
    return hashlib.blake2b(trace.to_bytes(8, "big"), digest_size=16).digest()


def rules() -> CompiledRules:
    """Return the one rule that the spans are judged by."""
    return one_rule(
        'span.attributes["dispatch.zone"] != "zone-13"',
        rule="dispatch/zone",
        applies='span.service == "dispatch"',
    )


def prepare(task: Task) -> None:
    """Generate the spans and derive the files, where they are not there yet."""
    apart(_generate, task)
    apart(_derive, task)


def files(task: Task, made: type[Made]) -> Made:
    """Return the derived files of the generated trial."""
    settings, compiled = Settings(home=task.home), rules()
    return made.of(
        settings,
        segments=LocalSegments.of(settings),
        rules=lambda _: compiled,
        keys=[_SIGNER.public_key],
    )


def _derive(task: Task) -> dict[str, Any]:
    is_new = not Settings(home=task.home).derived_dir.exists()
    begun, used = time.monotonic(), time.process_time()
    derived = files(task, DerivedFiles).current(TRIAL)
    seconds, used = time.monotonic() - begun, time.process_time() - used
    spans = sum(file.origin.spans for file in derived.files)
    if spans != task.spans:
        raise SystemExit(f"{spans} spans were derived, not {task.spans}")
    found = {"segments": len(derived.evidence), "files": len(derived.files)}
    if not is_new:
        return found
    return {
        **found,
        "seconds": round(seconds, 1),
        "spans_per_s": round(spans / seconds),
        "spans_per_s_per_core": round(spans / used),
        "resident_mib": peak_mib(),
    }


def _sizes(task: Task) -> dict[str, float]:
    settings = Settings(home=task.home)
    sizes = {
        "raw_compressed": _bytes(settings.evidence_dir / TRIAL),
        "derived": _bytes(settings.derived_dir / TRIAL),
    }
    sizes["together"] = sum(sizes.values())
    found = {name: round(size / task.spans, 1) for name, size in sizes.items()}
    return {**found, "bar": BAR_BYTES}


def _bytes(folder: Path) -> float:
    return float(sum(item.stat().st_size for item in folder.iterdir()))


def _check(task: Task) -> dict[str, Any]:
    settings = Settings(home=task.home)
    check = ChdbCheck(files(task, DerivedFiles), LocalSegments.of(settings))
    begun = time.monotonic()
    check.check(TRIAL)
    seconds = time.monotonic() - begun
    return {
        "seconds": round(seconds, 1),
        "spans_per_s": round(task.spans / seconds),
        "resident_mib": peak_mib(),
    }


def _opened(name: str, task: Task) -> DuckSpans | ChdbSpans:
    return (
        ChdbSpans(files(task, DerivedFiles))
        if name == "chdb"
        else DuckSpans(files(task, DerivedFiles))
    )


def _ask_once(task: Task, name: str) -> dict[str, float]:
    begun = time.monotonic()
    engine = _opened(name, task)
    found = engine.trace(TRIAL, trace_id(task.spans // 12).hex())
    taken = round(1000 * (time.monotonic() - begun), 1)
    _close(engine)
    if len(found.spans) != len(SERVICES):
        raise SystemExit(f"a trace has {len(found.spans)} spans")
    return {"ms": taken}


def _ask(task: Task, name: str) -> dict[str, Any]:
    engine = _opened(name, task)
    engine.trace(TRIAL, trace_id(0).hex())
    kinds = _questions(task)
    figures = {kind: _timed(engine, asked, kind) for kind, asked in kinds.items()}
    _close(engine)
    resident = peak_mib()
    memory = {"resident_mib": resident, "bar": BAR_MIB, "holds": resident <= BAR_MIB}
    return {"warm": figures, "memory": memory}


def _questions(task: Task) -> dict[str, list[SpanQuestion]]:
    chance = random.Random(3)
    whole = timedelta(microseconds=task.spans * TRACE_NS / len(SERVICES) / 1000)
    kinds: dict[str, Callable[[], SpanQuestion]] = {
        "trace_by_id": lambda: SpanQuestion(
            trace_id=trace_id(chance.randrange(task.spans // len(SERVICES))).hex()
        ),
        "service_operation_duration_time": lambda: _by_service(chance, whole),
        "promoted_attribute": lambda: _having("dispatch.zone", "zone", 500, chance),
        "promoted_attribute_absent": lambda: _having(
            "dispatch.zone", "none", 500, chance
        ),
        "any_attribute": lambda: _having(
            f"attribute.{chance.randrange(11)}", "value", 1000, chance
        ),
        "any_attribute_absent": lambda: _having(
            f"attribute.{chance.randrange(11)}", "none", 1000, chance
        ),
    }
    return {kind: [make() for _ in range(QUESTIONS)] for kind, make in kinds.items()}


def _by_service(chance: random.Random, whole: timedelta) -> SpanQuestion:
    service = chance.choice(SERVICES)
    since = BEGUN + chance.random() * 0.9 * whole
    least = chance.random() * 0.9
    return SpanQuestion(
        service=service,
        operation=f"/{service}/{chance.randrange(4)}",
        min_duration_s=least,
        max_duration_s=least + 0.05,
        since=since,
        until=since + whole / 10,
    )


def _having(key: str, word: str, count: int, chance: random.Random) -> SpanQuestion:
    test = AttributeTest(key=key, value=f"{word}-{chance.randrange(count)}")
    return SpanQuestion(attributes=(test,))


def _timed(engine: Spans, asked: list[SpanQuestion], kind: str) -> dict[str, Any]:
    taken, spans = [], 0
    for question in asked:
        begun = time.monotonic()
        if question.trace_id:
            found = engine.trace(TRIAL, question.trace_id)
        else:
            found = engine.search(TRIAL, question)
        taken.append(1000 * (time.monotonic() - begun))
        spans += len(found.spans)
    cuts = quantiles(taken, n=20)
    figures = {
        "p50_ms": round(cuts[9], 1),
        "p95_ms": round(cuts[18], 1),
        "max_ms": round(max(taken), 1),
        "spans_found": spans,
    }
    bars = BARS_MS if isinstance(engine, DuckSpans) else {}
    bar = bars.get(kind.removesuffix("_absent"))
    return {**figures, "bar_ms": bar, "holds": bar is None or cuts[18] <= bar}


def _close(engine: DuckSpans | ChdbSpans) -> None:
    if isinstance(engine, ChdbSpans):
        engine.close()


if __name__ == "__main__":
    main()
