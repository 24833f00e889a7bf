"""The only place that turns our errors into Temporal's.

A `SandboxError` becomes an `ApplicationError` with its class name as type; it is
retried only if the error says that the same call may succeed later. Anything else is a
defect of ours: it stays retryable, so that a corrected worker can finish the work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sandbox.errors import SandboxError

F = TypeVar("F", bound=Callable[..., object])


def activity_method(function: F) -> F:
    """Declare an activity whose errors cross the boundary in one form."""

    @functools.wraps(function)
    def bounded(*args: object) -> object:
        try:
            return function(*args)
        except SandboxError as error:
            raise ApplicationError(
                error.diagnosis,
                type=type(error).__name__,
                non_retryable=not error.retryable,
            ) from error

    return activity.defn(bounded)  # type: ignore[return-value]
