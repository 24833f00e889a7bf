"""Does something happening now breach a guardrail?

`observe_frames` turns recorded frames into observations, and `observe_tracks` does so
for rules that ask for the order of spans, once a trial is over; `TrackWatch` does while
it runs. A guardrail is armed by `start`, fed by `advance`, and armed afresh after a
pause by `rearm`; what its limit means stands in `sandbox.monitor.limit`. The exact
sequential test behind it stands in `sandbox.monitor.maxsprt`, those with planned looks
in `sandbox.monitor.grouped`, and the recursion under all of them in
`sandbox.monitor.crossing`. `off_since` and `outage` watch the condition of every trial
that its recorder is on; another one is that its segments are whole.
"""

from sandbox.monitor.guardrail import GuardrailState, advance, rearm, start
from sandbox.monitor.maxsprt import (
    false_signal_chance,
    poisson_maxsprt_llr,
    poisson_maxsprt_threshold,
    unit_threshold,
)
from sandbox.monitor.observe import observe_frames
from sandbox.monitor.recording import (
    RECORDER_ON,
    SEGMENTS_WHOLE,
    off_since,
    outage,
)
from sandbox.monitor.tracks import Completed, known_times, observe_tracks
from sandbox.monitor.watch import Told, TrackWatch

__all__ = [
    "RECORDER_ON",
    "SEGMENTS_WHOLE",
    "Completed",
    "GuardrailState",
    "Told",
    "TrackWatch",
    "advance",
    "false_signal_chance",
    "known_times",
    "observe_frames",
    "observe_tracks",
    "off_since",
    "outage",
    "poisson_maxsprt_llr",
    "poisson_maxsprt_threshold",
    "rearm",
    "start",
    "unit_threshold",
]
