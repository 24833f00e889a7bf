"""Segments in memory."""

from __future__ import annotations

import zstandard

from sandbox.errors import RecorderError
from sandbox.model.segment import RecorderHealth, RefusalWindow
from sandbox.ports import SegmentFile
from sandbox.recorder import folder_name


class FakeSegments:
    """The segments of every trial, in memory; also plays the recorder.

    `receive` appends to the open segment, opening one when none is.
    """

    def __init__(self) -> None:
        self._raw: dict[str, dict[int, bytes]] = {}
        self._open: dict[str, int] = {}
        self._staged: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        self._sealed: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        self._damage: dict[tuple[str, int], RecorderError] = {}
        self._erased: set[tuple[str, int]] = set()
        self._refusals: dict[str, RefusalWindow] = {}
        self._health = RecorderHealth(is_well=True)

    def receive(self, trial_id: str, raw: bytes) -> None:
        """Append raw frames to the trial's open segment."""
        segments = self._raw.setdefault(folder_name(trial_id), {})
        number = self._open.setdefault(trial_id, len(segments) + 1)
        segments[number] = segments.get(number, b"") + raw

    def damage(self, trial_id: str, number: int, error: RecorderError) -> None:
        """Have `read` of a segment raise this from now on."""
        self._damage[trial_id, number] = error

    def restore(self, trial_id: str, number: int) -> None:
        """Have a damaged segment whole again."""
        del self._damage[trial_id, number]

    def fail(self, health: RecorderHealth) -> None:
        """Have `health` say this from now on."""
        self._health = health

    def health(self, trial_id: str) -> RecorderHealth:
        """Return what was set, well at first."""
        folder_name(trial_id)
        return self._health

    def refuse(self, window: RefusalWindow) -> None:
        """Keep a closed window of refused requests."""
        self._refusals[window.name] = window

    def refusals(self) -> list[RefusalWindow]:
        """Return the closed windows of refused requests that are still kept."""
        return [self._refusals[name] for name in sorted(self._refusals)]

    def drop_refusals(self, name: str) -> None:
        """Keep a window no longer; idempotent."""
        self._refusals.pop(name, None)

    def files(self, trial_id: str, *, since: int = 1) -> list[SegmentFile]:
        """Return the trial's segments from number `since` on, in order."""
        numbers = sorted(self._raw.get(folder_name(trial_id), {}))
        return [self._file(trial_id, number) for number in numbers if number >= since]

    def _file(self, trial_id: str, number: int) -> SegmentFile:
        sealed = self._sealed.get((trial_id, number))
        if (trial_id, number) in self._erased:
            return SegmentFile(number, "erased", 0)
        if sealed is not None:
            return SegmentFile(number, "sealed", len(sealed[0]))
        size = len(self._raw[trial_id][number])
        if self._open.get(trial_id) == number:
            return SegmentFile(number, "open", size)
        return SegmentFile(number, "closed", size)

    def read(self, trial_id: str, number: int, *, offset: int = 0) -> bytes:
        """Return the raw bytes from `offset`."""
        raw = self._raw.get(folder_name(trial_id), {}).get(number)
        if (trial_id, number) in self._damage:
            raise self._damage[trial_id, number]
        if raw is None or (trial_id, number) in self._erased:
            raise RecorderError(
                f"segment {number} of trial {trial_id} cannot be read: there is none",
                retryable=False,
            )
        return raw[offset:]

    def roll(self, trial_id: str) -> None:
        """Close the open segment."""
        self._open.pop(folder_name(trial_id), None)

    def stage_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Lay the sealed form beside a closed segment, which stays closed."""
        raw = self.read(trial_id, number)
        state = self._file(trial_id, number).state
        if state != "closed":
            raise RecorderError(f"segment {number} is {state}, not closed; roll it")
        if _decompress(compressed) != raw:
            raise RecorderError(f"the compressed file does not hold segment {number}")
        self._staged[trial_id, number] = (compressed, envelope)

    def read_staged(self, trial_id: str, number: int) -> tuple[bytes, bytes] | None:
        """Return (compressed file, DSSE envelope) laid beside a closed segment."""
        return self._staged.get((folder_name(trial_id), number))

    def put_sealed(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Replace a closed raw segment by its sealed form; idempotent."""
        held = self._sealed.get((trial_id, number))
        if held is None:
            self.stage_sealed(
                trial_id, number, compressed=compressed, envelope=envelope
            )
            self._sealed[trial_id, number] = self._staged.pop((trial_id, number))
        elif held != (compressed, envelope):
            raise RecorderError(
                f"segment {number} is already sealed with other content"
            )

    def read_sealed(self, trial_id: str, number: int) -> tuple[bytes, bytes]:
        """Return (compressed file, DSSE envelope) of a sealed segment."""
        sealed = self._sealed.get((folder_name(trial_id), number))
        if sealed is None or (trial_id, number) in self._erased:
            raise RecorderError(
                f"segment {number} of trial {trial_id} is not sealed", retryable=False
            )
        return sealed

    def read_envelope(self, trial_id: str, number: int) -> bytes:
        """Return the DSSE envelope of a sealed or erased segment."""
        if (trial_id, number) not in self._sealed:
            raise RecorderError(
                f"segment {number} of trial {trial_id} is not sealed", retryable=False
            )
        return self._sealed[trial_id, number][1]

    def erase(self, trial_id: str, number: int) -> None:
        """Remove the bytes of a sealed segment; its statement stays."""
        if (folder_name(trial_id), number) not in self._sealed:
            raise RecorderError(
                f"segment {number} of trial {trial_id} is not sealed", retryable=False
            )
        self._erased.add((trial_id, number))

    def tamper(
        self, trial_id: str, number: int, *, compressed: bytes, envelope: bytes
    ) -> None:
        """Put other bytes in the place of a sealed segment, as nobody should."""
        self._sealed[trial_id, number] = (compressed, envelope)


def _decompress(compressed: bytes) -> bytes | None:
    try:
        return zstandard.ZstdDecompressor().decompress(compressed)
    except zstandard.ZstdError:
        return None
