"""What every `Timestamps` promises, and what the one over HTTP promises besides."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.adapters.timestamps import HttpTimestamps
from sandbox.errors import EvidenceError
from sandbox.evidence.cms import read_certificate
from sandbox.evidence.timestamp import verify_token
from sandbox.ports import Timestamps
from sandbox.settings import Settings
from sandbox.testing.authority import (
    STAMPED_AT,
    Habits,
    ThrowawayAuthority,
    serving,
)
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Ledger

TEXT = b"log.example\n7\nroot\n"


@pytest.fixture(name="authority")
def _authority() -> ThrowawayAuthority:
    return ThrowawayAuthority()


@pytest.fixture(name="timestamps", params=["throwaway", "http"])
def _timestamps(
    request: pytest.FixtureRequest, authority: ThrowawayAuthority
) -> Iterator[Timestamps]:
    if request.param == "throwaway":
        yield authority
    else:
        with serving(authority) as url:
            yield HttpTimestamps(url, chain=(authority.root,))


def test_a_token_verifies_with_the_chain_it_comes_with(
    timestamps: Timestamps, authority: ThrowawayAuthority
) -> None:
    """It is over the text that was given, and trusted through the root."""
    token, chain = timestamps.stamp(TEXT)
    above = [read_certificate(item) for item in chain]
    said = verify_token(token, TEXT, chain=above, trusted=[authority.root])
    assert (said.at, said.trusted) == (STAMPED_AT, True)


def test_each_text_gets_its_own_token(timestamps: Timestamps) -> None:
    """A token says nothing of another text."""
    token, _ = timestamps.stamp(b"another")
    with pytest.raises(EvidenceError, match="something else"):
        verify_token(token, TEXT)


def test_settings_name_the_authority(
    tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    """Its URL and the chain above it; without a URL nobody is asked."""
    assert HttpTimestamps.of(Settings(home=tmp_path)) is None
    chain = tmp_path / "chain.pem"
    chain.write_bytes(authority.root.public_bytes(Encoding.PEM))
    with serving(authority) as url:
        settings = Settings(home=tmp_path, tsa_url=url, tsa_chain=chain)
        found = HttpTimestamps.of(settings)
        assert found is not None
        assert found.stamp(TEXT)[1] == (authority.root.public_bytes(Encoding.DER),)
    for wrong in (tmp_path / "nothing", tmp_path):
        with pytest.raises(EvidenceError, match="SANDBOX_TSA_CHAIN"):
            HttpTimestamps.of(settings.model_copy(update={"tsa_chain": wrong}))
    with pytest.raises(EvidenceError, match="not the URL"):
        HttpTimestamps.of(settings.model_copy(update={"tsa_url": "file:///etc"}))


@pytest.mark.parametrize(
    ("habits", "answer", "said"),
    [
        (Habits(echoes_nonce=False), b"", "another request"),
        (Habits(is_purpose_critical=False), b"", "not for timestamps"),
        (Habits(), b"not a timestamp", "did not answer with a timestamp"),
        (Habits(), bytes.fromhex("30053003020102"), "refused to stamp: status 2"),
        (Habits(), b"0" * 300_000, "too large"),
    ],
)
def test_a_wrong_answer_is_no_answer(habits: Habits, answer: bytes, said: str) -> None:
    """Without the nonce, for another purpose, noise, a refusal, or too much."""
    with serving(ThrowawayAuthority(habits), answer=answer) as url:
        with pytest.raises(EvidenceError, match=said):
            HttpTimestamps(url).stamp(TEXT)


def test_a_token_of_another_authority_is_not_taken(
    authority: ThrowawayAuthority,
) -> None:
    """Where a chain is given, a path of certificates must lead into it."""
    with serving(ThrowawayAuthority()) as url:
        with pytest.raises(EvidenceError, match="does not lead to"):
            HttpTimestamps(url, chain=(authority.certificate,)).stamp(TEXT)
        assert HttpTimestamps(url).stamp(TEXT)[1] == ()


@pytest.fixture(name="silent")
def _silent() -> Iterator[str]:
    """A server that takes a connection and then sends a byte now and then."""
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        stop.set()
        thread.join()


def test_an_authority_that_drips_does_not_hold_anyone_up(silent: str) -> None:
    """It is given up after the time it is given, and may be asked again."""
    started = time.monotonic()
    with pytest.raises(EvidenceError, match="did not answer") as caught:
        HttpTimestamps(silent, patience_s=0.4).stamp(TEXT)
    assert caught.value.retryable
    assert time.monotonic() - started < 10


def test_a_checkpoint_is_signed_whether_or_not_it_can_be_stamped(
    authority: ThrowawayAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody answers: it is said, and the next checkpoint is stamped again."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        nobody = f"http://127.0.0.1:{held.getsockname()[1]}/"
    ledger = Ledger(
        log=FakeLog(),
        records=FakeRecords(),
        segments=FakeSegments(),
        signer=ThrowawaySigner(),
        clock=FixedClock(),
        timestamps=HttpTimestamps(nobody),
    )
    checkpoint = ledger.checkpoint()
    assert ledger.log.checkpoints() == [checkpoint]
    assert ledger.log.timestamps() == []
    assert "the checkpoint of 0 entries is not stamped" in caplog.text
    with serving(authority) as url:
        ledger._replace(timestamps=HttpTimestamps(url)).checkpoint()
    assert [item.size for item in ledger.log.timestamps()] == [0]
