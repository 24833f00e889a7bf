"""The case: which act is lawful when, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import ProcedureError
from sandbox.model.party import Actor, Role
from sandbox.model.trial import CaseState
from sandbox.procedure import (
    FINAL_STATES,
    Act,
    Case,
    advance,
    lawful_acts,
    open_case,
    roles_for,
)

START = datetime(2026, 4, 1, tzinfo=UTC)
ACTS = get_args(Act)
ROLES = get_args(Role)


def someone(role):
    return Actor(name=f"the {role}", role=role)


def do(case, *acts):
    for number, act in enumerate(acts, start=1):
        role = sorted(roles_for(act))[-1]
        at = (case.changed_at or START) + timedelta(seconds=number)
        case, _ = advance(case, act, by=someone(role), reason="why", at=at)
    return case


def test_a_whole_trial_runs_from_filing_to_closed():
    """Returned, corrected, approved, run, paused, resumed, expired, closed."""
    case = do(
        open_case("t"),
        *("return", "submit", "admit", "approve", "provision", "start"),
        *("pause", "resume", "expire", "close"),
    )
    assert (case.state, case.version, case.is_final) == ("closed", 10, True)


def test_a_transition_tells_what_was_done_by_whom_and_why():
    """What goes into the evidence log is complete."""
    case, transition = advance(
        open_case("t"), "admit", by=someone("machine"), reason="complete", at=START
    )
    assert (transition.before, transition.after) == ("submitted", "under_review")
    assert (transition.version, transition.by) == (1, "the machine")
    assert (transition.reason, transition.at) == ("complete", START)
    assert case.changed_at == START


def test_the_end_of_the_trial_is_when_it_began_to_close():
    """Sealing and tearing down do not lengthen the trial."""
    running = do(open_case("t"), "admit", "approve", "provision", "start")
    closing = do(running, "stop")
    assert running.ended_at is None
    assert do(closing, "close").ended_at == closing.changed_at


@pytest.mark.parametrize("act", ["approve", "refuse", "resume"])
def test_only_an_approver_decides(act):
    """No machine, applicant or platform operator can decide or let traffic in again."""
    assert roles_for(act) == {"approver"}


def test_the_platform_operator_can_do_nothing_to_a_case():
    """Who keeps the servers has no act in any case."""
    assert all("platform-operator" not in roles_for(act) for act in ACTS)


def test_an_unlawful_act_is_refused_with_what_is_lawful_instead():
    """The sentence names the state and the acts that would be lawful."""
    with pytest.raises(ProcedureError, match=r"`start`.*submitted.*admit, return"):
        advance(open_case("t"), "start", by=someone("machine"), reason="x", at=START)


def test_an_act_by_the_wrong_person_is_refused():
    """The applicant cannot approve, whatever the state."""
    case = do(open_case("t"), "admit")
    with pytest.raises(ProcedureError, match=r"applicant and may not `approve`"):
        advance(case, "approve", by=someone("applicant"), reason="x", at=START)


def test_an_act_needs_a_reason_and_cannot_be_dated_back():
    """Empty reasons and times before the last transition have no effect."""
    case = do(open_case("t"), "admit")
    approver = someone("approver")
    with pytest.raises(ProcedureError, match="say why"):
        advance(case, "approve", by=approver, reason=" ", at=case.changed_at)
    with pytest.raises(ProcedureError, match="cannot be dated back"):
        early = case.changed_at - timedelta(microseconds=1)
        advance(case, "approve", by=approver, reason="x", at=early)


def test_a_word_that_is_no_act_is_refused():
    """An unknown act is answered with the list of acts."""
    with pytest.raises(ProcedureError, match="not an act"):
        advance(open_case("t"), "publish", by=someone("machine"), reason="x", at=START)


steps = st.lists(
    st.tuples(st.sampled_from(ACTS), st.sampled_from(ROLES), st.integers(0, 5)),
    max_size=40,
)


@given(steps)
def test_no_sequence_of_acts_escapes_the_procedure(sequence):
    """Whoever tries whatever: versions grow by one, ends are final, `closed` comes
    after `closing`, and traffic was let in only after an approval and a proof.
    """
    case, taken, path, now = open_case("t"), [], ["submitted"], START
    for act, role, later in sequence:
        now += timedelta(seconds=later)
        before = case
        try:
            case, transition = advance(case, act, by=someone(role), reason="x", at=now)
        except ProcedureError:
            continue
        assert before.state not in FINAL_STATES
        assert case.version == before.version + 1 == transition.version
        taken.append(act)
        path.append(case.state)
    assert path.count("closed") == 0 or path[-2] == "closing"
    if "running" in path:
        assert taken.index("approve") < taken.index("provision") < taken.index("start")
    assert case.version == len(taken)


@given(st.sampled_from(get_args(CaseState)), st.sampled_from(ACTS))
def test_lawful_acts_are_exactly_those_that_succeed(state, act):
    """What is listed as lawful can be done, and nothing else can."""
    case = Case(trial_id="t", state=state)
    by = someone(sorted(roles_for(act))[0])
    try:
        advance(case, act, by=by, reason="x", at=START)
        succeeded = True
    except ProcedureError:
        succeeded = False
    assert succeeded == (act in lawful_acts(state))


def test_every_state_but_the_final_ones_has_a_way_to_an_end():
    """No case can be stuck for ever."""
    for state in get_args(CaseState):
        seen, todo = set(), [state]
        while todo:
            now = todo.pop()
            if now in seen:
                continue
            seen.add(now)
            todo += [
                do(Case(trial_id="t", state=now), act).state for act in lawful_acts(now)
            ]
        assert seen & FINAL_STATES, state
