"""`sandbox rule explain` and `sandbox rule test`: why a rule says what it says.

Rules of this module:

* A span is given as a file (JSON or YAML) or found in the evidence of a trial; then the
  temporary rule of that trial lies over the rulebook.
* What others wrote cannot steer the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
import yaml
from pydantic import JsonValue, ValidationError
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.document import read_document
from sandbox.model.example import SpanFacts
from sandbox.model.rule import About
from sandbox.rules import (
    ExampleResult,
    Explained,
    Explanation,
    Step,
    explain,
    instant_of,
    read_examples,
    render_admission,
    run_examples,
    span_facts,
)
from workflows.cli.engines import Engine, open_spans
from workflows.cli.output import Format, Output, emit, print_table, say, visible
from workflows.cli.rulebooks import (
    At,
    Overlay,
    Trial,
    Version,
    asked_for,
    find_version,
    instant,
    named,
)
from workflows.cli.setup import Home, read_settings, read_text
from workflows.worker import open_ledger

_NOTHING_ASKED = "it is not said what the rules are asked about"
_JOINTS = {"&&": "all of", "||": "any of", "!": "not", "?:": "if, then, else"}


SpanFile = Annotated[
    Path | None, typer.Option("--span", help="A span as JSON or YAML.")
]
ObjectFile = Annotated[
    Path | None, typer.Option("--object", help="A Kubernetes object as YAML.")
]
Trace = Annotated[
    str, typer.Option("--trace", help="The spans of this trace of the trial.")
]
AtSpan = Annotated[
    str,
    typer.Option(
        "--at",
        help="Instant or day, such as 2026-04-01; default: when the span starts,"
        " now for an object.",
    ),
]


def explain_span(  # noqa: PLR0913 - one parameter per option
    rulebook: Version,
    span: SpanFile = None,
    object_: ObjectFile = None,
    trace: Trace = "",
    trial: Trial = "",
    temporary_rule: Overlay = None,
    rule: Annotated[str, typer.Option("--rule", help="Only this rule.")] = "",
    at: AtSpan = "",
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Show why the rules say what they say, down to the values read."""
    found: list[Explained] = []
    if sum((span is not None, object_ is not None, bool(trace))) != 1:
        raise _usage("Give --span FILE, --object FILE, or --trace ID with --trial ID")
    about: About = "span" if object_ is None else "object"
    for facts in _facts(span, object_) or _recorded(trace, trial, home):
        starts = instant_of(facts)
        when = instant(at) if at or starts is None else starts
        asked = asked_for(
            rulebook, home=home, at=when, trial=trial, overlay=temporary_rule
        )
        found.append(
            explain(
                asked.rulebook,
                facts,
                at=when,
                temporary_rule=asked.temporary_rule,
                rule=rule,
                about=about,
            )
        )
    _emit(found, output)


