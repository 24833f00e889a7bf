"""The report: self-contained, escaped, accessible, and true to its records."""

import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from sandbox.findings import TrialEvidence, judge_evidence
from sandbox.model.application import Estimand, Harm, Hypothesis, SignalRule, TrialPlan
from sandbox.model.finding import ExitReport
from sandbox.model.log import Checkpoint, LogEntry, LoggedEntry, Verification
from sandbox.model.observation import Breach, Observation
from sandbox.model.party import Actor
from sandbox.model.proposal import Comment, Disposition, Retention
from sandbox.model.record import Interval
from sandbox.model.regime import Regime
from sandbox.model.rule import (
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    RuleSource,
    Scope,
    TemporaryRule,
    Waiver,
)
from sandbox.model.segment import Completeness, Gap, ProducerCompleteness
from sandbox.model.trial import IsolationProof, Pause, ProofAttempt, ProofTarget
from sandbox.report import TrialStory, render_report
from sandbox.report.charts import guardrail_chart, thin
from sandbox.report.missing import missing_section
from sandbox.report.sections import attempts, facts, headline
from sandbox.report.timeline import timeline
from sandbox.revision import (
    Enactment,
    TrialGrounds,
    add_comment,
    adopt,
    dispose,
    open_consultation,
    propose,
)
from sandbox.rules import reference

T0 = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
ATTACK = "<script>alert('x')</script>"
PLAN = TrialPlan(
    goals=(
        Hypothesis(
            goal="in-time",
            claim="In time.",
            unit="request",
            estimand=Estimand(proportion="satisfied", of="calls/time"),
            threshold=0.9,
            alpha=0.05,
            design="confidence-sequence",
            minimum_units=100,
            missing="count-both-ways",
        ),
    ),
    harms=(
        Harm(
            harm="slow",
            of="calls/time",
            baseline_rate=0.01,
            signal=SignalRule(design="maxsprt", alpha=0.01, min_events=3),
            action="pause",
        ),
    ),
    order_of_analysis=("in-time",),
    settling_time="PT1S",
)


def rulebook() -> Rulebook:
    dated = {date(2024, 1, 1): ParameterValue(value=2, reference="r")}
    base: dict[str, Any] = {
        "source": RuleSource(instrument="i", provision="1", as_of=date(2024, 1, 1)),
        "goal": "quick",
        "mechanism": "regulation",
        "applies": "true",
        "severity": "major",
        "waivable": True,
    }
    limit = Parameter(unit="s", looser="higher", values=dated)
    timed = Rule(
        rule="calls/time",
        text="Within {max_s} s.",
        parameters={"max_s": limit},
        requires="span.duration_s <= params.max_s",
        **base,
    )
    person = Rule(
        rule="calls/person",
        text="A person answers.",
        requires='span.attributes["by"] != ""',
        **base,
    )
    return Rulebook(
        rulebook="calls",
        version=1,
        title="t",
        owner="o",
        in_force_from=date(2024, 1, 1),
        rules=(timed, person),
    )


BOOK = rulebook()
RULE = TemporaryRule(
    temporary_rule="trial/t",
    trial_id="t",
    of=reference(BOOK),
    in_force=Interval(start=T0, end=T0 + timedelta(hours=1)),
    scope=Scope(participants="c", area="a"),
    overlays=(
        Waiver(
            label="w",
            exception_to="calls/person",
            kind="waiver",
            compensates=("calls/time",),
        ),
        Waiver(
            label="m",
            exception_to="calls/time",
            kind="modification",
            set={"max_s": 1.5},
        ),
    ),
    guardrails=(),
    plan_digest=DIGEST,
)


def units(good: int, bad: int, more: int) -> tuple[Observation, ...]:
    results = ["satisfied"] * good + ["violated"] * bad + ["satisfied"] * more
    return tuple(
        Observation.model_validate(
            {
                "trial_id": "t",
                "rule": "calls/time",
                "result": result,
                "rulebook_version": 1,
                "trace_id": f"{n:032x}",
                "span_id": f"{n:016x}",
                "started_at": T0 + timedelta(milliseconds=200 * n),
                "duration_s": 2.5 if result == "violated" else 0.5 + n % 7 / 10,
                "values": {"params.max_s": 1.5},
                "segment": 1,
                "frame": n,
            }
        )
        for n, result in enumerate(results)
    )


def logged(index: int, kind: str, body: dict[str, Any]) -> LoggedEntry:
    entry = LogEntry.model_validate(
        {
            "kind": kind,
            "entry_id": f"{kind}/{index}",
            "trial_id": "t",
            "recorded_at": T0 + timedelta(seconds=index),
            "body": body,
        }
    )
    return LoggedEntry(index=index, leaf_hash=DIGEST, entry=entry)


