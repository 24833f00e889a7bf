"""Inputs and results of workflows, updates, signals and queries: one model each.

Rules of this module:

* Identifiers, digests and small documents only; never evidence.
* A decision by a person carries `decision_id` (the same id is the same decision, also
  after continue-as-new), a reason, and an actor that the door fills.
* New fields are optional, so that older histories can still be read.

| module | what it holds |
|---|---|
| `ledger` | what activities write to the record |
| `environment` | the environment of one trial: wishes, reports, tasks |
| `inspection` | whether an environment still is as decided |
| `review` | one decision by several people |
| `trial` | what people do to a trial, what machines tell it, what it carries |
| `tasks` | inputs and results of the activities of a trial |
| `monitor` | what the monitor carries from window to window |
| `revision` | from findings to the next version of a rulebook |
| `reaper` | one sweep over all environments |
| `warm` | environments that are proven before a trial asks for one |
"""

from workflows.messages.environment import (
    DesiredState,
    EnvironmentInput,
    EnvironmentOutcome,
    EnvironmentReport,
    EnvironmentTask,
    FreezeNow,
    ProofSummary,
    SystemManifests,
)
from workflows.messages.inspection import (
    Inspected,
    InspectEnvironment,
    Proven,
)
from workflows.messages.ledger import (
    CaseUpdate,
    EntryDraft,
    EntryPlace,
)
from workflows.messages.monitor import (
    Cursor,
    MonitorControl,
    MonitorState,
    MonitorStatus,
    WindowResult,
)
from workflows.messages.reaper import (
    ReaperInput,
    ReaperResult,
)
from workflows.messages.review import (
    CastOpinion,
    Decide,
    Recuse,
    ReviewInput,
    ReviewResult,
    ReviewStatus,
)
from workflows.messages.revision import (
    Adopt,
    AdoptionResult,
    DisposeComment,
    DraftProposal,
    EndRevision,
    FileComment,
    KeepConsultation,
    OpenConsultation,
    ProposalSummary,
    Retain,
    RevisionInput,
    RevisionStatus,
)
from workflows.messages.tasks import (
    CheckApplication,
    CloseTrial,
    Closing,
    KeepManifests,
    PreparedTrial,
    PrepareTrial,
    Sealing,
    SealSegments,
)
from workflows.messages.trial import (
    Answer,
    BeginTrial,
    BreachReport,
    ChangeSystem,
    ReportLoad,
    RulebookChanged,
    StopTrial,
    Submission,
    SubmitApplication,
    Terms,
    TrialState,
    TrialStatus,
)
from workflows.messages.warm import WarmInput, WarmResult

__all__ = [
    "Adopt",
    "AdoptionResult",
    "Answer",
    "BeginTrial",
    "BreachReport",
    "CaseUpdate",
    "CastOpinion",
    "ChangeSystem",
    "CheckApplication",
    "CloseTrial",
    "Closing",
    "Cursor",
    "Decide",
    "DesiredState",
    "DisposeComment",
    "DraftProposal",
    "EndRevision",
    "EntryDraft",
    "EntryPlace",
    "EnvironmentInput",
    "EnvironmentOutcome",
    "EnvironmentReport",
    "EnvironmentTask",
    "FileComment",
    "FreezeNow",
    "InspectEnvironment",
    "Inspected",
    "KeepConsultation",
    "KeepManifests",
    "MonitorControl",
    "MonitorState",
    "MonitorStatus",
    "OpenConsultation",
    "PrepareTrial",
    "PreparedTrial",
    "ProofSummary",
    "ProposalSummary",
    "Proven",
    "ReaperInput",
    "ReaperResult",
    "Recuse",
    "ReportLoad",
    "Retain",
    "ReviewInput",
    "ReviewResult",
    "ReviewStatus",
    "RevisionInput",
    "RevisionStatus",
    "RulebookChanged",
    "SealSegments",
    "Sealing",
    "StopTrial",
    "Submission",
    "SubmitApplication",
    "SystemManifests",
    "Terms",
    "TrialState",
    "TrialStatus",
    "WarmInput",
    "WarmResult",
    "WindowResult",
]
