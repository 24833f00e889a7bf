"""The page of one trace: self-contained, escaped, accessible, true to the answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from sandbox.model.trace import RecordedSpan, SegmentDigest, SpanAnswer, SpanEvent
from sandbox.report import RuleReading, TraceStory, render_trace
from sandbox.testing.traces import TRACE, odd_trace, recorded_span, verdict

ATTACK = "<script>alert('x')</script>\"'onload=x"
DIGESTS = ["sha256:" + letter * 64 for letter in "ab"]
EVIDENCE = tuple(
    SegmentDigest(number=number, raw_digest=digest)
    for number, digest in enumerate(DIGESTS, start=1)
)
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Collects the tags of a page, and whether they match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.mismatched: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note a tag that closes."""
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)


def story(spans: list[RecordedSpan], *, unsealed: int = 0) -> TraceStory:
    """Return the story of some spans."""
    answer = SpanAnswer(
        trial_id="ride-1",
        spans=tuple(spans),
        more=False,
        evidence=EVIDENCE,
        unsealed=unsealed,
        engine="engine 1.0",
    )
    reading = RuleReading("An offer within 10 s.", {"span.duration_s": 12.5})
    readings = {("1/0/1", "dispatch/offer-time"): reading}
    return TraceStory(TRACE, answer, readings, datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture(name="page", scope="module")
def _page() -> str:
    return render_trace(story(odd_trace(), unsealed=1))


def test_it_is_well_formed_and_every_reference_stays_inside(page: str) -> None:
    """Tags match; no element loads or runs anything; every link has its target."""
    found = Outline(page)
    assert (found.mismatched, found.open) == ([], [])
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "iframe", "link", "object", "embed", "img", "form"}
    assert not [key for _, attrs in found.tags for key in attrs if key.startswith("on")]
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for _, attrs in found.tags if "href" in attrs]
    assert links
    assert all(link and link.startswith("#") and link[1:] in ids for link in links)
    assert "default-src 'none'" in page


def wordy(word: str) -> RecordedSpan:
    """Return a span that says one word wherever it can say anything."""
    return recorded_span(
        "1",
        name=word,
        service=word,
        attributes={word: word, "deep": [{word: word}]},
        resource={word: word},
        status_message=word,
        scope=word,
        producer=word,
        events=(SpanEvent(name=word, unix_nano=0, attributes={word: 1}),),
        verdicts=(verdict("dispatch/fare", "not_evaluable", word),),
    )


def test_what_others_wrote_is_shown_as_text() -> None:
    """Names, values, reasons, events: nothing of a span becomes part of the page."""
    page = render_trace(story([wordy(ATTACK)]))
    harmless = render_trace(story([wordy("harmless")]))
    assert Outline(page).tags == Outline(harmless).tags
    assert page.count("&lt;script&gt;") > 10


def test_it_can_be_read_without_seeing_it(page: str) -> None:
    """Language, one main heading, no skipped level, named tables, bars left out."""
    found = Outline(page)
    assert ("html", {"lang": "en"}) in found.tags
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    tags = [tag for tag, _ in found.tags]
    assert tags.count("table") == tags.count("caption") == 4
    lanes = [attrs for _, attrs in found.tags if attrs.get("class") == "lane"]
    assert len(lanes) == 11
    assert all(attrs["aria-hidden"] == "true" for attrs in lanes)


def test_every_row_says_in_figures_what_its_bar_shows(page: str) -> None:
    """Start and length stand beside the bar; eleven deliveries, eleven rows."""
    rows = re.findall(r'<tr id="span-.*?</tr>', page, re.DOTALL)
    assert len(rows) == 11
    (second,) = [row for row in rows if 'id="span-1-0-1"' in row]
    assert '<td class="time">880 ms</td><td class="time">110 ms</td>' in second
    (far,) = [row for row in rows if 'id="span-1-0-10"' in row]
    assert "off the scale" in far
    assert "width:0.000%" in far


def test_the_rules_are_shown_with_what_they_read(page: str) -> None:
    """Violated first, in words, with the values and the reason."""
    section = page.split('id="rules"')[1].split("</section>")[0]
    order = [
        section.index(word) for word in ("✗ violated", "? not evaluable", "✓ satisfied")
    ]
    assert order == sorted(order)
    assert "span.duration_s = 12.5" in section
    assert "An offer within 10 s." in section
    assert "span.attributes.fare is missing" in section
    assert "violated once, not evaluable once, satisfied once." in page


def test_oddities_are_named(page: str) -> None:
    """What telemetry got wrong has a section of its own."""
    section = page.split('id="odd"')[1].split("</section>")[0]
    for words in (
        "parent not recorded",
        "its own ancestor",
        "delivered again",
        "delivered with other content",
        "began before its parent",
        "off the scale",
    ):
        assert words in section


def test_the_evidence_is_named(page: str) -> None:
    """The digest of the segment in which the spans lie, and what was not searched."""
    section = page.split('id="evidence"')[1].split("</section>")[0]
    assert DIGESTS[0] in section
    assert DIGESTS[1] not in section
    assert "1 more were searched and hold none of them" in section
    assert "2 sealed segments were searched, with engine 1.0. 1 more is not" in section


def test_a_trace_that_is_not_there_is_said() -> None:
    """No rows, no empty tables, and the segments that were searched."""
    page = render_trace(story([]))
    assert "No span of this trace is in the evidence that was searched" in page
    assert "<table" not in page