def proof(*, control: str = "reached") -> IsolationProof:
    metadata = ProofTarget(
        name="metadata", host="169.254.169.254", port=80, expect="blocked"
    )
    recorder = ProofTarget(
        name="recorder", host="10.0.0.1", port=4318, expect="reached"
    )

    def tried(target: ProofTarget, origin: str, outcome: str) -> ProofAttempt:
        return ProofAttempt.model_validate(
            {
                "target": target,
                "origin": origin,
                "outcome": outcome,
                "detail": "",
                "started_at": T0,
                "finished_at": T0,
            }
        )

    return IsolationProof(
        trial_id="t",
        isolation_class="N1",
        attempts=(
            tried(metadata, "trial", "blocked"),
            tried(metadata, "control", control),
            tried(recorder, "trial", "reached"),
        ),
        workload_rights=(),
        policy_enforced=True,
        holds=control == "reached",
    )


@pytest.fixture(name="story", scope="module")
def _story() -> TrialStory:
    seen = units(200, 6, 300)
    signal = seen[205]
    breach = Breach(
        trial_id="t",
        guardrail="slow",
        action="pause",
        events=6,
        units=206,
        expected=2.06,
        llr=5.9,
        threshold=5.2,
        first_signal=signal,
        detected_at=signal.started_at,
    )
    pause = Pause(
        reason="slow signalled",
        paused_at=signal.started_at,
        resumed_at=seen[206].started_at,
    )
    evidence = TrialEvidence("t", seen, (breach,), reference(BOOK), pauses=(pause,))
    found = judge_evidence(PLAN, evidence)
    proposal = propose(
        BOOK,
        [TrialGrounds(RULE, found.findings)],
        proposal="P-1",
        in_force_from=date(2026, 12, 1),
        at=T0,
    )
    regime = Regime.model_validate(
        {
            "regime": "r",
            "name": "R",
            "law": ["L"],
            "time_zone": "UTC",
            "authorities": [{"authority": "o", "name": "O"}],
            "clocks": [],
            "longest_trial": "P1D",
            "minimum_consultation": "PT3S",
            "monitoring_window": "PT5S",
            "exit_report_by": "authority",
        }
    )
    owner = Actor(name="Desk", role="rule-owner", represents="o")
    consultation = open_consultation(proposal, regime=regime, at=T0)
    said = Comment(
        comment_id="c-1", by=Actor(name=ATTACK, role="public"), text=ATTACK, at=T0
    )
    consultation = add_comment(consultation, said)
    consultation = dispose(
        consultation,
        Disposition(comment_id="c-1", outcome="noted", reason="ok", by=owner, at=T0),
    )
    _, adoption = adopt(
        proposal,
        rulebook=BOOK,
        consultation=consultation,
        enactment=Enactment(by=owner, at=T0 + timedelta(seconds=3), reason="ok"),
    )
    return TrialStory(
        trial_id="t",
        title=f"Calls {ATTACK}",
        rulebook=BOOK,
        written_at=T0,
        temporary_rule=RULE,
        entries=(
            logged(0, "transition", {"before": "approved", "after": "running"}),
            logged(
                1, "refusal", {"act": "decide", "what": ATTACK, "by": {"name": "A"}}
            ),
            logged(2, "breach", breach.model_dump(mode="json")),
            *(logged(n, "segment", {}) for n in range(3, 303)),
            logged(303, "transition", {"before": "running", "after": "paused"}),
        ),
        pauses=(pause,),
        breaches=(breach,),
        observations=seen,
        looks=found.looks,
        findings=found.findings,
        proof=proof(),
        proposal=proposal,
        consultation=consultation,
        adoption=adoption,
        checkpoint=Checkpoint(
            origin="log", size=304, root=DIGEST, note="log\n304\n…\n"
        ),
        verification=Verification(ok=True, steps=(), entries=304, frames=9, spans=506),
        verify_command="sandbox evidence verify t",
        timings={"freeze_s": 1.25},
    )


@pytest.fixture(name="page", scope="module")
def _page(story: TrialStory) -> str:
    return render_report(story)


class Outline(HTMLParser):
    """Collects what the tests ask of the page's structure."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.mismatched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag; void elements are not opened."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself, as SVG has them."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the tag, which must be the last that was opened."""
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser


