"""Consultation and adoption: periods, answers, ownership, differences with reasons."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sandbox.errors import InputError, ProcedureError
from sandbox.model.party import Actor
from sandbox.model.proposal import (
    Comment,
    Consultation,
    Disposition,
    Publication,
    Retention,
    RevisionProposal,
)
from sandbox.model.regime import Regime
from sandbox.model.rule import Amendment, Rule, Rulebook, RuleSource
from sandbox.revision import (
    Enactment,
    add_comment,
    adopt,
    apply_amendments,
    dispose,
    open_consultation,
    publication_markdown,
    retain,
    undisposed,
)
from sandbox.rules import reference

T0 = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
ENTRY = date(2026, 12, 1)
PUBLIC = Actor(name="A. Citizen", role="public")
OWNER = Actor(name="Desk", role="rule-owner", represents="health")


def rule(name: str, text: str = "Keep it.", **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "rule": name,
        "text": text,
        "source": RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        "goal": "safe",
        "mechanism": "regulation",
        "applies": "true",
        "requires": "span.duration_s < 9.0",
        "severity": "major",
        "waivable": True,
    }
    return Rule(**{**values, **changes})


BOOK = Rulebook(
    rulebook="pharmacy",
    version=6,
    title="t",
    owner="health",
    in_force_from=date(2024, 1, 1),
    rules=(rule("a"), rule("b")),
)


def replace(name: str = "a", text: str = "Keep it well.", **changes: Any) -> Amendment:
    values: dict[str, Any] = {
        "operation": "replace",
        "rule": name,
        "new": rule(name, text),
        "why": "shown",
        "in_force_from": ENTRY,
    }
    return Amendment(**{**values, **changes})


def proposal(*amendments: Amendment) -> RevisionProposal:
    return RevisionProposal(
        proposal="P-1",
        amends=reference(BOOK),
        amendments=amendments or (replace(),),
        reasons=("shown",),
        grounds=("t/F-1",),
        alternatives=(),
        redline=(),
        proposed_at=T0,
    )


def regime(minimum: str = "P30D", time_zone: str = "Asia/Tokyo") -> Regime:
    return Regime.model_validate(
        {
            "regime": "r",
            "name": "Example regime",
            "law": ["L"],
            "time_zone": time_zone,
            "authorities": [{"authority": "health", "name": "H"}],
            "clocks": [],
            "longest_trial": "P1M",
            "minimum_consultation": minimum,
            "monitoring_window": "PT5S",
            "exit_report_by": "authority",
        }
    )


def comment(name: str = "c-1", *, after: timedelta = timedelta(days=1)) -> Comment:
    return Comment(comment_id=name, by=PUBLIC, text="Why?", at=T0 + after)


def answer(name: str = "c-1", **changes: Any) -> Disposition:
    values: dict[str, Any] = {
        "comment_id": name,
        "outcome": "noted",
        "reason": "Because.",
        "by": OWNER,
        "at": T0 + timedelta(days=2),
    }
    return Disposition(**{**values, **changes})


def opened() -> Consultation:
    return open_consultation(proposal(), regime=regime(), at=T0)


def closed(*names: str) -> Consultation:
    consultation = opened()
    for name in names:
        consultation = dispose(add_comment(consultation, comment(name)), answer(name))
    return consultation


def enactment(**changes: Any) -> Enactment:
    at = T0 + timedelta(days=31)
    return Enactment(by=OWNER, at=at, reason="It works.")._replace(**changes)


def test_it_is_open_exactly_as_long_as_the_regime_asks_at_least() -> None:
    """Thirty days; a civil month keeps its meaning in the regime's own time zone."""
    assert opened().open.end == T0 + timedelta(days=30)
    month = open_consultation(proposal(), regime=regime("P1M"), at=T0)
    assert month.open.end == datetime(2026, 2, 28, 9, 0, tzinfo=UTC)


def test_closing_early_is_refused_and_closing_later_is_not() -> None:
    """The refusal names the earliest lawful instant."""
    with pytest.raises(ProcedureError, match="2026-03-02"):
        open_consultation(
            proposal(), regime=regime(), at=T0, until=T0 + timedelta(days=29)
        )
    longer = open_consultation(
        proposal(), regime=regime(), at=T0, until=T0 + timedelta(days=40)
    )
    assert longer.open.end == T0 + timedelta(days=40)


def test_comments_count_only_while_it_is_open() -> None:
    """The last instant no longer belongs to it."""
    assert add_comment(opened(), comment()).comments == (comment(),)
    for after in (timedelta(seconds=-1), timedelta(days=30)):
        with pytest.raises(ProcedureError, match="is open from"):
            add_comment(opened(), comment(after=after))


