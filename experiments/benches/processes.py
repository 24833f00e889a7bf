"""Steps of a bench in processes of their own, and the memory these take."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from typing import Any


def apart(step: Callable[..., Any], *given: Any) -> Any:
    """Run a step in a new process and return what it says."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step, given)


def peak_mib() -> int:
    """Return the most memory of this process and of the largest that it ended."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(sum(resource.getrusage(item).ru_maxrss for item in whose) / 1024)
