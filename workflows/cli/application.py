"""`sandbox application`: what an applicant can try before anything is filed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from sandbox.adapters.clock import SystemClock
from sandbox.environment import AdmissionAnswer, ask_admission
from sandbox.errors import Described, InputError
from sandbox.local import describe
from sandbox.model.application import Application, Defect
from sandbox.model.document import read_document
from sandbox.model.record import digest_of
from sandbox.model.trial import EnvironmentSpec
from sandbox.ports import KubernetesObject
from workflows.activities.site import Site
from workflows.cli.output import Format, Output, emit, print_table, say
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
    context: Context = "",
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Try the manifests of an application on the cluster; keep nothing.

    Says for each object, and for the pods of each Deployment, whether it would be
    refused, by which policy, and how to repair it. `${image.NAME}` in the application
    stands for the digest of an image the cluster is known to hold.
    """
    settings = read_settings(home, context=context)
    servers = None if settings.context else describe(settings)
    asked = _application(file, servers.images if servers else settings.images)
    manifests = _manifests(file.parent / asked.system.manifests)
    cluster = open_cluster(settings, servers)
    spec = _throwaway(asked, Site.of(settings, servers))
    found = ask_admission(cluster, spec, manifests)
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


def _throwaway(asked: Application, site: Site) -> EnvironmentSpec:
    """Return the environment of the trial, under another name and for a short time."""
    nothing = digest_of(b"")
    return EnvironmentSpec(
        trial_id=f"check-{secrets.token_hex(4)}",
        isolation_class="N1",
        expires_at=SystemClock().now() + _LENGTH,
        temporary_rule_digest=nothing,
        rulebook_digest=nothing,
        plan_digest=digest_of(asked.plan),
        needs=asked.system.needs,
        images=asked.system.images,
        probe_image=site.own_image,
        telemetry=asked.system.telemetry,
        recorder=site.recorder,
        load_source=site.load_source,
    )


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
