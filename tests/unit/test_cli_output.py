"""How the command writes results."""

from __future__ import annotations

import pytest

from workflows.cli.output import Format, emit, visible


@pytest.mark.parametrize(
    "text", ["naïve café", "配車\u3000中央", "12\u00a0%", "🚕 →", "[red]x[/red]"]
)
def test_letters_signs_and_spaces_stay(text: str) -> None:
    """What people write in any script is shown as they wrote it."""
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b1m", r"\x9b1m"),
        ("\u202eevil", r"\u202eevil"),
        ("\x00\x7f", r"\x00\x7f"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_could_steer_a_terminal_is_written_as_its_code(
    text: str, shown: str
) -> None:
    """Escapes, line breaks, directions and halves of letters."""
    assert visible(text) == shown


def test_a_table_cuts_nothing_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest that does not fit goes on in the next line; markup is only text."""
    monkeypatch.setenv("COLUMNS", "40")
    digest = "0123456789abcdef" * 4
    emit([{"name": "[bold]x", "digest": digest}], Format.table, name="name")
    out = capsys.readouterr().out
    assert "[bold]x" in out
    parts = [line.replace("[bold]x", "").strip() for line in out.splitlines()[1:]]
    assert "".join(parts) == digest
