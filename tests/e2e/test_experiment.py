"""The whole loop, as a person starts it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)


def test_the_case_goes_through_the_whole_loop(result):
    """From a returned application to version 2 of the rulebook."""
    assert result["trial"]["state"] == "closed"
    assert result["application"]["defects_first"] >= 2
    assert result["decision"]["outcome"] == "approved_with_conditions"
    assert result["decision"]["refused_attempts"] >= 1
    assert result["proposal"]["adopted_too_early"] is False
    name, _, before = result["rulebook"]["before"].partition("@")
    assert result["proposal"]["amendments"]
    assert result["rulebook"]["outcome"] == "adopted"
    assert result["rulebook"]["after"] == f"{name}@{int(before) + 1}"


def test_the_isolation_was_proven_with_controls(result):
    """Every forbidden way was blocked, every control passed, every needed way open."""
    proof = result["environment"]["proof"]
    assert proof["denied_blocked"] == proof["controls_passed"] == 6
    assert proof["allowed_reached"] == 2
    assert proof["attempts"] == 14


def test_the_guardrail_froze_the_trial_and_a_review_resumed_it(result):
    """Harm was signalled by a look, the environment was frozen, the trial went on."""
    guardrail = result["guardrail"]
    assert guardrail["looks"] > 3
    assert guardrail["signalled_at"]
    assert 0 < guardrail["frozen_after_s"] < 10
    assert guardrail["resumed"]


def test_nothing_is_left_behind(result, sandbox):
    """No object of the trial is in the cluster any more."""
    assert result["residue"]["objects"] == 0


def _verdicts(run):
    return {item["subject"]: item["verdict"] for item in run["findings"]}


def test_every_run_reaches_the_same_verdicts(runs):
    """The goal is met and the harm that was done is found, on other servers too."""
    for run in runs:
        assert _verdicts(run) == {"offers-in-time": "met", "slow-offers": "harm"}


def test_the_bundle_verifies_and_any_changed_byte_is_found(result, sandbox, tmp_path):
    """Verification passes; after a change it fails and names the file."""
    bundle = Path(result["evidence"]["bundle"])
    key = tmp_path / "log.pub"
    key.write_text(sandbox("evidence", "key").stdout)
    sandbox("evidence", "verify", str(bundle), "--key", str(key))
    chance = random.Random(11)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    for number, original in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(bundle, copy)
        changed = copy / original.relative_to(bundle)
        data = bytearray(changed.read_bytes())
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            data = bytearray(b"\n")
        changed.write_bytes(data)
        ended = sandbox("evidence", "verify", str(copy), check=False)
        assert ended.returncode == 1, original
        assert "FAIL" in ended.stdout + ended.stderr


def test_the_verdicts_are_derived_again_from_the_bundle(result, sandbox):
    """From frames and entries alone come the same looks, findings and exit report."""
    said = sandbox("evidence", "verify", result["evidence"]["bundle"], "--rederive")
    assert "derived again: 1 entry" in said.stdout


def test_the_evidence_answers_questions(result, sandbox, tmp_path):
    """A late offer is found, drawn with the rule it breaks, counted, and exported."""
    trial, page = result["trial"]["id"], tmp_path / "trace.html"
    asked = ("--rule", "dispatch/offer-time", "--result", "violated", "--limit", "1")
    found = json.loads(
        sandbox("evidence", "search", trial, *asked, "-o", "json").stdout
    )
    trace_id = found["spans"][0]["span"]["trace_id"]
    drawn = sandbox("evidence", "trace", trial, trace_id, "--html", str(page)).stdout
    assert "✗" in drawn
    assert "violated: dispatch/offer-time" in page.read_text()
    count = "SELECT count(*) AS spans FROM spans"
    rows = json.loads(sandbox("evidence", "sql", trial, count, "-o", "json").stdout)
    verified = sandbox("evidence", "verify", result["evidence"]["bundle"], "-o", "json")
    assert rows["rows"] == [[json.loads(verified.stdout)["spans"]]]
    file = tmp_path / "trace.json"
    form = ("--format", "jaeger", "--trace", trace_id, "--to", str(file))
    sandbox("evidence", "export", trial, *form)
    assert json.loads(file.read_text())["data"][0]["traceID"] == trace_id


def test_the_stored_log_is_as_it_was_written(result, sandbox):
    """Every hash, and every checkpoint signed on the way, follows from the entries."""
    assert "as it was written" in sandbox("evidence", "log", "--check").stdout


def test_the_report_is_one_file_without_scripts(result):
    """It needs nothing else, runs nothing, and holds every chart as a picture."""
    page = Path(result["report"]).read_text()
    assert "<script" not in page
    assert page.count("<svg") >= 3
    assert not [mark for mark in ('src="http', "url(http", "@import") if mark in page]
    assert result["trial"]["id"] in page


def test_what_the_readme_shows_can_be_done(result, sandbox):
    """Cases, log, rules and manifests are listed in every form."""
    trial = result["trial"]["id"]
    names = sandbox("trial", "list", "-o", "name").stdout.split()
    assert trial in names
    status = json.loads(sandbox("trial", "get", trial, "-o", "json").stdout)
    assert status["state"] == "closed"
    entries = json.loads(
        sandbox("evidence", "log", "--trial", trial, "-o", "json").stdout
    )
    kinds = {entry["kind"] for entry in entries}
    assert {"plan", "isolation-proof", "breach", "segment", "finding"} <= kinds
    rules = sandbox("rule", "list", "-o", "name").stdout.split()
    assert {result["rulebook"]["before"], result["rulebook"]["after"]} <= set(rules)
    assert "NetworkPolicy" in sandbox("trial", "manifests", trial).stdout
    assert "not-shown" not in sandbox("evidence", "log").stdout
    found = json.loads(sandbox("doctor", "-o", "json", check=False).stdout)
    assert {"machine.root", "temporal.server"} <= {item["id"] for item in found}


def test_a_witness_signs_the_log_that_only_grew(result, sandbox, tmp_path):
    """The regulator cosigns the bundle's checkpoint, and a forged state is refused."""
    key, state = tmp_path / "log.pub", tmp_path / "witness"
    key.write_text(sandbox("evidence", "key").stdout)
    command = ["evidence", "witness", result["evidence"]["bundle"]]
    command += ["--key", str(key), "--state", str(state), "--name", "regulator.example"]
    assert sandbox(*command, check=False).returncode != 0
    for first in (["--first"], []):
        assert "\u2014 regulator.example " in sandbox(*command, *first).stdout
    mine = ["--state", str(state), "--name", "regulator.example"]
    line = sandbox("evidence", "witness-key", *mine).stdout.strip()
    note = state / "last.note"
    sandbox("evidence", "cosigned", str(note), "--witness", line)
    sandbox("evidence", "cosignature", "add", str(note), "--witness", line)
    note.write_text(note.read_text().replace("\n", "\nforged\n", 1))
    assert sandbox(*command, check=False).returncode != 0
