"""Activities on the record: entries, documents, sealing, closing.

Rules of this module:

* Every append is idempotent by its entry id; a retried activity changes nothing twice.
* The sealed form of a segment lies on disk before the log names it, and is what is put
  away also when another version of the program goes on after a crash.
* A segment that cannot be sealed is an incident and holds up no other.
* Refused requests are entered before the recorder's account of them is dropped.
* An entry carries the record itself where it is small and public, a digest otherwise.
"""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from sandbox.errors import EvidenceError, RecorderError
from sandbox.evidence import seal
from sandbox.evidence.refusals import refusal_entries
from sandbox.model.record import Interval, digest_of
from sandbox.procedure import add_period
from sandbox.rules import compose, reference
from workflows.activities.boundary import activity_method
from workflows.activities.closing import close
from workflows.activities.damage import Unreadable, is_given_up, record_damage
from workflows.activities.examining import (
    begun_problems,
    change_problems,
)
from workflows.activities.filing import file_application
from workflows.activities.inspect import environment_of
from workflows.activities.keeping import Bundles, Ledger
from workflows.activities.overlap import (
    conflicts_if_begun,
)
from workflows.activities.site import Site
from workflows.messages import (
    CaseUpdate,
    CheckApplication,
    CloseTrial,
    Closing,
    EntryDraft,
    EntryPlace,
    KeepManifests,
    PreparedTrial,
    PrepareTrial,
    Sealing,
    SealSegments,
    Submission,
    SystemManifests,
)


class LedgerActivities:
    """Keeps the record of every case."""

    def __init__(self, ledger: Ledger, site: Site, bundles: Bundles) -> None:
        self._ledger = ledger
        self._site = site
        self._bundles = bundles

    @activity_method
    def record_entry(self, draft: EntryDraft) -> EntryPlace:
        """Append one entry to the log."""
        return self._ledger.append(draft)

    @activity_method
    def update_case(self, update: CaseUpdate) -> None:
        """Show the case's state in the list of cases."""
        self._ledger.records.set_case(update.trial_id, update.state, update.summary)

    @activity_method
    def check_application(self, check: CheckApplication) -> Submission:
        """Store an application and return every defect it has."""
        return file_application(self._ledger, self._site, check)

    @activity_method
    def find_conflicts(self, prepare: PrepareTrial) -> list[str]:
        """Return with what it would certainly conflict, in words: with trials under
        way, and with rules about what it brings into the cluster.
        """
        found = conflicts_if_begun(
            self._ledger, prepare.trial_id, regime=prepare.regime, at=prepare.at
        )
        return [item.sentence() for item in found if item.is_certain] + begun_problems(
            self._ledger, self._site, prepare.trial_id, at=prepare.at
        )

    @activity_method
    def examine_change(self, keep: KeepManifests) -> list[str]:
        """Return why another version of the system cannot be rolled out."""
        spec = environment_of(self._ledger, keep.trial_id)
        return change_problems(self._ledger, spec, keep.change.manifests)

    @activity_method
    def file_manifests(self, keep: KeepManifests) -> EntryPlace:
        """Keep another version of the system, and record that there is one."""
        manifests = SystemManifests(objects=keep.change.manifests)
        digest = self._ledger.records.put_document(keep.trial_id, keep.name, manifests)
        return self._ledger.append(
            EntryDraft(
                kind="environment",
                entry_id=keep.change.decision_id,
                trial_id=keep.trial_id,
                body={
                    "act": "change-system",
                    "manifests_digest": digest,
                    "reason": keep.change.reason,
                    "by": keep.change.by.model_dump(mode="json"),
                },
            )
        )

    @activity_method
    def prepare_trial(self, prepare: PrepareTrial) -> PreparedTrial:
        """Lock the plan, compose the temporary rule, fix the environment."""
        return _prepare(self._ledger, self._site, prepare)

    @activity_method
    def seal_segments(self, task: SealSegments) -> Sealing:
        """Seal what is closed, and sign a checkpoint."""
        ledger = self._ledger
        if task.roll:
            ledger.segments.roll(task.trial_id)
        sealing, failed = _seal_closed(ledger, task.trial_id)
        refused = _enter_refusals(ledger)
        if sealing.sealed or sealing.damaged or refused:
            ledger.checkpoint()
        if failed is not None:
            raise failed
        return sealing

    @activity_method
    def close_trial(self, task: CloseTrial) -> Closing:
        """Judge the whole trial, write the exit report and the bundle."""
        return close(self._ledger, self._bundles, task)


