"""`sandbox application`: what an applicant can try before anything is filed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from sandbox.adapters.clock import SystemClock
from sandbox.conformity import (
    AdmissionAnswer,
    RulesInForce,
    ask_admission,
    rules_asked_for,
)
from sandbox.errors import Described, InputError, RecordsError, RuleError
from sandbox.local import describe
from sandbox.model.application import Application, Defect
from sandbox.model.document import read_document
from sandbox.ports import KubernetesObject
from workflows.activities.site import Site
from workflows.cli.output import Format, Output, emit, print_table, say
from workflows.cli.rulebooks import find_version
from workflows.cli.setup import Context, Home, read_settings, read_text
from workflows.worker import open_cluster

app = typer.Typer(no_args_is_help=True)

_LENGTH = timedelta(minutes=10)
"""After this long the throwaway environment has expired, whoever left it behind."""


@app.callback()
def _noun() -> None:
    """Applications, before they are filed."""


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="An application as YAML.")],
    rulebook: Annotated[
        str,
        typer.Option(
            help="File or published version whose rules about objects are asked; the"
            " one in force that the application names, by default."
        ),
    ] = "",
    context: Context = "",
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Try the manifests of an application on the cluster; keep nothing.

    Says for each object, and for the pods of each Deployment, whether it would be
    refused, by which policy or rule, and how to repair it. `${image.NAME}` in the
    application stands for the digest of an image the cluster is known to hold.
    """
    settings = read_settings(home, context=context)
    servers = None if settings.context else describe(settings)
    asked = _application(file, servers.images if servers else settings.images)
    manifests = _manifests(file.parent / asked.system.manifests)
    now = SystemClock().now()
    rules = _rules(asked, rulebook, home, now)
    cluster = open_cluster(settings, servers)
    spec = Site.of(settings, servers).foreseen(
        asked, trial_id=f"check-{secrets.token_hex(4)}", until=now + _LENGTH
    )
    found = ask_admission(cluster, spec, manifests, rules=rules)
    _show(found, output)
    refused = sum(bool(item.refused_by) for item in found)
    say(f"{file}: {refused} of {len(found)} answers are refusals")
    if refused:
        raise typer.Exit(1)


def _application(file: Path, images: Mapping[str, str]) -> Application:
    def digest(found: re.Match[str]) -> str:
        return images.get(found[1], found[0])

    text = re.sub(r"\$\{image\.([^}]+)\}", digest, read_text(file))
    return read_document(text, Application, file=str(file))


def _rules(
    asked: Application, version: str, home: Path | None, at: datetime
) -> RulesInForce | None:
    """Return the rules to be asked; none, said aloud, where they are not known here."""
    try:
        rulebook = find_version(version or asked.rulebook, home=home, at=at)
    except (RecordsError, RuleError) as error:
        if version:
            raise
        say(
            f"NOT ASKED: the rules about objects of {asked.rulebook}:"
            f" {error.diagnosis}. Give the rulebook with --rulebook."
        )
        return None
    return rules_asked_for(asked, rulebook=rulebook, at=at)


def _manifests(folder: Path) -> list[KubernetesObject]:
    """Return every object of a folder.

    Raises:
        InputError: Files hold something else; every one is named.
    """
    files = sorted(path for path in folder.glob("*.y*ml") if path.is_file())
    if not files:
        remedy = "Let `system.manifests` name the folder of the manifests"
        raise InputError([_defect(folder, "holds no YAML file", remedy)])
    objects: list[KubernetesObject] = []
    defects: list[Described] = []
    for path in files:
        try:
            objects += _documents(path)
        except InputError as error:
            defects += error.defects
    if defects:
        raise InputError(defects)
    return objects


def _documents(path: Path) -> list[KubernetesObject]:
    try:
        found = [item for item in yaml.safe_load_all(read_text(path)) if item]
    except yaml.YAMLError as error:
        what = f"is not YAML: {' '.join(str(error).split())}"
        raise InputError([_defect(path, what, "Correct what it names")]) from error
    if not all(isinstance(item, dict) for item in found):
        what = "holds something else than Kubernetes objects"
        raise InputError([_defect(path, what, "Write one mapping for each object")])
    return found


def _defect(place: Path, what: str, remedy: str) -> Defect:
    return Defect(
        code="application/manifests", what=what, remedy=remedy, file=str(place)
    )


def _show(found: list[AdmissionAnswer], output: Format) -> None:
    rows: list[dict[str, Any]] = [item._asdict() for item in found]
    if output is not Format.table:
        emit(rows, output, name="item")
        return
    for item in found:
        say(f"{'refused ' if item.refused_by else 'admitted'} {item.item}")
    columns = ("object", "refused by", "why", "what to do")
    refused = [tuple(item) for item in found if item.refused_by]
    if refused:
        print_table(columns, refused)
