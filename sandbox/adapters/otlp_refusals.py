"""What the recorder refused: counted at once, written down soon.

Rules of this module:

* Every refusal is counted and written, without the token, to one file per day under
  `_refusals`; equal refusals of one flush are one line with a count.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from sandbox.errors import RecorderError
from sandbox.ports import Producer

REFUSALS_FOLDER = "_refusals"
_MAX_KINDS = 10_000

Reason = Literal[
    "unauthenticated",
    "malformed",
    "too-large",
    "unsupported",
    "overloaded",
    "unavailable",
]


class Refused(NamedTuple):
    """Why a request was not recorded."""

    reason: Reason
    message: str


class _Kind(NamedTuple):
    reason: Reason
    signal: str
    peer: str
    trial_id: str
    producer: str


class Refusals:
    """The refusals of one recorder.

    Args:
        folder: Where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: Counter[Reason] = Counter()
        self._unwritten: Counter[_Kind] = Counter()

    def counts(self) -> dict[str, int]:
        """Return how often each reason came, since the start."""
        return {str(reason): count for reason, count in self._counts.items()}

    def add(
        self,
        refused: Refused,
        *,
        signal: str,
        peer: str,
        producer: Producer | None = None,
    ) -> None:
        """Remember a refusal until the next `flush`.

        Args:
            refused: Why.
            signal: Of the request, or the path asked for.
            peer: Address of the sender.
            producer: Whom the token named, if it named anyone.
        """
        self._counts[refused.reason] += 1
        trial_id, name = producer or ("", "")
        kind = _Kind(refused.reason, signal[:80], peer, trial_id, name)
        if kind not in self._unwritten and len(self._unwritten) >= _MAX_KINDS:
            kind = _Kind(refused.reason, "", "many", "", "")
        self._unwritten[kind] += 1

    async def flush(self, at: datetime) -> None:
        """Write down the refusals counted since the last flush.

        Raises:
            RecorderError: They cannot be written; they are kept for the next flush.
        """
        if self._unwritten:
            counted, self._unwritten = self._unwritten, Counter()
            try:
                await asyncio.to_thread(self._write, counted, at)
            except OSError as error:
                self._unwritten.update(counted)
                raise RecorderError(f"cannot write refusals: {error}") from error

    def _write(self, counted: Counter[_Kind], at: datetime) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = [
            json.dumps({"at": at.isoformat(), "count": count, **kind._asdict()})
            for kind, count in counted.items()
        ]
        with (self._folder / f"{at:%Y-%m-%d}.jsonl").open("a") as file:
            file.write("\n".join(lines) + "\n")
