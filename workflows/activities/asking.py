"""What is asked of everything that was recorded, and of which trials.

Rules of this module:

* A trial counts once it is over: its evidence does not grow any more.
* Trials are kept apart by the version they ran under.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from sandbox.errors import EvidenceError
from sandbox.model.backtest import Backtest, BacktestAnswer
from sandbox.model.comparison import Comparison, ComparisonAnswer
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.ports import Backtests, Comparisons
from sandbox.procedure import FINAL_STATES
from sandbox.revision import Recorded, RunningTrial
from workflows.activities.keeping import Ledger
from workflows.activities.times import evidence_times

RUNNING = ("provisioning", "running", "paused")


class Asking(NamedTuple):
    """The ports through which recorded spans are asked."""

    backtests: Backtests
    comparisons: Comparisons

    def telling(self, tell: Callable[[], object]) -> Asking:
        """Return the same ports; `tell` is called before every question."""
        return Asking(
            _TellingBacktests(self.backtests, tell),
            _TellingComparisons(self.comparisons, tell),
        )


class _TellingBacktests(NamedTuple):
    port: Backtests
    tell: Callable[[], object]

    def backtest(self, asked: Backtest) -> BacktestAnswer:
        self.tell()
        return self.port.backtest(asked)


class _TellingComparisons(NamedTuple):
    port: Comparisons
    tell: Callable[[], object]

    def compare(self, asked: Comparison) -> ComparisonAnswer:
        self.tell()
        return self.port.compare(asked)


def recorded_trials(
    ledger: Ledger, rulebook: str, *, only: Collection[str] | None = None
) -> list[Recorded]:
    """Return all trials of a rulebook that are over, by version, oldest first.

    Args:
        ledger: The record.
        rulebook: Its name.
        only: Leave out other trials than these, and none for not being over.
    """
    versions: dict[int, list[TemporaryRule]] = {}
    for state, rule in _trials(ledger, rulebook):
        is_meant = state in FINAL_STATES if only is None else rule.trial_id in only
        if is_meant:
            versions.setdefault(rule.of.version, []).append(rule)
    return [
        _recorded(ledger, ledger.records.rulebook(rulebook, version), versions[version])
        for version in sorted(versions)
    ]


def _recorded(
    ledger: Ledger, rulebook: Rulebook, trials: Sequence[TemporaryRule]
) -> Recorded:
    found = {item.trial_id: evidence_times(ledger, item.trial_id) for item in trials}
    times = {trial_id: known for trial_id, known in found.items() if known}
    return Recorded(rulebook, tuple(trials), times)


def readable_trials(
    ledger: Ledger, rulebook: str, asking: Asking
) -> tuple[list[Recorded], list[str]]:
    """Return the trials that can be asked, and why others cannot, a sentence each.

    One trial whose evidence is damaged does not hold up the revision of a rule; it is
    named instead.
    """
    left_out = [
        f"{rule.trial_id} is {'still running' if state in RUNNING else 'not over'}"
        " and was not asked."
        for state, rule in _trials(ledger, rulebook)
        if state not in FINAL_STATES
    ]
    found = []
    for stratum in recorded_trials(ledger, rulebook):
        kept = []
        for trial in stratum.trials:
            try:
                _try(stratum, trial, asking)
            except EvidenceError as error:
                if error.retryable:
                    raise
                left_out.append(
                    f"{trial.trial_id} was not asked, since its evidence cannot be"
                    f" read: {error.diagnosis}"
                )
            else:
                kept.append(trial)
        if kept:
            found.append(stratum._replace(trials=tuple(kept)))
    return found, left_out


def _try(stratum: Recorded, trial: TemporaryRule, asking: Asking) -> None:
    """Read everything of a trial once, as every question does.

    Raises:
        EvidenceError: It cannot be read.
    """
    about_spans = [item for item in stratum.rulebook.rules if item.about == "span"]
    # Rules about the order of spans cost more to ask.
    about_spans.sort(key=lambda item: item.pattern is not None)
    rules = [item.rule for item in about_spans]
    if rules:
        asking.backtests.backtest(
            Backtest(
                rulebook=stratum.rulebook,
                trials=(trial.trial_id,),
                rules=tuple(rules[:1]),
            )
        )


def running_trials(ledger: Ledger, rulebook: str) -> list[RunningTrial]:
    """Return every trial of a rulebook that is running, with its plan."""
    return [
        RunningTrial(
            rulebook=ledger.records.rulebook(rulebook, rule.of.version),
            temporary_rule=rule,
            plan=ledger.application(rule.trial_id).plan,
        )
        for state, rule in _trials(ledger, rulebook)
        if state in RUNNING
    ]


def _trials(ledger: Ledger, rulebook: str) -> Iterator[tuple[str, TemporaryRule]]:
    """Yield (state, temporary rule) of every trial of a rulebook, by name."""
    for case in sorted(ledger.records.cases(), key=lambda item: item["trial_id"]):
        found = ledger.records.find_documents(case["trial_id"], "temporary-rule")
        if "temporary-rule" in found:
            rule = TemporaryRule.model_validate(found["temporary-rule"])
            if rule.of.rulebook == rulebook:
                yield case["state"], rule
