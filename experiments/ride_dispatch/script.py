"""The experiment as people act it, step by step, on a running installation.

Nothing here reaches past the doors: papers are filed, opinions cast and decisions taken
through the same client that the command line uses.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from experiments.ride_dispatch.papers import Papers, read_papers
from experiments.ride_dispatch.result import Course, summary, tell
from sandbox.environment import namespace_of
from sandbox.errors import LoadError, ProcedureError
from sandbox.model.load import LoadResult
from sandbox.model.party import Actor
from sandbox.model.proposal import Disposition
from sandbox.model.trial import CaseState
from sandbox.ports import ObjectRef
from workflows.activities.keeping import publish_rulebook
from workflows.cli.experiment import Experiment
from workflows.cli.staging import Stage
from workflows.client import RevisionClient, TrialClient
from workflows.messages import (
    Answer,
    BeginTrial,
    CastOpinion,
    ChangeSystem,
    RevisionInput,
    Submission,
)

_APPROVER = Actor(name="Ren Sato", role="approver", represents="transport")
_OWNER = Actor(name="Mei Tanaka", role="rule-owner", represents="transport")
_PLATFORM = Actor(name="Platform team", role="platform-operator")
_STEADY_S = 20.0
_SLOW_S = 25.0
_PATIENCE_S = 180.0


class Rehearsal(NamedTuple):
    """One run: the stage it plays on, the papers, and the doors."""

    stage: Stage
    papers: Papers
    trial: TrialClient

    @property
    def applicant(self) -> Actor:
        """The operator who asks for the trial."""
        name = self.papers.application.applicant.name
        return Actor(name=name, role="applicant", represents=name)

    def decision_id(self, name: str) -> str:
        """Return an id for an act of this run."""
        return f"{self.papers.trial_id}/{name}"


async def run(stage: Stage) -> dict[str, Any]:
    """Play the whole experiment and return its result."""
    play = await _open(stage)
    course = Course(papers=play.papers)
    progress = stage.progress
    with progress.stage("first application"):
        course.first = await _file(play, "first")
    with progress.stage("hearing and decision"):
        course.second = await _file(play, "second")
        await _hear(play, "admission")
        course.refused = await _try_to_approve_oneself(play)
        await _decide(play, "admission")
        await _reach(play, "approved")
    with progress.stage("environment and proof"):
        await _begin(play)
        course.ready = await _reach(play, "running")
    with progress.stage("traffic within the limits"):
        await _load_steadily(play, course)
    with progress.stage("slower version, guardrail"):
        await _roll_out(play, "slower", play.papers.slow_system)
        course.paused = await _pause_under_load(play)
    with progress.stage("review and resumption"):
        await _roll_out(play, "roll-back", play.papers.system)
        await _hear(play, "resumption")
        await _decide(play, "resumption")
        course.resumed = await _reach(play, "running")
    with progress.stage("until the rule ends"):
        course.loads += await _load_until_expiry(play)
        course.closed = await _reach(play, "closed")
    with progress.stage("consultation and adoption"):
        async with asyncio.timeout(_PATIENCE_S):
            course.revision = await _revise(play)
    with progress.stage("verification and report"):
        return await asyncio.to_thread(tell, stage, course)


async def _open(stage: Stage) -> Rehearsal:
    number = 1 + len(stage.ledger.records.cases())
    papers = read_papers(number, images=stage.images)
    publish_rulebook(stage.ledger, papers.rulebook)
    return Rehearsal(stage, papers, TrialClient(stage.client, papers.trial_id))


async def _file(play: Rehearsal, which: str) -> Submission:
    papers = play.papers
    return await play.trial.submit(
        papers.first if which == "first" else papers.application,
        regime=papers.regime,
        manifests=papers.system,
        by=play.applicant,
        decision_id=play.decision_id(f"application/{which}"),
    )


async def _hear(play: Rehearsal, stage: str) -> None:
    await play.trial.until(lambda status: bool(status.review_id))
    for opinion in play.papers.opinions.opinions:
        cast = CastOpinion(
            decision_id=play.decision_id(f"{stage}/opinion/{opinion.authority}"),
            authority=opinion.authority,
            position=opinion.position,
            reasons=opinion.reasons,
            conditions=opinion.conditions,
            by=opinion.by,
        )
        _expect(await play.trial.cast_opinion(cast))


async def _try_to_approve_oneself(play: Rehearsal) -> Answer:
    request = play.papers.decision.model_copy(
        update={"decision_id": play.decision_id("admission/decision/by-applicant")}
    )
    return await play.trial.decide(request, by=play.applicant)


async def _decide(play: Rehearsal, stage: str) -> None:
    changes: dict[str, Any] = {"decision_id": play.decision_id(f"{stage}/decision")}
    if stage == "resumption":
        changes |= {
            "outcome": "approved",
            "conditions": (),
            "reasons": (
                "The slower version is rolled back; the guardrail did its duty.",
            ),
        }
    request = play.papers.decision.model_copy(update=changes)
    _expect(await play.trial.decide(request, by=_APPROVER))


async def _begin(play: Rehearsal) -> None:
    gates = {
        item.id: "Policy 2026-114 of Example Mutual, seen by the case officer."
        for item in play.papers.decision.conditions
        if item.gate == "before-running"
    }
    begin = BeginTrial(
        decision_id=play.decision_id("begin"), gates=gates, by=play.applicant
    )
    _expect(await play.trial.begin(begin))


async def _roll_out(
    play: Rehearsal, name: str, manifests: list[dict[str, Any]]
) -> None:
    change = ChangeSystem(
        decision_id=play.decision_id(f"system/{name}"),
        reason=f"{name} version",
        manifests=manifests,
        by=play.applicant,
    )
    _expect(await play.trial.change_system(change))


async def _load_steadily(play: Rehearsal, course: Course) -> None:
    """Load within the limits, and note what the installation used meanwhile."""
    stage = play.stage
    begun, used = time.monotonic(), stage.processor_s("worker")
    course.loads.append(await _load(play, "steady", seconds=_STEADY_S))
    used, took = stage.processor_s("worker") - used, time.monotonic() - begun
    course.worker_s_per_hour = used / took * 3600
    course.resident_bytes = stage.resident_bytes()


async def _load(play: Rehearsal, profile: str, *, seconds: float) -> LoadResult:
    result = await asyncio.to_thread(
        play.stage.load, profile, host=_address(play), seconds=seconds
    )
    filed = await play.trial.report_load(
        result,
        by=_PLATFORM,
        decision_id=play.decision_id(f"load/{result.started_at.isoformat()}"),
    )
    _expect(filed)
    return result


async def _pause_under_load(play: Rehearsal) -> Any:
    load = asyncio.create_task(_load(play, "steady", seconds=_SLOW_S))
    paused = await _reach(play, "paused")
    await play.trial.until(lambda status: bool(status.frozen_after_s))
    # The traffic meets a closed door from here on; its result is evidence all the same.
    await load
    return paused


async def _load_until_expiry(play: Rehearsal) -> list[LoadResult]:
    """Return the result, or nothing where the trial was closed before it was filed."""
    status = await play.trial.status()
    if status.expires_at is None:
        raise ProcedureError(f"trial {play.papers.trial_id} has no end")
    left = (status.expires_at - play.stage.ledger.clock.now()).total_seconds()
    if left < 1:
        raise LoadError("the trial ended before the traffic could go on")
    try:
        return [await _load(play, "steady", seconds=max(1.0, left - 2))]
    except ProcedureError as late:
        if (await play.trial.status()).state != "closed":
            raise
        play.stage.progress.note(f"traffic is not on record: {late.diagnosis}")
        return []


async def _revise(play: Rehearsal) -> Any:
    papers = play.papers
    revision = RevisionClient(
        play.stage.client,
        RevisionInput(
            rulebook=papers.rulebook.rulebook,
            number=1,
            trials=(papers.trial_id,),
            regime=papers.regime,
            by=_OWNER,
        ),
    )
    await revision.propose()
    await revision.until(lambda status: status.state == "consulting")
    early = await revision.adopt(
        "at once", by=_OWNER, decision_id=play.decision_id("adoption/early")
    )
    for paper in papers.comments.comments:
        comment_id = play.decision_id(paper.comment_id)
        _expect(await revision.comment(paper.text, by=paper.by, comment_id=comment_id))
    decided = await revision.until(lambda status: status.state == "deciding")
    await _answer_comments(play, revision)
    decision_id = play.decision_id("revision")
    if decided.proposal is not None and decided.proposal.amendments:
        reason = "The evidence supports it, and every comment is answered."
        ended = await revision.adopt(reason, by=_OWNER, decision_id=decision_id)
    else:
        # The findings support no change: that is a result too.
        reason = "The evidence carries no change, and every comment is answered."
        ended = await revision.retain(reason, by=_OWNER, decision_id=decision_id)
    _expect(ended)
    return early, await revision.finish()


async def _answer_comments(play: Rehearsal, revision: RevisionClient) -> None:
    for paper in play.papers.comments.comments:
        answer = paper.disposition
        disposition = Disposition(
            comment_id=play.decision_id(paper.comment_id),
            outcome=answer.outcome,
            reason=answer.reason,
            by=answer.by,
            at=play.stage.ledger.clock.now(),
        )
        _expect(await revision.dispose(disposition))


async def _reach(play: Rehearsal, state: CaseState) -> Any:
    play.stage.progress.wait(f"for the case to be {state}")
    async with asyncio.timeout(_PATIENCE_S):
        status = await play.trial.until(
            lambda status: status.state in (state, "failed", "closed")
        )
    if status.state != state:
        raise ProcedureError(
            f"trial {play.papers.trial_id} is {status.state}, not {state}: "
            f"{status.failure or 'see `sandbox evidence log`'}"
        )
    return status


def _address(play: Rehearsal) -> str:
    needs = play.papers.application.system.needs.ingress[0]
    namespace = namespace_of(play.stage.cluster, play.papers.trial_id)
    ref = ObjectRef("v1", "Service", namespace, needs.to)
    service = play.stage.cluster.get(ref)
    if service is None:
        raise ProcedureError(f"service {needs.to} is not there in {namespace}")
    return f"http://{service['spec']['clusterIP']}:{needs.port}"


def _expect(answer: Answer) -> None:
    if not answer.accepted and answer.refusal is not None:
        raise ProcedureError(f"{answer.refusal.act}: {answer.refusal.what}")


EXPERIMENT = Experiment(
    name="ride-dispatch",
    title="Can vehicles be dispatched without a human dispatcher, if offers are fast?",
    run=run,
    summary=summary,
)
