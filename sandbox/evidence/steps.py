"""A check in steps, each said in words, that stops where the ground is gone.

Rules of this module:

* Nothing in what is checked makes it raise: malformed input is a failed step.
* After a failed step no other is tried, for each rests on those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sandbox.errors import EvidenceError

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What reading JSON of an unexpected shape raises."""


class Step(NamedTuple):
    """One step of a check, in words."""

    step: str
    ok: bool
    detail: str


def run_steps(plan: Iterable[tuple[str, Callable[[], str]]]) -> tuple[Step, ...]:
    """Return the steps up to the first that fails.

    Args:
        plan: What a step shows, in words, and the check, which returns a detail.
    """
    steps: list[Step] = []
    for words, check in plan:
        steps.append(_run(words, check))
        if not steps[-1].ok:
            break
    return tuple(steps)


def in_words(steps: Iterable[Step], *, verified: str) -> str:
    """Return the steps and the result as lines for a person.

    Args:
        steps: Of one check.
        verified: What is said when every step holds.
    """
    told = list(steps)
    lines = [
        f"{'ok    ' if step.ok else 'FAILED'}  {step.step}: {step.detail}"
        for step in told
    ]
    ok = all(step.ok for step in told)
    return "\n".join([*lines, verified if ok else "NOT VERIFIED: do not rely on it"])


def _run(words: str, check: Callable[[], str]) -> Step:
    try:
        return Step(words, True, check())
    except EvidenceError as error:
        return Step(words, False, error.diagnosis)
    except OSError as error:
        return Step(words, False, f"it cannot be read: {error}")
    except _MALFORMED as error:
        return Step(words, False, f"something is not as it must be: {error!r}")
