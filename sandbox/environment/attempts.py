"""Reads what a proof's pods report of their attempts, and judges it.

Rules of this module:

* What a pod printed is believed only as a whole: one document, on one line, as
  `sandbox/incluster/attempts.py` writes it, with every field and no other.
* `reached` is a connection; `blocked` is a time-out, a refusal or an unreachable
  network; everything else, and an attempt that is not reported, is an error and proves
  nothing.
* The isolation holds only without a single failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from sandbox.model.record import Instant, Record
from sandbox.model.trial import (
    EnvironmentSpec,
    IsolationProof,
    ProofAttempt,
    ProofTarget,
)

_REACHED = "CONNECTED"
_BLOCKED = ("TIMEOUT", "REFUSED", "UNREACHABLE")

Origin = Literal["trial", "control"]
Outcome = Literal["reached", "blocked", "error"]


class Tried(Record):
    """One attempt, as the pod that made it reports it."""

    name: str
    host: str
    port: int
    started_at: Instant
    finished_at: Instant
    said: str
    """What came of it; `sandbox/incluster/attempts.py` lists the words."""


class ProbeReport(Record):
    """What the container that makes the attempts of a pod prints."""

    attempts: tuple[Tried, ...]
    kernel: str
    """What `/proc/version` says in the pod."""


def report_in(log: str) -> ProbeReport | None:
    """Return the report that a log is; None where it is none, or not whole yet."""
    if not log.endswith("\n") or log.count("\n") > 1:
        return None
    try:
        report = ProbeReport.model_validate_json(log)
    except ValidationError:
        return None
    tried = [(one.name, one.host, one.port) for one in report.attempts]
    return report if len(tried) == len(set(tried)) else None


def attempts_of(
    report: ProbeReport,
    targets: Sequence[ProofTarget],
    *,
    origin: Origin,
    seen_at: datetime,
) -> tuple[ProofAttempt, ...]:
    """Return the attempts that were asked of a pod, each as it was reported.

    Args:
        report: What the pod printed.
        targets: What it was asked to try, in the order wanted.
        origin: Where the pod ran.
        seen_at: Time of attempts that are not reported.
    """
    tried = {(one.name, one.host, one.port): one for one in report.attempts}
    return tuple(
        _attempt(
            target, tried.get((target.name, target.host, target.port)), origin, seen_at
        )
        for target in targets
    )


def _attempt(
    target: ProofTarget, tried: Tried | None, origin: Origin, seen_at: datetime
) -> ProofAttempt:
    return ProofAttempt(
        target=target,
        origin=origin,
        outcome=_outcome(tried.said) if tried else "error",
        detail=_detail(tried.said) if tried else "the pod does not report it",
        started_at=tried.started_at if tried else seen_at,
        finished_at=tried.finished_at if tried else seen_at,
    )


def judge(
    spec: EnvironmentSpec,
    attempts: Sequence[ProofAttempt],
    *,
    rights: Sequence[str],
    admits_foreign: bool,
    kernel: Sequence[str] = (),
) -> IsolationProof:
    """Return the proof that the attempts amount to.

    Args:
        spec: The environment proven.
        attempts: Everything tried, from inside and from controls.
        rights: What the workload account may do with the API server.
        admits_foreign: Whether admission let an image in that the decision does not
            allow.
        kernel: Why the kernel is not what the isolation class promises.
    """
    leaks = list(_attempt_failures(attempts))
    others = [*kernel, *(f"The workload account may {right}." for right in rights)]
    if admits_foreign:
        others.append("Admission does not refuse an image outside the decision.")
    return IsolationProof(
        trial_id=spec.trial_id,
        isolation_class=spec.isolation_class,
        attempts=tuple(attempts),
        workload_rights=tuple(rights),
        policy_enforced=not admits_foreign and not leaks,
        holds=not leaks and not others,
        failures=(*leaks, *others),
    )


def open_ways(proof: IsolationProof) -> tuple[str, ...]:
    """Return what a proof shows to be open that must not be, one sentence each.

    A proof that does not hold and shows nothing open could not be made: something that
    had to answer did not. It proves nothing, and is no reason to freeze.
    """
    reached = [
        f"{_named(item.target)} was reached from inside"
        for item in proof.attempts
        if item.origin == "trial"
        and (item.target.expect, item.outcome) == ("blocked", "reached")
    ]
    # Rights, kernel and admission are answers: none of them fails for want of one.
    of_attempts = set(_attempt_failures(proof.attempts))
    others = [item for item in proof.failures if item not in of_attempts]
    return (*reached, *(item.removesuffix(".") for item in others))


def _attempt_failures(attempts: Sequence[ProofAttempt]) -> Iterator[str]:
    controls = {a.target.name: a for a in attempts if a.origin == "control"}
    inside = [a for a in attempts if a.origin == "trial"]
    if not inside:
        yield "Nothing was tried, so nothing is proven."
    for attempt in inside:
        target = attempt.target
        if attempt.outcome != target.expect:
            yield (
                f"From inside, {_named(target)} must be {target.expect} and was"
                f" {attempt.outcome}: {attempt.detail}."
            )
        elif target.expect == "blocked" and target.controlled:
            yield from _control_failures(target, controls.get(target.name))


def _control_failures(
    target: ProofTarget, control: ProofAttempt | None
) -> Iterator[str]:
    if control is None or control.outcome != "reached":
        seen = control.detail if control else "it was not tried"
        yield (
            f"The control did not reach {_named(target)} either ({seen}), so its"
            " silence proves nothing."
        )


def _named(target: ProofTarget) -> str:
    return f"{target.name} at {target.host} port {target.port}"


def _outcome(said: str) -> Outcome:
    if said == _REACHED:
        return "reached"
    return "blocked" if said.startswith(_BLOCKED) else "error"


def _detail(said: str) -> str:
    return "connected" if said == _REACHED else " ".join(said.split())[:300]
