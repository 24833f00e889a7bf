"""Units that are judged with other spans, from one window of a monitor to the next.

Rules of this module:

* What is remembered of a trial is a cache: it is made again from the recorded frames
  where it does not fit the state that a window begins with.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from sandbox.errors import EvidenceError, RecorderError
from sandbox.monitor import TrackWatch
from sandbox.ports import Segments
from sandbox.recorder import Frame, decode_frames
from sandbox.rules import CompiledRules
from workflows.messages import Cursor, MonitorState


class _Kept(NamedTuple):
    cursor: Cursor
    settled_ns: int
    watch: TrackWatch


class Lost(Exception):
    """A segment that was read before cannot be read again, nor will it be."""

    def __init__(self, number: int, cause: str) -> None:
        super().__init__(cause)
        self.number = number
        self.cause = cause


class Watches:
    """The watches over rules with patterns, of the trials this worker monitors."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._kept: dict[str, _Kept] = {}

    def begin(
        self,
        state: MonitorState,
        rules: CompiledRules,
        *,
        settling_s: float,
        beat: Callable[[], None],
    ) -> TrackWatch:
        """Return the watch as it is in a state.

        Args:
            state: That a window begins with.
            rules: The rules of the trial.
            settling_s: The plan's settling time.
            beat: Called again and again: to read a long trial again takes its time.

        Raises:
            RecorderError: What was recorded cannot be read now.
            Lost: A segment cannot be read any more.
        """
        kept = self._kept.pop(state.trial_id, None)
        if kept and kept[:2] == (state.cursor, state.settled_ns):
            return kept.watch
        watch = TrackWatch(
            rules,
            trial_id=state.trial_id,
            settling=timedelta(seconds=settling_s),
        )
        if watch.is_needed:
            self._read_again(state, watch, beat)
        return watch

    def keep(self, state: MonitorState, watch: TrackWatch) -> None:
        """Keep a watch for the next window."""
        kept = _Kept(state.cursor, state.settled_ns, watch)
        self._kept[state.trial_id] = kept

    def _read_again(
        self, state: MonitorState, watch: TrackWatch, beat: Callable[[], None]
    ) -> None:
        for file in self._segments.files(state.trial_id):
            beat()
            if file.number <= state.cursor.segment and file.state != "erased":
                watch.add(self._frames(state, file.number), segment=file.number)
        if state.settled_ns:
            watch.catch_up(state.settled_ns, beat=beat)

    def _frames(self, state: MonitorState, number: int) -> list[Frame]:
        try:
            data = self._segments.read(state.trial_id, number)
            frames, _ = decode_frames(data)
        except (RecorderError, EvidenceError) as error:
            if error.retryable:
                raise
            if number not in state.damaged:
                raise Lost(number, error.diagnosis) from error
            return []
        is_last = number == state.cursor.segment
        return frames[: state.cursor.frame] if is_last else frames
