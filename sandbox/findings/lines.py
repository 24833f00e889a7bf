"""One canonical line per observation, written without making its data first.

Rules of this module:

* A line is the canonical JSON of its observation, byte for byte; only the way there is
  shorter, because a look reads every unit of its trial.
* Numbers that the fast encoder may write in another way go the long way.
"""

from __future__ import annotations

import re

import msgspec

from sandbox.model.observation import Observation
from sandbox.model.record import canonical_json

_encode = msgspec.json.Encoder(order="deterministic").encode

# `1e16` and `0.00005` where canonical JSON has `1e+16` and `5e-05`; null may be NaN.
_may_differ = re.compile(rb"[:,\[]-?(?:\d[\d.]*e|0\.0000|null)").search


def canonical_line(unit: Observation) -> bytes:
    """Return the canonical JSON of an observation.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    # The fields as they are: instants are kept in UTC, and written alike.
    try:
        line = _encode(unit.__dict__)
    except (TypeError, UnicodeEncodeError):
        return canonical_json(unit)
    return canonical_json(unit) if _may_differ(line) else line
