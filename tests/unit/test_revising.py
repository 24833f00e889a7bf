"""A revision as its activities and `sandbox revision` do it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from typer.testing import CliRunner, Result

from sandbox.adapters.spans_folder import DerivedFolder
from sandbox.adapters.spans_parquet import read_whole, to_parquet
from sandbox.errors import RecordsError
from sandbox.model.impact import ImpactStatement
from sandbox.model.party import Actor
from sandbox.model.proposal import Comment, Consultation
from sandbox.model.record import Interval
from sandbox.model.rule import Waiver
from sandbox.testing.backtest import FakeBacktests
from sandbox.testing.comparison import FakeComparisons
from sandbox.testing.spans import FakeSpans
from workflows.activities.asking import Asking
from workflows.activities.keeping import Bundles, publish_rulebook
from workflows.activities.reproducing import (
    ProposalRecord,
    consultation_of,
    find_proposal,
    reproduce,
)
from workflows.activities.revise import ReviseActivities
from workflows.cli import revision
from workflows.cli.telling import revision_of
from workflows.messages import (
    DraftProposal,
    EndRevision,
    KeepConsultation,
    RevisionInput,
)
from workflows.revision import entry_id_of

OWNER = Actor(name="Desk", role="rule-owner", represents="o")


class Revising:
    """A closed trial under a stricter value, and its revision."""

    def __init__(self, case: Any) -> None:
        self.case = case
        self.except_from("t")
        case.record(range(1, 401), slow=3, evenly=True)
        case.close()
        case.ledger.records.set_case("t", "closed", {})
        self.activities = ReviseActivities(
            case.ledger, Bundles(case.folder), lambda: self.asking
        )
        regime = case.ledger.records.get_document("t", "regime")
        self.revision = RevisionInput(
            rulebook="calls", number=1, trials=("t",), regime=regime, by=OWNER
        )

    @property
    def asking(self) -> Asking:
        """What asks the evidence, span by span."""
        spans = FakeSpans(
            self.case.segments,
            self.case.ledger.rules,
            keys=[self.case.signer.public_key],
        )
        return Asking(FakeBacktests(spans), FakeComparisons(spans))

    def except_from(self, trial: str) -> None:
        """Put a stricter value in force for a trial."""
        stricter = Waiver(
            label="stricter",
            exception_to="calls/time",
            kind="modification",
            set={"max_s": 1.5},
        )
        ledger = self.case.ledger
        rule = ledger.temporary_rule("t").model_copy(
            update={"trial_id": trial, "overlays": (stricter,)}
        )
        ledger.records.put_document(trial, "temporary-rule", rule)
        ledger.write("temporary-rule", f"{rule.temporary_rule}/{trial}", trial, rule)

    def draft(self) -> ProposalRecord:
        """Draft the proposal and return what the log has of it."""
        at = self.case.started_at + timedelta(days=1)
        drafting = DraftProposal(revision=self.revision, at=at)
        ActivityEnvironment().run(self.activities.draft_proposal, drafting)
        return find_proposal(self.case.ledger, f"calls/P-{self.revision.number}")

    def run_trial(self, name: str) -> None:
        """Let another trial run under the same version; nothing of it is sealed."""
        records = self.case.ledger.records
        records.put_document(name, "application", self.case.application)
        self.except_from(name)
        records.set_case(name, "running", {})

    def keep(self, comment: str) -> None:
        """Keep a consultation with one comment."""
        number, at = self.revision.number, self.case.started_at
        consultation = Consultation(
            proposal=f"P-{number}",
            open=Interval(start=at, end=at + timedelta(days=1)),
            comments=(Comment(comment_id="c-1", by=OWNER, text=comment, at=at),),
        )
        keeping = KeepConsultation(
            rulebook="calls",
            number=number,
            consultation=consultation.model_dump(mode="json"),
        )
        ActivityEnvironment().run(self.activities.keep_consultation, keeping)

    def adopt(self, **changes: Any) -> Any:
        """Adopt the proposal."""
        return self.end(self.activities.adopt_proposal, **changes)

    def end(self, activity: Any, **changes: Any) -> Any:
        """End the revision with an activity."""
        at = self.case.started_at + timedelta(days=3)
        task = EndRevision(
            revision=self.revision,
            by=OWNER,
            reason="shown",
            consultation=Consultation(
                proposal="P-1",
                open=Interval(start=at - timedelta(days=2), end=at - timedelta(days=1)),
            ),
            at=at,
        )
        return ActivityEnvironment().run(activity, task.model_copy(update=changes))


@pytest.fixture(name="revising")
def _revising(case: Any) -> Revising:
    return Revising(case)


def test_a_draft_carries_support_and_impact_over_all_that_was_recorded(
    revising: Revising,
) -> None:
    """Both are entries of the log, with the figures of every trial."""
    found = revising.draft()
    assert {item.units for item in found.proposal.support} == {400}
    assert found.impact
    assert found.impact.trials == ("t",)
    assert [item.compared_with for item in found.impact.figures] == [
        "as-recorded",
        "text-in-force",
    ]
    kinds = [x.entry.kind for x in revising.case.ledger.log.entries("rulebook/calls")]
    assert kinds.count("proposal") == kinds.count("impact") == 1


def test_every_figure_is_found_again_from_the_record(revising: Revising) -> None:
    """Support and impact, each by its name."""
    again = reproduce(revising.case.ledger, revising.draft(), revising.asking)
    assert len(again) > 5
    assert all(item.same for item in again)


def test_a_figure_that_was_tampered_with_is_not_found_again(
    revising: Revising,
) -> None:
    """The one that was changed, and no other."""
    record = revising.draft()
    assert record.impact
    figure = record.impact.figures[0]
    shift = figure.shifts[0].model_copy(update={"units": 1})
    changed = figure.model_copy(update={"shifts": (shift, *figure.shifts[1:])})
    impact = ImpactStatement.model_validate(
        {**dict(record.impact), "figures": (changed, *record.impact.figures[1:])}
    )
    tampered = record._replace(impact=impact)
    again = reproduce(revising.case.ledger, tampered, revising.asking)
    assert [x.figure for x in again if not x.same] == [
        "I-1: calls/time in t, as-recorded, calls v1"
    ]


def test_evidence_that_is_gone_is_named(revising: Revising) -> None:
    """Erased segments make every figure another one, and the reason is said."""
    record = revising.draft()
    revising.case.segments.erase("t", 1)
    again = reproduce(revising.case.ledger, record, revising.asking)
    figures = [item for item in again if "calls/time" in item.figure]
    assert figures
    assert not any(item.same for item in figures)
    assert all("0 segments, 1 erased" in " ".join(item.said) for item in figures)


def test_a_running_trial_is_left_out_and_said(revising: Revising) -> None:
    """Its evidence still grows."""
    revising.run_trial("u")
    found = revising.draft()
    assert found.impact
    assert found.impact.trials == ("t",)
    assert "u is still running and was not asked." in found.impact.limits


def test_a_trial_that_is_not_over_is_left_out_and_said(revising: Revising) -> None:
    """Its evidence has not been sealed to the end, or not begun."""
    for name, state in (("u", "closing"), ("v", "approved")):
        revising.except_from(name)
        revising.case.ledger.records.set_case(name, state, {})
    found = revising.draft()
    assert found.impact
    assert found.impact.trials == ("t",)
    assert "u is not over and was not asked." in found.impact.limits
    assert "v is not over and was not asked." in found.impact.limits


def test_a_trial_whose_evidence_is_damaged_does_not_hold_up_the_others(
    revising: Revising,
) -> None:
    """It is named, with what is wrong with it."""
    segments = revising.case.segments
    revising.except_from("u")
    revising.case.ledger.records.set_case("u", "closed", {})
    # The statement of another trial's segment stands where its own should.
    segments.receive("u", segments.read("t", 1))
    segments.roll("u")
    compressed, envelope = segments.read_sealed("t", 1)
    segments.put_sealed("u", 1, compressed=compressed, envelope=envelope)
    found = revising.draft()
    assert found.impact
    assert found.impact.trials == ("t",)
    assert "u was not asked, since its evidence cannot be" in str(found.impact.limits)


def test_adoption_records_what_becomes_of_each_running_trial(
    revising: Revising,
) -> None:
    """With what was foreseen for it; the others stay pinned."""
    for trial in ("u", "v"):
        revising.run_trial(trial)
    revising.draft()
    adopted = revising.adopt(ended=("v",))
    assert (adopted.running, adopted.ended) == (("u", "v"), ("v",))
    found = find_proposal(revising.case.ledger, "P-1").adoption
    assert found
    assert [item.effect for item in found.running] == ["pinned", "ended"]
    goal, exception = found.running[0].preview.touched
    assert goal == "The goal in-time is about calls/time, which changes."
    assert exception == "The exception stricter is about calls/time, which changes."


def test_a_trial_that_does_not_run_cannot_be_ended(revising: Revising) -> None:
    """The ones that run are named, and nothing is adopted."""
    revising.draft()
    with pytest.raises(ApplicationError, match="t is not running"):
        revising.adopt(ended=("t",))
    assert find_proposal(revising.case.ledger, "P-1").adoption is None


def test_a_proposal_that_is_not_there_is_refused_with_those_that_are(
    revising: Revising,
) -> None:
    """By rulebook and name."""
    revising.draft()
    with pytest.raises(RecordsError, match=r"P-7 is no proposal .*: calls/P-1"):
        find_proposal(revising.case.ledger, "P-7")


def test_a_proposal_for_an_older_version_is_refused_with_that_version(
    revising: Revising,
) -> None:
    """Another revision came into force meanwhile; it can still be declined."""
    revising.draft()
    ledger = revising.case.ledger
    book = ledger.records.rulebook("calls", 1)
    publish_rulebook(ledger, book.model_copy(update={"version": 2}))
    with pytest.raises(ApplicationError, match="was written for calls v1 and v2 is"):
        revising.adopt()
    assert ledger.records.rulebook("calls").version == 2


def test_an_adoption_that_is_done_twice_makes_one_version(revising: Revising) -> None:
    """A worker that replaces another finds it done, and finishes it."""
    revising.draft()
    first = revising.adopt()
    assert revising.adopt() == first
    assert revising.case.ledger.records.rulebook("calls").version == 2


def test_an_adoption_that_another_version_overtakes_is_not_recorded(
    revising: Revising,
) -> None:
    """What was asked of running trials took time; the log names one maker only."""
    revising.draft()
    ledger = revising.case.ledger
    other = ledger.records.rulebook("calls", 1).model_copy(update={"version": 2})

    def overtaken() -> Asking:
        publish_rulebook(ledger, other)
        return revising.asking

    revising.activities = ReviseActivities(
        ledger, Bundles(revising.case.folder), overtaken
    )
    with pytest.raises(ApplicationError):
        revising.adopt()
    assert find_proposal(ledger, "P-1").adoption is None
    with pytest.raises(ApplicationError, match="v2 is in force"):
        revising.adopt()


def test_a_retention_that_is_done_twice_is_one(revising: Revising) -> None:
    """Also where another version came into force between the two."""
    revising.draft()
    ledger = revising.case.ledger
    first = revising.end(revising.activities.retain_rulebook)
    book = ledger.records.rulebook("calls", 1)
    publish_rulebook(ledger, book.model_copy(update={"version": 2}))
    assert revising.end(revising.activities.retain_rulebook) == first


def test_another_text_is_adopted_with_its_reason_or_not_at_all(
    revising: Revising,
) -> None:
    """The difference is published with both texts (Art. 43(1)(iv))."""
    (drafted,) = revising.draft().proposal.amendments
    assert drafted.new
    milder = drafted.model_copy(
        update={"new": drafted.new.model_copy(update={"severity": "minor"})}
    )
    with pytest.raises(ApplicationError, match="no reason is given"):
        revising.adopt(amendments=(milder,))
    revising.adopt(amendments=(milder,), reasons={"calls/time": "Comment c-1."})
    adoption = find_proposal(revising.case.ledger, "P-1").adoption
    assert adoption
    (difference,) = adoption.differences
    assert difference.reason == "Comment c-1."
    assert [(x.part, x.now, x.proposed) for x in difference.parts] == [
        ("severity", "major", "minor")
    ]


def test_a_draft_that_is_done_twice_is_one_proposal(revising: Revising) -> None:
    """Also where another trial has ended meanwhile: what was drafted first stands."""
    first = revising.draft()
    revising.except_from("u")
    revising.case.ledger.records.set_case("u", "closed", {})
    assert revising.draft() == first


@pytest.mark.parametrize("name", ["2", "adoption/1", "proposal/2", "refusal/1"])
def test_no_name_of_a_comment_stands_in_the_way_of_an_adoption(
    revising: Revising, name: str
) -> None:
    """Who comments chooses a name, and the log has each name once."""
    revising.draft()
    comment = Comment(
        comment_id=name, by=OWNER, text="Why?", at=revising.case.started_at
    )
    entry_id = entry_id_of(revising.revision, "comment", name)
    revising.case.ledger.write("comment", entry_id, "rulebook/calls", comment)
    assert revising.adopt().after.version == 2


def test_two_revisions_of_a_rulebook_do_not_disturb_one_another(
    revising: Revising,
) -> None:
    """Each has its own text, consultation and decision, and is told with them."""
    ledger = revising.case.ledger
    revising.draft()
    for number in (1, 2):
        revising.revision = revising.revision.model_copy(update={"number": number})
        revising.draft()
        revising.keep(f"On P-{number}.")
    revising.revision = revising.revision.model_copy(update={"number": 1})
    assert revising.adopt().after.version == 2
    first, second = (find_proposal(ledger, f"P-{number}") for number in (1, 2))
    for found in (first, second):
        consultation = consultation_of(ledger, found)
        assert consultation
        assert consultation.comments[0].text == f"On {found.proposal.proposal}."
    told = revision_of(ledger, "t", "calls")
    assert told == second
    assert told.adoption is None


@pytest.fixture(name="call")
def _call(revising: Revising, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    monkeypatch.setattr(revision, "open_ledger", lambda _: (revising.case.ledger, None))
    monkeypatch.setattr(revision, "_asking", lambda *_, **__: [revising.asking])

    def call(*arguments: str) -> Result:
        home = ("--home", str(tmp_path / "home"))
        return CliRunner().invoke(revision.app, [*arguments, *home])

    return call


def test_a_proposal_is_listed_and_shown_in_three_forms(
    revising: Revising, call: Any
) -> None:
    """For reading, for a page, and for machines, with what became of it."""
    revising.draft()
    revising.run_trial("u")
    revising.adopt(ended=("u",))
    (listed,) = json.loads(call("list", "-o", "json").stdout)
    assert (listed["proposal"], listed["state"]) == ("calls/P-1", "adopted")
    words = call("show", "P-1").stdout
    assert words.startswith("# P-1 on calls v1\n\nAdopted as v2 by Desk")
    for title in (
        "## Text",
        "Part by part:",
        "## How far the evidence reaches",
        "## What would have been different",
        "## Other ways to the same goal",
        "## Draft and adopted text",
        "## Running trials",
    ):
        assert title in words
    assert "| calls/time | max\\_s from 2026-04-02 | (none) | 1.5 s" in words
    assert "| I-1 | t | v1 | calls/time | as recorded | 400 as before |" in words
    assert "| u | v1 | ended | yes |" in words
    told = json.loads(call("show", "P-1", "--format", "json").stdout)
    assert told["proposal"]["redline"][0]["parts"]
    assert told["impact"]["figures"][0]["source"]["data_digest"].startswith("sha256:")
    page = call("show", "P-1", "--format", "html").stdout
    assert "<!doctype html>" in page
    assert "What would have been different" in page
    assert "<script" not in page


def test_rerun_says_of_each_figure_whether_it_is_the_same(
    revising: Revising, call: Any
) -> None:
    """All are: done. One is not: the exit code says so, and the table which."""
    revising.draft()
    good = call("rerun", "calls/P-1", "-o", "json")
    assert good.exit_code == 0
    assert {row["same"] for row in json.loads(good.stdout)} == {"yes"}
    assert "figures are the same" in good.stderr
    revising.case.segments.erase("t", 1)
    bad = call("rerun", "calls/P-1", "-o", "json")
    assert bad.exit_code == 1
    assert "NO" in {row["same"] for row in json.loads(bad.stdout)}
    assert "Other evidence: 1 segments" in bad.stdout


def test_preview_names_each_running_trial(revising: Revising, call: Any) -> None:
    """Whether it would comply, and what of its plan is touched."""
    revising.draft()
    assert "no trial of this rulebook is running" in call("preview", "P-1").stderr
    revising.run_trial("u")
    (row,) = json.loads(call("preview", "P-1", "-o", "json").stdout)
    assert row["trial_id"] == "u"
    assert row["touched"]
    assert "yes" in call("preview", "P-1").stdout


def test_a_fresh_rerun_trusts_no_derived_file(
    revising: Revising, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A derived file that says other things than the sealed segments fools the rest."""
    revising.draft()
    ledger, home = revising.case.ledger, tmp_path / "home"
    monkeypatch.setattr(revision, "open_ledger", lambda _: (ledger, None))

    def rerun(*options: str) -> int:
        arguments = ["rerun", "P-1", "--home", str(home), *options]
        return CliRunner().invoke(revision.app, arguments).exit_code

    assert rerun() == 0
    for derived in (home / "derived").rglob("*.parquet"):
        forge(derived)
    assert rerun() == 1
    assert rerun("--fresh") == 0


def forge(derived: Path) -> None:
    """Let every span of a derived file have taken no time."""
    folder = DerivedFolder(derived.parent)
    (file,) = folder.files()
    table = read_whole(derived, file.origin)
    place = table.schema.get_field_index("end_ns")
    start = table.column("start_ns")
    forged = table.set_column(place, table.schema.field(place), start)
    derived.unlink()
    folder.put(file.range, to_parquet(forged, file.origin))


def test_the_help_promises_no_look_at_raw_segments() -> None:
    """Asking both engines does not compare derived files; `--fresh` makes them anew."""
    told = CliRunner().invoke(revision.app, ["rerun", "--help"]).stdout
    assert "--fresh" in told
    assert "raw" not in told
