"""`sandbox rule`: versions, words, differences, decisions and examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sandbox.errors import InputError, RecordsError
from sandbox.model.record import Interval
from sandbox.model.rule import Scope, TemporaryRule
from sandbox.model.trace import SpanAnswer
from sandbox.rules import read_rulebook, reference
from sandbox.testing.traces import TRACE, odd_trace
from workflows.cli import explaining
from workflows.cli.rule import app
from workflows.cli.setup import read_settings
from workflows.worker import open_ledger

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "ride_dispatch"
FIRST = (EXPERIMENT / "rulebook.yaml").read_text()
SECOND = (
    FIRST.replace("version: 1", "version: 2")
    .replace("in_force_from: 2024-01-01", "in_force_from: 2030-01-01")
    .replace("value: 2.0", "value: 1.5")
)
NAME = "passenger-transport"
DIGEST = reference(read_rulebook(FIRST, file="")).digest


def sandbox_rule(*words: object) -> Result:
    """Run a verb of `sandbox rule`; errors of the product are raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an installation with two published versions, one of them for later."""
    home = tmp_path_factory.mktemp("home")
    for number, text in enumerate((FIRST, SECOND), start=1):
        file = home / f"v{number}.yaml"
        file.write_text(text)
        sandbox_rule("publish", file, "--home", home)
    return home


def values(result: Result) -> list[float]:
    """Return every value in a list of rules in force."""
    rows = json.loads(result.stdout)
    return [value["value"] for row in rows for value in row["values"]]


@pytest.mark.parametrize(
    ("version", "at", "seconds"),
    [
        (NAME, "2026-04-01", 2.0),
        (NAME, "2030-01-01T00:00:00Z", 1.5),
        (NAME, "2030-01-01T00:00:00+09:00", 2.0),
        (f"{NAME}@2", "2026-04-01", 1.5),
        (f"{NAME}@1", "2030-01-01", 2.0),
        (f"{NAME}@{DIGEST}", "2030-01-01", 2.0),
    ],
)
def test_a_version_is_shown_by_number_by_digest_or_as_in_force(
    home: Path, version: str, at: str, seconds: float
) -> None:
    """Without a number, the version in force at that very instant."""
    words = ("show", version, "--at", at, "--home", home, "-o", "json")
    assert values(sandbox_rule(*words)) == [seconds]


def test_it_is_said_that_a_newer_version_is_not_in_force_yet(home: Path) -> None:
    """Number, digest, and the day on which the next enters into force."""
    result = sandbox_rule("show", NAME, "--at", "2026-04-01", "--home", home)
    assert f"version 1, {DIGEST}" in result.stderr
    assert "version 2 is published and enters into force on 2030-01-01" in result.stderr


def test_what_was_never_published_is_not_shown(home: Path) -> None:
    """Unknown name, number or digest, and what is no instant: each with the remedy."""
    with pytest.raises(RecordsError, match="never published"):
        sandbox_rule("show", f"{NAME}@3", "--home", home)
    with pytest.raises(RecordsError, match=f"1 is {DIGEST}"):
        sandbox_rule("show", f"{NAME}@sha256:{'0' * 64}", "--home", home)
    with pytest.raises(RecordsError, match="name an existing file"):
        sandbox_rule("show", "maritime", "--home", home)
    with pytest.raises(InputError, match="2026-04-01T09:00:00"):
        sandbox_rule("show", NAME, "--at", "yesterday", "--home", home)


def test_two_versions_are_compared_whether_files_or_published(home: Path) -> None:
    """The value that changed, before and after, and that it became tighter."""
    words = ("diff", home / "v1.yaml", f"{NAME}@2", "--home", home)
    rows = json.loads(sandbox_rule(*words, "-o", "json").stdout)
    (value,) = [row for row in rows if "values" in row["field"]]
    assert (value["before"], value["after"], value["effect"]) == (2.0, 1.5, "tighter")
    assert "tighter" in sandbox_rule(*words).stdout
    same = sandbox_rule("diff", home / "v1.yaml", f"{NAME}@1", "--home", home)
    assert "they say the same" in same.stderr


SPAN = """\
{"name": "/dispatch", "kind": "server", "duration_s": 1.7,
 "start_unix_nano": 1775034000000000000, "attributes": {"note": "\\ud83d\\ude97"}}
