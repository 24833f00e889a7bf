"""Commands that need no servers: help, checks, and how bad input is answered."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

from workflows.cli import NOUNS


def _call(*arguments, home, **variables):
    environment = {"SANDBOX_HOME": str(home), "PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(
        [sys.executable, "-m", "workflows.cli", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def _paper(name):
    return str(files("experiments.ride_dispatch") / name)


def test_help_names_every_noun(tmp_path):
    """`sandbox --help` lists exactly the nouns there are."""
    shown = _call("--help", home=tmp_path).stdout
    assert set(NOUNS) <= set(shown.split())


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_every_noun_explains_itself(noun, tmp_path):
    """`sandbox NOUN --help` works for each."""
    ended = _call(noun, "--help", home=tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_a_bad_application_gives_every_problem_with_its_place(tmp_path):
    """Exit code 2, each problem with file and line, nothing created."""
    home = tmp_path / "home"
    ended = _call(
        "trial",
        "check",
        _paper("application.first.yaml"),
        "--regime",
        _paper("regime.yaml"),
        "--rulebook",
        _paper("rulebook.yaml"),
        home=home,
    )
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    assert ended.returncode == 2
    assert len(lines) >= 4
    assert all("application.first.yaml" in line for line in lines)
    assert not home.exists()


def test_an_unreadable_document_is_said(tmp_path):
    """A missing file is a problem with its name, not a traceback."""
    ended = _call("rule", "check", str(tmp_path / "none.yaml"), home=tmp_path)
    assert ended.returncode == 2
    assert "none.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_bad_settings_are_said_by_their_variable(tmp_path):
    """A variable of the wrong kind is named, with what to do."""
    ended = _call(
        "trial", "list", home=tmp_path, SANDBOX_RECORDER_HTTP_PORT="not-a-port"
    )
    assert ended.returncode == 2
    assert "SANDBOX_RECORDER_HTTP_PORT" in ended.stderr


def test_an_unknown_experiment_names_those_there_are(tmp_path):
    """The answer helps: it says what can be run."""
    ended = _call("experiment", "run", "none", home=tmp_path)
    assert ended.returncode == 2
    assert "ride-dispatch" in ended.stderr


def test_a_bundle_that_is_not_there_cannot_be_read(tmp_path):
    """Exit code 2 tells unreadable from not verifying."""
    ended = _call("evidence", "verify", str(tmp_path / "none"), home=tmp_path)
    assert ended.returncode == 2
