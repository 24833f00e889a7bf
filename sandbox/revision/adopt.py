"""The end of a revision: the next version of the rulebook, or the same one retained.

Rules of this module:

* Amendments apply to exactly the version they were written for, all or none.
* What they produce must itself be a sound rulebook.
* No amendment is in force before the day on which it is adopted.
* Nothing is adopted, and nothing is retained, while the consultation is open or a
  comment is unanswered, nor by anyone but the owner of the rulebook, nor without a
  reason.
* Every difference between the draft that was consulted on and the adopted text is
  published with its reason (Administrative Procedure Act of Japan, Art. 43(1)(iv)), and
  so is the decision to enact nothing (Art. 43(4)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sandbox.errors import InputError, ProcedureError
from sandbox.model.application import Defect
from sandbox.model.party import Actor
from sandbox.model.proposal import (
    Adoption,
    Consultation,
    Retention,
    RevisionProposal,
    TextDifference,
)
from sandbox.model.rule import Amendment, Rule, Rulebook
from sandbox.revision.consultation import undisposed
from sandbox.revision.parts import rule_parts
from sandbox.rules import check_rulebook, reference

_LATER = (
    "It was adopted after the day that the draft names, and no text is in force before"
    " it is adopted."
)


class Enactment(NamedTuple):
    """The owner's act: what is adopted, by whom, when and why."""

    by: Actor
    at: datetime
    reason: str
    amendments: tuple[Amendment, ...] | None = None
    """As adopted; None adopts the draft as it was consulted on."""
    reasons: Mapping[str, str] = {}
    """Rule → why its adopted text differs from the draft."""


def apply_amendments(rulebook: Rulebook, amendments: Sequence[Amendment]) -> Rulebook:
    """Return the next version of a rulebook.

    Args:
        rulebook: The version the amendments were written for.
        amendments: At least one, at most one for each rule.

    Raises:
        InputError: One does not fit, or the result is not sound; all problems at once.
    """
    defects = list(_misfits(rulebook, amendments))
    if defects:
        raise InputError(defects)
    by_rule = {item.rule: item for item in amendments}
    rules = [
        by_rule[rule.rule].new if rule.rule in by_rule else rule
        for rule in rulebook.rules
    ]
    rules += [item.new for item in amendments if item.operation == "insert"]
    amended = rulebook.model_copy(
        update={
            "version": rulebook.version + 1,
            "in_force_from": max(item.in_force_from for item in amendments),
            "rules": tuple(rule for rule in rules if rule is not None),
        }
    )
    unsound = check_rulebook(amended)
    if unsound:
        raise InputError(unsound)
    return amended


def adopt(
    proposal: RevisionProposal,
    *,
    rulebook: Rulebook,
    consultation: Consultation,
    enactment: Enactment,
) -> tuple[Rulebook, Adoption]:
    """Adopt a proposal after its consultation.

    Args:
        proposal: The draft as it was consulted on.
        rulebook: The version in force.
        consultation: On this proposal, with its comments and dispositions.
        enactment: The owner's act.

    Returns:
        The next version and the record of its adoption.

    Raises:
        ProcedureError: It may not be adopted now, or not by this person.
        InputError: The amendments do not fit, or a difference has no reason.
    """
    problems = [
        *_other_version(proposal, rulebook),
        *_unlawful(proposal, rulebook, consultation, enactment),
    ]
    _refuse_if(problems, proposal)
    wanted = enactment.amendments
    if wanted is None:
        wanted = proposal.amendments
    adopted = _from_adoption_on(wanted, enactment.at.date())
    reasons = _reasons(proposal.amendments, wanted, adopted, enactment.reasons)
    differs = _differences(proposal.amendments, adopted, reasons)
    amended = apply_amendments(rulebook, adopted)
    return amended, Adoption(
        proposal=proposal.proposal,
        before=reference(rulebook),
        after=reference(amended),
        adopted=adopted,
        differs_from_draft=tuple(
            f"{item.rule}: {item.difference}. Reason: {item.reason}" for item in differs
        ),
        differences=differs,
        reason=enactment.reason,
        by=enactment.by,
        at=enactment.at,
    )


def retain(
    proposal: RevisionProposal,
    *,
    rulebook: Rulebook,
    consultation: Consultation,
    enactment: Enactment,
) -> Retention:
    """Leave the rulebook as it is after a consultation on a proposal.

    It ends a proposal of no change, and declines one that has amendments, also where
    another version came into force meanwhile.

    Args:
        proposal: The draft as it was consulted on.
        rulebook: The version in force.
        consultation: On this proposal, with its comments and dispositions.
        enactment: The owner's act; its amendments are not looked at.

    Raises:
        ProcedureError: It may not be decided now, or not by this person.
    """
    problems = list(_unlawful(proposal, rulebook, consultation, enactment))
    _refuse_if(problems, proposal)
    return Retention(
        proposal=proposal.proposal,
        retained=reference(rulebook),
        not_adopted=tuple(item.rule for item in proposal.amendments),
        reason=enactment.reason,
        by=enactment.by,
        at=enactment.at,
    )