def run_all(
    rulebook: Version,
    examples: Annotated[
        list[Path] | None,
        typer.Argument(help="Examples as YAML; default: FILE.examples.yaml beside it."),
    ] = None,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Run examples kept beside a rulebook; say where a rule says something else."""
    found = find_version(rulebook, home=home, at=instant(""))
    results = []
    for file in examples or [_beside(rulebook)]:
        read = read_examples(read_text(file), found, file=str(file))
        results += [_Placed(file, item) for item in run_examples(found, read)]
    failed = [item for item in results if not item.result.is_as_expected]
    say(named(found))
    if output is Format.table and failed:
        print_table(_COLUMNS, [item.row() for item in failed])
    elif output is not Format.table:
        emit([item.data() for item in results], output, name="example")
    say(f"{len(results) - len(failed)} of {len(results)} as expected")
    if failed:
        raise typer.Exit(1)


_COLUMNS = ("example", "rule", "expected", "found", "read")


class _Placed(NamedTuple):
    file: Path
    result: ExampleResult

    def row(self) -> Sequence[Any]:
        """Return the result as a row of the table of what failed."""
        item = self.result
        found = f"{item.found}: {item.reason}" if item.reason else item.found
        place = f"{self.file}:{item.line} {item.example}"
        return place, item.rule, item.expected, found, _read(item.read)

    def data(self) -> dict[str, Any]:
        """Return the result as JSON-ready data."""
        data = self.result.model_dump(mode="json")
        as_expected = self.result.is_as_expected
        return {"file": str(self.file), **data, "as_expected": as_expected}


def render(  # noqa: PLR0913 - one parameter per option
    rulebook: Version,
    enforced_for: Annotated[
        str, typer.Option("--for", help="The trial in whose namespaces it holds.")
    ] = "",
    trial: Trial = "",
    at: At = "",
    temporary_rule: Overlay = None,
    home: Home = None,
) -> None:
    """Write the admission policies of the rules about Kubernetes objects, as YAML."""
    when = instant(at)
    asked = asked_for(rulebook, home=home, at=when, trial=trial, overlay=temporary_rule)
    name = enforced_for or trial
    if not name:
        raise _usage(
            "Name a trial with --trial NAME, or with --for NAME",
            "it is not said in whose namespaces the policies hold",
        )
    found = render_admission(
        asked.rulebook, name, at=when, temporary_rule=asked.temporary_rule
    )
    if not found:
        say(f"{named(asked.rulebook)} has no rule about objects in force then")
    text = yaml.safe_dump_all(found, sort_keys=False, allow_unicode=True)
    sys.stdout.write(text if found else "")


def _facts(span: Path | None, object_: Path | None) -> list[dict[str, JsonValue]]:
    if span is not None:
        return [_read_span(span).given()]
    return [] if object_ is None else [_read_object(object_)]


def _read_object(file: Path) -> dict[str, JsonValue]:
    text = read_text(file)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _no_object(file, str(error)) from error
    if not isinstance(found, dict):
        raise _no_object(file, "it is not a mapping")
    # Kubernetes reads a date as text.
    data: dict[str, JsonValue] = json.loads(json.dumps(found, default=str))
    return data


def _no_object(file: Path, why: str) -> InputError:
    defect = Defect(
        code="object/unreadable",
        what=f"this is not one Kubernetes object: {' '.join(why.split())}",
        remedy="Give one object as YAML or JSON",
        file=str(file),
    )
    return InputError([defect])


def _recorded(
    trace: str, trial: str, home: Path | None
) -> Iterator[dict[str, JsonValue]]:
    if not trial:
        raise _usage("Name the trial with --trial NAME")
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    answer = open_spans(settings, ledger, Engine.duckdb).trace(trial, trace)
    if not answer.spans:
        raise _usage(
            f"Name a trace of {trial}; `sandbox evidence search` finds them",
            f"no sealed span of {trial} is of the trace {trace}",
        )
    for item in answer.spans:
        yield span_facts(item.span)


def _read_span(file: Path) -> SpanFacts:
    text = read_text(file)
    try:
        # JSON first: its escapes for characters beyond U+FFFF are not those of YAML.
        return SpanFacts.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        return read_document(text, SpanFacts, file=str(file), prefix="span")


def _beside(rulebook: str) -> Path:
    file = Path(rulebook)
    beside = file.with_name(f"{file.stem}.examples.yaml")
    if not file.is_file() or not beside.is_file():
        raise _usage(
            f"Name a file of examples, or write {beside.name} beside the file",
            f"{rulebook} has no file of examples beside it",
        )
    return beside


def _usage(remedy: str, what: str = _NOTHING_ASKED) -> InputError:
    return InputError([Defect(code="rule/nothing-asked", what=what, remedy=remedy)])


def _emit(found: Sequence[Explained], output: Format) -> None:
    data = [item.model_dump(mode="json") for item in found]
    if output is Format.json:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    elif output is Format.yaml:
        sys.stdout.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    elif output is Format.name:
        rules = [rule.rule for item in found for rule in item.rules]
        sys.stdout.write("".join(f"{name}\n" for name in rules))
    else:
        for item in found:
            Console(highlight=False).print(_tree(item))


def _tree(explained: Explained) -> Tree:
    over = f" under {explained.temporary_rule}" if explained.temporary_rule else ""
    title = f"{explained.rulebook} version {explained.version}{over}"
    tree = Tree(_text(f"{title}, at {explained.at.isoformat()}"))
    tree.add(_text(explained.digest))
    for rule in explained.rules:
        _add_rule(tree, rule)
    return tree


def _add_rule(tree: Tree, rule: Explanation) -> None:
    why = f": {rule.reason}" if rule.reason else ""
    by = f" (by `{rule.label}`)" if rule.label else ""
    branch = tree.add(_text(f"{rule.rule}: {_words(rule.answer)}{by}{why}"))
    branch.add(_text(f"{rule.source.instrument}, {rule.source.provision}"))
    branch.add(_text(rule.text))
    for value in rule.values:
        branch.add(_text(value.sentence()))
    if rule.exception:
        branch.add(_text(f"exception: {rule.exception}"))
    for name, step in (
        ("applies", rule.applies),
        ("under", rule.under),
        ("requires", rule.requires),
    ):
        if step is not None:
            _add_step(branch, step, f"{name}: ")


def _add_step(tree: Tree, step: Step, name: str = "") -> None:
    why = f" ({step.reason})" if step.reason else ""
    read = "" if step.parts or not step.read else f"   [{_read(step.read)}]"
    joint = f"   ({_JOINTS[step.joint]})" if step.joint else ""
    branch = tree.add(_text(f"{name}{step.gives}{why}: {step.text}{read}{joint}"))
    for part in step.parts:
        _add_step(branch, part)


def _read(values: Mapping[str, JsonValue]) -> str:
    return ", ".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    )


def _words(answer: str) -> str:
    return answer.replace("_", " ")


def _text(text: str) -> Text:
    return Text(visible(text))
