"""Activities that read what is being recorded and judge it as it comes.

Rules of this module:

* One window is one activity; its heartbeat carries the whole state, so that a worker
  that dies is replaced without a frame read twice or not at all.
* A breach is in the log before anyone is told of it, and so is an outage of the
  recorder or a damaged segment, which pauses the trial like one.
* Every window ends with a look at each guardrail, which is an entry. Goals are looked
  at when the trial is judged: their looks are recomputed from the sealed evidence.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from functools import partial

from temporalio import activity

from sandbox import __version__
from sandbox.errors import RecorderError
from sandbox.model.finding import Counts, Look
from sandbox.model.instants import unix_nano_of
from sandbox.model.observation import Breach, Observation, RecorderOutage
from sandbox.model.record import canonical_json, digest_of
from sandbox.model.rule import RuleResult
from sandbox.model.segment import RecorderHealth
from sandbox.monitor import (
    GuardrailState,
    Told,
    TrackWatch,
    advance,
    observe_frames,
    off_since,
    outage,
    rearm,
    start,
)
from sandbox.ports import SegmentFile, Segments
from sandbox.procedure import add_period
from sandbox.recorder import Frame, decode_frames
from sandbox.rules import CompiledRules
from workflows.activities.boundary import activity_method
from workflows.activities.damage import Unreadable, record_damage
from workflows.activities.keeping import Ledger
from workflows.activities.together import Lost, Watches
from workflows.messages import BreachReport, Cursor, MonitorState, WindowResult

_POLL_S = 0.1
_ASK_S = 1.0
"""How often the recorder is asked how it is; oftener where the plan is impatient."""


class _Judges:
    """What judges spans alone, and what does together with others."""

    def __init__(self, rules: CompiledRules, limit_s: float) -> None:
        self.rules = rules
        self.limit_s = limit_s
        self.watch: TrackWatch | None = None
        """None until what was recorded before could be read again."""


class ObserveActivities:
    """Watches the segments of running trials."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._watches = Watches(ledger.segments)

    @activity_method
    def start_watch(self, state: MonitorState) -> MonitorState:
        """Arm the guardrails of the temporary rule; afresh after a pause."""
        if state.surveillance == 1:
            rule = self._ledger.temporary_rule(state.trial_id)
            armed = tuple(start(item) for item in rule.guardrails)
        else:
            since = self._ledger.clock.now()
            armed = tuple(rearm(item, since=since) for item in state.guardrails)
        return state.model_copy(
            update={"guardrails": armed, "begun": True, "recorder_off_since": None}
        )

    @activity_method
    def watch_window(self, state: MonitorState) -> WindowResult:
        """Judge frames as they are recorded, until the window ends or a breach."""
        details = activity.info().heartbeat_details
        if details:
            state = MonitorState.model_validate(details[0])
        limit_s = self._settling_s(state.trial_id)
        judges = _Judges(self._ledger.rules(state.trial_id), limit_s)
        ends = time.monotonic() + state.window_s
        asks = time.monotonic()
        while time.monotonic() < ends and not activity.is_cancelled():
            state, report, unread = self._try_to_read(state, judges)
            if report is None:
                activity.heartbeat(state.model_dump(mode="json"))
            if report is None and time.monotonic() >= asks:
                state, report = self._ask_recorder(state, limit_s, unread)
                asks = time.monotonic() + min(_ASK_S, limit_s / 4)
            if report is not None:
                return WindowResult(state=self._look(state), breach=report)
            time.sleep(_POLL_S)
        if judges.watch is not None and not activity.is_cancelled():
            self._watches.keep(state, judges.watch)
        return WindowResult(state=self._look(state))

    def _settling_s(self, trial_id: str) -> float:
        """Return the plan's settling time; so long may the recorder be off, too."""
        now = self._ledger.clock.now()
        settling = self._ledger.application(trial_id).plan.settling_time
        return (add_period(now, settling, time_zone="UTC") - now).total_seconds()

    def _ask_recorder(
        self, state: MonitorState, limit_s: float, unread: str
    ) -> tuple[MonitorState, BreachReport | None]:
        health = self._ledger.segments.health(state.trial_id)
        if unread and health.is_well:
            health = RecorderHealth(is_well=False, cause=unread)
        now = self._ledger.clock.now()
        since = off_since(state.recorder_off_since, health, now=now)
        state = state.model_copy(update={"recorder_off_since": since})
        found = outage(state.trial_id, health, since=since, now=now, limit_s=limit_s)
        return state, self._record_outage(found) if found else None

    def _record_outage(self, off: RecorderOutage) -> BreachReport:
        # Found again by a second worker it has other times: that is another entry.
        digest = digest_of(off).removeprefix("sha256:")[:16]
        entry_id = f"incident/{off.trial_id}/{off.condition}/{digest}"
        self._ledger.write("incident", entry_id, off.trial_id, off)
        return BreachReport(
            breach_id=entry_id,
            guardrail=off.condition,
            action="pause",
            detected_at=off.detected_at,
            cause=off.cause,
        )

    def _try_to_read(
        self, state: MonitorState, judges: _Judges
    ) -> tuple[MonitorState, BreachReport | None, str]:
        """Read on; what cannot be read now is said, in words, and tried again."""
        try:
            watch = judges.watch = judges.watch or self._begin(state, judges)
            state, report = self._read_on(state, judges.rules, watch)
        except Lost as error:
            return *self._pause_for(state, error.number, error.cause), ""
        except RecorderError as error:
            if not error.retryable:
                raise
            return state, None, error.diagnosis
        # What is recorded and not read yet must not look as if it had never come.
        return (state, report, "") if report else (*self._settle(state, watch), "")

    def _begin(self, state: MonitorState, judges: _Judges) -> TrackWatch:
        beat = partial(activity.heartbeat, state.model_dump(mode="json"))
        return self._watches.begin(
            state, judges.rules, settling_s=judges.limit_s, beat=beat
        )

    def _settle(
        self, state: MonitorState, watch: TrackWatch
    ) -> tuple[MonitorState, BreachReport | None]:
        """Count the units of which can be said now how they stand to other spans."""
        if not watch.is_needed:
            return state, None
        now = unix_nano_of(self._ledger.clock.now())
        state, breach = self._count(state, watch.settle(now))
        state = state.model_copy(update={"settled_ns": now})
        return state, self._record_breach(state, breach) if breach else None

    def _read_on(
        self, state: MonitorState, rules: CompiledRules, watch: TrackWatch
    ) -> tuple[MonitorState, BreachReport | None]:
        trial_id, segments = state.trial_id, self._ledger.segments
        for file in segments.files(trial_id, since=state.cursor.segment):
            if file.state == "erased":
                continue
            try:
                cursor, frames = _new_frames(segments, state, file)
            except Unreadable as error:
                if error.retryable:
                    raise
                if file.number not in state.damaged:
                    return self._pause_for(state, file.number, error.diagnosis)
                cursor, frames = Cursor(segment=file.number + 1), []
            observations = observe_frames(
                frames, rules=rules, trial_id=trial_id, segment=file.number
            )
            watch.add(frames, segment=file.number)
            told = [Told(item, None) for item in observations]
            state, breach = self._count(state, told)
            state = state.model_copy(update={"cursor": cursor})
            if breach is not None:
                return state, self._record_breach(state, breach)
            # A breach that is not recorded yet is found again by a worker that
            # replaces this one: it goes on from the last heartbeat.
            activity.heartbeat(state.model_dump(mode="json"))
        return state, None

    def _pause_for(
        self, state: MonitorState, number: int, cause: str
    ) -> tuple[MonitorState, BreachReport]:
        report = record_damage(self._ledger, state.trial_id, number, cause)
        damaged = (*state.damaged, number)
        return state.model_copy(update={"damaged": damaged}), report

    def _count(
        self, state: MonitorState, told: list[Told]
    ) -> tuple[MonitorState, Breach | None]:
        guardrails, counts = list(state.guardrails), dict(state.counts)
        breach: Breach | None = None
        now = self._ledger.clock.now()
        for observation, before in told:
            so_far = counts.get(observation.rule, Counts())
            counts[observation.rule] = _counted(so_far, observation, before)
            if before is not None:
                # A guardrail counts a unit once; judging at the end has it right.
                continue
            for index, guardrail in enumerate(guardrails):
                guardrails[index], signal = advance(
                    guardrail, observation, trial_id=state.trial_id, at=now
                )
                breach = breach or signal
        update = {
            "guardrails": tuple(guardrails),
            "counts": counts,
            "data_digest": _chained(state.data_digest, [x.observation for x in told]),
        }
        return state.model_copy(update=update), breach

    def _record_breach(self, state: MonitorState, breach: Breach) -> BreachReport:
        breach_id = f"breach/{state.trial_id}/{breach.guardrail}/{state.surveillance}"
        recorded = self._ledger.write_once("breach", breach_id, state.trial_id, breach)
        first = Breach.model_validate(recorded)
        return BreachReport(
            breach_id=breach_id,
            guardrail=first.guardrail,
            action=first.action,
            detected_at=first.detected_at,
        )

    def _look(self, state: MonitorState) -> MonitorState:
        number, now = state.looks + 1, self._ledger.clock.now()
        for guardrail in state.guardrails:
            look = _look_at(guardrail, state, number=number, at=now)
            entry_id = f"look/{state.trial_id}/{number}/{look.subject}"
            self._ledger.write_once("look", entry_id, state.trial_id, look)
        return state.model_copy(update={"windows": state.windows + 1, "looks": number})