"""


@pytest.fixture(name="span")
def _span(tmp_path: Path) -> Path:
    file = tmp_path / "span.json"
    file.write_text(SPAN)
    return file


def test_an_explanation_leads_from_the_answer_to_the_provision(
    home: Path, span: Path
) -> None:
    """As a tree for people, as data for machines; a missing attribute is named."""
    words = ("explain", NAME, "--span", span, "--home", home)
    tree = sandbox_rule(*words).stdout
    assert "dispatch/offer-time: satisfied" in tree
    assert "Passenger Transport Ordinance (example), Art. 12(2)" in tree
    assert "dispatch/human-confirmation: not evaluable" in tree
    rule = "dispatch/offer-time"
    (found,) = json.loads(sandbox_rule(*words, "--rule", rule, "-o", "json").stdout)
    assert found["at"] == "2026-04-01T09:00:00Z"
    (offer,) = found["rules"]
    read = {"span.duration_s": 1.7, "params.max_offer_s": 2.0}
    assert offer["requires"]["read"] == read
    assert offer["source"]["provision"] == "Art. 12(2)"


def test_the_temporary_rule_of_a_trial_is_laid_over_for_its_time(
    home: Path, span: Path
) -> None:
    """Waived and tightened while it is in force; afterwards the rule itself holds."""
    file = home / "overlay.yaml"
    file.write_text(
        f"""\
temporary_rule: trial/a
trial_id: a
of: {{rulebook: {NAME}, version: 1, digest: "{DIGEST}"}}
in_force: {{start: 2026-04-01T00:00:00Z, end: 2026-05-01T00:00:00Z}}
scope: {{participants: customers, area: town}}
overlays:
  - {{label: w, exception_to: dispatch/human-confirmation, kind: waiver}}
  - label: m
    exception_to: dispatch/offer-time
    kind: modification
    set: {{max_offer_s: 1.5}}
