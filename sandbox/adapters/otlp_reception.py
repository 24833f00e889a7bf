"""What the recorder does with a request, whatever protocol brought it.

Rules of this module:

* The token names trial and producer; nothing inside the request is believed for that.
* A token is asked for again after half a second, so a revoked one is soon refused.
* Requests that arrive while a sync runs are written together by the next one; a sync
  starts as soon as the one before returned (group commit, no timer).
* More than a fixed amount waiting for the disk is refused, and may be sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sandbox.adapters.otlp_health import ALL, Faults
from sandbox.adapters.otlp_refusals import REFUSALS_FOLDER, Refusals, Refused
from sandbox.adapters.otlp_store import Received, TrialStore
from sandbox.errors import EvidenceError, RecorderError, RecordsError
from sandbox.model.segment import RecorderHealth, Signal
from sandbox.ports import Clock, Producer, Tokens
from sandbox.recorder import MAX_PRODUCER_BYTES, RECORDER, check_request

TOKEN_SECONDS = 0.5
"""How long an answer about a token is believed."""
MAX_REQUEST_BYTES = 20 * 1024 * 1024
"""Largest request, before and after decompression, over both protocols.

OTLP demands a limit and recommends 64 MiB over HTTP; gRPC servers often have 4 MiB.
"""
_MAX_CACHED = 10_000
_FRESH_S = 1.0
"""Seconds for which a recorded request proves that the next one could be."""


class Limits(NamedTuple):
    """What one recorder keeps in memory, and for how long."""

    refusal_window_s: float
    """Seconds for which equal refusals are counted together."""
    pending_bytes: int = 128 * 1024 * 1024
    """Bytes that may wait for the disk, over all trials."""


class _Lane:
    """The requests of one trial on their way to the disk."""

    def __init__(self, store: TrialStore) -> None:
        self.store = store
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[Received, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._written_at = -math.inf

    async def append(self, item: Received) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await done

    async def _write_all(self) -> None:
        while self._waiting:
            # Given back after each batch: whoever wants to roll has its turn.
            async with self._lock:
                batch, self._waiting = self._waiting, []
                items = [item for item, _ in batch]
                failure: RecorderError | None = RecorderError("it was not written")
                try:
                    failure = await asyncio.to_thread(_attempt, self.store, items)
                    if failure is None:
                        self._written_at = time.monotonic()
                finally:
                    for _, done in batch:
                        _settle(done, failure)

    async def roll(self, *, only_due: bool) -> int | None:
        async with self._lock:
            if only_due and not self.store.is_due():
                return None
            return await asyncio.to_thread(self.store.roll)

    async def check_writable(self) -> None:
        if time.monotonic() - self._written_at < _FRESH_S:
            return
        async with self._lock:
            await asyncio.to_thread(self.store.check_writable)


def _attempt(store: TrialStore, batch: list[Received]) -> RecorderError | None:
    try:
        store.append(batch)
    except RecorderError as error:
        return error
    return None


def _settle(done: asyncio.Future[None], failure: RecorderError | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(RecorderError(failure.diagnosis, retryable=True))


def _can_record(producer: Producer) -> bool:
    name = producer.producer
    return name != RECORDER and 0 < len(name.encode()) <= MAX_PRODUCER_BYTES


class Reception:
    """Identifies, checks and records requests, and counts what it refuses.

    Args:
        root: The evidence folder of the installation.
        tokens: Who may send.
        clock: Tells when a request was received.
        make_store: Makes the store of a trial.
        limits: Of memory, and of how long refusals are counted together.
    """

    def __init__(
        self,
        root: Path,
        *,
        tokens: Tokens,
        clock: Clock,
        make_store: Callable[[str], TrialStore],
        limits: Limits,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._make_store = make_store
        self._max_pending_bytes = limits.pending_bytes
        self._lanes: dict[str, _Lane] = {}
        self._known: dict[bytes, tuple[Producer | None, float]] = {}
        self._pending = 0
        self._accepted: Counter[str] = Counter()
        self._faults = Faults(clock)
        self.refusals = Refusals(
            root / REFUSALS_FOLDER, clock=clock, window_s=limits.refusal_window_s
        )
        """What was not recorded, and why."""

    async def identify(self, header: str) -> Producer | Refused:
        """Return whom an `Authorization` header names.

        Args:
            header: Its value; empty when there was none.
        """
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return Refused(
                "unauthenticated", "send the trial's token: Authorization: Bearer TOKEN"
            )
        try:
            producer = await self._ask(token)
        except RecordsError as error:
            cause = f"tokens cannot be read: {error.diagnosis}"
            self._faults.failed(ALL, cause)
            return Refused("unavailable", cause)
        if producer is None or not _can_record(producer):
            return Refused("unauthenticated", "the token is not known or was revoked")
        return producer

    async def _ask(self, token: str) -> Producer | None:
        key = hashlib.sha256(token.encode()).digest()
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and known[1] > now:
            return known[0]
        producer = await asyncio.to_thread(self._tokens.identify, token)
        self._faults.worked(ALL)
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        # From before the question was asked: the answer may be as old as that.
        self._known[key] = (producer, now + TOKEN_SECONDS)
        return producer

    async def record(
        self,
        producer: Producer,
        signal: Signal,
        payload: bytes,
        *,
        origin: bytes = b"",
    ) -> Refused | None:
        """Record a request; None once it is durable, else why it is not.

        Args:
            producer: Whom the token named.
            signal: What the request carries.
            payload: The request in protobuf, decompressed.
            origin: Recorded after it; says what it was made from.
        """
        received_at = self._clock.now()
        try:
            check_request(signal, payload)
        except EvidenceError as error:
            return Refused("malformed", error.diagnosis)
        size = len(payload) + len(origin)
        if self._pending + size > self._max_pending_bytes:
            cause = "the disk is behind; send again later"
            self._faults.failed(producer.trial_id, cause)
            return Refused("overloaded", cause)
        item = Received(signal, producer.producer, payload + origin, received_at)
        self._pending += size
        try:
            await self._lane(producer.trial_id).append(item)
        except RecorderError as error:
            self._faults.failed(producer.trial_id, error.diagnosis)
            return Refused("unavailable", error.diagnosis)
        finally:
            self._pending -= size
        self._faults.worked(producer.trial_id)
        self._accepted[signal] += 1
        return None

    def _lane(self, trial_id: str) -> _Lane:
        lane = self._lanes.get(trial_id)
        if lane is None:
            lane = self._lanes[trial_id] = _Lane(self._make_store(trial_id))
        return lane

    async def roll(self, trial_id: str) -> int | None:
        """Close the trial's open segment; return its number, None if none was open.

        Raises:
            RecorderError: It cannot be closed, or it is not a trial id.
        """
        return await self._lane(trial_id).roll(only_due=False)

    async def health(self, trial_id: str) -> RecorderHealth:
        """Return whether what the trial's producers send now would be recorded.

        Where no request says so, a small file that is written and removed does.

        Raises:
            RecorderError: It is not a trial id.
        """
        if self._faults.may_be_over(trial_id):
            try:
                await self._lane(trial_id).check_writable()
                self._faults.worked(trial_id)
            except RecorderError as error:
                if not error.retryable:
                    raise
                self._faults.failed(trial_id, error.diagnosis)
        if self._faults.may_be_over(ALL):
            # A token that is none: what counts is whether there is an answer.
            await self.identify("Bearer none")
        return self._faults.health(trial_id)

    async def tend(self) -> None:
        """Close what is due and write down refusals; called again and again.

        Raises:
            RecorderError: A segment or the refusals cannot be written.
        """
        for lane in list(self._lanes.values()):
            if lane.store.is_due():
                await lane.roll(only_due=True)
        await self.refusals.flush()

    async def close(self) -> None:
        """Close every segment and write down refusals.

        Raises:
            RecorderError: One cannot be written.
        """
        for lane in list(self._lanes.values()):
            await lane.roll(only_due=False)
        await self.refusals.flush(ending=True)

    def status(self) -> dict[str, object]:
        """Return counts since the start, ready for JSON."""
        return {
            "accepted": dict(self._accepted),
            "refused": self.refusals.counts(),
            "faults": self._faults.told(),
            "pending_bytes": self._pending,
            "open_bytes": {
                trial_id: lane.store.open_bytes
                for trial_id, lane in self._lanes.items()
            },
        }
