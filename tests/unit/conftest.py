"""A small trial on paper and on fakes, up to its closing: calls answered in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from temporalio.testing import ActivityEnvironment

from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.model.application import Application
from sandbox.model.finding import ExitReport
from sandbox.model.record import Interval, digest_of
from sandbox.model.regime import Regime
from sandbox.model.rule import (
    Guardrail,
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    RuleSource,
    Scope,
    TemporaryRule,
)
from sandbox.model.trial import Pause
from sandbox.recorder import encode_frame
from sandbox.recorder.producer import INSTANCE, SEQUENCE
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.closing import close
from workflows.activities.keeping import Bundles, Ledger, publish_rulebook
from workflows.messages import CloseTrial, EntryDraft

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)


class Case:
    """The trial `t`: its plan locked, its rule in force, nothing recorded yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started_at = T0
        self.signer = ThrowawaySigner("log.example/trials")
        self.segments = FakeSegments()
        self.ledger = Ledger(
            FakeLog(), FakeRecords(), self.segments, self.signer, FixedClock(T0)
        )
        self.application = application()
        self.rulebook = rulebook()
        self._locked = 0
        self.file()
        publish_rulebook(self.ledger, self.rulebook)
        self.lock(self.application)

    @property
    def bundle(self) -> Path:
        """The bundle, once the trial is closed."""
        return self.folder / "t"

    def file(self) -> None:
        """File the application; it is admitted."""
        digest = self.ledger.records.put_document("t", "regime", regime())
        body = {"regime_digest": digest, "defects": []}
        entry = {"kind": "application", "entry_id": "t/submit", "trial_id": "t"}
        self.ledger.append(EntryDraft.model_validate({**entry, "body": body}))

    def lock(self, asked: Application, *guardrails: Guardrail) -> None:
        """Lock the plan of an application, and put a rule over it in force."""
        self.ledger.records.put_document("t", "application", asked)
        self._locked += 1
        digest = digest_of(asked.plan)
        rule = TemporaryRule(
            temporary_rule=f"trial/t/{self._locked}",
            trial_id="t",
            of=publish_rulebook(self.ledger, self.rulebook),
            in_force=Interval(start=T0, end=T0 + timedelta(minutes=5)),
            scope=Scope(participants="c", area="a"),
            overlays=(),
            conditions=(),
            guardrails=guardrails,
            plan_digest=digest,
        )
        self.ledger.records.put_document("t", "temporary-rule", rule)
        self.ledger.write("plan", f"plan/t/{self._locked}", "t", asked.plan)
        self.ledger.write("temporary-rule", rule.temporary_rule, "t", rule)

    def add(self, **asks: Any) -> None:
        """Put a second rule, `calls/order`, in force, and a goal on it in the plan."""
        (timed,) = self.rulebook.rules
        other = {"rule": "calls/order", "text": "In order.", "parameters": {}, **asks}
        rule = Rule.model_validate({**timed.model_dump(), "requires": "", **other})
        update = {"version": 2, "rules": (timed, rule)}
        self.rulebook = self.rulebook.model_copy(update=update)
        (goal,) = self.application.plan.goals
        estimand = goal.estimand.model_copy(update={"of": "calls/order"})
        goal = goal.model_copy(update={"goal": "in-order", "estimand": estimand})
        goals = {"goals": (goal,), "order_of_analysis": ("in-order",)}
        plan = self.application.plan.model_copy(update=goals)
        self.application = self.application.model_copy(update={"plan": plan})
        self.lock(self.application)

    def record(
        self,
        sequences: Sequence[int | None],
        *,
        number: int = 1,
        slow: int = 0,
        evenly: bool = False,
    ) -> None:
        """Record one unit for each sequence as one segment.

        So many of them are slow: the last, or as many spread evenly.
        """
        self.receive(sequences, number=number, slow=slow, evenly=evenly)
        sealed = seal_segment(
            self.segments.read("t", number),
            trial_id="t",
            number=number,
            rulebook_digest=digest_of(b"r"),
            signer=self.signer,
        )
        self.segments.put_sealed(
            "t", number, compressed=sealed.compressed, envelope=sealed.envelope
        )
        self.ledger.log.append(segment_entry(sealed, recorded_at=T0))

    def receive(
        self,
        sequences: Sequence[int | None],
        *,
        number: int = 1,
        slow: int = 0,
        evenly: bool = False,
    ) -> None:
        """Record units as `record` does, as one closed segment that is not sealed."""
        count = len(sequences)
        late = set(range(count - slow + 1, count + 1))
        if evenly and slow:
            late = {count * nth // slow for nth in range(1, slow + 1)}
        self.segments.receive("t", frame(sequences, number=number, late=late))
        self.segments.roll("t")

    def use(self, segments: FakeSegments) -> None:
        """Keep what is recorded from now on in other segments."""
        self.segments = segments
        self.ledger = self.ledger._replace(segments=segments)

    def close(self, *pauses: Pause) -> ExitReport:
        """Close the trial as its activity does, and return the exit report."""
        task = CloseTrial(
            trial_id="t",
            regime=regime(),
            pauses=pauses,
            started_at=T0,
            ended_at=T0 + timedelta(minutes=2),
        )
        bundles = Bundles(self.folder)
        ActivityEnvironment().run(close, self.ledger, bundles, task)
        document = self.ledger.records.get_document("t", "exit-report")
        return ExitReport.model_validate(document)


@pytest.fixture(name="case")
def _case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def frame(
    sequences: Sequence[int | None], *, number: int, late: Collection[int]
) -> bytes:
    """Return a frame with one unit for each sequence, slow at the places of `late`."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for place, sequence in enumerate(sequences, start=1):
        start = int(T0.timestamp()) * 10**9 + place * 10**6
        seconds = 9 if place in late else 1
        span = spans.add(
            trace_id=place.to_bytes(16, "big"),
            span_id=place.to_bytes(8, "big"),
            name="call",
            start_time_unix_nano=start,
            end_time_unix_nano=start + seconds * 10**9,
        )
        span.attributes.add(key="arm").value.string_value = "ab"[place % 2]
        if sequence is not None:
            span.attributes.add(key=INSTANCE).value.string_value = "a"
            span.attributes.add(key=SEQUENCE).value.int_value = sequence
    return encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="calls",
        sequence=number,
        received_at=T0 + timedelta(seconds=30),
    )


def rulebook() -> Rulebook:
    dated = {date(2024, 1, 1): ParameterValue(value=2, reference="r")}
    timed = Rule(
        rule="calls/time",
        text="Within {max_s} s.",
        parameters={"max_s": Parameter(unit="s", looser="higher", values=dated)},
        requires="span.duration_s <= params.max_s",
        source=RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        goal="quick",
        mechanism="regulation",
        applies="true",
        severity="major",
        waivable=True,
    )
    return Rulebook(
        rulebook="calls",
        version=1,
        title="t",
        owner="o",
        in_force_from=date(2024, 1, 1),
        rules=(timed,),
    )


def application() -> Application:
    goal = {
        "goal": "in-time",
        "claim": "c",
        "unit": "call",
        "estimand": {"proportion": "satisfied", "of": "calls/time"},
        "threshold": 0.95,
        "alpha": 0.05,
        "design": "confidence-sequence",
        "minimum_units": 200,
        "missing": "count-both-ways",
    }
    text = dict.fromkeys(("summary", "novelty", "public_benefit", "readiness"), "…")
    limits = {"cpu": "1", "memory": "64Mi", "pods": 2}
    return Application.model_validate(
        {
            "application": "t",
            "regime": "r",
            "rulebook": "calls",
            "applicant": {"name": "A", "contact": "a@example"},
            "innovation": text,
            "participants": {"class": "c", "max": 5, "consent": "c", "area": "a"},
            "period": {"length": "PT1M", "must_start_within": "PT1M"},
            "plan": {
                "goals": [goal],
                "order_of_analysis": ["in-time"],
                "settling_time": "PT5M",
            },
            "incidents": {"procedure": "p", "contact": "c"},
            "system": {
                "manifests": "system/",
                "images": {},
                "needs": {"limits": limits},
                "telemetry": {"protocol": "otlp-http", "services": ["s"]},
            },
        }
    )


def regime() -> Regime:
    return Regime.model_validate(
        {
            "regime": "r",
            "name": "R",
            "law": ["L"],
            "time_zone": "UTC",
            "authorities": [{"authority": "o", "name": "O"}],
            "clocks": [],
            "longest_trial": "PT10M",
            "minimum_consultation": "PT3S",
            "monitoring_window": "PT5S",
            "exit_report_by": "authority",
        }
    )
