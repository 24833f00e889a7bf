"""What every `AuditLog` promises, and what one that reads a file promises besides."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.adapters.audit_log import FileAuditLog
from sandbox.environment import audit_policy
from sandbox.errors import ClusterError
from sandbox.model.drift import Author
from sandbox.ports import AuditLog, ObjectRef
from sandbox.testing.audit import FakeAuditLog

POLICY = ObjectRef("networking.k8s.io/v1", "NetworkPolicy", "trial-a", "default-deny")
HOME = ObjectRef("v1", "Namespace", "", "trial-a")
NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)
Note = Callable[[ObjectRef, Author], None]


def author(user: str, *, after_s: float = 0.0, verb: str = "patch") -> Author:
    """Return who did something, some seconds later."""
    at = NOW + timedelta(seconds=after_s)
    return Author(user=user, verb=verb, agent="kubectl/v1.36.2 (linux)", at=at)


def event(ref: ObjectRef, by: Author, **changes: Any) -> dict[str, Any]:
    """Return the line an API server writes of a change."""
    group, _, version = ref.api_version.rpartition("/")
    plural = {"NetworkPolicy": "networkpolicies", "Namespace": "namespaces"}[ref.kind]
    named = {
        "resource": plural,
        "namespace": ref.namespace or ref.name,
        "name": ref.name,
        "apiVersion": version,
        **({"apiGroup": group} if group else {}),
    }
    usual: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "requestURI": f"/apis/{ref.api_version}/{plural}/{ref.name}?fieldManager=x",
        "verb": by.verb,
        "user": {"username": by.user, "groups": ["system:authenticated"]},
        "userAgent": by.agent,
        "objectRef": named,
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": by.at.isoformat().replace("+00:00", ".000000Z"),
    }
    return {**usual, **changes}


def named(**changes: str) -> dict[str, Any]:
    """Return how an event names the policy, with changes."""
    return {**event(POLICY, author("x"))["objectRef"], **changes}


def write(path: Path, *events: dict[str, Any]) -> None:
    """Add lines to a log."""
    with path.open("a") as file:
        file.writelines(json.dumps(item) + "\n" for item in events)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture(name="log", params=["fake", "file"])
def _log(request: pytest.FixtureRequest, path: Path) -> tuple[AuditLog, Note]:
    """An empty log, and what takes a change down in it."""
    if request.param == "fake":
        fake = FakeAuditLog()
        return fake, fake.note
    return FileAuditLog(path), lambda ref, by: write(path, event(ref, by))


def test_the_latest_change_counts(log: tuple[AuditLog, Note]) -> None:
    """Of several people who changed an object the last one is named, with the time."""
    asked, note = log
    for number, user in enumerate(("ada", "ben", "eve")):
        note(POLICY, author(user, after_s=number))
    assert asked.last_change(POLICY) == author("eve", after_s=2)


def test_a_deletion_is_a_change(log: tuple[AuditLog, Note]) -> None:
    """What is missing has somebody who took it away."""
    asked, note = log
    note(POLICY, author("ada"))
    note(POLICY, author("ben", after_s=1, verb="delete"))
    found = asked.last_change(POLICY)
    assert found is not None and (found.user, found.verb) == ("ben", "delete")


def test_objects_are_kept_apart(log: tuple[AuditLog, Note]) -> None:
    """By kind, namespace and name; one without a namespace too."""
    asked, note = log
    note(POLICY._replace(namespace="trial-b"), author("ada"))
    note(POLICY._replace(name="dns"), author("ben"))
    assert asked.last_change(POLICY) is None
    assert asked.last_change(HOME) is None
    note(HOME, author("eve"))
    found = asked.last_change(HOME)
    assert found is not None and found.user == "eve"


@pytest.mark.parametrize(
    "changes",
    [
        {"verb": "get"},
        {"responseStatus": {"code": 403}},
        {"requestURI": "/apis/x?dryRun=All&fieldManager=x"},
        {
            "objectRef": {
                **event(POLICY, author("x"))["objectRef"],
                "subresource": "status",
            }
        },
        {"objectRef": named(name="")},
    ],
    ids=["read", "refused", "dry run", "status", "no name"],
)
def test_what_changed_nothing_is_passed_over(
    path: Path, changes: dict[str, Any]
) -> None:
    """Only what the API server took counts."""
    write(path, event(POLICY, author("ada")))
    write(path, event(POLICY, author("eve", after_s=1), **changes))
    found = FileAuditLog(path).last_change(POLICY)
    assert found is not None and found.user == "ada"


def test_a_deletion_of_all_of_a_kind_is_one_of_each(path: Path) -> None:
    """`kubectl delete --all` names no object."""
    change = author("eve", verb="deletecollection")
    write(path, event(POLICY, change, objectRef=named(name="")))
    assert FileAuditLog(path).last_change(POLICY) == change


def test_who_acts_for_another_is_named_with_both(path: Path) -> None:
    """Impersonation hides nobody."""
    change = event(POLICY, author("eve"), impersonatedUser={"username": "ada"})
    write(path, change)
    found = FileAuditLog(path).last_change(POLICY)
    assert found is not None and found.user == "eve as ada"


def test_it_is_read_from_the_end(path: Path) -> None:
    """Lines that blocks cut, damaged ones and one half written change nothing."""
    write(path, event(POLICY, author("ada")))
    long = event(HOME, author("x"), requestURI="/" + "x" * 70_000)
    write(path, *[long] * 3)
    with path.open("a") as file:
        file.write('{"networkpolicies": 1}\n[]\nnetworkpolicies "networkpolicies"\n')
        file.write(json.dumps(event(POLICY, author("eve")))[:-20])
    found = FileAuditLog(path).last_change(POLICY)
    assert found is not None and found.user == "ada"


def test_what_lies_too_far_back_is_not_looked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inspection does not wait for a long file; a line that is cut is none."""
    monkeypatch.setattr("sandbox.adapters.audit_log._MOST_BYTES", 1000)
    write(path, event(POLICY, author("ada")))
    write(path, *[event(HOME, author("x"))] * 3)
    assert FileAuditLog(path).last_change(POLICY) is None
    assert FileAuditLog(path).last_change(HOME) is not None


def test_a_log_that_is_not_there_yet_says_nothing(path: Path) -> None:
    """The API server makes it with the first request."""
    assert FileAuditLog(path).last_change(POLICY) is None


def test_a_kind_that_is_not_known_has_no_author(path: Path) -> None:
    """Nothing is asked about what this product does not handle."""
    ref = ObjectRef("example.org/v1", "Widget", "trial-a", "w")
    assert FileAuditLog(path).last_change(ref) is None


def test_a_log_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    """Which is told, and holds up no inspection."""
    with pytest.raises(ClusterError, match="SANDBOX_AUDIT_LOG"):
        FileAuditLog(tmp_path).last_change(POLICY)


def test_the_policy_names_no_content_of_secrets() -> None:
    """What an API server is given takes Secrets down without what they hold."""
    policy = yaml.safe_load(audit_policy())
    rules = [
        rule
        for rule in policy["rules"]
        for group in rule.get("resources", [])
        if "secrets" in group.get("resources", [])
    ]
    assert {rule["level"] for rule in rules} == {"Metadata"}
    with_content = [rule for rule in policy["rules"] if "Request" in rule["level"]]
    groups = {group["group"] for rule in with_content for group in rule["resources"]}
    assert groups == {"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}
