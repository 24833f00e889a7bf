"""What the families of records promise beyond their fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from pydantic import ValidationError

from sandbox.errors import (
    ClusterError,
    InputError,
    RecordsError,
    RuleError,
    SandboxError,
)
from sandbox.model.application import Defect, IngressNeed, Participants
from sandbox.model.decision import Decision
from sandbox.model.finding import Counts
from sandbox.model.log import LogEntry
from sandbox.model.observation import Span
from sandbox.model.party import Actor, Role
from sandbox.model.record import canonical_json
from sandbox.model.regime import RegimeClock

AT = datetime(2026, 3, 1, tzinfo=UTC)


def actor(role: str, name: str = "Aiko") -> Actor:
    """Make an actor."""
    return Actor.model_validate({"name": name, "role": role})


@pytest.mark.parametrize("role", get_args(Role))
def test_roles(role: str) -> None:
    """An actor acts in one of the roles of the schemes."""
    assert actor(role).role == role


@pytest.mark.parametrize("role", ["admin", "Approver", ""])
def test_no_role(role: str) -> None:
    """Nobody acts in a role the schemes do not know."""
    with pytest.raises(ValidationError, match="role"):
        actor(role)


def test_kind_is_fixed() -> None:
    """A record cannot pass for one of another kind."""
    with pytest.raises(ValidationError, match="kind"):
        Actor.model_validate({"kind": "applicant", "name": "A", "role": "public"})


def decision(**changes: object) -> Decision:
    """Make a decision."""
    data = {
        "decision_id": "d-1",
        "trial_id": "ride-1",
        "outcome": "refused",
        "reasons": ["The measure does not compensate."],
        "approver": actor("approver"),
        "assessor": actor("assessor", "Ben"),
        "decided_at": AT,
    }
    return Decision.model_validate({**data, **changes})


def test_decision_has_reasons() -> None:
    """A decision without reasons does not exist, whatever its outcome."""
    assert decision().reasons
    for outcome in ("approved", "approved_with_conditions", "refused"):
        with pytest.raises(ValidationError, match="reasons"):
            decision(outcome=outcome, reasons=[])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "it is empty. Fill it in"),
        (
            {"file": "a.yaml", "line": 3, "field": "plan.goals"},
            "a.yaml:3 plan.goals: it is empty. Fill it in",
        ),
        ({"file": "a.yaml"}, "a.yaml: it is empty. Fill it in"),
        ({"field": "exit"}, "exit: it is empty. Fill it in"),
        ({"source": "Art. 57(5)"}, "it is empty (Art. 57(5)). Fill it in"),
    ],
)
def test_defect_sentence(changes: dict[str, object], sentence: str) -> None:
    """A defect says where, what, under which provision, and what to do."""
    data = {"code": "x/y", "what": "it is empty", "remedy": "Fill it in"}
    assert Defect.model_validate({**data, **changes}).sentence() == sentence


def test_input_error_names_all() -> None:
    """An input error carries every defect and says each on its own line."""
    defects = [
        Defect(code=f"c/{name}", what=name, remedy="Mend it") for name in ("a", "b")
    ]
    error = InputError(defects)
    assert error.defects == tuple(defects)
    assert error.diagnosis.splitlines() == ["a. Mend it", "b. Mend it"]
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(None, True), (429, True), (500, True), (503, True), (409, False), (403, False)],
)
def test_cluster_error(status: int | None, retryable: bool) -> None:
    """Overload, server faults and silence are worth trying again; refusals are not."""
    assert ClusterError("x", status=status).retryable is retryable


def test_retryable_by_family() -> None:
    """Each family knows whether trying again helps, and one error may know better."""
    assert RecordsError("x").retryable
    assert not RecordsError("x", retryable=False).retryable
    assert not RuleError("x").retryable
    assert issubclass(RuleError, SandboxError)


@pytest.mark.parametrize(
    ("record", "data"),
    [
        (
            Participants,
            {"class": "adults", "max": 5, "consent": "written", "area": "Ward 3"},
        ),
        (IngressNeed, {"from": "load-source", "to": "frontend", "port": 8080}),
        (
            RegimeClock,
            {
                "id": "review",
                "from": "submitted",
                "due": "P30D",
                "owner": "mot",
                "on_miss": "escalate",
                "source": "Art. 9",
            },
        ),
    ],
)
def test_names_in_documents(
    record: type[Participants], data: dict[str, object]
) -> None:
    """A field keeps the name it has in documents, in JSON and in what is hashed too."""
    made = record.model_validate(data)
    assert record.model_validate_json(canonical_json(made)) == made
    assert record.model_validate(made.model_dump()) == made
    assert set(data) <= set(made.model_dump(mode="json"))


def test_counts() -> None:
    """Units are counted whether or not they could be evaluated."""
    assert Counts(satisfied=3, violated=2, not_evaluable=1).units == 6


def test_span_duration() -> None:
    """A span's duration is in seconds."""
    span = Span(
        trace_id="0" * 32,
        span_id="0" * 16,
        name="/dispatch",
        span_kind="server",
        service="frontend",
        start_unix_nano=1_700_000_000_000_000_000,
        end_unix_nano=1_700_000_001_500_000_000,
    )
    assert span.duration_s == 1.5


def test_log_entry_kinds() -> None:
    """The log takes only the kinds of entries that are written down."""
    with pytest.raises(ValidationError, match="kind"):
        LogEntry.model_validate(
            {"kind": "note", "entry_id": "e", "trial_id": "t", "recorded_at": AT}
        )
