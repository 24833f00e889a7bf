"""`sandbox platform`: what a cluster needs once."""

from __future__ import annotations

import typer

from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import (
    apply_platform,
    platform_differences,
    uninstall_platform,
)
from sandbox.local import describe
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.setup import Context, Home, read_settings
from workflows.worker import open_cluster

app = typer.Typer(no_args_is_help=True)

_WAIT_S = 120.0


@app.command("install")
def install(
    home: Home = None, context: Context = "", output: Output = Format.table
) -> None:
    """Make every object what it has to be; say which were created or changed.

    Needs the rights of a cluster administrator: once, and again after an upgrade of
    this product. Workers need none of them; they are put into the group
    regulatory-sandbox:worker.
    """
    steps = apply_platform(_cluster(home, context))
    emit([step._asdict() for step in steps], output, name="object")


@app.command("diff")
def diff(
    home: Home = None, context: Context = "", output: Output = Format.table
) -> None:
    """List what is missing, changed, or left of another version; exit 1 if anything is.

    Asks the API server what each object would be (dry run), so it needs the rights of
    install; it changes nothing.
    """
    found = platform_differences(_cluster(home, context))
    emit([item._asdict() for item in found], output, name="object")
    if found:
        raise typer.Exit(1)
    say("the platform is as this version installs it")


@app.command("uninstall")
def uninstall(
    home: Home = None, context: Context = "", output: Output = Format.table
) -> None:
    """Remove what install made; refused while there are environments of trials.

    Needs the rights of a cluster administrator. Objects of the same name without this
    product's label are left alone.
    """
    steps = uninstall_platform(_cluster(home, context), wait_s=_WAIT_S)
    emit([step._asdict() for step in steps], output, name="object")
    say(
        "before the platform is installed here again, restart the API server: up to"
        " Kubernetes 1.36 it does not find the parameters of policies made anew"
    )


def _cluster(home: Home, context: str) -> KubernetesCluster:
    settings = read_settings(home, context=context)
    return open_cluster(settings, describe(settings))
