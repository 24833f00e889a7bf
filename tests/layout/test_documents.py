"""What is written beside the source: decisions, scripts, links."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from sandbox.settings import Settings

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
SCRIPTS = sorted(file for file in (ROOT / "scripts").iterdir() if file.is_file())
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
)
SECTIONS = ["Drivers", "Options", "Decision", "Consequences"]


def name_of(file: Path) -> str:
    """Return the path from the root, for test ids."""
    return file.relative_to(ROOT).as_posix()


def test_decisions_linked() -> None:
    """Every decision is linked once from the list, and they are numbered from 0001."""
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    linked = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index)
    assert linked == [file.name for file in DECISIONS]
    numbers = [int(file.name[:4]) for file in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))
    assert len(numbers) >= 6


@pytest.mark.parametrize("file", DECISIONS, ids=name_of)
def test_decision_is_whole(file: Path) -> None:
    """A decision has drivers, two options or more, and says what it costs."""
    text = file.read_text()
    assert re.findall(r"^## (\w+)", text, re.M) == SECTIONS
    options = text.split("## Options")[1].split("## Decision")[0]
    assert len(re.findall(r"^\d+\. ", options, re.M)) >= 2
    assert re.search(r"^Negative:\n\n?[-*] \S", text, re.M)
    assert re.search(r"^\* Status: (accepted|superseded by \d{4})$", text, re.M)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page: Path) -> None:
    """Every relative link of a page leads to something that is there."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [name for name in local if not (page.parent / name).exists()] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_script(script: Path) -> None:
    """A script is one short verb that stops at the first error."""
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert len(lines) <= 30
    assert script.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_home_of_scripts(tmp_path: Path) -> None:
    """Scripts and product agree on the state directory where none is named."""
    line = next(
        line
        for line in (ROOT / "scripts" / "uv").read_text().splitlines()
        if line.startswith("home=")
    )
    for environment in (
        {"HOME": str(tmp_path)},
        {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
        {"HOME": str(tmp_path), "SANDBOX_HOME": str(tmp_path / "own")},
    ):
        shell = subprocess.run(
            ["bash", "-c", f'{line}; printf %s "$home"'],
            env={"PATH": os.defpath, **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        with pytest.MonkeyPatch.context() as patch:
            for name in ("XDG_STATE_HOME", "SANDBOX_HOME"):
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            assert str(Settings().home) == shell


def test_unknown_suite() -> None:
    """A suite that does not exist is an error that names those that do."""
    run = subprocess.run(
        [ROOT / "scripts" / "test", "no-such-suite"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "tests/no-such-suite" in run.stderr
    assert "tests/unit" in run.stderr


def test_no_python(tmp_path: Path) -> None:
    """Without uv and without venv, the scripts say what to install."""
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    (tmp_path / "dirname").symlink_to(str(shutil.which("dirname")))
    run = subprocess.run(
        [str(shutil.which("bash")), ROOT / "scripts" / "uv", "--version"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "python3-venv" in run.stderr
