"""The ports the record is kept through, as activities use them.

Rules of this module:

* An entry is appended, then anything else happens.
* The bundle of a trial is written whole beside the old one, and then takes its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.errors import EvidenceError, RecordsError
from sandbox.evidence.bundle import BundleSource, write_bundle
from sandbox.evidence.damaged import without_damaged
from sandbox.evidence.log import sign_checkpoint
from sandbox.evidence.place import partial_bundle
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.findings import look_problem
from sandbox.model.application import Application
from sandbox.model.decision import Refusal
from sandbox.model.log import Checkpoint, LogEntry
from sandbox.model.observation import Observation
from sandbox.model.party import Actor
from sandbox.model.record import Record, canonical_json
from sandbox.model.rule import Rulebook, RulebookRef, TemporaryRule
from sandbox.monitor import observe_frames
from sandbox.ports import Clock, Log, Records, Segments, Signer, Timestamps
from sandbox.recorder import Frame, decode_frames
from sandbox.rules import CompiledRules, compile_rules, version_in_force
from workflows.messages import EntryDraft, EntryPlace

_LOG = logging.getLogger(__name__)


class Ledger(NamedTuple):
    """The ports the record is kept through."""

    log: Log
    records: Records
    segments: Segments
    signer: Signer
    clock: Clock
    timestamps: Timestamps | None = None
    """Who stamps checkpoints, if anyone."""

    def checkpoint(self) -> Checkpoint:
        """Sign the log as it stands, and have that stamped where someone does.

        An authority that does not answer is told in the program's log and asked again
        with the next checkpoint.
        """
        checkpoint = sign_checkpoint(self.log, self.signer)
        if self.timestamps is not None:
            try:
                stamp_checkpoint(self.log, self.timestamps, checkpoint)
            except EvidenceError as error:
                message = "the checkpoint of %d entries is not stamped: %s"
                _LOG.warning(message, checkpoint.size, error.diagnosis)
        return checkpoint

    def write(self, kind: str, entry_id: str, trial_id: str, body: Record) -> int:
        """Append a record as an entry and return its place."""
        return self.append(draft_of(kind, entry_id, trial_id, body)).index

    def write_once(
        self, kind: str, entry_id: str, trial_id: str, body: Record
    ) -> dict[str, JsonValue]:
        """Append a record, or keep the one that has this id; return what is recorded.

        For what a worker that replaces another finds a second time, with other times
        in it: the first one counts.
        """
        draft = draft_of(kind, entry_id, trial_id, body)
        try:
            self.append(draft)
        except RecordsError:
            # The log itself decides which was first; asked before, it may not know yet.
            known = self.log.entry(entry_id)
            if known is None:
                raise
            return known.entry.body
        return draft.body

    def append(self, draft: EntryDraft) -> EntryPlace:
        """Append an entry and return its place."""
        return self.append_all([draft])[0]

    def append_all(self, drafts: Sequence[EntryDraft]) -> list[EntryPlace]:
        """Append entries in this order, all or none, and return their places.

        Raises:
            EvidenceError: A look does not say on which data it rests. Nothing is
                appended but that it was refused.
        """
        self._refuse_looks(drafts)
        now = self.clock.now()
        entries = [
            LogEntry(
                kind=draft.kind,
                entry_id=draft.entry_id,
                trial_id=draft.trial_id,
                recorded_at=now,
                body=draft.body,
            )
            for draft in drafts
        ]
        return [
            EntryPlace(
                entry_id=logged.entry.entry_id,
                index=logged.index,
                recorded_at=logged.entry.recorded_at,
            )
            for logged in self.log.append_all(entries)
        ]

    def _refuse_looks(self, drafts: Sequence[EntryDraft]) -> None:
        problems = []
        for draft in drafts:
            problem = look_problem(draft.body) if draft.kind == "look" else ""
            if problem:
                problems.append(f"{draft.entry_id}: {problem}")
                refusal = Refusal(
                    decision_id=draft.entry_id,
                    code="look-without-its-data",
                    what=problem,
                    by=Actor(name="judge", role="machine"),
                    act="look",
                    at=self.clock.now(),
                )
                name = f"refusal/{draft.entry_id}"
                self.write_once("refusal", name, draft.trial_id, refusal)
        if problems:
            raise EvidenceError("; ".join(problems))

    def application(self, trial_id: str) -> Application:
        """Return the application of a trial, as last filed."""
        document = self.records.get_document(trial_id, "application")
        return Application.model_validate(document)

    def temporary_rule(self, trial_id: str) -> TemporaryRule:
        """Return the temporary rule of a trial."""
        document = self.records.get_document(trial_id, "temporary-rule")
        return TemporaryRule.model_validate(document)

    def in_force(self, rulebook: str, *, at: datetime) -> Rulebook:
        """Return the version of a rulebook that is in force at an instant.

        Raises:
            RecordsError: It was never published.
            RuleError: No version has entered into force by then.
        """
        versions = self.records.versions(rulebook)
        if not versions:
            raise RecordsError(
                f"rulebook {rulebook} was never published; publish it first",
                retryable=False,
            )
        return version_in_force(versions, at.date())

    def rules(self, trial_id: str) -> CompiledRules:
        """Return the rulebook of a trial with its temporary rule over it."""
        rule = self.temporary_rule(trial_id)
        rulebook = self.records.rulebook(rule.of.rulebook, rule.of.version)
        return compile_rules(rulebook, rule)

    def observations(
        self, trial_id: str, *, tell: Callable[[int], None] = lambda number: None
    ) -> Iterator[Observation]:
        """Yield what the rules say of every recorded span, segment by segment.

        Args:
            trial_id: The trial.
            tell: Told the number of each segment before it is judged.
        """
        rules = self.rules(trial_id)
        for number, frames in self.frames(trial_id):
            tell(number)
            yield from observe_frames(
                frames, rules=rules, trial_id=trial_id, segment=number
            )

    def frames(self, trial_id: str) -> Iterator[tuple[int, list[Frame]]]:
        """Yield (segment number, its frames) of everything still kept, in order.

        What was found damaged and is not sealed is passed over; the log says so.
        """
        entries = (item.entry for item in self.log.entries(trial_id))
        for file in without_damaged(self.segments.files(trial_id), entries):
            if file.state == "erased":
                continue
            frames, _ = decode_frames(self.segments.read(trial_id, file.number))
            yield file.number, frames


def draft_of(kind: str, entry_id: str, trial_id: str, body: Record) -> EntryDraft:
    """Return the draft of an entry that carries a record."""
    return EntryDraft.model_validate(
        {
            "kind": kind,
            "entry_id": entry_id,
            "trial_id": trial_id,
            "body": body.model_dump(mode="json", by_alias=True),
        }
    )


def publish_rulebook(ledger: Ledger, rulebook: Rulebook) -> RulebookRef:
    """Publish a version and record it whole; the same version again is no change.

    Raises:
        RecordsError: That version exists with other content.
    """
    ref = ledger.records.publish_rulebook(rulebook)
    owner = f"rulebook/{ref.rulebook}"
    ledger.write("rule-version", f"{owner}/{ref.version}", owner, rulebook)
    return ref


class Bundles(NamedTuple):
    """Where the bundles lie."""

    directory: Path

    def must_be_renewed(self, trial_id: str, *, erased: Sequence[int]) -> bool:
        """Return whether bytes of erased segments lie in the trial's bundle.

        Also where an interrupted writing left a part of one: they may lie there.
        """
        bundle = self.directory / trial_id
        names = [f"segments/{number:06d}.gz" for number in erased]
        left = [bundle / name for name in names] + [partial_bundle(bundle)]
        return bool(erased) and any(path.exists() for path in left)

    def write(self, ledger: Ledger, trial_id: str) -> str:
        """Write the bundle of one trial anew and return its path."""
        target = self.directory / trial_id
        ledger.checkpoint()
        rulebook = ledger.temporary_rule(trial_id).of.rulebook
        source = BundleSource(
            log=ledger.log,
            segments=ledger.segments,
            signer=ledger.signer,
            documents=_regime_file(ledger, trial_id),
            also_entries_of=(f"rulebook/{rulebook}",),
        )
        write_bundle(target, trial_id=trial_id, source=source)
        return str(target)


def _regime_file(ledger: Ledger, trial_id: str) -> dict[str, bytes]:
    """Return the trial's regime as a file of its bundle; the log has its digest."""
    found = ledger.records.find_documents(trial_id, "regime").get("regime")
    return {} if found is None else {"regime.json": canonical_json(found)}
