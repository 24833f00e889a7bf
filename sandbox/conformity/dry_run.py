"""Would a cluster admit the manifests of an applicant, before anyone files them?

Rules of this module:

* Everything is tried as a strict dry run in an environment like the trial's, which is
  made for the question and removed after it; nothing of the applicant's is kept.
* A Deployment is admitted where its pods are not: its pod is tried by itself.
* Every object is asked about; one refusal hides no other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sandbox.conformity.lawful import RulesInForce, system_objections
from sandbox.conformity.pieces import pieces, pod_template
from sandbox.environment.isolation import REQUIRED, own_users
from sandbox.environment.labels import FIELD_MANAGER
from sandbox.environment.lifecycle import apply_environment
from sandbox.environment.proof import refuses_foreign_images, wait_for_quotas
from sandbox.environment.quantity import parse_quantity
from sandbox.environment.removal import tear_down
from sandbox.environment.system import examine_system
from sandbox.errors import ClusterError, IsolationError
from sandbox.model.application import Limits
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject

Pause = Callable[[float], None]

_REMOVAL_S = 60.0


class AdmissionAnswer(NamedTuple):
    """What came of one object, or of the pods of one."""

    item: str
    """As people write it: `Deployment front`, `pods of Deployment front`."""
    refused_by: str
    """The policy, quota or check that refused it; empty where it was admitted."""
    why: str
    remedy: str


def ask_admission(
    cluster: Cluster,
    spec: EnvironmentSpec,
    manifests: Sequence[KubernetesObject],
    *,
    rules: RulesInForce | None = None,
    pause: Pause = time.sleep,
) -> list[AdmissionAnswer]:
    """Try every object of a system in a throwaway environment, and say what happens.

    Args:
        cluster: Where the trial would run.
        spec: The environment it would run in, under a name of its own.
        manifests: Deployments, Services and ConfigMaps as the applicant wrote them.
        rules: Whose rules about objects are asked as well.
        pause: Waits for some seconds.

    Returns:
        First what the environment itself does not take, then one answer for each
        object and for the pods of each Deployment, then what a rule is against, then
        what does not fit its limits.

    Raises:
        InputError: The needs cannot be granted as written.
        IsolationError: The cluster cannot give the isolation class, or does not
            enforce the admission policies.
        ClusterError: Kubernetes refused the environment itself, or did not answer.
    """
    is_own = own_users(cluster, spec) == REQUIRED
    objects, defects = examine_system(spec, manifests, own_users=is_own)
    found = [
        AdmissionAnswer(x.field, x.code, x.what, x.remedy.removesuffix("."))
        for x in defects
    ]
    try:
        apply_environment(cluster, spec, recorder_token="not-used")
        wait_for_quotas(cluster, spec, pause)
        if not refuses_foreign_images(cluster, spec, pause):
            raise IsolationError(
                "The cluster admits an image outside the decision, so its admission"
                " policies are not in force. Run `sandbox platform diff`, then `sandbox"
                " platform install` with the rights of a cluster administrator."
            )
        found += [_tried(cluster, *one) for one in pieces(objects)]
    finally:
        tear_down(cluster, spec.trial_id, wait_s=_REMOVAL_S, pause=pause)
    if rules is not None:
        found += _unlawful(rules, objects, at=cluster.now())
    return found + list(_beyond(spec.needs.limits, objects))


def _unlawful(
    rules: RulesInForce, objects: Sequence[KubernetesObject], *, at: datetime
) -> list[AdmissionAnswer]:
    return [
        AdmissionAnswer(item.title, f"rule {item.rule}", item.sentence(), item.remedy)
        for item in system_objections(rules, objects, at=at)
    ]


def _tried(cluster: Cluster, name: str, item: KubernetesObject) -> AdmissionAnswer:
    try:
        cluster.apply([item], owner=FIELD_MANAGER, dry_run=True)
    except ClusterError as error:
        if error.retryable:
            raise
        return _refused(name, error.said or error.diagnosis)
    return AdmissionAnswer(name, "", "", "")


class _Check(NamedTuple):
    """What a refusal by one kind of check looks like, and what helps against it."""

    says: re.Pattern[str]
    remedy: str
    by: str = ""
    """Its name, where the refusal itself has none."""


_CHECKS = (
    _Check(
        re.compile(
            r"ValidatingAdmissionPolicy '(?P<by>[^']+)' with binding '[^']+'"
            r" denied request: (?P<why>[^;]+)(?:; (?P<remedy>.+))?"
        ),
        "Correct the manifest as the message says",
    ),
    _Check(
        re.compile(r'violates (?P<by>PodSecurity "[^"]+"): (?P<why>.+)'),
        "Correct what stands in brackets; a field that the environment sets may be"
        " left out",
    ),
    _Check(
        re.compile(r"exceeded (?P<by>quota: [^,]+), (?P<why>.+)"),
        "Ask for higher `system.needs.limits`, or need less",
    ),
    _Check(
        re.compile(r"typed patch object .+?: (?P<why>\S+: field not .+)"),
        "Correct or remove the field; the spelling is that of the Kubernetes API",
        "Kubernetes schema",
    ),
)


def _refused(name: str, said: str) -> AdmissionAnswer:
    for check in _CHECKS:
        found = check.says.search(said)
        if found:
            parts = {"by": check.by, "remedy": None, **found.groupdict()}
            return AdmissionAnswer(
                name,
                refused_by=parts["by"] or check.by,
                why=str(parts["why"]).removesuffix("."),
                remedy=(parts["remedy"] or check.remedy).removesuffix("."),
            )
    remedy = "Correct the field that the message names"
    return AdmissionAnswer(name, "Kubernetes", said, remedy)


def _beyond(
    limits: Limits, objects: Sequence[KubernetesObject]
) -> Iterator[AdmissionAnswer]:
    """Say where all pods together need more than the application asks for."""
    deployments = [item for item in objects if item["kind"] == "Deployment"]
    asked = {"cpu": limits.cpu, "memory": limits.memory, "pods": str(limits.pods)}
    for resource, most in asked.items():
        needed = sum((_needs(item, resource) for item in deployments), Decimal(0))
        if needed > (parse_quantity(most) or 0):
            yield AdmissionAnswer(
                "all pods together",
                "quota: system",
                f"{resource}: {_written(needed, resource)} needed, {most} asked for",
                f"Raise `system.needs.limits.{resource}`, or need less",
            )


def _written(amount: Decimal, resource: str) -> str:
    return f"{amount / 2**20:.0f}Mi" if resource == "memory" else f"{amount:f}"


def _needs(deployment: KubernetesObject, resource: str) -> Decimal:
    pod = pod_template(deployment).get("spec") or {}
    if resource == "pods":
        one = Decimal(1)
    else:
        limits = [
            (container.get("resources") or {}).get("limits") or {}
            for container in pod.get("containers") or []
        ]
        amounts = [parse_quantity(str(limit.get(resource, ""))) for limit in limits]
        one = sum((amount for amount in amounts if amount), Decimal(0))
    replicas = deployment["spec"].get("replicas", 1)
    return one * replicas if isinstance(replicas, int) else one
