"""All registered trials of one question, from the log: none is left out."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sandbox.errors import JudgementError
from sandbox.findings.registry import Registration, Weighed, registered, weigh
from sandbox.model.application import Hypothesis, TrialPlan
from sandbox.model.finding import Bounds, Counts, Finding
from sandbox.model.log import LogEntry
from sandbox.model.rule import RulebookRef
from sandbox.settings import Settings
from workflows.cli import command_for
from workflows.worker import open_ledger

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
REF = RulebookRef(rulebook="transport", version=1, digest=DIGEST)


def goal(name: str = "in-time", **changes: Any) -> Hypothesis:
    values: dict[str, Any] = {
        "goal": name,
        "claim": "c",
        "unit": "request",
        "estimand": {"proportion": "satisfied", "of": "dispatch/time"},
        "threshold": 0.9,
        "alpha": 0.05,
        "design": "one-sided-sequence",
        "minimum_units": 50,
        "missing": "count-both-ways",
    }
    return Hypothesis.model_validate({**values, **changes})


def entry(trial: str, kind: str, number: int, body: dict[str, Any]) -> LogEntry:
    return LogEntry.model_validate(
        {
            "kind": kind,
            "entry_id": f"{kind}/{trial}/{number}",
            "trial_id": trial,
            "recorded_at": T0,
            "body": body,
        }
    )


def locked(trial: str, *goals: Hypothesis, rulebook: str = "transport") -> list[Any]:
    """The log of a trial whose plan was locked, and nothing after it."""
    plan = TrialPlan(
        goals=goals,
        order_of_analysis=tuple(item.goal for item in goals),
        settling_time="PT5S",
    )
    return [
        entry(trial, "application", 1, {"application": {"rulebook": rulebook}}),
        entry(trial, "plan", 1, plan.model_dump(mode="json", by_alias=True)),
        entry(trial, "transition", 1, {"after": "running"}),
    ]


def concluded(trial: str, name: str, log_evalue: float | None, verdict: str = "met"):
    finding = Finding(
        finding="F-1",
        trial_id=trial,
        subject=name,
        purpose="goal",
        rule="dispatch/time",
        verdict=verdict,
        statement="s",
        limits=(),
        counts=Counts(),
        estimate=None,
        bounds=Bounds(lower=0, upper=1),
        alpha=0.05,
        threshold=0.9,
        looks=1,
        plan_digest=DIGEST,
        data_digest=DIGEST,
        rulebook=REF,
        log_evalue=log_evalue,
    )
    return entry(trial, "finding", 1, finding.model_dump(mode="json"))


def one(found: tuple[Weighed, ...]) -> Weighed:
    (item,) = found
    return item


def test_all_trials_whose_plan_was_locked_count() -> None:
    """Judged, running, invalid or of an older version: each is named."""
    entries = [
        *locked("a", goal()),
        *locked("b", goal(design="fixed")),
        *locked("c", goal()),
        *locked("d", goal()),
        concluded("a", "in-time", 2.0),
        concluded("c", "in-time", 9.0, verdict="invalid"),
        concluded("d", "in-time", None),
    ]
    found = one(weigh(registered(entries), alpha=0.05))
    assert found.trials == (
        Registration("a", "in-time", "met", 2.0, ""),
        Registration("b", "in-time", "", None, "no finding; the case is running", True),
        Registration("c", "in-time", "invalid", None, "its verdict is invalid", True),
        Registration("d", "in-time", "met", None, "its finding carries no e-value"),
    )
    assert found.log_evalue == 2.0


def test_nothing_is_shown_while_a_trial_that_began_gives_no_evidence() -> None:
    """Under way, broken or invalid: why it gives none may be owed to what it saw."""
    strong = [*locked("a", goal()), concluded("a", "in-time", 4.0)]
    assert one(weigh(registered(strong), alpha=0.05)).holm
    never_began = locked("b", goal())[:2]
    assert one(weigh(registered([*strong, *never_began]), alpha=0.05)).holm
    begun = locked("b", goal())
    failed = [*begun, entry("b", "transition", 2, {"after": "failed"})]
    invalid = [*begun, concluded("b", "in-time", None, verdict="invalid")]
    for other in (begun, failed, invalid):
        found = one(weigh(registered([*strong, *other]), alpha=0.05))
        assert (found.log_evalue, found.holm, found.bh) == (4.0, False, False)
    older = [*begun, concluded("b", "in-time", None)]
    assert one(weigh(registered([*strong, *older]), alpha=0.05)).holm


def test_trials_that_show_little_show_much_together() -> None:
    """Three times e^1.2 passes 20, which none passes alone; a bad one takes it back."""
    entries = [item for name in "abc" for item in locked(name, goal())]
    entries += [concluded(name, "in-time", 1.2) for name in "abc"]
    found = one(weigh(registered(entries), alpha=0.05))
    assert found.log_evalue == pytest.approx(3.6)
    assert (found.holm, found.bh) == (True, True)
    entries += [*locked("d", goal()), concluded("d", "in-time", -1.0, "inconclusive")]
    assert not one(weigh(registered(entries), alpha=0.05)).holm


def test_another_threshold_rule_side_or_rulebook_is_another_question() -> None:
    """Only what asks the same multiplies; the design may differ."""
    others = [
        goal(threshold=0.95),
        goal(estimand={"proportion": "violated", "of": "dispatch/time"}),
        goal(estimand={"proportion": "satisfied", "of": "dispatch/price"}),
        goal(design="confidence-sequence", minimum_units=500, alpha=0.01),
    ]
    entries = locked("a", goal())
    for number, other in enumerate(others):
        entries += locked(f"b{number}", other)
    entries += locked("z", goal(), rulebook="other")
    found = registered(entries)
    assert sorted(map(len, found.values())) == [1, 1, 1, 1, 2]


def test_a_trial_counts_once_for_a_question() -> None:
    """With the goal that its plan puts first, whichever did better."""
    entries = [
        *locked("a", goal("first"), goal("second", minimum_units=400)),
        concluded("a", "second", 9.0),
        entry("a", "finding", 2, concluded("a", "first", 0.5).body),
    ]
    found = one(weigh(registered(entries), alpha=0.05))
    assert (found.trials[0].goal, found.log_evalue) == ("first", 0.5)


def test_the_finding_on_a_harm_does_not_hide_that_on_a_goal() -> None:
    """Also where both have one name, which old plans could give them."""
    harm = concluded("a", "in-time", None, verdict="harm").body
    entries = [
        *locked("a", goal()),
        concluded("a", "in-time", -3.0),
        entry("a", "finding", 2, {**harm, "purpose": "harm"}),
    ]
    assert one(weigh(registered(entries), alpha=0.05)).log_evalue == -3.0


def test_several_questions_are_decided_together() -> None:
    """What one question alone would show, it need not show among many."""
    enough = math.log(25)
    entries = [*locked("a", goal()), concluded("a", "in-time", enough)]
    assert one(weigh(registered(entries), alpha=0.05)).holm
    entries += locked("b", goal(threshold=0.95))
    first, second = weigh(registered(entries), alpha=0.05)
    assert (first.log_evalue, first.holm, second.holm) == (enough, False, False)


def test_a_question_nobody_asked_is_refused() -> None:
    """There is nothing to combine, and it is said what to check."""
    with pytest.raises(JudgementError, match="no locked plan asks it"):
        weigh({}, alpha=0.05)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.randoms())
def test_the_order_of_the_log_changes_nothing(values: list[float], random: Any) -> None:
    """Trials in any order multiply to the same."""
    parts = [
        [*locked(f"t{number}", goal()), concluded(f"t{number}", "in-time", value)]
        for number, value in enumerate(values)
    ]
    straight = one(weigh(registered(sum(parts, [])), alpha=0.05))
    random.shuffle(parts)
    mixed = one(weigh(registered(sum(parts, [])), alpha=0.05))
    assert mixed.log_evalue == straight.log_evalue == math.fsum(values)


def test_the_command_names_every_trial(tmp_path: Path) -> None:
    """As a table and as JSON, from the log of an installation."""
    ledger, _ = open_ledger(Settings(home=tmp_path))
    ledger.log.append_all(
        [
            *locked("a", goal()),
            *locked("b", goal())[:2],
            concluded("a", "in-time", 4.0),
        ]
    )
    words = ["findings", "combine", "transport", "dispatch/time", "--home", tmp_path]

    def run(*more: str) -> str:
        asked = [str(word) for word in (*words, *more)]
        ran = CliRunner().invoke(command_for(["findings"]), asked)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    (item,) = json.loads(run("-o", "json"))
    assert (item["log_evalue"], item["e_holm"], item["threshold"]) == (4.0, True, 0.9)
    assert [trial["trial_id"] for trial in item["trials"]] == ["a", "b"]
    table = run()
    assert "1 of 2" in table
    assert "54.6" in table
    asked = [str(word) for word in (*words[:3], "no/rule", *words[4:])]
    ran = CliRunner().invoke(command_for(["findings"]), asked)
    assert isinstance(ran.exception, JudgementError)
