"""Papers of a hearing as people write them, without what the door fills in.

Rules of this module:

* A file never says when something was said; the door adds the instant.
* Who speaks is written here only for readers and rehearsals; a door with a sign-in
  replaces it by who is signed in.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.decision import Opinion
from sandbox.model.party import Actor
from sandbox.model.record import Record


class OpinionPapers(Record):
    """The opinions of all authorities heard."""

    kind: Literal["opinions"] = "opinions"
    opinions: tuple[Opinion, ...] = Field(min_length=1)


class DispositionPaper(Record):
    """What becomes of a comment, and why."""

    outcome: Literal["accepted", "accepted-in-part", "not-accepted", "noted"]
    reason: str
    by: Actor


class CommentPaper(Record):
    """A comment on a proposal, with the answer prepared for it."""

    comment_id: str
    by: Actor
    text: str
    disposition: DispositionPaper


class CommentPapers(Record):
    """The comments of a consultation."""

    kind: Literal["comments"] = "comments"
    comments: tuple[CommentPaper, ...] = Field(min_length=1)
