"""The lawful case on a real Temporal server."""

from __future__ import annotations

from sandbox.model.party import Actor
from workflows.messages import BeginTrial, ChangeSystem, StopTrial


async def test_an_incomplete_application_is_returned_with_every_defect(house):
    """Filing an incomplete application returns all its defects and keeps the case."""
    first = await house.trial.submit(
        house.papers.first,
        regime=house.papers.regime,
        manifests=house.papers.system,
        by=house.applicant,
        decision_id=house.id("first"),
    )
    assert not first.admitted
    assert {item.code for item in first.defects} >= {
        "application/rule-not-named",
        "application/exit-plan-missing",
    }
    assert (await house.trial.status()).state == "returned"
    await house.file()
    assert (await house.trial.status()).state == "under_review"


async def test_only_the_applicant_files(house):
    """A filing by somebody else has no effect and is on record."""
    answer = await house.trial.submit(
        house.papers.application,
        regime=house.papers.regime,
        manifests=house.papers.system,
        by=Actor(name="Somebody", role="public"),
        decision_id=house.id("by-somebody"),
    )
    assert not answer.admitted
    assert answer.refusal is not None
    assert house.kinds() == ["refusal"]


async def test_the_applicant_cannot_approve_itself(house):
    """The attempt is accepted, recorded and answered with a refusal."""
    await house.file()
    await house.hear("admission")
    request = house.papers.decision.model_copy(update={"decision_id": house.id("own")})
    answer = await house.trial.decide(request, by=house.applicant)
    assert not answer.accepted
    assert answer.refusal.code == "conflict-of-interest"
    entries = house.adapters.ledger.log.entries()
    assert entries[answer.index].entry.kind == "refusal"
    assert (await house.trial.status()).state == "under_review"


async def test_nothing_is_decided_before_every_authority_is_heard(house):
    """A decision without all opinions is refused on record."""
    await house.file()
    await house.trial.until(lambda status: bool(status.review_id))
    request = house.papers.decision.model_copy(update={"decision_id": house.id("d")})
    approver = Actor(name="Ren Sato", role="approver", represents="transport")
    answer = await house.trial.decide(request, by=approver)
    assert not answer.accepted
    assert answer.refusal.code == "authority-not-heard"
    assert "Ministry of Transport" in answer.refusal.what


async def test_the_same_decision_id_is_the_same_act(house):
    """Calling twice with one id changes nothing the second time."""
    await house.approve()
    begin = BeginTrial(decision_id=house.id("no-gate"), gates={}, by=house.applicant)
    first = await house.trial.begin(begin)
    entries = len(house.kinds())
    second = await house.trial.begin(begin)
    assert first == second
    assert len(house.kinds()) == entries


async def test_a_trial_does_not_begin_before_its_gates_are_met(house):
    """A condition that gates running is asked for by name."""
    await house.approve()
    begin = BeginTrial(decision_id=house.id("begin"), gates={}, by=house.applicant)
    answer = await house.trial.begin(begin)
    assert not answer.accepted
    assert "insurance" in answer.refusal.what
    assert (await house.trial.status()).state == "approved"


async def test_acts_out_of_turn_are_refused_on_record(house):
    """Stopping or changing what does not run yet has no effect but its entry."""
    await house.file()
    change = ChangeSystem(
        decision_id=house.id("change"),
        reason="faster",
        manifests=house.papers.system,
        by=house.applicant,
    )
    stop = StopTrial(decision_id=house.id("stop"), reason="enough", by=house.applicant)
    answers = [
        await house.trial.change_system(change),
        await house.trial.stop(stop),
    ]
    assert [item.accepted for item in answers] == [False, False]
    assert house.kinds().count("refusal") == 2
    assert (await house.trial.status()).refused_attempts == 2


async def test_a_version_that_does_not_fit_is_refused_and_the_trial_goes_on(house):
    """What cannot be rolled out is said to the applicant; it ends no trial."""
    await house.run()
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sweep"}}
    change = ChangeSystem(
        decision_id=house.id("job"),
        reason="a job beside it",
        manifests=[*house.papers.system, job],
        by=house.applicant,
    )
    answer = await house.trial.change_system(change)
    assert not answer.accepted
    assert "is a Job" in answer.refusal.what
    assert house.kinds()[-1] == "refusal"
    assert (await house.trial.status()).state == "running"


async def test_every_transition_is_recorded_in_order(house):
    """The log holds one transition entry per version of the case, without holes."""
    await house.approve()
    entries = house.adapters.ledger.log.entries(house.papers.trial_id)
    versions = [
        item.entry.body["version"]
        for item in entries
        if item.entry.kind == "transition"
    ]
    status = await house.trial.status()
    assert versions == list(range(1, status.version + 1))
