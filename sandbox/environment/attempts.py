"""Reads the attempts of a proof from its pods, and judges them.

Rules of this module:

* `reached` is an exit code of 0; `blocked` is an answer that names a time-out, a
  refusal or an unreachable network; everything else is an error and proves nothing.
* The isolation holds only without a single failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from sandbox.model.trial import (
    EnvironmentSpec,
    IsolationProof,
    ProofAttempt,
    ProofTarget,
)
from sandbox.ports import KubernetesObject

_BLOCKED = ("TIMEOUT", "REFUSED", "OTHER")

Origin = Literal["trial", "control"]
Outcome = Literal["reached", "blocked", "error"]


def attempts_of(
    pod: KubernetesObject,
    targets: Sequence[ProofTarget],
    *,
    origin: Origin,
    seen_at: datetime,
) -> tuple[ProofAttempt, ...]:
    """Return the attempts of a pod whose containers have all ended.

    Args:
        pod: The pod; each container is named after its target.
        targets: What was tried, in the order wanted.
        origin: Where the pod ran.
        seen_at: Time of attempts whose container reports none.
    """
    ends = {
        status["name"]: status["state"]["terminated"]
        for status in pod["status"]["containerStatuses"]
    }
    return tuple(
        ProofAttempt(
            target=target,
            origin=origin,
            outcome=_outcome(ends[target.name]),
            detail=_detail(ends[target.name]),
            started_at=ends[target.name].get("startedAt") or seen_at,
            finished_at=ends[target.name].get("finishedAt") or seen_at,
        )
        for target in targets
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


def _outcome(end: dict[str, Any]) -> Outcome:
    if end.get("exitCode") == 0:
        return "reached"
    said = (end.get("message") or "").strip()
    return "blocked" if end["exitCode"] == 1 and said.startswith(_BLOCKED) else "error"


def _detail(end: dict[str, Any]) -> str:
    if end.get("exitCode") == 0:
        return "connected"
    said = " ".join((end.get("message") or "").split())
    return said[:300] or f"{end.get('reason', 'ended')} with code {end.get('exitCode')}"
