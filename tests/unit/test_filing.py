"""Filing an application: what is kept with the trial besides it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.testing import ActivityEnvironment

from sandbox.evidence.retention import regime_of
from sandbox.model.application import Application
from sandbox.model.decision import Decision
from sandbox.model.party import Actor
from sandbox.model.record import Interval, digest_of
from sandbox.model.regime import Regime
from sandbox.model.rule import ParameterValue
from sandbox.model.trial import RecorderEndpoint
from sandbox.rules import foresee, read_rulebook, reference
from sandbox.testing.clock import FixedClock
from sandbox.testing.object_rules import replicas
from sandbox.testing.object_rules import rulebook as object_rulebook
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Bundles, Ledger, publish_rulebook
from workflows.activities.ledger import LedgerActivities
from workflows.activities.site import Site
from workflows.messages import (
    ChangeSystem,
    CheckApplication,
    KeepManifests,
    PrepareTrial,
    Submission,
    SubmitApplication,
)

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "ride_dispatch"
SYSTEM = [
    item
    for file in sorted((EXPERIMENT / "system").glob("*.yaml"))
    for item in yaml.safe_load_all(file.read_text())
]


def read(name: str) -> dict[str, Any]:
    """Return one document of the experiment."""
    found: dict[str, Any] = yaml.safe_load((EXPERIMENT / name).read_text())
    return found


class Office:
    """Where applications are filed: a record on fakes, and its activities."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(
            FakeLog(), FakeRecords(), FakeSegments(), ThrowawaySigner(), FixedClock()
        )
        site = Site(
            recorder=RecorderEndpoint(host="198.51.100.7", http_port=1, grpc_port=2),
            load_source="198.51.100.7/32",
            own_image="localhost/regulatory-sandbox@sha256:" + "a" * 64,
        )
        self.activities = LedgerActivities(self.ledger, site, Bundles(folder))
        self.regime = Regime.model_validate(read("regime.yaml"))

    def file(
        self,
        trial_id: str,
        decision_id: str = "file/1",
        manifests: list[dict[str, Any]] | None = None,
        **changes: Any,
    ) -> Submission:
        """File the application of the experiment for a trial, with changes."""
        asked = {**read("application.yaml"), "application": trial_id, **changes}
        asked["system"]["images"] = {"hotrod": "sha256:" + "a" * 64}
        submission = SubmitApplication(
            decision_id=decision_id,
            application=Application.model_validate(asked),
            manifests=SYSTEM if manifests is None else manifests,
            by=Actor(name="A", role="applicant"),
        )
        check = CheckApplication(
            trial_id=trial_id, submission=submission, regime=self.regime
        )
        return ActivityEnvironment().run(self.activities.check_application, check)

    def begin(self, trial_id: str) -> None:
        """Put the temporary rule that a filed application asks for in force."""
        now = self.ledger.clock.now()
        rule = foresee(
            self.ledger.application(trial_id),
            rulebook=self.ledger.records.rulebook("passenger-transport"),
            in_force=Interval(start=now, end=now + timedelta(minutes=2)),
        )
        self.ledger.records.put_document(trial_id, "temporary-rule", rule)
        self.ledger.records.set_case(trial_id, "running", {})

    def preparation(self, trial_id: str) -> PrepareTrial:
        """Return what a trial would begin with now."""
        return PrepareTrial(
            trial_id=trial_id,
            decision=DECISION.model_copy(update={"trial_id": trial_id}),
            regime=self.regime,
            at=self.ledger.clock.now(),
        )

    def conflicts(self, trial_id: str) -> list[str]:
        """Return the certain conflicts of a trial that would begin now."""
        prepare = self.preparation(trial_id)
        return ActivityEnvironment().run(self.activities.find_conflicts, prepare)

    def problems(self, trial_id: str, manifests: list[dict[str, Any]]) -> list[str]:
        """Return why another version of the system could not be rolled out."""
        change = ChangeSystem(
            decision_id="change/1",
            reason="better",
            manifests=manifests,
            by=Actor(name="A", role="applicant"),
        )
        keep = KeepManifests(trial_id=trial_id, name="system/change/1", change=change)
        return ActivityEnvironment().run(self.activities.examine_change, keep)


DECISION = Decision(
    decision_id="d",
    trial_id="first",
    outcome="approved",
    reasons=("r",),
    approver=Actor(name="A", role="approver"),
    assessor=Actor(name="B", role="assessor"),
    decided_at=FixedClock().now(),
)


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    text = (EXPERIMENT / "rulebook.yaml").read_text()
    publish_rulebook(office.ledger, read_rulebook(text, file="rulebook.yaml"))
    return office