def _seal_closed(
    ledger: Ledger, trial_id: str
) -> tuple[Sealing, RecorderError | EvidenceError | None]:
    """Seal whatever can be, and return also why another attempt is to be made."""
    sealed, damaged, failed = 0, [], None
    for file in ledger.segments.files(trial_id):
        if file.state != "closed":
            continue
        activity.heartbeat(file.number)
        try:
            raw = ledger.segments.read(trial_id, file.number)
            # Only what is wrong with the segment counts as that, not with the key.
            seal.whole_frames(raw, file.number)
        except Unreadable as error:
            if is_given_up(error):
                cause = error.diagnosis
                damaged.append(record_damage(ledger, trial_id, file.number, cause))
            else:
                failed = error
        else:
            _seal(ledger, trial_id, file.number, raw)
            sealed += 1
    return Sealing(sealed=sealed, damaged=tuple(damaged)), failed


def _seal(ledger: Ledger, trial_id: str, number: int, raw: bytes) -> None:
    sealed = _staged(ledger, trial_id, number, raw) or seal.seal_segment(
        raw,
        trial_id=trial_id,
        number=number,
        rulebook_digest=ledger.temporary_rule(trial_id).of.digest,
        signer=ledger.signer,
    )
    files = {"compressed": sealed.compressed, "envelope": sealed.envelope}
    ledger.segments.stage_sealed(trial_id, number, **files)
    _enter_sealed(ledger, sealed)
    ledger.segments.put_sealed(trial_id, number, **files)


def _staged(
    ledger: Ledger, trial_id: str, number: int, raw: bytes
) -> seal.Sealed | None:
    """Return what was made of the segment before, if that was interrupted."""
    files = ledger.segments.read_staged(trial_id, number)
    if files is None:
        return None
    try:
        sealed = seal.reopen(*files, raw=raw, signer=ledger.signer)
    except EvidenceError:
        return None
    named = (sealed.segment.trial_id, sealed.segment.number)
    return sealed if named == (trial_id, number) else None


def _enter_sealed(ledger: Ledger, sealed: seal.Sealed) -> None:
    entry = seal.segment_entry(sealed, recorded_at=ledger.clock.now())
    known = ledger.log.entry(entry.entry_id)
    # The same statement may be written into an entry otherwise by a later version.
    digest = sealed.statement_digest
    if known is None or known.entry.body.get("statement_digest") != digest:
        ledger.log.append(entry)


def _enter_refusals(ledger: Ledger) -> int:
    """Enter what the recorder refused, of all trials and of nobody's."""
    windows = ledger.segments.refusals()
    for window in windows:
        for entry in refusal_entries(window, recorded_at=ledger.clock.now()):
            ledger.log.append(entry)
        ledger.segments.drop_refusals(window.name)
    return len(windows)


def _prepare(ledger: Ledger, site: Site, prepare: PrepareTrial) -> PreparedTrial:
    trial_id, records = prepare.trial_id, ledger.records
    application = ledger.application(trial_id)
    rulebook = ledger.in_force(application.rulebook, at=prepare.at)
    plan_digest = digest_of(application.plan)
    ledger.write("plan", f"plan/{trial_id}", trial_id, application.plan)
    until = add_period(
        prepare.at, application.period.length, time_zone=prepare.regime.time_zone
    )
    rule = compose(
        application,
        decision=prepare.decision,
        rulebook=rulebook,
        in_force=Interval(start=prepare.at, end=until),
        plan_digest=plan_digest,
    )
    rule_digest = records.put_document(trial_id, "temporary-rule", rule)
    ledger.write("temporary-rule", rule.temporary_rule, trial_id, rule)
    spec = site.environment(application, rule=rule, rule_digest=rule_digest)
    isolation_class = prepare.decision.isolation_class
    spec = spec.model_copy(update={"isolation_class": isolation_class})
    records.put_document(trial_id, "environment", spec)
    _record_beginning(ledger, prepare, until)
    return PreparedTrial(
        plan_digest=plan_digest,
        temporary_rule_digest=rule_digest,
        rulebook=reference(rulebook),
        expires_at=until,
    )


def _record_beginning(ledger: Ledger, prepare: PrepareTrial, until: datetime) -> None:
    draft = EntryDraft(
        kind="environment",
        entry_id=f"begin/{prepare.trial_id}",
        trial_id=prepare.trial_id,
        body={"act": "begin", "gates": prepare.gates, "until": until.isoformat()},
    )
    ledger.append(draft)