def test_it_is_well_formed_and_every_reference_stays_inside(page: str) -> None:
    """Tags match; no element loads anything; every fragment link has its target."""
    found = outline(page)
    assert found.mismatched == []
    assert found.open == []
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "iframe", "link", "object", "embed", "img"}
    assert not [key for _, attrs in found.tags for key in attrs if key.startswith("on")]
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for _, attrs in found.tags if attrs.get("href")]
    assert links
    assert all(link and link.startswith("#") and link[1:] in ids for link in links)
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_what_people_wrote_is_shown_as_text(page: str) -> None:
    """A name, a comment and a title that look like markup are only words."""
    assert ATTACK not in page
    assert page.count("&lt;script&gt;") >= 4


def test_it_can_be_read_without_seeing_it(page: str) -> None:
    """Language, one main heading, no skipped level, named tables and images."""
    found = outline(page)
    assert ("html", {"lang": "en"}) in found.tags
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    tables = [tag for tag, _ in found.tags if tag == "table"]
    captions = [tag for tag, _ in found.tags if tag == "caption"]
    assert len(tables) == len(captions) > 8
    images = [attrs for tag, attrs in found.tags if tag == "svg"]
    assert len(images) == 3
    assert all(
        attrs.get("role") == "img" and attrs.get("aria-label") for attrs in images
    )


def test_each_chart_is_followed_by_its_data(page: str) -> None:
    """Three charts, three tables, and a note where rows are left out."""
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) == 3
    assert all("<details>" in figure and "<tbody>" in figure for figure in figures)
    assert "of 506 units are listed" in figures[0]
    assert figures[0].count(">violated<") >= 6


def test_drawings_use_the_colours_of_the_page(page: str) -> None:
    """Light and dark share one drawing."""
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--alarm)" in drawings
    assert not re.search(r'(?:fill|stroke)="#', drawings)


def test_the_headline_says_what_the_findings_say(story: TrialStory) -> None:
    """Goal, harm and outcome in one sentence."""
    assert headline(story) == (
        "The goal in-time was met, with 500 of 506 units in order; a guardrail"
        " signalled harm once; calls is now at version 2."
    )
    nothing = story.model_copy(
        update={"findings": (), "breaches": (), "proposal": None, "adoption": None}
    )
    assert headline(nothing) == "Nothing to report."


def test_a_retained_rulebook_is_told_with_its_reason(story: TrialStory) -> None:
    """The headline names the version that stays; the figures give the reason."""
    assert story.adoption is not None
    retention = Retention(
        proposal="P-1",
        retained=story.adoption.before,
        not_adopted=(),
        reason="Not shown yet.",
        by=story.adoption.by,
        at=T0,
    )
    told = story.model_copy(update={"adoption": None, "retention": retention})
    assert headline(told).endswith("calls stays at version 1.")
    assert ("v1 retained", "Not shown yet.") in [
        (fact.value, fact.note) for fact in facts(told)
    ]
    entry = logged(0, "retention", retention.model_dump(mode="json"))
    assert [(row.what, row.detail) for row in timeline([entry])] == [
        ("Version 1 of the rulebook retained", "Not shown yet.")
    ]


@pytest.mark.parametrize("verdict", ["not_met", "inconclusive", "invalid"])
def test_an_unmet_goal_is_never_called_met(story: TrialStory, verdict: str) -> None:
    """The headline follows the verdict."""
    goal = story.findings[0].model_copy(update={"verdict": verdict})
    told = headline(story.model_copy(update={"findings": (goal,)}))
    assert "was met" not in told


def test_the_timeline_marks_pauses_signals_and_refusals(story: TrialStory) -> None:
    """Segments are left out; what matters stands out."""
    rows = timeline(story.entries)
    assert [row.tone for row in rows] == ["good", "refused", "alarm", "pause"]
    assert rows[1].what == "Attempt refused: decide by A"
    assert rows[2].at == story.breaches[0].detected_at


def test_long_tables_are_thinned_and_say_so(story: TrialStory, page: str) -> None:
    """Of 304 entries at most some two hundred are listed; none out of the ordinary
    is left out.
    """
    log = page[page.index("Entries of the transparency log") :]
    rows = log[: log.index("</table>")].count("<tr>") - 1
    assert rows <= 204
    assert f"{rows} of 304 entries are listed" in log
    assert "refusal/1" in log


def test_thinning_keeps_what_must_be_kept() -> None:
    """Evenly spaced among the rest, in order."""
    kept = thin(range(1000), 100, [n in (13, 998) for n in range(1000)])
    assert {13, 998} <= set(kept)
    assert kept == sorted(kept)
    assert 60 <= len(kept) <= 102
    assert thin([1, 2], 100, [False, False]) == [1, 2]
    assert thin([], 100, []) == []