def test_the_regime_is_kept_with_the_trial_and_its_digest_in_the_log(
    tmp_path: Path,
) -> None:
    """So that years later the period and its law are those of the filing."""
    office = Office(tmp_path)
    office.file("ride-1")
    assert office.regime.retention_period is not None
    assert regime_of(office.ledger.records, "ride-1") == office.regime
    (entry,) = office.ledger.log.entries("ride-1")
    assert entry.entry.body["regime_digest"] == digest_of(office.regime)


def test_a_version_that_is_not_in_force_yet_holds_for_no_trial(office: Office) -> None:
    """A trial is filed and begins under the version in force at that instant."""
    records = office.ledger.records
    first, later = records.rulebook("passenger-transport"), date(2099, 1, 1)
    coming = first.model_copy(update={"version": 2, "in_force_from": later})
    publish_rulebook(office.ledger, coming)
    assert office.file("first").admitted
    prepare = office.preparation("first")
    prepared = ActivityEnvironment().run(office.activities.prepare_trial, prepare)
    assert prepared.rulebook == reference(first)
    alone = coming.model_copy(update={"rulebook": "coming", "version": 1})
    publish_rulebook(office.ledger, alone)
    (defect,) = office.file("second", "file/2", rulebook="coming").defects
    assert defect.code == "application/rulebook-not-in-force"
    assert "2099-01-01" in defect.what


def asking_for(seconds: float) -> list[dict[str, Any]]:
    """Return what the experiment asks of the rules, with another limit."""
    waiver, modification = read("application.yaml")["collides_with"]
    return [waiver, {**modification, "set": {"max_offer_s": seconds}}]


def test_a_second_trial_under_another_exception_is_returned_with_both_labels(
    office: Office,
) -> None:
    """The conflict is a defect, recorded; the same exceptions are none."""
    assert office.file("first").admitted
    office.begin("first")
    assert office.file("same", "file/3").admitted
    answer = office.file("second", "file/2", collides_with=asking_for(1.0))
    (defect,) = answer.defects
    assert (defect.code, defect.field) == ("application/conflict", "collides_with.1")
    assert "of trial second conflicts with `modify-dispatch/offer-time`" in defect.what
    assert "of trial first" in defect.what
    (entry,) = office.ledger.log.entries("second")
    assert "conflicts with" in str(entry.entry.body["defects"])


def test_a_conflict_that_only_words_rule_out_is_recorded_for_those_who_decide(
    office: Office,
) -> None:
    """Another area may be the same streets; the application is admitted with a note."""
    office.file("first")
    office.begin("first")
    elsewhere = {**read("application.yaml")["participants"], "area": "the harbour"}
    answer = office.file(
        "second", "file/2", collides_with=asking_for(1.0), participants=elsewhere
    )
    assert answer.admitted
    (words,) = answer.possible_conflicts
    assert "may conflict" in words
    (entry,) = office.ledger.log.entries("second")
    assert entry.entry.body["possible_conflicts"] == [words]


def test_what_is_not_complete_is_not_yet_compared_with_other_trials(
    office: Office,
) -> None:
    """A period without length is a defect; nobody asks whom it would overlap."""
    office.file("first")
    office.begin("first")
    period = {"length": "PT0S", "must_start_within": "PT0S"}
    answer = office.file(
        "second", "file/2", collides_with=asking_for(1.0), period=period
    )
    assert {item.code for item in answer.defects} == {"application/no-time"}


def test_filing_again_gives_what_was_recorded_whatever_has_begun_since(
    office: Office,
) -> None:
    """An answer that got lost is asked for again; it does not change."""
    office.file("first")
    before = office.file("second", "file/2", collides_with=asking_for(1.0))
    office.begin("first")
    again = office.file("second", "file/2", collides_with=asking_for(1.0))
    assert again == before
    assert again.admitted


def test_a_trial_is_compared_again_when_it_begins(office: Office) -> None:
    """What began after the admission conflicts; what is over does not any more."""
    office.file("first")
    office.file("second", "file/2", collides_with=asking_for(1.0))
    assert office.conflicts("second") == []
    office.begin("first")
    (words,) = office.conflicts("second")
    assert "of trial second conflicts with" in words
    office.ledger.records.set_case("first", "closed", {})
    assert office.conflicts("second") == []


