"""What every `Tokens` promises, and what the SQL one promises besides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sandbox.adapters.database import open_database
from sandbox.adapters.tokens import SqlTokens
from sandbox.errors import RecordsError
from sandbox.ports import Producer, Tokens
from sandbox.settings import Settings
from sandbox.testing.records import FakeTokens


@pytest.fixture(name="engine")
def _engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(Settings(home=tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture(name="tokens", params=["fake", "sql"])
def _tokens(request: pytest.FixtureRequest) -> Tokens:
    if request.param == "fake":
        return FakeTokens()
    return SqlTokens(request.getfixturevalue("engine"))


def test_identify(tokens: Tokens) -> None:
    """A token names the trial and producer it was issued to; another names nobody."""
    tokens.issue("ride-1", "system", "t-1")
    tokens.issue("ride-1", "load", "t-2")
    assert tokens.identify("t-1") == Producer("ride-1", "system")
    assert tokens.identify("t-2") == Producer("ride-1", "load")
    assert [tokens.identify(token) for token in ("T-1", "t-", "")] == [None] * 3


def test_revoke(tokens: Tokens) -> None:
    """Revoking ends every token of that trial, counts them, and no other's."""
    tokens.issue("ride-1", "system", "t-1")
    tokens.issue("ride-1", "load", "t-2")
    tokens.issue("ride-2", "system", "t-3")
    assert tokens.revoke("ride-1") == 2
    assert tokens.revoke("ride-1") == 0
    assert tokens.identify("t-1") is None
    assert tokens.identify("t-2") is None
    assert tokens.identify("t-3") == Producer("ride-2", "system")


def test_revoke_nothing(tokens: Tokens) -> None:
    """Revoking the tokens of a trial without any revokes none."""
    assert tokens.revoke("ride-1") == 0


def test_issue_again(tokens: Tokens) -> None:
    """Issuing the same token to the same producer again changes nothing."""
    tokens.issue("ride-1", "system", "t-1")
    tokens.issue("ride-1", "system", "t-1")
    assert tokens.revoke("ride-1") == 1


@pytest.mark.parametrize("to", [("ride-2", "system"), ("ride-1", "load")])
def test_taken(tokens: Tokens, to: tuple[str, str]) -> None:
    """A token in use is refused to anyone else and keeps its owner."""
    tokens.issue("ride-1", "system", "t-1")
    with pytest.raises(RecordsError) as caught:
        tokens.issue(*to, "t-1")
    assert not caught.value.retryable
    assert "t-1" not in caught.value.diagnosis
    assert tokens.identify("t-1") == Producer("ride-1", "system")


def test_revoked_stays_revoked(tokens: Tokens) -> None:
    """A revoked token cannot be issued again; a new one can."""
    tokens.issue("ride-1", "system", "t-1")
    tokens.revoke("ride-1")
    with pytest.raises(RecordsError) as caught:
        tokens.issue("ride-1", "system", "t-1")
    assert not caught.value.retryable
    assert tokens.identify("t-1") is None
    tokens.issue("ride-1", "system", "t-2")
    assert tokens.identify("t-2") == Producer("ride-1", "system")


def test_empty(tokens: Tokens) -> None:
    """An empty token is refused: it would let everyone in."""
    with pytest.raises(RecordsError):
        tokens.issue("ride-1", "system", "")
    assert tokens.identify("") is None


def test_not_kept(tmp_path: Path, engine: Engine) -> None:
    """The token itself is nowhere in the database's files."""
    SqlTokens(engine).issue("ride-1", "system", "a-token-nobody-should-find")
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(b"ride-1" in data for data in files)
    assert not any(b"a-token-nobody-should-find" in data for data in files)


def test_other_process(tmp_path: Path, engine: Engine) -> None:
    """A revocation is seen at once by whoever else has the database open."""
    other = open_database(Settings(home=tmp_path))
    SqlTokens(engine).issue("ride-1", "system", "t-1")
    assert SqlTokens(other).identify("t-1") is not None
    SqlTokens(engine).revoke("ride-1")
    assert SqlTokens(other).identify("t-1") is None
    other.dispose()