def test_between_looks_a_guardrail_shows_no_statistic(story: TrialStory) -> None:
    """Where a group is not full nothing is tested: a dash, not a zero."""
    looks = [item for item in story.looks if item.purpose == "harm"]
    between = [looks[0].model_copy(update={"llr": None}), *looks[1:]]
    drawn = guardrail_chart(story, between)
    assert drawn is not None
    assert drawn.rows[0][4] == "–"
    assert "–" not in {row[4] for row in drawn.rows[1:]}
    assert guardrail_chart(story, between[:1]) is not None


def known(**figures: object) -> Completeness:
    values = {"producer": ATTACK, "spans": 1200, **figures}
    return Completeness(
        trial_id="t",
        producers=(ProducerCompleteness.model_validate(values),),
        gaps=(
            Gap(producer=ATTACK, reason="silence", detail=ATTACK, since=T0, until=T0),
        ),
    )


@pytest.mark.parametrize(
    ("figures", "numbered", "lost", "said"),
    [
        ({}, "not numbered", "not known", "is not known of"),
        ({"numbered": 900}, "900", "at least 0", "is not known of"),
        ({"numbered": 1200}, "all", "0", "none was"),
        ({"numbered": 1200, "holes": 1}, "all", "1", "1 span is known"),
        (
            {"dropped": 1003},
            "not numbered",
            "at least 1,003 (its own counters: 1,003)",
            "1,003 spans are known",
        ),
        ({"numbered": 1200, "holes": 7, "exact": False}, "all", "about 7", "7 spans"),
    ],
)
def test_losses_that_would_not_be_noticed_are_not_called_none(
    figures: dict[str, object], numbered: str, lost: str, said: str
) -> None:
    """The row of a producer, and the sentence above it."""
    section = missing_section(known(**figures))
    assert section.producers[0].numbered == numbered
    assert section.producers[0].lost == lost
    assert said in " ".join(section.summary)


def test_what_is_missing_has_a_section_of_its_own(story: TrialStory) -> None:
    """With producers and gaps as tables; what producers call themselves is text."""
    report = ExitReport(
        trial_id="t",
        author="authority",
        tried="t",
        rulebook=reference(BOOK),
        temporary_rule_digest=DIGEST,
        started_at=T0,
        ended_at=T0,
        pauses=(),
        conditions=(),
        findings=(),
        uncertain=(),
        completeness=known(numbered=1200, holes=3, local_children=100, orphans=5),
        evidence={},
        how_to_verify="",
    )
    told = render_report(story.model_copy(update={"exit_report": report}))
    found = outline(told)
    assert (found.mismatched, found.open) == ([], [])
    assert ATTACK not in told
    section = told[told.index('id="missing"') :]
    section = section[: section.index("</section>")]
    assert "3 spans are known to have been lost on the way." in section
    assert "5 of 100 (5.0%)" in section
    assert "Every gap (1)" in section
    without = report.model_copy(update={"completeness": None})
    bare = render_report(story.model_copy(update={"exit_report": without}))
    assert 'id="missing"' not in bare


def test_a_negative_without_its_control_is_not_as_it_must() -> None:
    """Blocked proves nothing where the control could not reach it either."""
    assert [item.as_expected for item in attempts(proof())] == [True, True]
    assert [item.as_expected for item in attempts(proof(control="blocked"))] == [
        False,
        True,
    ]


def test_attempts_of_before_a_claim_are_said_to_be(story: TrialStory) -> None:
    """Where the attempts were made before the trial claimed its environment, the report
    says in which; otherwise it says nothing of it.
    """
    claimed = proof().model_copy(update={"warm": "warm-00c0ffee"})
    told = render_report(story.model_copy(update={"proof": claimed}))
    assert "made in the environment warm-00c0ffee, before this trial" in told
    assert "before this trial claimed" not in render_report(story)


def test_a_story_with_nothing_but_its_name_still_renders() -> None:
    """Sections without records are left out, not filled."""
    bare = TrialStory(trial_id="t", title="T", rulebook=BOOK, written_at=T0)
    page = render_report(bare)
    assert outline(page).mismatched == []
    assert "Nothing to report." in page
    for section in ("findings", "figures", "isolation", "revision", "course"):
        assert f'id="{section}"' not in page


def test_the_same_story_gives_the_same_page(story: TrialStory, page: str) -> None:
    """Nothing depends on the time or place of rendering."""
    assert render_report(story) == page
