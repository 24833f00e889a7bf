"""Every error this product raises on purpose, in one tree.

SandboxError
├── InputError            a document or argument is wrong; carries every `Defect` found
├── ProcedureError        the act is not lawful in this state, or by this person
├── RuleError             a rule cannot be parsed, typed or composed
├── IsolationError        an isolation promise does not hold, or cannot be proven
├── ClusterError          Kubernetes refused or did not answer
├── RecorderError         telemetry could not be made durable
├── EvidenceError         something does not verify, or cannot be read as evidence
├── JudgementError        a plan cannot be judged as written
├── RecordsError          the records database refused or lost something
├── LocalError            a server of this machine cannot be built, started or stopped
└── LoadError             the load generator did not run

Each carries `diagnosis` (what is wrong, where, what to do) and `retryable`: whether the
same call may succeed later without anyone changing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Described(Protocol):
    """Anything that can put itself in one sentence for a person."""

    def sentence(self) -> str:
        """Return what is wrong, where, and what would make it right."""
        ...


class SandboxError(Exception):
    """Root of the tree.

    Args:
        diagnosis: What is wrong, where, and what to do, in words for a person.
        retryable: Whether the same call may succeed later by itself.
    """

    retryable_by_default = False

    def __init__(self, diagnosis: str, *, retryable: bool | None = None) -> None:
        super().__init__(diagnosis)
        self.diagnosis = diagnosis
        self.retryable = self.retryable_by_default if retryable is None else retryable


class InputError(SandboxError):
    """A document or argument is wrong; every problem is in `defects`, with its place.

    Args:
        defects: All problems found; never empty.
    """

    def __init__(self, defects: Sequence[Described]) -> None:
        self.defects = tuple(defects)
        super().__init__("\n".join(defect.sentence() for defect in self.defects))


class ProcedureError(SandboxError):
    """The act is not lawful in this state, by this person, or at this time."""


class RuleError(SandboxError):
    """A rule cannot be parsed, typed or composed."""


class IsolationError(SandboxError):
    """An isolation promise does not hold, or cannot be proven."""


class ClusterError(SandboxError):
    """Kubernetes refused or did not answer.

    Args:
        diagnosis: As for every error.
        status: HTTP status of the answer; None when there was none.
        said: The API server's own words, of one refusal; empty when there are none.
        retryable: As for every error; 429, 5xx and no answer are retryable.
    """

    def __init__(
        self,
        diagnosis: str,
        *,
        status: int | None = None,
        said: str = "",
        retryable: bool | None = None,
    ) -> None:
        self.status = status
        self.said = said
        if retryable is None:
            retryable = status is None or status == 429 or status >= 500
        super().__init__(diagnosis, retryable=retryable)


class RecorderError(SandboxError):
    """Telemetry could not be made durable."""

    retryable_by_default = True


class EvidenceError(SandboxError):
    """Something does not verify, or cannot be read as evidence."""


class JudgementError(SandboxError):
    """A plan cannot be judged as written."""


class RecordsError(SandboxError):
    """The records database refused or lost something."""

    retryable_by_default = True


class LocalError(SandboxError):
    """A server of this machine cannot be built, started or stopped."""


class LoadError(SandboxError):
    """The load generator did not run, or did not say what it did."""
