"""`sandbox doctor`: what this machine or a cluster can do, and what it lacks."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import typer

from sandbox.adapters.clock import SystemClock
from sandbox.examination import Examination, Place, examine_isolation
from sandbox.local import LocalServers, describe
from sandbox.local.doctor import checks
from sandbox.settings import Settings
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.setup import Context, Home, read_settings
from workflows.worker import open_cluster

PUBLIC_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"
"""The probe image where a cluster pulls images by itself."""

app = typer.Typer()


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context, home: Home = None, output: Output = Format.table
) -> None:
    """Print every check with its stable id; exit 1 if one that is needed fails."""
    if context.invoked_subcommand is not None:
        return
    found = checks(read_settings(home))
    emit([item.model_dump(mode="json") for item in found], output, name="id")
    if any(item.ok is False for item in found):
        raise typer.Exit(1)


@app.command("isolation")
def isolation(  # noqa: PLR0913 - one parameter per option
    home: Home = None,
    context: Context = "",
    image: Annotated[
        str, typer.Option("--image", help="agnhost image the cluster can run.")
    ] = "",
    starts: Annotated[
        int, typer.Option("--starts", min=1, help="Pods whose first packet is tried.")
    ] = 20,
    wait: Annotated[
        float,
        typer.Option("--wait", min=5, help="Seconds an open connection may live on."),
    ] = 40.0,
    output: Output = Format.table,
) -> None:
    """Try on a cluster what isolation relies on; exit 1 if something is wrong."""
    settings = read_settings(home, context=context)
    servers = None if settings.context else _node(settings)
    cluster = open_cluster(settings, servers)
    say("trying, in namespaces of its own; this takes one to two minutes")
    found = examine_isolation(
        Place(
            cluster,
            image=image or _image(settings, servers),
            tag=secrets.token_hex(4),
            pause=time.sleep,
        ),
        Examination(
            now=SystemClock().now(),
            starts=starts,
            watch_s=wait,
            beacons=servers.beacons if servers else {},
        ),
    )
    rows = [item.model_dump(mode="json", exclude={"kind"}) for item in found]
    emit(rows, output, name="id")
    if any(item.ok is False for item in found):
        raise typer.Exit(1)


def _node(settings: Settings) -> LocalServers | None:
    servers = describe(settings)
    return servers if servers is not None and servers.node_address else None


def _image(settings: Settings, servers: LocalServers | None) -> str:
    if servers is not None:
        return servers.image("agnhost")
    digest = settings.images.get("agnhost")
    return f"localhost/agnhost@{digest}" if digest else PUBLIC_IMAGE