def test_an_exception_is_asked_for_where_an_expression_says(office: Office) -> None:
    """What does not compile is returned; what does becomes the overlay's `under`."""
    waiver, modification = asking_for(1.5)
    torn = office.file("first", collides_with=[{**waiver, "under": "1 +"}])
    assert "application/expression" in {item.code for item in torn.defects}
    under = 'span.attributes["zone"] == "a"'
    apart = [{**waiver, "under": under}, {**modification, "under": "span.name == 'x'"}]
    answer = office.file("first", "file/2", collides_with=apart)
    codes = {item.code for item in answer.defects}
    assert codes == {"application/waiver-without-compensation"}
    asked = [{**waiver, "under": under}, {**modification, "under": under}]
    assert office.file("first", "file/3", collides_with=asked).admitted
    office.begin("first")
    rule = office.ledger.temporary_rule("first")
    assert [item.under for item in rule.overlays] == [under, under]


def ruled(office: Office, *, since: date = date(2024, 1, 1)) -> None:
    """Publish the next version, which allows one copy of each part of a system."""
    records = office.ledger.records
    first = records.rulebook("passenger-transport")
    text = object_rulebook().rules[1]
    limit = text.parameters["max_replicas"]
    values = {date(2020, 1, 1): ParameterValue(value=1, reference="Annex")}
    rule = text.model_copy(
        update={
            "applies": "true",
            "parameters": {"max_replicas": limit.model_copy(update={"values": values})},
        }
    )
    update = {"version": 2, "in_force_from": since, "rules": (*first.rules, rule)}
    publish_rulebook(office.ledger, first.model_copy(update=update))


def test_a_system_that_a_rule_is_against_is_returned_with_its_words(
    office: Office,
) -> None:
    """Each object is named; with an exception asked for it is a case for people."""
    ruled(office)
    assert office.file("first").admitted
    answer = office.file("second", "file/2", manifests=replicas(SYSTEM, 2))
    found = {item.what.partition(" is against")[0] for item in answer.defects}
    assert found == {
        f"Deployment {x}" for x in ("frontend", "customer", "driver", "route")
    }
    (defect, *_) = answer.defects
    assert (defect.code, defect.field) == (
        "application/against-rule",
        "system.manifests",
    )
    assert "No more than 1 fronts at a time. (Act, 7; front/size)" in defect.what
    waiver, modification = asking_for(1.5)
    compensated = [waiver["rule"], "front/size"]
    asked = [
        waiver,
        {**waiver, "rule": "front/size"},
        {**modification, "compensates": compensated},
    ]
    excepted = office.file(
        "third", "file/3", manifests=replicas(SYSTEM, 2), collides_with=asked
    )
    assert excepted.defects == ()


def test_an_exception_that_does_not_fit_hides_no_other_objection(
    office: Office,
) -> None:
    """Its rule is left open until it does; what is wrong with it is said."""
    ruled(office)
    waiver, modification = asking_for(1.5)
    torn = {**waiver, "rule": "front/size", "under": "1 +"}
    asked = [waiver, torn, {**modification, "compensates": [waiver["rule"]]}]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}
    answer = office.file(
        "first", manifests=[*replicas(SYSTEM, 2), job], collides_with=asked
    )
    codes = {item.code for item in answer.defects}
    assert {"application/expression", "system/kind-not-taken"} <= codes
    assert "application/against-rule" not in codes


def test_a_rule_that_came_into_force_since_stops_the_beginning(office: Office) -> None:
    """What was in order when it was filed is asked again when the trial begins."""
    office.file("first", manifests=replicas(SYSTEM, 2))
    assert office.conflicts("first") == []
    ruled(office)
    assert len(office.conflicts("first")) == 4


def test_another_version_of_the_system_is_examined_before_it_is_kept(
    office: Office,
) -> None:
    """A wrong manifest and a rule against others are said at once."""
    ruled(office)
    office.file("first")
    prepare = office.preparation("first")
    ActivityEnvironment().run(office.activities.prepare_trial, prepare)
    assert office.problems("first", SYSTEM) == []
    wrong = [*replicas(SYSTEM, 2), {"apiVersion": "v1", "kind": "Secret"}]
    problems = office.problems("first", wrong)
    assert any("is a Secret" in item for item in problems)
    assert sum("front/size" in item for item in problems) == 4


def test_manifests_that_do_not_fit_are_returned_with_the_application(
    office: Office,
) -> None:
    """A kind that is not taken is a defect at filing, not at deployment."""
    answer = office.file("first", manifests=[{"apiVersion": "v1", "kind": "Secret"}])
    assert [(item.code, item.field) for item in answer.defects] == [
        ("system/kind-not-taken", "system.manifests")
    ]
