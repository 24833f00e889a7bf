"""What does the evidence say about the goals, and how surely?

`check_plan`, `feasibility`, `outlook` and `harm_outlook` say before the trial what it
can show and how soon it is stopped, exactly but for two arms, whose trials are drawn;
`plan_digest` locks the plan; `judge_evidence` (or `judge`, for a trial without pauses)
gives findings and looks; `exit_report` sums up. `missing_units` and
`completeness_limits` bring in what is known to be missing of the evidence. `conclude`
does all of this from a trial's log entries and frames; `sandbox.findings.rederive` does
it again from a bundle. The statistics stand in `sandbox.findings.sequential`, e-values
of several trials and goals in `sandbox.findings.evalues`.
"""

from sandbox.findings.chances import Outlook
from sandbox.findings.conclude import (
    Conclusion,
    TrialRecord,
    conclude,
    trial_record,
)
from sandbox.findings.evidence import TrialEvidence
from sandbox.findings.feasibility import Feasibility, feasibility, outlook
from sandbox.findings.goal import look_at_goal, look_problem
from sandbox.findings.harm_outlook import HarmOutlook, harm_outlook
from sandbox.findings.judge import Judgement, judge, judge_evidence
from sandbox.findings.missing import completeness_limits, missing_units
from sandbox.findings.observed import settling_of
from sandbox.findings.plan import check_plan, plan_digest
from sandbox.findings.report import TrialCourse, exit_report
from sandbox.findings.tally import units_of

__all__ = [
    "Conclusion",
    "Feasibility",
    "HarmOutlook",
    "Judgement",
    "Outlook",
    "TrialCourse",
    "TrialEvidence",
    "TrialRecord",
    "check_plan",
    "completeness_limits",
    "conclude",
    "exit_report",
    "feasibility",
    "harm_outlook",
    "judge",
    "judge_evidence",
    "look_at_goal",
    "look_problem",
    "missing_units",
    "outlook",
    "plan_digest",
    "settling_of",
    "trial_record",
    "units_of",
]
