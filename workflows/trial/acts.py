"""What people may do to a trial, and what comes of it.

Rules of this module:

* An act that is not lawful now is recorded as a refusal and answered; it has no effect.
* An act is answered when it is recorded, not when its consequences have happened.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sandbox.model.decision import Decision
    from sandbox.model.party import Actor, Role
    from sandbox.procedure import Act, roles_for
    from workflows.activities.ledger import LedgerActivities
    from workflows.messages import (
        Answer,
        BeginTrial,
        ChangeSystem,
        CheckApplication,
        EnvironmentInput,
        KeepManifests,
        PrepareTrial,
        ReportLoad,
        StopTrial,
        Submission,
        SubmitApplication,
        Terms,
        TrialState,
    )
    from workflows.options import perform
    from workflows.trial.journal import MACHINE, Journal
    from workflows.trial.peers import start_environment, want


class Acts:
    """The work behind the updates of the trial."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def _state(self) -> TrialState:
        return self._journal.state

    async def submit(self, submission: SubmitApplication) -> Submission:
        """Check an application; admit it or return it."""
        taken = await self._journal.attempt(
            "submit", submission.decision_id, by=submission.by, reason="filed"
        )
        if not taken.accepted:
            return Submission(admitted=False, refusal=taken.refusal)
        return await self._check(submission)

    async def _check(self, submission: SubmitApplication) -> Submission:
        checked = await perform(
            LedgerActivities.check_application,
            CheckApplication(
                trial_id=self._state.trial_id,
                submission=submission,
                regime=self._state.regime,
            ),
        )
        application = submission.application
        self._journal.change(
            applicant=application.applicant,
            application_digest=checked.application_digest,
            terms=Terms(
                length=application.period.length,
                must_start_within=application.period.must_start_within,
                settling_time=application.plan.settling_time,
            ),
        )
        reason = f"{len(checked.defects)} defects" if checked.defects else "complete"
        act: Act = "admit" if checked.admitted else "return"
        await self._journal.advance(act, by=MACHINE, reason=reason)
        return checked

    async def begin(self, begin: BeginTrial) -> Answer:
        """Lock the plan and start the environment, once every gate is met."""
        why = self._gates_missing(begin) or await self._conflicts(begin)
        if why:
            return await self._journal.refuse(
                begin.decision_id, "provision", begin.by, why
            )
        answer = await self._journal.attempt(
            "provision", begin.decision_id, by=begin.by, reason="begun by the applicant"
        )
        decision = self._state.decision
        if not answer.accepted or decision is None:
            return answer
        prepared = await perform(
            LedgerActivities.prepare_trial, self._preparation(begin, decision)
        )
        self._journal.change(
            plan_digest=prepared.plan_digest,
            expires_at=prepared.expires_at,
            generation=1,
        )
        await start_environment(self._environment())
        return answer

    def _environment(self) -> EnvironmentInput:
        regime = self._state.regime
        every = regime.environment_inspection or regime.monitoring_window
        return EnvironmentInput(
            trial_id=self._state.trial_id,
            generation=1,
            inspect_every_s=self._seconds(every),
            prove_every_s=self._seconds(regime.isolation_proof),
        )

    def _seconds(self, period: str | None) -> float:
        if period is None:
            return 0.0
        return (self._journal.after(period) - workflow.now()).total_seconds()

    def _gates_missing(self, begin: BeginTrial) -> str:
        decision = self._state.decision
        missing = [
            item.id
            for item in (decision.conditions if decision else ())
            if item.gate == "before-running" and not begin.gates.get(item.id)
        ]
        return f"not yet met before running: {', '.join(missing)}" if missing else ""

    async def _conflicts(self, begin: BeginTrial) -> str:
        """Return with which trials, begun since the admission, and with which rules it
        would conflict.
        """
        decision = self._state.decision
        if decision is None or self._journal.stands != "approved":
            return ""
        found = await perform(
            LedgerActivities.find_conflicts, self._preparation(begin, decision)
        )
        return "; ".join(found)

    def _preparation(self, begin: BeginTrial, decision: Decision) -> PrepareTrial:
        return PrepareTrial(
            trial_id=self._state.trial_id,
            decision=decision,
            regime=self._state.regime,
            gates=begin.gates,
            at=workflow.now(),
        )

    async def change_system(self, change: ChangeSystem) -> Answer:
        """File another version; roll it out now, or at the resumption."""
        why = self._why_not("rolled out", change.by, frozenset({"applicant"}))
        if why:
            return await self._journal.refuse(
                change.decision_id, "change-system", change.by, why
            )
        name = f"system/{change.decision_id}"
        keep = KeepManifests(trial_id=self._state.trial_id, name=name, change=change)
        problems = await perform(LedgerActivities.examine_change, keep)
        if problems:
            return await self._journal.refuse(
                change.decision_id, "change-system", change.by, "; ".join(problems)
            )
        place = await perform(LedgerActivities.file_manifests, keep)
        self._journal.change(manifests=name)
        if self._journal.stands == "running" and not self._journal.open_breach:
            await want(self._journal, "ready")
        return Answer(accepted=True, index=place.index)

    async def stop(self, stop: StopTrial) -> Answer:
        """Ask for the end of the trial."""
        why = self._why_not("stopped", stop.by, roles_for("stop"))
        if why:
            return await self._journal.refuse(stop.decision_id, "stop", stop.by, why)
        self._journal.change(stop_requested=f"{stop.by.name}: {stop.reason}")
        return Answer(accepted=True)

    async def keep_load(self, report: ReportLoad) -> Answer:
        """Record the result of a load test."""
        body = report.result.model_dump(mode="json")
        index = await self._journal.record("load-result", report.decision_id, body)
        return Answer(accepted=True, index=index)

    def _why_not(self, what: str, by: Actor, roles: frozenset[Role]) -> str:
        if self._journal.stands not in ("running", "paused"):
            return f"the case is {self._journal.stands}; nothing can be {what} now"
        if by.role not in roles:
            return (
                f"{by.name} acts as {by.role}; this is for {', '.join(sorted(roles))}"
            )
        return ""
