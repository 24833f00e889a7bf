"""The file handed to locust: its options, what it counts, the result it writes.

Rules of this module:

* The result is written once, when the generator ends, to a file of its own; whoever
  started the generator tells from that file alone whether it ran.
* A slow or failing system is a result, not an error of the generator.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from locust import events

from loadtests.histogram import Histogram
from loadtests.plan import read_profile
from loadtests.shapes import Stages
from loadtests.thresholds import conclude, evaluate
from loadtests.users import Customer

__all__ = ["Customer", "Stages"]

_SEEN = Histogram()
_STARTED_AT = time.time()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    """Add the options of the generator."""
    parser.add_argument("--load-profile", help="profile, as JSON")
    parser.add_argument("--load-seed", type=int, default=0, help="seed of the requests")
    parser.add_argument("--load-result", help="file the result is written to")


@events.request.add_listener  # type: ignore[untyped-decorator]
def count(
    response_time: float,
    response: Any = None,
    exception: BaseException | None = None,
    **_: Any,
) -> None:
    """Count one request."""
    failure = ""
    if exception is not None:
        status = getattr(response, "status_code", 0)
        failure = f"HTTP {status}" if status else type(exception).__name__
    _SEEN.add(response_time, failure)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def write_result(environment: Any, **_: Any) -> None:
    """Write what was seen."""
    options = environment.parsed_options
    profile = read_profile(options.load_profile)
    measures = _SEEN.measures()
    thresholds = evaluate(profile.thresholds, measures)
    result = {
        "requests": _SEEN.requests,
        "failures": _SEEN.failures,
        "reasons": dict(_SEEN.reasons.most_common(10)),
        "p50_ms": measures["p50_ms"],
        "p95_ms": measures["p95_ms"],
        "p99_ms": measures["p99_ms"],
        "thresholds": [item.model_dump(mode="json") for item in thresholds],
        "verdict": conclude(thresholds, requests=_SEEN.requests),
        "started_unix": _STARTED_AT,
        "finished_unix": time.time(),
    }
    Path(options.load_result).write_text(json.dumps(result), encoding="utf-8")
