"""What every `Records` promises."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sandbox.adapters.database import open_database
from sandbox.adapters.records import SqlRecords
from sandbox.errors import RecordsError
from sandbox.model.application import Participants
from sandbox.model.party import Actor
from sandbox.model.record import digest_of
from sandbox.model.rule import Rule, Rulebook, RuleSource
from sandbox.ports import Records
from sandbox.settings import Settings
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeRecords

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture(name="clock")
def _clock() -> FixedClock:
    return FixedClock(AT)


@pytest.fixture(name="records", params=["fake", "sql"])
def _records(
    request: pytest.FixtureRequest, clock: FixedClock, tmp_path: Path
) -> Records:
    if request.param == "fake":
        return FakeRecords(clock=clock)
    engine = open_database(Settings(home=tmp_path))
    request.addfinalizer(engine.dispose)
    return SqlRecords(engine, clock=clock)


def actor(name: str) -> Actor:
    """Make an actor."""
    return Actor(name=name, role="approver", represents="mot")


def rulebook(version: int = 1, title: str = "Passenger transport") -> Rulebook:
    """Make a rulebook of one rule."""
    rule = Rule(
        rule="dispatch/offer-time",
        text="A vehicle is offered in time.",
        source=RuleSource(
            instrument="Act", provision="Art. 12", as_of=date(2026, 1, 1)
        ),
        goal="nobody-waits",
        mechanism="regulation",
        applies="true",
        requires="span.duration_s <= 2.0",
        severity="major",
        waivable=True,
    )
    return Rulebook(
        rulebook="passenger-transport",
        version=version,
        title=title,
        owner="mot",
        in_force_from=date(2026, 1, 1),
        rules=(rule,),
    )


def test_document(records: Records) -> None:
    """A document comes back as it was stored, addressed by its digest."""
    assert records.put_document("ride-1", "who", actor("Aiko")) == digest_of(
        actor("Aiko")
    )
    assert Actor.model_validate(records.get_document("ride-1", "who")) == actor("Aiko")


def test_document_with_alias(records: Records) -> None:
    """A record whose field is written under another name can be read back."""
    data = {"class": "adults", "max": 5, "consent": "in writing", "area": "Ward 3"}
    participants = Participants.model_validate(data)
    records.put_document("ride-1", "participants", participants)
    assert records.get_document("ride-1", "participants") == data


def test_newest_document(records: Records) -> None:
    """The document stored last is the newest, also when it was stored before."""
    for name in ("Aiko", "Ben", "Aiko", "Aiko"):
        records.put_document("ride-1", "who", actor(name))
    assert records.get_document("ride-1", "who")["name"] == "Aiko"
    assert list(records.find_documents("ride-1")) == ["who"]


@pytest.mark.parametrize(("trial", "name"), [("ride-2", "who"), ("ride-1", "Who")])
def test_no_document(records: Records, trial: str, name: str) -> None:
    """A document that is not there is an error that names it and is final."""
    records.put_document("ride-1", "who", actor("Aiko"))
    with pytest.raises(RecordsError, match=f"{trial}.*{name}") as caught:
        records.get_document(trial, name)
    assert not caught.value.retryable


def test_find_documents(records: Records) -> None:
    """Documents are found by the start of their name, exactly, newest of each."""
    for name in ("finding/F-2", "finding/F-1", "Finding/F-3", "find_ng/F-4", "other"):
        records.put_document("ride-1", name, actor("Aiko"))
    records.put_document("ride-1", "finding/F-1", actor("Ben"))
    records.put_document("ride-2", "finding/F-9", actor("Cem"))
    found = records.find_documents("ride-1", "finding/")
    assert list(found) == ["finding/F-1", "finding/F-2"]
    assert found["finding/F-1"]["name"] == "Ben"
    assert list(records.find_documents("ride-1", "find_")) == ["find_ng/F-4"]
    assert len(records.find_documents("ride-1")) == 5
    assert records.find_documents("ride-1", "%") == {}
    assert records.find_documents("ride-3") == {}


def test_publish(records: Records) -> None:
    """A published version is named by its digest and comes back equal."""
    ref = records.publish_rulebook(rulebook())
    assert (ref.rulebook, ref.version) == ("passenger-transport", 1)
    assert ref.digest == digest_of(rulebook())
    assert records.rulebook("passenger-transport", 1) == rulebook()


def test_publish_again(records: Records) -> None:
    """The same content again is the same version; other content is refused for good."""
    ref = records.publish_rulebook(rulebook())
    assert records.publish_rulebook(rulebook()) == ref
    with pytest.raises(RecordsError, match="version 1") as caught:
        records.publish_rulebook(rulebook(title="Something else"))
    assert not caught.value.retryable
    assert records.rulebook("passenger-transport").title == "Passenger transport"


def test_versions(records: Records) -> None:
    """The newest version is the highest, in whatever order they were published."""
    for version in (2, 10, 9):
        records.publish_rulebook(rulebook(version))
    assert records.rulebook("passenger-transport").version == 10
    assert records.rulebook("passenger-transport", 2).version == 2


def test_every_version_in_order(records: Records) -> None:
    """All that were published, oldest first; of an unknown name none."""
    for version in (2, 10, 1):
        records.publish_rulebook(rulebook(version))
    found = records.versions("passenger-transport")
    assert [item.version for item in found] == [1, 2, 10]
    assert records.versions("maritime") == []


@pytest.mark.parametrize(
    ("name", "version"),
    [("passenger-transport", 2), ("other", None), ("passenger", None)],
)
def test_no_rulebook(records: Records, name: str, version: int | None) -> None:
    """A version that was never published is an error that names it."""
    records.publish_rulebook(rulebook())
    with pytest.raises(RecordsError, match=f"rulebook {name}") as caught:
        records.rulebook(name, version)
    assert not caught.value.retryable


def test_cases(records: Records, clock: FixedClock) -> None:
    """The list of cases shows each once, as last set, by trial id."""
    records.set_case("ride-2", "submitted", {})
    records.set_case("ride-1", "submitted", {"applicant": "Operator"})
    clock.advance(60)
    records.set_case("ride-1", "running", {"applicant": "Operator", "looks": 3})
    assert records.cases() == [
        {
            "trial_id": "ride-1",
            "state": "running",
            "updated_at": "2026-03-01T09:01:00+00:00",
            "summary": {"applicant": "Operator", "looks": 3},
        },
        {
            "trial_id": "ride-2",
            "state": "submitted",
            "updated_at": "2026-03-01T09:00:00+00:00",
            "summary": {},
        },
    ]


def test_summary_not_json(records: Records) -> None:
    """A summary that has no JSON form is refused and the case stays as it was."""
    records.set_case("ride-1", "submitted", {})
    with pytest.raises(RecordsError) as caught:
        records.set_case("ride-1", "running", {"at": AT})
    assert not caught.value.retryable
    assert records.cases()[0]["state"] == "submitted"


def test_reopened(tmp_path: Path) -> None:
    """What was stored is there when the database is opened again."""
    first = open_database(Settings(home=tmp_path))
    SqlRecords(first).put_document("ride-1", "who", actor("Aiko"))
    first.dispose()
    again = open_database(Settings(home=tmp_path))
    assert SqlRecords(again).get_document("ride-1", "who")["name"] == "Aiko"
    again.dispose()
