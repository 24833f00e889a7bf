"""How should the rule change, and what would that have done?

`propose` drafts amendments from findings (or no change, with reasons); `label_support`
says how far the evidence reaches; `redline_rows` compares the texts. A consultation is
opened, commented and answered; `adopt` makes the next version of the rulebook, `retain`
leaves it as it is.
"""

from sandbox.revision.adopt import Enactment, adopt, apply_amendments, retain
from sandbox.revision.consultation import (
    add_comment,
    dispose,
    open_consultation,
    undisposed,
)
from sandbox.revision.propose import TrialGrounds, propose
from sandbox.revision.redline import redline_html, redline_markdown, redline_rows
from sandbox.revision.support import candidates_of, label_support

__all__ = [
    "Enactment",
    "TrialGrounds",
    "add_comment",
    "adopt",
    "apply_amendments",
    "candidates_of",
    "dispose",
    "label_support",
    "open_consultation",
    "propose",
    "redline_html",
    "redline_markdown",
    "redline_rows",
    "retain",
    "undisposed",
]
