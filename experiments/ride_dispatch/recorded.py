"""The recorded run: its bundle is committed, verified here, and judged again.

Rules of this module:

* Nothing is taken from the run but its bundle: raw requests and entries of the log.
* What is compared are verdicts, counts, limits and digests; how findings are worded may
  change without a new run.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.replays.results import table
from sandbox.errors import EvidenceError
from sandbox.evidence.verify import verify_bundle
from sandbox.findings import conclude, trial_record
from sandbox.model.finding import Finding
from sandbox.model.log import LogEntry
from sandbox.model.observation import Breach
from sandbox.recorder import Frame, decode_frames

FOLDER = Path(__file__).parent / "results"
BUNDLE = FOLDER / "bundle"

_OF_FINDING = (
    "subject",
    "purpose",
    "rule",
    "verdict",
    "counts",
    "missing",
    "estimate",
    "bounds",
    "threshold",
    "looks",
    "data_digest",
)
_OF_BREACH = ("guardrail", "events", "units", "expected", "llr", "threshold")


def results(bundle: Path = BUNDLE) -> dict[str, Any]:
    """Verify a bundle of the experiment, judge it again, and return the figures.

    Raises:
        EvidenceError: It does not verify; names the step.
    """
    verified = verify_bundle(bundle)
    if not verified.ok:
        failed = verified.steps[-1]
        raise EvidenceError(f"{bundle} does not verify: {failed.step}: {failed.detail}")
    lines = (bundle / "entries.jsonl").read_text().splitlines()
    entries = [LogEntry.model_validate(json.loads(line)["entry"]) for line in lines]
    (trial_id,) = {item.trial_id for item in entries if item.kind == "closing"}
    record = trial_record(trial_id, entries)
    concluded = conclude(record, lambda: _segments(bundle))
    return {
        "trial": trial_id,
        "entries": verified.entries,
        "frames": verified.frames,
        "spans": verified.spans,
        "observations": len(concluded.observations),
        "rulebook": record.temporary_rule.of.model_dump(mode="json"),
        "plan_digest": record.temporary_rule.plan_digest,
        "pauses": len(record.closing.pauses),
        "findings": [_figures(item) for item in concluded.judgement.findings],
        "breaches": [_signal(item) for item in record.breaches],
    }


def recorded() -> dict[str, Any]:
    """Return the figures that are committed."""
    found: dict[str, Any] = json.loads((FOLDER / "recorded.json").read_text())
    return found


def summary(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    findings = table(
        ("finding on", "verdict", "in order", "violated", "lower", "upper", "looks"),
        (
            (
                item["subject"],
                item["verdict"].replace("_", " "),
                str(item["counts"]["satisfied"]),
                str(item["counts"]["violated"]),
                f"{item['bounds']['lower']:.4f}",
                f"{item['bounds']['upper']:.4f}",
                str(item["looks"]),
            )
            for item in found["findings"]
        ),
    )
    signals = [
        f"* `{item['guardrail']}` signalled with {item['events']} events among"
        f" {item['units']} units, {item['expected']:.2f} expected; log-likelihood ratio"
        f" {item['llr']:.3f} against {item['threshold']:.3f}."
        for item in found["breaches"]
    ]
    return (
        f"# Recorded run of `{found['trial']}`\n\nMade by `python -m"
        " experiments.ride_dispatch --record BUNDLE` from the bundle beside it:"
        f" {found['entries']} entries, {found['frames']} requests,"
        f" {found['spans']} spans, {found['observations']} observations.\n\n{findings}"
        "\n\n" + "\n".join(signals) + "\n"
    )


def _figures(finding: Finding) -> dict[str, Any]:
    said = finding.model_dump(mode="json")
    return {name: said[name] for name in _OF_FINDING}


def _signal(breach: Breach) -> dict[str, Any]:
    said = breach.model_dump(mode="json")
    return {name: said[name] for name in _OF_BREACH}


def _segments(bundle: Path) -> Iterator[tuple[int, Sequence[Frame]]]:
    for file in sorted((bundle / "segments").glob("*.gz")):
        frames, _ = decode_frames(gzip.decompress(file.read_bytes()))
        yield int(file.stem), frames
