"""Waits by asking again: no watch that may end without a word."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

_FIRST_POLL_S = 0.02
_POLL_S = 0.1
"""What takes longer than a few looks is asked for ten times a second."""


def wait_until(
    remaining: Callable[[], Sequence[str]],
    *,
    wait_s: float,
    pause: Callable[[float], None],
) -> list[str]:
    """Ask until nothing remains, or until `wait_s` seconds have passed.

    Args:
        remaining: Says what is still missing, one line each; empty means done.
        wait_s: Longest time to wait, in seconds; asked once even if zero.
        pause: Waits for some seconds.

    Returns:
        What is still missing at the end; empty means done.
    """
    end, waited, poll_s = time.monotonic() + wait_s, 0.0, _FIRST_POLL_S
    while left := list(remaining()):
        # Counting the pauses too ends the wait where a test's pause takes no time.
        if time.monotonic() >= end or waited >= wait_s:
            return left
        pause(poll_s)
        waited += poll_s
        poll_s = min(2 * poll_s, _POLL_S)
    return []
