"""One HTTP request while it is read."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.adapters.http_message import HttpRequest


def request(**headers: str) -> HttpRequest:
    """Return a request whose body has not come."""
    named = {
        key.replace("_", "-").encode(): value.encode() for key, value in headers.items()
    }
    return HttpRequest("POST", b"/", headers=named, peer="192.0.2.1")


async def ask(made: HttpRequest, limit: int = 10) -> bytes | None:
    """Ask for the body; fails when that takes long."""
    async with asyncio.timeout(5):
        return await made.body(limit)


async def test_the_body_is_given_once_it_is_whole() -> None:
    """Whoever asks early is told when it is there, and the connection that he asks."""
    made, asked = request(), []
    made.when_asked(lambda: asked.append(True))
    waiting = asyncio.create_task(ask(made))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked == [True]
    for part in (b"ab", b"cd"):
        made.add(part)
        assert not waiting.done()
    made.finish()
    assert await waiting == b"abcd"


async def test_too_large_a_body_is_told_as_soon_as_it_is_known() -> None:
    """By what was announced, or by what came."""
    assert await ask(request(content_length="11")) is None
    made = request()
    waiting = asyncio.create_task(ask(made))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    made.add(b"a" * 11)
    assert await waiting is None
    whole = request()
    whole.add(b"a" * 11)
    whole.finish()
    assert await ask(whole) is None


@pytest.mark.parametrize("early", [True, False])
async def test_a_client_that_goes_away_ends_the_waiting(early: bool) -> None:
    """Whether it goes before the body is asked for or after."""
    made = request(content_length="5")
    if early:
        made.lose()
    waiting = asyncio.create_task(ask(made))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    made.lose()
    with pytest.raises(ConnectionResetError):
        await waiting


async def test_a_header_that_is_not_there_is_empty() -> None:
    """One that is there has its value, by its name in lower case."""
    made = request(content_type="a")
    assert made.header(b"content-type") == "a"
    assert made.header(b"x-none") == ""
