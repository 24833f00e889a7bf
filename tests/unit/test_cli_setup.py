"""Settings as the command line gives them: options, then environment, then defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import InputError
from workflows.cli.setup import read_settings


@pytest.mark.parametrize(
    ("given", "expected"), [(None, 3), (5, 5), (0, 0)], ids=["none", "more", "zero"]
)
def test_an_option_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int | None, expected: int
) -> None:
    """An option counts before the environment, also where it says none at all."""
    monkeypatch.setenv("SANDBOX_WARM", "3")
    assert read_settings(tmp_path, context="", warm=given).warm == expected


def test_too_many_are_refused(tmp_path: Path) -> None:
    """A number out of bounds is refused with the name of its setting."""
    with pytest.raises(InputError, match="warm"):
        read_settings(tmp_path, warm=51)
