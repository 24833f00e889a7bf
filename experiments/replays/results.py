"""Recorded results: written, read, compared with a new run, and put in words.

Rules of this module:

* `results/replay.json` holds everything a run gives; `results/summary.md` and
  `results/picture.svg` are made from it alone.
* Two runs agree if all counts, words and digests are equal and all other numbers within
  1e-9. Versions of software are recorded and not compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from experiments.replays.bundled import Bundled
from experiments.replays.course import JudgedRows
from sandbox import __version__

_CLOSE = 1e-9
Results = dict[str, Any]


def results_of(replay: JudgedRows, data: Bundled, figures: Results) -> Results:
    """Return everything a run gives, ready for JSON.

    Args:
        replay: What rules, guardrails and judge said.
        data: Where the rows came from.
        figures: What the experiment computed besides.
    """
    judgement = replay.judgement
    return {
        "trial": replay.papers.trial_id,
        "data": {"source": data.source, "digest": data.digest, "rows": len(data.rows)},
        "rulebook": replay.papers.temporary_rule.of.model_dump(mode="json"),
        "plan_digest": replay.papers.temporary_rule.plan_digest,
        "observations": len(replay.observations),
        "findings": [item.model_dump(mode="json") for item in judgement.findings],
        "looks": [
            item.model_dump(mode="json", exclude={"code_version"})
            for item in judgement.looks
        ],
        "breaches": [item.model_dump(mode="json") for item in replay.breaches],
        "figures": figures,
        "versions": {
            "regulatory-sandbox": __version__,
            **{name: version(name) for name in ("numpy", "scipy")},
        },
    }


def differences(recorded: object, fresh: object, place: str = "") -> Iterator[str]:
    """Yield every place where a run differs from what is recorded, in words."""
    if isinstance(recorded, dict) and isinstance(fresh, dict):
        for name in sorted(recorded.keys() | fresh.keys()):
            if (place, name) != ("", "versions"):
                inner = f"{place}.{name}".lstrip(".")
                yield from differences(recorded.get(name), fresh.get(name), inner)
    elif isinstance(recorded, list) and isinstance(fresh, list):
        if len(recorded) != len(fresh):
            yield f"{place}: {len(recorded)} are recorded, {len(fresh)} came"
        for number, (old, new) in enumerate(zip(recorded, fresh, strict=False)):
            yield from differences(old, new, f"{place}.{number}")
    elif not _agree(recorded, fresh):
        yield f"{place}: {recorded!r} is recorded, {fresh!r} came"


def recorded_in(folder: Path) -> Results:
    """Return the results that are committed beside an experiment."""
    found: Results = json.loads((folder / "results" / "replay.json").read_text())
    return found


class Experiment(NamedTuple):
    """A replay as the command line and the tests know it."""

    folder: Path
    """With `results/` inside."""
    results: Callable[[], Results]
    """Runs it."""
    summary: Callable[[Results], str]
    """Puts results in words, as Markdown."""
    picture: Callable[[Results], str]
    """Draws them, as SVG."""


def run(experiment: Experiment, arguments: Sequence[str]) -> int:
    """Run an experiment from the command line: print, compare, or record.

    Args:
        experiment: What to run.
        arguments: `--record` writes the results; without it they are compared.

    Returns:
        0 if the results are those recorded, or were recorded now; else 1.
    """
    fresh = json.loads(json.dumps(experiment.results(), allow_nan=False))
    sys.stdout.write(experiment.summary(fresh) + "\n")
    if list(arguments) == ["--record"]:
        _record(experiment, fresh)
        return 0
    different = list(differences(recorded_in(experiment.folder), fresh))
    sys.stdout.write("\n".join(different) or "These are the recorded results.")
    sys.stdout.write("\n")
    return 1 if different else 0


def _record(experiment: Experiment, fresh: Results) -> None:
    text = json.dumps(fresh, indent=1, ensure_ascii=False, allow_nan=False)
    files = {
        "replay.json": text + "\n",
        "summary.md": experiment.summary(fresh),
        "picture.svg": experiment.picture(fresh),
    }
    for name, content in files.items():
        (experiment.folder / "results" / name).write_text(content, encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; columns of figures to the right."""
    cells = [list(row) for row in rows]
    rules = [
        "---:" if _figures(column) else "---" for column in zip(*cells, strict=True)
    ]
    lines = [list(header), rules, *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(
    title: str, package: str, found: Results, sections: Sequence[tuple[str, str]]
) -> str:
    """Return results as a Markdown page: data, findings, then the sections.

    Args:
        title: Of the page.
        package: The experiment, for the command that makes the page.
        found: Results of a run.
        sections: Heading and text of each; a text without heading goes before the
            findings.
    """
    data = found["data"]
    parts = [
        f"# Replay: {title}",
        "A replay of recorded data, without legal effect. Made by"
        f" `python -m {package} --record`.",
        f"Data: {data['source']}, {data['rows']} rows, {data['digest']}",
    ]
    parts += [text for heading, text in sections if not heading]
    parts += ["![The main figure](picture.svg)"]
    parts += ["## Findings of the plan", *_findings(found)]
    for heading, text in sections:
        if heading:
            parts += [f"## {heading}", text]
    return "\n\n".join(parts) + "\n"


def _findings(found: Results) -> list[str]:
    """Return the statements of all findings, then what none of them shows."""
    findings = found["findings"]
    statements = [
        f"* **{item['finding']} {item['subject']}**"
        f"{' (exploratory)' if item['exploratory'] else ''}: {item['statement']}"
        for item in findings
    ]
    limits = dict.fromkeys(limit for item in findings for limit in item["limits"])
    return [
        "\n".join(statements),
        "None of this shows:",
        "\n".join(f"* {limit}" for limit in limits),
    ]


def _figures(column: Iterable[str]) -> bool:
    return all(cell[:1].isdigit() or not cell for cell in column)


def _agree(recorded: object, fresh: object) -> bool:
    if isinstance(recorded, float) or isinstance(fresh, float):
        if isinstance(recorded, int | float) and isinstance(fresh, int | float):
            return abs(recorded - fresh) <= _CLOSE
    return type(recorded) is type(fresh) and recorded == fresh