def _new_frames(
    segments: Segments, state: MonitorState, file: SegmentFile
) -> tuple[Cursor, list[Frame]]:
    """Return the frames of a segment behind the cursor, and where it is then."""
    cursor = state.cursor
    if file.number != cursor.segment:
        cursor = Cursor(segment=file.number)
    data = segments.read(state.trial_id, file.number, offset=cursor.offset)
    frames, consumed = decode_frames(
        data, start_index=cursor.frame, start_offset=cursor.offset
    )
    if file.state != "open":
        # Nothing comes to it any more, so it is not read again.
        return Cursor(segment=file.number + 1), frames
    offset, frame = cursor.offset + consumed, cursor.frame + len(frames)
    return Cursor(segment=file.number, offset=offset, frame=frame), frames


def _counted(
    counts: Counts, observation: Observation, before: RuleResult | None
) -> Counts:
    results = Counter(counts.model_dump())
    results[observation.result] += 1
    if before is not None:
        results[before] -= 1
    return Counts(**results)


def _chained(digest: str, observations: list[Observation]) -> str:
    for observation in observations:
        digest = digest_of(digest.encode() + canonical_json(observation))
    return digest


def _look_at(
    guardrail: GuardrailState, state: MonitorState, *, number: int, at: datetime
) -> Look:
    units = guardrail.units
    return Look(
        trial_id=state.trial_id,
        number=number,
        subject=guardrail.guardrail.id,
        purpose="harm",
        counts=Counts(
            satisfied=units - guardrail.events,
            violated=guardrail.events,
            not_evaluable=guardrail.not_evaluable,
        ),
        estimate=guardrail.events / units if units else None,
        llr=guardrail.looked_llr,
        threshold=guardrail.threshold,
        signalled=guardrail.signalled_at is not None,
        data_digest=state.data_digest,
        code_version=__version__,
        at=at,
    )
