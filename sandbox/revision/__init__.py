"""How should the rule change, and what would that have done?

`propose` drafts amendments from findings (or no change, with reasons); `with_support`
says how far the evidence reaches, `impact_of` what would have been different, and
`compare_impact` whether its figures are found again; `redline_rows` compares the texts;
`preview` says what a new version would mean for a running trial. A consultation is
opened, commented and answered; `adopt` makes the next version of the rulebook, `retain`
leaves it as it is.
"""

from sandbox.revision.adopt import Enactment, adopt, apply_amendments, retain
from sandbox.revision.candidates import candidates_of
from sandbox.revision.consultation import (
    add_comment,
    dispose,
    open_consultation,
    undisposed,
)
from sandbox.revision.impact import impact_of
from sandbox.revision.preview import RunningTrial, preview
from sandbox.revision.propose import TrialGrounds, propose
from sandbox.revision.publication import (
    publication_markdown,
    shift_words,
    support_words,
)
from sandbox.revision.recorded import Recorded
from sandbox.revision.redline import (
    parts_html,
    redline_html,
    redline_markdown,
    redline_rows,
)
from sandbox.revision.rerun import compare_impact, compare_support
from sandbox.revision.support import label_support, with_support

__all__ = [
    "Enactment",
    "Recorded",
    "RunningTrial",
    "TrialGrounds",
    "add_comment",
    "adopt",
    "apply_amendments",
    "candidates_of",
    "compare_impact",
    "compare_support",
    "dispose",
    "impact_of",
    "label_support",
    "open_consultation",
    "parts_html",
    "preview",
    "propose",
    "publication_markdown",
    "redline_html",
    "redline_markdown",
    "redline_rows",
    "retain",
    "shift_words",
    "support_words",
    "undisposed",
    "with_support",
]
