"""What is wrong with an application, and that it was filed.

Rules of this module:

* What was filed is kept before it is weighed; the same paper filed again is answered as
  the first time.
* Every defect is found at once; conflicts with other trials are looked for once there
  is none.
"""

from __future__ import annotations

from pydantic import JsonValue

from sandbox.errors import RecordsError, RuleError
from sandbox.findings import check_plan
from sandbox.model.application import Defect
from sandbox.procedure import check_application
from sandbox.rules import Conflict, check_conditions_asked
from workflows.activities.examining import filed_defects
from workflows.activities.keeping import Ledger
from workflows.activities.overlap import as_defect, conflicts_if_admitted
from workflows.activities.site import Site
from workflows.messages import (
    CheckApplication,
    EntryDraft,
    Submission,
    SystemManifests,
)


def file_application(ledger: Ledger, site: Site, check: CheckApplication) -> Submission:
    """Check what was filed and record it; filed again, what was recorded holds."""
    digest, regime_digest = _keep_filed(ledger, check)
    known = ledger.log.entry(check.submission.decision_id)
    if known is not None and known.entry.trial_id == check.trial_id:
        if known.entry.body.get("digest") == digest:
            return _answered(known.entry.body)
    application = check.submission.application
    defects, conflicts = _weigh(ledger, site, check)
    draft = EntryDraft(
        kind="application",
        entry_id=check.submission.decision_id,
        trial_id=check.trial_id,
        body={
            "digest": digest,
            "regime_digest": regime_digest,
            "application": application.model_dump(
                mode="json", by_alias=True, exclude=set(application.confidential)
            ),
            "defects": [item.model_dump(mode="json") for item in defects],
            "possible_conflicts": [
                item.sentence() for item in conflicts if not item.is_certain
            ],
            "by": check.submission.by.model_dump(mode="json"),
        },
    )
    ledger.append(draft)
    return _answered(draft.body)


def _answered(body: dict[str, JsonValue]) -> Submission:
    """Return the answer that an entry of an application records."""
    return Submission.model_validate(
        {
            "admitted": not body["defects"],
            "defects": body["defects"],
            "possible_conflicts": body.get("possible_conflicts", []),
            "application_digest": body["digest"],
        }
    )


def _weigh(
    ledger: Ledger, site: Site, check: CheckApplication
) -> tuple[tuple[Defect, ...], tuple[Conflict, ...]]:
    """Return every defect of what was filed; of what has none, every conflict with
    other trials.
    """
    application, file = check.submission.application, check.submission.file
    manifests, now = check.submission.manifests, ledger.clock.now()
    try:
        rulebook = ledger.in_force(application.rulebook, at=now)
    except RecordsError as error:
        if error.retryable:
            raise
        return (_unknown_rulebook(application.rulebook),), ()
    except RuleError as error:
        return (_not_in_force(error),), ()
    conflicts: tuple[Conflict, ...] = ()
    found = [
        *check_application(application, regime=check.regime, rulebook=rulebook),
        *check_conditions_asked(application, rulebook),
        *check_plan(application.plan),
        *filed_defects(site, application, manifests, rulebook=rulebook, at=now),
    ]
    if not found:
        conflicts = conflicts_if_admitted(
            ledger, application, rulebook=rulebook, regime=check.regime
        )
        found = [as_defect(item, application) for item in conflicts if item.is_certain]
    return tuple(item.model_copy(update={"file": file}) for item in found), conflicts


def _keep_filed(ledger: Ledger, check: CheckApplication) -> tuple[str, str]:
    """Keep what was filed; return the digests of application and regime."""
    keep, trial_id = ledger.records.put_document, check.trial_id
    manifests = SystemManifests(objects=check.submission.manifests)
    keep(trial_id, "system", manifests)
    return (
        keep(trial_id, "application", check.submission.application),
        keep(trial_id, "regime", check.regime),
    )


def _unknown_rulebook(name: str) -> Defect:
    return Defect(
        code="application/rulebook-unknown",
        what=f"there is no rulebook called {name}",
        field="rulebook",
        remedy="Name a published one; `sandbox rule list` shows them",
    )


def _not_in_force(error: RuleError) -> Defect:
    return Defect(
        code="application/rulebook-not-in-force",
        what=error.diagnosis,
        field="rulebook",
        remedy="File again when it is in force",
    )