def test_the_same_message_again_changes_nothing() -> None:
    """A repeated comment or answer is safe; another under its id is refused."""
    once = closed("c-1")
    assert add_comment(once, comment()) == once
    assert dispose(once, answer()) == once
    with pytest.raises(ProcedureError, match="another comment c-1"):
        add_comment(once, comment(after=timedelta(days=3)))
    with pytest.raises(ProcedureError, match="which stands"):
        dispose(once, answer(outcome="accepted"))


def test_an_empty_comment_is_refused() -> None:
    """There is nothing to answer."""
    empty = comment().model_copy(update={"text": "  "})
    with pytest.raises(ProcedureError, match="it is empty"):
        add_comment(opened(), empty)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"comment_id": "c-9"}, "no such comment; there are c-1"),
        ({"reason": " "}, "needs a reason"),
        ({"by": PUBLIC}, "the rule owner answers"),
    ],
)
def test_an_answer_needs_a_comment_a_reason_and_the_owner(
    changes: dict[str, Any], said: str
) -> None:
    """Each lack is said."""
    with pytest.raises(ProcedureError, match=said):
        dispose(add_comment(opened(), comment()), answer(**changes))


def test_adoption_makes_the_next_version_and_records_both() -> None:
    """Version 7 follows 6, in force from the amendment's day, digests kept."""
    amended, adoption = adopt(
        proposal(),
        rulebook=BOOK,
        consultation=closed("c-1", "c-2"),
        enactment=enactment(),
    )
    assert (amended.version, amended.in_force_from) == (7, ENTRY)
    assert amended.rules[0].text == "Keep it well."
    assert amended.rules[1] == BOOK.rules[1]
    assert (adoption.before, adoption.after) == (reference(BOOK), reference(amended))
    assert adoption.differs_from_draft == ()
    assert adoption.reason == "It works."


def test_nothing_is_in_force_before_it_is_adopted() -> None:
    """A decision after the day in the draft moves it, and that difference is published;
    another one still needs a reason of its own.
    """
    late = enactment(at=datetime(ENTRY.year + 1, 3, 1, tzinfo=UTC))
    shut = closed("c-1", "c-2")
    amended, adoption = adopt(
        proposal(), rulebook=BOOK, consultation=shut, enactment=late
    )
    assert amended.in_force_from == late.at.date()
    (said,) = adoption.differs_from_draft
    assert said.startswith(f"a: in force from {late.at.date()} instead of {ENTRY}.")
    assert "no text is in force before it is adopted" in said
    other = late._replace(amendments=(replace(text="Keep it better."),))
    with pytest.raises(InputError, match="no reason is given"):
        adopt(proposal(), rulebook=BOOK, consultation=shut, enactment=other)


def test_every_obstacle_to_adoption_is_said_at_once() -> None:
    """Open, unanswered, wrong person, other version."""
    waiting = add_comment(opened(), comment())
    assert undisposed(waiting) == ("c-1",)
    with pytest.raises(ProcedureError) as caught:
        adopt(
            proposal(),
            rulebook=BOOK.model_copy(update={"version": 7}),
            consultation=waiting,
            enactment=enactment(by=PUBLIC, at=T0 + timedelta(days=29), reason=" "),
        )
    for said in (
        "written for pharmacy v6",
        "open for comment until",
        "c-1",
        "only the",
        "no reason is given",
    ):
        assert said in caught.value.diagnosis


def test_the_owner_of_another_rulebook_may_not_adopt() -> None:
    """The role alone is not enough."""
    other = Actor(name="Desk", role="rule-owner", represents="transport")
    with pytest.raises(ProcedureError, match="only the rule owner health decides"):
        adopt(
            proposal(),
            rulebook=BOOK,
            consultation=closed(),
            enactment=enactment(by=other),
        )


def test_the_rulebook_can_be_left_as_it_is_and_what_was_declined_is_named() -> None:
    """Nothing proposed, or all of it declined: the version stays, with a reason."""
    empty = proposal().model_copy(update={"amendments": ()})
    for draft, declined in ((proposal(), ("a",)), (empty, ())):
        retention = retain(
            draft,
            rulebook=BOOK,
            consultation=closed("c-1"),
            enactment=enactment(reason="The old rule serves."),
        )
        assert retention.retained == reference(BOOK)
        assert retention.not_adopted == declined
        assert retention.reason == "The old rule serves."


