"""Files derived from a trial's sealed segments, made where they are missing.

Rules of this module:

* Derived files lie under `SANDBOX_HOME/derived/<trial>/`, never among the evidence.
  Removing them loses nothing.
* A file is used only if its bytes are whole and it was derived by this version, under
  these rules, from the segments whose raw digests the signed statements name. Anything
  else is made again and then removed.
* What was read of a trial is remembered only while it holds; where nothing of a trial
  is sealed any more, nothing derived of it is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa

from sandbox.adapters.spans_folder import DerivedFile, DerivedFolder
from sandbox.adapters.spans_parquet import read_whole, to_parquet
from sandbox.errors import RecorderError
from sandbox.model.segment import EvidenceSegment
from sandbox.model.trace import SegmentDigest
from sandbox.ports import SegmentFile, Segments
from sandbox.query import (
    Origin,
    Range,
    Source,
    arrange,
    derive,
    index_traces,
    open_segment,
    origin_of,
    promoted,
    read_segment_statement,
    wanted_files,
)
from sandbox.query.origin import VERSION
from sandbox.recorder import folder_name
from sandbox.rules import CompiledRules
from sandbox.settings import Settings


class Derived(NamedTuple):
    """Everything that may be searched of a trial."""

    files: tuple[DerivedFile, ...]
    """In order of their segments; those without spans too."""
    evidence: tuple[SegmentDigest, ...]
    said: Mapping[int, EvidenceSegment]
    """What the signed statements of the same segments say, by number."""
    unsealed: int
    erased: int


class _Asked(NamedTuple):
    """What an answer depends on, besides the derived files themselves."""

    trial_id: str
    files: tuple[SegmentFile, ...]
    rules_digest: str


class _Last(NamedTuple):
    """What was found last, while nothing it depends on has changed."""

    asked: _Asked
    changed_ns: int
    derived: Derived


class DerivedFiles:
    """The derived files of every trial.

    Args:
        segments: Where sealed segments are read.
        rules: Gives the rules of a trial, as they judge its spans.
        root: The folder of derived files of the installation.
        keys: Raw public keys that may have signed statements of segments.
    """

    def __init__(
        self,
        segments: Segments,
        rules: Callable[[str], CompiledRules],
        *,
        root: Path,
        keys: Sequence[bytes],
    ) -> None:
        self._segments = segments
        self._rules = rules
        self._root = root
        self._keys = tuple(keys)
        self._folders: dict[str, DerivedFolder] = {}
        self._said: dict[str, dict[SegmentFile, EvidenceSegment]] = {}
        self._last: dict[str, _Last] = {}

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        segments: Segments,
        rules: Callable[[str], CompiledRules],
        keys: Sequence[bytes],
    ) -> Self:
        """Return the derived files of the installation with these settings."""
        return cls(segments, rules, root=settings.derived_dir, keys=keys)

    def current(self, trial_id: str) -> Derived:
        """Return what may be searched now, made first where it is missing.

        Raises:
            EvidenceError: A segment or its statement is damaged; names it.
            RecorderError: Segments cannot be read, or derived files not written.
        """
        files = self._segments.files(trial_id)
        sealed = [item for item in files if item.state == "sealed"]
        if not sealed:
            self._forget(trial_id)
            return Derived((), (), {}, *_not_searched(files))
        rules = self._rules(trial_id)
        try:
            return self._derived(_Asked(trial_id, tuple(files), rules.digest), rules)
        except OSError as error:
            raise RecorderError(
                f"derived files of trial {trial_id} cannot be kept: {error}; make room "
                f"in {self._root}"
            ) from error

    def _derived(self, asked: _Asked, rules: CompiledRules) -> Derived:
        folder = self._folder(asked.trial_id)
        last, changed_ns = self._last.get(asked.trial_id), folder.changed_ns()
        if last and last.asked == asked and last.changed_ns == changed_ns:
            return last.derived
        sealed = [item for item in asked.files if item.state == "sealed"]
        said = self._statements(asked.trial_id, sealed)
        found = self._found(folder, _Making(asked.trial_id, said, rules))
        evidence = tuple(
            SegmentDigest(number=number, raw_digest=item.raw_digest)
            for number, item in said.items()
        )
        derived = Derived(tuple(found), evidence, said, *_not_searched(asked.files))
        self._last[asked.trial_id] = _Last(asked, changed_ns, derived)
        return derived

    def _statements(
        self, trial_id: str, sealed: Sequence[SegmentFile]
    ) -> dict[int, EvidenceSegment]:
        known = self._said.get(trial_id, {})
        said = {
            file: known.get(file) or self._read_statement(trial_id, file.number)
            for file in sealed
        }
        self._said[trial_id] = said
        return {file.number: item for file, item in said.items()}

    def _read_statement(self, trial_id: str, number: int) -> EvidenceSegment:
        return read_segment_statement(
            self._segments.read_envelope(trial_id, number),
            keys=self._keys,
            trial_id=trial_id,
            number=number,
        )

    def _folder(self, trial_id: str) -> DerivedFolder:
        path = self._root / folder_name(trial_id)
        return self._folders.setdefault(trial_id, DerivedFolder(path))

    def _forget(self, trial_id: str) -> None:
        """Remove what was derived of a trial of which nothing is sealed."""
        self._folder(trial_id).clean(())
        for memo in (self._folders, self._said, self._last):
            memo.pop(trial_id, None)

    def _found(self, folder: DerivedFolder, making: _Making) -> list[DerivedFile]:
        held = making.usable(folder)
        if all(item in held for item in making.wanted):
            folder.clean([held[item].path for item in making.wanted])
        else:
            with folder.locked():
                held = making.usable(folder)
                for item in making.wanted:
                    if item not in held:
                        held[item] = self._make(folder, item, making=making, held=held)
                folder.remove_others([held[item].path for item in making.wanted])
        return [held[item] for item in making.wanted]

    def _make(
        self,
        folder: DerivedFolder,
        wanted: Range,
        *,
        making: _Making,
        held: Mapping[Range, DerivedFile],
    ) -> DerivedFile:
        rules = making.rules
        arranged = arrange(
            list(self._tables(wanted, making, held)),
            rules=rules.names,
            always=promoted(rules.mentions),
        )
        origin = origin_of(
            arranged,
            sources=making.sources(wanted),
            rules_digest=making.rules_digest,
            rules=rules.names,
        )
        data = to_parquet(arranged.table, origin)
        path = folder.put(wanted, data)
        return DerivedFile(path, origin, index_traces(arranged.table))

    def _tables(
        self, wanted: Range, making: _Making, held: Mapping[Range, DerivedFile]
    ) -> Iterator[pa.Table]:
        number = wanted.first
        while number <= wanted.last:
            parts = [item for item in held if item.first == number]
            part = max(
                (item for item in parts if item.last <= wanted.last), default=None
            )
            if part is None:
                yield self._derive(number, making)
                number += 1
            else:
                yield read_whole(held[part].path, held[part].origin)
                number = part.last + 1

    def _derive(self, number: int, making: _Making) -> pa.Table:
        compressed, _ = self._segments.read_sealed(making.trial_id, number)
        frames = open_segment(compressed, making.said[number])
        return derive(frames, rules=making.rules, segment=number)


class _Making:
    """What derived files of a trial must agree with now."""

    def __init__(
        self, trial_id: str, said: Mapping[int, EvidenceSegment], rules: CompiledRules
    ) -> None:
        self.trial_id = trial_id
        self.said = said
        self.rules = rules
        self.rules_digest = rules.digest
        self.wanted = wanted_files({n: item.spans for n, item in said.items()})

    def sources(self, wanted: Range) -> list[Source]:
        """Return the segments of a file with the digests they must have."""
        numbers = range(wanted.first, wanted.last + 1)
        return [Source(number, self.said[number].raw_digest) for number in numbers]

    def usable(self, folder: DerivedFolder) -> dict[Range, DerivedFile]:
        """Return the files of a folder that may be used, by the segments they hold."""
        return {
            file.range: file for file in folder.files() if self._agrees(file.origin)
        }

    def _agrees(self, origin: Origin) -> bool:
        """Return whether a file was derived from what holds now."""
        return (
            origin.version == VERSION
            and origin.rules_digest == self.rules_digest
            and all(
                source.number in self.said
                and source.raw_digest == self.said[source.number].raw_digest
                for source in origin.sources
            )
        )


def _not_searched(files: Sequence[SegmentFile]) -> tuple[int, int]:
    """Return how many segments are not sealed yet, and how many were erased."""
    states = [item.state for item in files]
    erased = states.count("erased")
    return len(states) - states.count("sealed") - erased, erased