def _misfits(rulebook: Rulebook, amendments: Sequence[Amendment]) -> Iterator[Defect]:
    version = f"{rulebook.rulebook} v{rulebook.version}"
    if not amendments:
        yield _defect("none", "there is nothing to adopt", "Propose an amendment", "")
    known = {rule.rule for rule in rulebook.rules}
    seen: set[str] = set()
    for index, item in enumerate(amendments):
        place = f"amendments.{index}"
        if item.rule in seen:
            what = f"{item.rule} is amended twice"
            yield _defect("repeated", what, "Put both into one", place)
        seen.add(item.rule)
        if (item.operation == "insert") == (item.rule in known):
            what = f"{version} {'has' if item.rule in known else 'has no'} {item.rule}"
            remedy = "Write the amendment for the version in force"
            yield _defect("misfit", f"cannot {item.operation}: {what}", remedy, place)
        if item.in_force_from < rulebook.in_force_from:
            what = f"it would be in force from {item.in_force_from}, before {version}"
            remedy = f"Write {rulebook.in_force_from} or later"
            yield _defect("before", what, remedy, f"{place}.in_force_from")
        yield from _shape(item, place)
    if amendments and known <= {
        item.rule for item in amendments if item.operation == "repeal"
    }:
        what = f"nothing would be left of {version}"
        yield _defect("empties", what, "Keep a rule, or close the rulebook", "")


def _shape(item: Amendment, place: str) -> Iterator[Defect]:
    if item.operation == "repeal":
        if item.new is not None:
            what = f"the repeal of {item.rule} carries a new text"
            yield _defect("shape", what, "Replace it instead", f"{place}.new")
    elif item.new is None or item.new.rule != item.rule:
        what = f"the {item.operation} of {item.rule} carries no text for that rule"
        yield _defect("shape", what, "Give the rule after amendment", f"{place}.new")


def _other_version(proposal: RevisionProposal, rulebook: Rulebook) -> Iterator[str]:
    """Say for which version it was written, where that is not the one in force."""
    amends, now = proposal.amends, reference(rulebook)
    if amends == now:
        return
    digests = ""
    if amends.version == now.version:
        digests = f" ({amends.digest} then, {now.digest} now)"
    yield (
        f"it was written for {amends.rulebook} v{amends.version} and v{now.version} is"
        f" in force{digests}; propose again on that"
    )


def _unlawful(
    proposal: RevisionProposal,
    rulebook: Rulebook,
    consultation: Consultation,
    enactment: Enactment,
) -> Iterator[str]:
    """Say why nothing may be decided on a proposal now, or by this person."""
    if consultation.proposal != proposal.proposal:
        yield f"the consultation is on {consultation.proposal}"
    if enactment.at < consultation.open.end:
        yield (
            f"it is open for comment until {consultation.open.end:%Y-%m-%d %H:%M:%S}"
            " UTC; wait until then"
        )
    waiting = undisposed(consultation)
    if waiting:
        yield f"comments without a disposition: {', '.join(waiting)}"
    by = enactment.by
    if by.role != "rule-owner" or by.represents != rulebook.owner:
        yield (
            f"{by.name} is {by.role} for {by.represents or 'nobody'}; only the rule"
            f" owner {rulebook.owner} decides"
        )
    if not enactment.reason.strip():
        yield "no reason is given; say why"


def _refuse_if(problems: Sequence[str], proposal: RevisionProposal) -> None:
    if problems:
        raise ProcedureError(
            f"{proposal.proposal} cannot be decided: " + "; ".join(problems) + "."
        )


def _from_adoption_on(
    amendments: Sequence[Amendment], day: date
) -> tuple[Amendment, ...]:
    """Return the amendments, none of them in force before the day of its adoption."""
    return tuple(
        item.model_copy(update={"in_force_from": max(item.in_force_from, day)})
        for item in amendments
    )


def _reasons(
    draft: Sequence[Amendment],
    wanted: Sequence[Amendment],
    adopted: Sequence[Amendment],
    given: Mapping[str, str],
) -> dict[str, str]:
    """Return why the adopted text differs, where the only reason is when it came."""
    before = {item.rule: item for item in draft}
    found = dict(given)
    for one, other in zip(wanted, adopted, strict=True):
        is_later = one.in_force_from != other.in_force_from
        if is_later and not _difference(before.get(one.rule), one):
            found.setdefault(one.rule, _LATER)
    return found


def _differences(
    draft: Sequence[Amendment],
    adopted: Sequence[Amendment],
    reasons: Mapping[str, str],
) -> tuple[TextDifference, ...]:
    before = {item.rule: item for item in draft}
    after = {item.rule: item for item in adopted}
    said: list[TextDifference] = []
    defects: list[Defect] = []
    for rule in dict.fromkeys((*before, *after)):
        one, two = before.get(rule), after.get(rule)
        change = _difference(one, two)
        reason = reasons.get(rule, "").strip()
        if change and not reason:
            what = f"{rule}: {change}, and no reason is given"
            defects.append(_defect("reason", what, "Say why it differs", "reasons"))
        elif change:
            parts = rule_parts(one.new if one else None, two.new if two else None)
            said.append(
                TextDifference(rule=rule, difference=change, reason=reason, parts=parts)
            )
    if defects:
        raise InputError(defects)
    return tuple(said)


def _difference(draft: Amendment | None, adopted: Amendment | None) -> str:
    if adopted is None:
        return "proposed, not adopted"
    if draft is None:
        return "adopted without having been proposed"
    if draft.operation != adopted.operation:
        return f"{draft.operation} proposed, {adopted.operation} adopted"
    if draft.in_force_from != adopted.in_force_from:
        return f"in force from {adopted.in_force_from} instead of {draft.in_force_from}"
    changed = _changed_fields(draft.new, adopted.new)
    return f"other {', '.join(changed)} than proposed" if changed else ""


def _changed_fields(draft: Rule | None, adopted: Rule | None) -> list[str]:
    if draft is None or adopted is None:
        return []
    return [
        name
        for name in Rule.model_fields
        if getattr(draft, name) != getattr(adopted, name)
    ]


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"amendment/{check}", what=what, remedy=remedy, field=field)