def test_retaining_is_bound_like_adopting() -> None:
    """An open consultation, a waiting comment and a stranger are all refused."""
    waiting = add_comment(opened(), comment())
    with pytest.raises(ProcedureError) as caught:
        retain(
            proposal(),
            rulebook=BOOK,
            consultation=waiting,
            enactment=enactment(by=PUBLIC, at=T0 + timedelta(days=29)),
        )
    for said in ("open for comment until", "c-1", "only the"):
        assert said in caught.value.diagnosis


def test_a_difference_from_the_draft_needs_a_reason_and_is_published() -> None:
    """Text, date, and what was dropped or added are differences."""
    draft = proposal(replace("a"), replace("b"))
    changed = (
        replace("a", "Keep it always."),
        Amendment(
            operation="insert",
            rule="c",
            new=rule("c"),
            why="asked for",
            in_force_from=ENTRY,
        ),
    )
    with pytest.raises(InputError) as caught:
        adopt(
            draft,
            rulebook=BOOK,
            consultation=closed(),
            enactment=enactment(amendments=changed),
        )
    found = [item.code for item in caught.value.defects]
    assert found == ["amendment/reason"] * 3
    _, adoption = adopt(
        draft,
        rulebook=BOOK,
        consultation=closed(),
        enactment=enactment(
            amendments=changed, reasons={"a": "c-1", "b": "c-2", "c": "c-3"}
        ),
    )
    assert adoption.differs_from_draft == (
        "a: other text than proposed. Reason: c-1",
        "b: proposed, not adopted. Reason: c-2",
        "c: adopted without having been proposed. Reason: c-3",
    )
    older = adoption.model_copy(update={"differences": ()})
    for told in (adoption, older):
        words = publication_markdown(Publication(proposal=draft, adoption=told))
        assert "other text than proposed" in words
        assert "Reason: c-3" in words


def codes(*amendments: Amendment) -> list[str]:
    with pytest.raises(InputError) as caught:
        apply_amendments(BOOK, amendments)
    return [item.code for item in caught.value.defects]


def test_amendments_that_do_not_fit_are_all_named() -> None:
    """Repeated, missing, shapeless: each a defect, and nothing is applied."""
    assert codes() == ["amendment/none"]
    assert codes(replace("z"), replace("a"), replace("a")) == [
        "amendment/misfit",
        "amendment/repeated",
    ]
    assert codes(replace(operation="insert")) == ["amendment/misfit"]
    assert codes(replace(new=None)) == ["amendment/shape"]
    assert codes(replace(new=rule("b"))) == ["amendment/shape"]
    assert codes(replace(operation="repeal")) == ["amendment/shape"]


def test_an_unsound_result_is_refused() -> None:
    """An expression that does not compile never becomes law."""
    broken = rule("a", requires="span.duration_s <")
    assert codes(replace(new=broken)) == ["rulebook/expression"]


def test_a_repeal_takes_a_rule_out_and_never_the_last_one() -> None:
    """A rulebook without rules is not a rulebook."""
    repeal = [replace(name, operation="repeal", new=None) for name in ("a", "b")]
    assert [item.rule for item in apply_amendments(BOOK, repeal[:1]).rules] == ["b"]
    assert codes(*repeal) == ["amendment/empties"]


def test_what_is_published_cannot_be_markup_and_hides_nothing() -> None:
    """A comment stays text, the unanswered one is said, and so is what was retained."""
    attack = Comment(
        comment_id="c-9",
        by=Actor(name="<b>A</b>", role="public"),
        text="x | y\n# [a](javascript:b)",
        at=T0,
    )
    kept = Retention(
        proposal="P-1",
        retained=reference(BOOK),
        not_adopted=("dispense/check",),
        reason="It is *enough*.",
        by=OWNER,
        at=T0,
    )
    words = publication_markdown(
        Publication(
            proposal=proposal(),
            consultation=add_comment(opened(), attack),
            retention=kept,
        )
    )
    (row,) = [line for line in words.splitlines() if "not answered" in line]
    assert row.startswith("| \\<b>A\\</b> | x \\| y # \\[a](javascript:b) |")
    assert "v6 was retained by Desk" in words
    assert "It is \\*enough\\*." in words


def test_nothing_enters_into_force_before_the_version_it_amends() -> None:
    """The next version would stand in the place of the present one in the past."""
    early = replace(in_force_from=date(2023, 12, 31))
    with pytest.raises(InputError, match="from 2023-12-31, before pharmacy v6"):
        apply_amendments(BOOK, [early])
