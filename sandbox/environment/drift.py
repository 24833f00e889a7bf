"""Compares an environment with what the decision asks for.

Rules of this module:

* What is compared is what `environment_objects` renders: every field of it must be
  there, and in what limits a trial nothing else may be there, for NetworkPolicies and
  roles only ever add.
* Labels and annotations that others put beside ours are theirs; other objects of the
  kinds that open something are foreign.
* A frozen environment is compared with its own shape: one policy, which denies all, and
  nothing that runs.
* The recorder's credential is compared with itself, for nobody keeps it elsewhere.
* Only reads; what is found says what is to be done about it.
"""

from __future__ import annotations

import base64
import binascii
import operator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from sandbox.environment.difference import between, body, label_deviations
from sandbox.environment.isolation import own_users
from sandbox.environment.kinds import ref_of, title
from sandbox.environment.labels import DEFAULT_DENY, RECORDER_TOKEN, TRIAL
from sandbox.environment.quantity import parse_quantity
from sandbox.environment.removal import readable_inside
from sandbox.environment.render import environment_objects
from sandbox.model.drift import (
    Drift,
    DriftAction,
    DriftFinding,
    EnvironmentShape,
)
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import Cluster, KubernetesObject, ObjectRef

_RBAC = "rbac.authorization.k8s.io/v1"
_OPENING = (
    ("networking.k8s.io/v1", "NetworkPolicy"),
    (_RBAC, "RoleBinding"),
    (_RBAC, "Role"),
    ("v1", "ServiceAccount"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
)
"""Kinds of which the environment has exactly the objects it was given."""
_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
# Some distributions write these into every account; they grant nothing.
_OWN_OF_ACCOUNTS = frozenset({"secrets", "imagePullSecrets"})
_THREADS = 4
_MEASURED = frozenset({"ResourceQuota", "LimitRange"})


def find_drift(
    cluster: Cluster,
    spec: EnvironmentSpec,
    *,
    shape: EnvironmentShape,
    uid: str = "",
    at: datetime,
) -> Drift:
    """Return everything that is not as the decision asks.

    Args:
        cluster: Where the environment is.
        spec: What the decision and the temporary rule ask for.
        shape: Whether it is to be open or frozen.
        uid: The namespace it was made in; empty takes the present one.
        at: The present instant.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    place = ObjectRef("v1", "Namespace", "", spec.namespace)
    namespace = cluster.get(place)
    found = list(_lost(spec, namespace, uid))
    if not found and namespace is not None:
        found = list(_inside(cluster, spec, namespace, shape))
    metadata = namespace["metadata"] if namespace else {}
    return Drift(
        trial_id=spec.trial_id,
        shape=shape,
        namespace_uid=metadata.get("uid", ""),
        found_at=at,
        findings=tuple(found),
    )


def wanted_objects(
    spec: EnvironmentSpec,
    shape: EnvironmentShape,
    *,
    recorder_token: str = "",
    own_users: str = "",
) -> list[KubernetesObject]:
    """Return the objects an environment of this shape consists of, in apply order.

    Args:
        spec: What the decision and the temporary rule ask for.
        shape: Whether it is to be open or frozen.
        recorder_token: What the system presents to the recorder.
        own_users: As for `environment_objects`.
    """
    objects = environment_objects(
        spec, recorder_token=recorder_token, own_users=own_users
    )
    if shape == "ready":
        return objects
    # The credential was revoked with the freeze; the next opening writes another one.
    return [
        item
        for item in objects
        if item["kind"] != "Secret"
        and (
            item["kind"] != "NetworkPolicy" or item["metadata"]["name"] == DEFAULT_DENY
        )
    ]


def recorder_token(cluster: Cluster, spec: EnvironmentSpec) -> str:
    """Return the credential the system presents to the recorder; empty if unreadable.

    Raises:
        ClusterError: Kubernetes refused or did not answer.
    """
    place = ObjectRef("v1", "Secret", spec.namespace, RECORDER_TOKEN)
    data = (cluster.get(place) or {}).get("data") or {}
    try:
        return base64.b64decode(data.get("token", ""), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def differences(wanted: KubernetesObject, live: KubernetesObject) -> tuple[str, ...]:
    """Return the paths of the fields of an object that are not as asked for.

    Labels and annotations asked for must be there; content must be the same.
    """
    kind = wanted["kind"]
    found = label_deviations(wanted, live)
    if kind != "Namespace":
        same = _same if kind in _MEASURED else operator.eq
        found += between(_content(wanted), _content(live), same=same)
    return tuple(item.path for item in found)


def _lost(
    spec: EnvironmentSpec, namespace: KubernetesObject | None, uid: str
) -> Iterator[DriftFinding]:
    """Yield why there is nothing to compare: the namespace is gone, or another one."""
    name = f"Namespace {spec.namespace}"
    if namespace is None:
        yield DriftFinding(
            object=name,
            change="missing",
            action="escalate",
            detail="it is gone, with everything in it",
        )
        return
    metadata = namespace["metadata"]
    is_known = bool(uid) and metadata["uid"] == uid
    is_labelled = (metadata.get("labels") or {}).get(TRIAL) == spec.trial_id
    if "deletionTimestamp" in metadata:
        yield DriftFinding(
            object=name,
            change="missing",
            action="escalate",
            detail="someone else is deleting it",
        )
    elif (uid and not is_known) or not (is_known or is_labelled):
        yield DriftFinding(
            object=name,
            change="foreign",
            action="escalate",
            detail="another namespace has taken its name",
        )


def _inside(
    cluster: Cluster,
    spec: EnvironmentSpec,
    namespace: KubernetesObject,
    shape: EnvironmentShape,
) -> Iterator[DriftFinding]:
    token = recorder_token(cluster, spec) if shape == "ready" else ""
    users = own_users(cluster, spec)
    home, *wanted = wanted_objects(spec, shape, recorder_token=token, own_users=users)
    fields = differences(home, namespace)
    if fields:
        yield _finding(home, "changed", fields)
    there = _present(cluster, spec.namespace, wanted)
    for item in wanted:
        live = there.pop(ref_of(item), None)
        if live is None:
            yield _finding(item, "missing")
        elif fields := differences(item, live):
            yield _finding(item, "changed", fields)
    for live in there.values():
        if _is_foreign(live):
            yield _finding(live, "foreign")
    if shape == "frozen":
        yield from _running(cluster, spec.namespace)


def _present(
    cluster: Cluster, namespace: str, wanted: list[KubernetesObject]
) -> dict[ObjectRef, KubernetesObject]:
    kinds = {(item["apiVersion"], item["kind"]) for item in wanted}
    kinds |= {*_OPENING, ("v1", "Secret")}
    # Several at a time: a trial that claims an environment waits for this.
    with ThreadPoolExecutor(_THREADS) as threads:
        lists = threads.map(
            lambda kind: readable_inside(cluster, namespace, *kind), sorted(kinds)
        )
        return {ref_of(item): item for one in lists for item in one}


def _is_foreign(item: KubernetesObject) -> bool:
    if (item["apiVersion"], item["kind"]) in _OPENING:
        return True
    return item["kind"] == "Secret" and item.get("type") == _ACCOUNT_TOKEN


def _running(cluster: Cluster, namespace: str) -> Iterator[DriftFinding]:
    for item in cluster.find("apps/v1", "Deployment", namespace=namespace):
        if item["spec"].get("replicas", 1):
            yield _finding(item, "changed", ("spec.replicas",))
    for pod in cluster.find("v1", "Pod", namespace=namespace):
        if "deletionTimestamp" not in pod["metadata"]:
            yield _finding(pod, "foreign")


def _finding(
    item: KubernetesObject, change: Any, fields: tuple[str, ...] = ()
) -> DriftFinding:
    # A credential that was lost cannot be written again: only its digest is kept.
    is_credential = item["kind"] == "Secret" and change != "foreign"
    action: DriftAction = "escalate" if is_credential else "put_back"
    detail = "only a new opening gives it another credential" if is_credential else ""
    return DriftFinding(
        object=title(ref_of(item)),
        change=change,
        fields=fields,
        action=action,
        detail=detail,
    )


def _content(item: KubernetesObject) -> dict[str, Any]:
    content = body(item)
    if item["kind"] == "ServiceAccount":
        return {k: v for k, v in content.items() if k not in _OWN_OF_ACCOUNTS}
    if item["kind"] == "NetworkPolicy":
        content["spec"] = {k: v for k, v in content["spec"].items() if v != []}
    return content


def _same(asked: Any, there: Any) -> bool:
    return bool(asked == there) or _same_amount(asked, there)


def _same_amount(asked: Any, there: Any) -> bool:
    """Return whether two texts say the same quantity: `1000m` is `1`."""
    if not (isinstance(asked, str) and isinstance(there, str)):
        return False
    amount = parse_quantity(asked)
    return amount is not None and amount == parse_quantity(there)
