"""Is the application complete? Who is heard, who decides, what state is the case in?

| module | question |
|---|---|
| `intake` | what is missing from an application? |
| `collision` | does what it asks of the rules hold together? |
| `plausible` | do its plan and its needs make sense? |
| `designs` | does each goal bring what its design needs? |
| `review` | who may give an opinion, who may decide? |
| `case` | which act is lawful in which state, and by whom? |
| `clock` | when is something due? |
| `papers` | opinions and comments as people file them |
"""

from sandbox.procedure.case import (
    FINAL_STATES,
    Act,
    Case,
    advance,
    lawful_acts,
    open_case,
    roles_for,
)
from sandbox.procedure.clock import add_period, due_at, exceeds
from sandbox.procedure.collision import check_collisions, compensating
from sandbox.procedure.intake import check_application, read_application
from sandbox.procedure.papers import CommentPaper, CommentPapers, OpinionPapers
from sandbox.procedure.review import (
    DecisionRequest,
    consider_decision,
    consider_opinion,
)

__all__ = [
    "FINAL_STATES",
    "Act",
    "Case",
    "CommentPaper",
    "CommentPapers",
    "DecisionRequest",
    "OpinionPapers",
    "add_period",
    "advance",
    "check_application",
    "check_collisions",
    "compensating",
    "consider_decision",
    "consider_opinion",
    "due_at",
    "exceeds",
    "lawful_acts",
    "open_case",
    "read_application",
    "roles_for",
]
