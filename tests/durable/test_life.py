"""The life of a trial: guardrail, freeze, review, expiry, closing, revision."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandbox.environment import residue
from sandbox.evidence.verify import verify_bundle
from sandbox.model.party import Actor
from sandbox.model.proposal import Disposition
from workflows.client import RevisionClient
from workflows.messages import ChangeSystem, RevisionInput, StopTrial

_OWNER = Actor(name="Mei Tanaka", role="rule-owner", represents="transport")
_SHORT = pytest.mark.parametrize("house", [{"length": "PT20S"}], indirect=True)


async def _harm(house):
    """Record slow answers until the guardrail has acted."""
    house.record([0.4] * 60)
    house.record([4.0] * 20, first=60)
    await house.trial.until(lambda status: status.state == "paused")
    return await house.trial.until(lambda status: bool(status.frozen_after_s))


def _pods(house):
    return house.cluster.find("v1", "Pod", namespace=f"trial-{house.papers.trial_id}")


async def test_harm_freezes_the_environment_and_a_review_opens_it_again(house):
    """A guardrail pauses the trial, its pods go, its token dies; a review resumes."""
    await house.run()
    assert _pods(house)
    frozen = await _harm(house)
    assert frozen.environment.state == "frozen"
    assert not _pods(house)
    policies = house.cluster.find(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        namespace=f"trial-{house.papers.trial_id}",
    )
    assert [item["metadata"]["name"] for item in policies] == ["default-deny"]
    assert house.adapters.tokens.revoke(house.papers.trial_id) == 0
    kinds = house.kinds()
    assert kinds.index("breach") < len(kinds) - kinds[::-1].index("transition") - 1
    await house.resume()
    assert _pods(house)
    status = await house.trial.status()
    assert status.pauses[0].resumed_at is not None


async def test_a_version_rolled_out_while_paused_waits_for_the_resumption(house):
    """What is filed during a pause runs only after the review, and then it does."""
    await house.run()
    await _harm(house)
    change = ChangeSystem(
        decision_id=house.id("roll-back"),
        reason="roll-back",
        manifests=house.papers.slow_system,
        by=house.applicant,
    )
    assert (await house.trial.change_system(change)).accepted
    assert not _pods(house)
    await house.resume()
    deployments = house.cluster.find(
        "apps/v1", "Deployment", namespace=f"trial-{house.papers.trial_id}"
    )
    customer = next(d for d in deployments if d["metadata"]["name"] == "customer")
    arguments = customer["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments == ["customer"]


@_SHORT
async def test_a_trial_ends_by_its_own_expiry_and_leaves_only_evidence(house):
    """At the end of the rule the namespace goes and a verifying bundle stays."""
    await house.run()
    house.record([0.4] * 50)
    closed = await house.trial.until(lambda status: status.state == "closed")
    assert residue(house.cluster, house.papers.trial_id) == []
    assert verify_bundle(Path(closed.bundle)).ok
    assert house.kinds().count("finding") == 2
    assert house.kinds()[-1] == "transition"


@_SHORT
async def test_a_trial_ends_on_time_while_it_is_paused(house):
    """A pause does not lengthen the rule: the trial closes without being resumed."""
    await house.run()
    await _harm(house)
    closed = await house.trial.until(lambda status: status.state == "closed")
    assert closed.pauses[0].resumed_at is None


async def test_a_trial_can_be_stopped_by_those_responsible(house):
    """The applicant ends the trial before its time; the public cannot."""
    await house.run()
    public = Actor(name="Somebody", role="public")
    for number, by in enumerate((public, house.applicant)):
        stop = StopTrial(decision_id=house.id(f"stop/{number}"), reason="enough", by=by)
        assert (await house.trial.stop(stop)).accepted == (by is not public)
    await house.trial.until(lambda status: status.state == "closed")


async def test_an_environment_that_cannot_be_proven_fails_the_trial(house):
    """Without enforced policies nothing runs, and nothing is left of the attempt."""
    house.cluster.printed.clear()
    house.cluster.reachable = True
    house.cluster._reach = lambda namespace, host, port: "reached"
    await house.approve()
    await house.begin()
    failed = await house.trial.until(lambda status: status.state == "failed")
    assert "isolation could not be proven" in failed.failure
    assert residue(house.cluster, house.papers.trial_id) == []
    assert not [kind for kind in house.kinds() if kind == "look"]


def _revision(house):
    return RevisionClient(
        house.client,
        RevisionInput(
            rulebook=house.papers.rulebook.rulebook,
            number=1,
            trials=(house.papers.trial_id,),
            regime=house.papers.regime,
            by=_OWNER,
        ),
        prefix=house.prefix,
    )


@_SHORT
async def test_findings_become_the_next_version_of_the_rulebook(house):
    """Too early and unanswered adoptions are refused; then version 2 is published."""
    await house.run()
    house.record([0.4] * 400)
    await house.trial.until(lambda status: status.state == "closed")
    revision = _revision(house)
    await revision.propose()
    await revision.until(lambda status: status.state == "consulting")
    early = await revision.adopt("now", by=_OWNER, decision_id=house.id("early"))
    comment = await revision.comment(
        "Keep the telephone.",
        by=Actor(name="A customer", role="public"),
        comment_id=house.id("comment"),
    )
    await revision.until(lambda status: status.state == "deciding")
    unanswered = await revision.adopt("now", by=_OWNER, decision_id=house.id("again"))
    assert (early.accepted, comment.accepted, unanswered.accepted) == (
        False,
        True,
        False,
    )
    answer = Disposition(
        comment_id=house.id("comment"),
        outcome="noted",
        reason="It stays.",
        by=_OWNER,
        at=house.adapters.ledger.clock.now(),
    )
    assert (await revision.dispose(answer)).accepted
    adopted = await revision.adopt("now", by=_OWNER, decision_id=house.id("adopt"))
    assert adopted.accepted
    finished = await asyncio.wait_for(revision.finish(), 30)
    assert finished.adopted.version == 2
    book = house.adapters.ledger.records.rulebook(house.papers.rulebook.rulebook)
    assert book.version == 2
    bundle = house.adapters.bundles / house.papers.trial_id
    assert verify_bundle(bundle).ok


@_SHORT
async def test_findings_that_carry_no_change_leave_the_rulebook_as_it_is(house):
    """Nobody adopts nothing; the owner retains the version, on record, with reasons."""
    await house.run()
    await house.trial.until(lambda status: status.state == "closed")
    revision = _revision(house)
    await revision.propose()
    early = await revision.until(lambda status: status.state == "consulting")
    assert early.proposal.amendments == 0
    await revision.until(lambda status: status.state == "deciding")
    nothing = await revision.adopt("now", by=_OWNER, decision_id=house.id("adopt"))
    assert "nothing to adopt" in nothing.refusal.what
    stranger = Actor(name="A customer", role="public")
    for number, by in enumerate((stranger, _OWNER)):
        kept = await revision.retain(
            "Not shown.", by=by, decision_id=house.id(f"retain/{number}")
        )
        assert kept.accepted == (by is _OWNER)
    finished = await asyncio.wait_for(revision.finish(), 30)
    assert (finished.state, finished.adopted) == ("retained", None)
    book = house.adapters.ledger.records.rulebook(house.papers.rulebook.rulebook)
    assert book.version == 1
    bundle = house.adapters.bundles / house.papers.trial_id
    assert verify_bundle(bundle).ok
    assert '"kind":"retention"' in (bundle / "entries.jsonl").read_text()
