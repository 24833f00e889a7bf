"""Who takes part in a case: applicants, authorities, and people acting in roles.

Roles follow the schemes' own separation of duties: who assesses does not approve, and
neither is the applicant (EU AI Act Art. 57; METI project-type sandbox).
"""

from __future__ import annotations

from typing import Literal

from sandbox.model.record import Identifier, Record

Role = Literal[
    "applicant",
    "case-officer",
    "authority",
    "assessor",
    "approver",
    "rule-owner",
    "platform-operator",
    "public",
    "machine",
]
"""What a person is in a case.

applicant: files and runs the trial. case-officer: checks completeness. authority:
gives an opinion for a competent authority. assessor: prepares the decision. approver:
decides. rule-owner: owns the rulebook and adopts its amendments. platform-operator:
keeps the servers, decides nothing. public: comments. machine: a workflow or monitor.
"""


class Applicant(Record):
    """Who asks for the trial; called *participant* in prose once approved."""

    name: str
    contact: str


class Authority(Record):
    """A body with jurisdiction over a rule or over the applicant's business."""

    authority: Identifier
    name: str


class Actor(Record):
    """A person or machine acting in a role; filled by the door, never by a payload."""

    kind: Literal["actor"] = "actor"
    name: str
    role: Role
    represents: str = ""
    """The authority or applicant this person acts for; empty for machines."""
