"""`sandbox platform`: what a cluster needs once."""

from __future__ import annotations

import typer

from sandbox.environment import (
    apply_platform,
    audit_policy,
    platform_differences,
    uninstall_platform,
)
from sandbox.local import LocalServers, describe
from sandbox.settings import Settings
from workflows.activities.site import NO_OWN_IMAGE, own_image
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
    settings, servers = _asked(home, context)
    steps = apply_platform(
        open_cluster(settings, servers), own_image=_image(settings, servers)
    )
    emit([step._asdict() for step in steps], output, name="object")


@app.command("diff")
def diff(
    home: Home = None, context: Context = "", output: Output = Format.table
) -> None:
    """List what is missing, changed, or left of another version; exit 1 if anything is.

    Asks the API server what each object would be (dry run), so it needs the rights of
    install; it changes nothing.
    """
    settings, servers = _asked(home, context)
    found = platform_differences(
        open_cluster(settings, servers), own_image=_image(settings, servers)
    )
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
    cluster = open_cluster(*_asked(home, context))
    steps = uninstall_platform(cluster, wait_s=_WAIT_S)
    emit([step._asdict() for step in steps], output, name="object")
    say(
        "before the platform is installed here again, restart the API server: up to"
        " Kubernetes 1.36 it does not find the parameters of policies made anew"
    )


@app.command("audit-policy")
def show_audit_policy() -> None:
    """Print what the API server needs to write down who changed what.

    For `--audit-policy-file` of kube-apiserver, with `--audit-log-path`; the node of
    this machine has it. Name the log with SANDBOX_AUDIT_LOG where the worker can read
    it, and drift is recorded with who made the change.
    """
    typer.echo(audit_policy(), nl=False)


def _asked(home: Home, context: str) -> tuple[Settings, LocalServers | None]:
    settings = read_settings(home, context=context)
    return settings, None if settings.context else describe(settings)


def _image(settings: Settings, servers: LocalServers | None) -> str:
    image = own_image(servers.images if servers else settings.images)
    if not image:
        say(NO_OWN_IMAGE)
    return image
