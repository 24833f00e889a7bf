"""`sandbox rule`: versions, words, differences, decisions and examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sandbox.errors import InputError, RecordsError
from sandbox.rules import read_rulebook, reference
from workflows.cli.rule import app

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