guardrails: []
plan_digest: sha256:{"a" * 64}
"""
    )
    words = ("explain", NAME, "--span", span, "--temporary-rule", file, "--home", home)
    (found,) = json.loads(sandbox_rule(*words, "-o", "json").stdout)
    answers = {item["rule"]: item["answer"] for item in found["rules"]}
    assert answers["dispatch/human-confirmation"] == "waived"
    assert answers["dispatch/offer-time"] == "violated"
    later = sandbox_rule(*words, "--at", "2026-05-01", "-o", "json")
    (found,) = json.loads(later.stdout)
    assert found["rules"][1]["answer"] == "satisfied"
    show = ("show", NAME, "--temporary-rule", file, "--home", home, "-o", "json")
    assert values(sandbox_rule(*show, "--at", "2026-04-30")) == [1.5]
    after = sandbox_rule(*show, "--at", "2026-05-01")
    assert values(after) == [2.0]
    assert "trial/a is not in force then" in after.stderr
    assert (
        "fits it"
        in sandbox_rule("check", home / "v1.yaml", "--temporary-rule", file).stderr
    )


def test_what_is_wrong_with_a_span_is_said_with_its_place(
    home: Path, tmp_path: Path
) -> None:
    """An unknown field, text where a number belongs; and when nothing is asked."""
    file = tmp_path / "span.json"
    file.write_text('{"nam": "/dispatch",\n "duration_s": "long"}')
    with pytest.raises(InputError) as raised:
        sandbox_rule("explain", NAME, "--span", file, "--home", home)
    places = [(item.line, item.column) for item in raised.value.defects]
    assert places == [(1, 2), (2, 16)]
    with pytest.raises(InputError, match="--trace ID with --trial ID"):
        sandbox_rule("explain", NAME, "--home", home)


def test_the_examples_of_the_experiment_are_as_expected() -> None:
    """Found beside the rulebook, every one run."""
    result = sandbox_rule("test", EXPERIMENT / "rulebook.yaml")
    assert result.exit_code == 0
    assert "14 of 14 as expected" in result.stderr


def test_an_example_that_fails_is_shown_with_what_was_read(
    home: Path, tmp_path: Path
) -> None:
    """Exit code 1, the place of the example, expected, found and the values."""
    examples = EXPERIMENT / "rulebook.examples.yaml"
    result = sandbox_rule("test", f"{NAME}@2", examples, "--home", home, "-o", "json")
    assert result.exit_code == 1
    failed = [item for item in json.loads(result.stdout) if not item["as_expected"]]
    (at_limit,) = failed
    assert (at_limit["expected"], at_limit["found"]) == ("satisfied", "violated")
    assert at_limit["read"]["params.max_offer_s"] == 1.5
    lines = examples.read_text().splitlines()
    assert "The limit itself" in lines[at_limit["line"] - 1]
    table = sandbox_rule("test", f"{NAME}@2", examples, "--home", home)
    assert table.exit_code == 1
    assert "violated" in table.stdout


def test_examples_that_do_not_fit_are_refused_before_any_is_run(tmp_path: Path) -> None:
    """Unknown rule, unknown result, red line in an overlay: each at its place."""
    file = tmp_path / "e.yaml"
    text = (EXPERIMENT / "rulebook.examples.yaml").read_text()
    file.write_text(
        text.replace(
            "{dispatch/offer-time: violated}", "{dispatch/offer-tim: violated}"
        ).replace("exception_to: dispatch/offer-time", "exception_to: dispatch/offer")
    )
    with pytest.raises(InputError) as raised:
        sandbox_rule("test", EXPERIMENT / "rulebook.yaml", file)
    assert [item.code for item in raised.value.defects] == [
        "examples/unknown-rule",
        "temporary-rule/unknown-rule",
    ]
    file.write_text(text.replace("time: violated", "time: maybe"))
    with pytest.raises(InputError, match="which is not a choice"):
        sandbox_rule("test", EXPERIMENT / "rulebook.yaml", file)
    (tmp_path / "v1.yaml").write_text(FIRST)
    with pytest.raises(InputError, match=r"v1\.examples\.yaml"):
        sandbox_rule("test", tmp_path / "v1.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        sandbox_rule("test", tmp_path / "gone.yaml")


def test_the_recorded_spans_of_a_trace_are_explained_under_the_trials_rule(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each span as it was recorded, by the version and the overlay of the trial."""

    class Scripted:
        """Answers with the spans of a scripted trace."""

        def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
            """Return the spans."""
            assert (trial_id, trace_id) == ("a", TRACE)
            return SpanAnswer(
                trial_id="a",
                spans=tuple(odd_trace()),
                more=False,
                evidence=(),
                unsealed=0,
                engine="scripted 1.0",
            )

    monkeypatch.setattr(explaining, "open_spans", lambda *_: Scripted())
    ledger, _ = open_ledger(read_settings(home))
    book = ledger.records.rulebook(NAME, 1)
    rule = TemporaryRule(
        temporary_rule="trial/a",
        trial_id="a",
        of=reference(book),
        in_force=Interval(start="2000-01-01T00:00:00Z", end="2100-01-01T00:00:00Z"),
        scope=Scope(participants="c", area="a"),
        overlays=(),
        guardrails=(),
        plan_digest="sha256:" + "a" * 64,
    )
    ledger.records.put_document("a", "temporary-rule", rule)
    words = ("explain", NAME, "--trial", "a", "--trace", TRACE, "--home", home)
    found = json.loads(sandbox_rule(*words, "-o", "json").stdout)
    assert len(found) == len(odd_trace())
    assert {item["temporary_rule"] for item in found} == {"trial/a"}
    assert {item["version"] for item in found} == {1}
    with pytest.raises(InputError, match="--trial NAME"):
        sandbox_rule("explain", NAME, "--trace", TRACE, "--home", home)
