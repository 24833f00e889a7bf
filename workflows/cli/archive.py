"""`sandbox evidence push` and `pull`: bundles to a store of objects, and back.

Rules of this module:

* Nothing in a store is overwritten; a transfer that was interrupted is simply repeated.
* No credential is taken on the command line or printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.adapters.objects_bundle import (
    SIGNATURE,
    Transfer,
    find_bundles,
    pull_bundle,
    push_bundle,
)
from sandbox.adapters.objects_place import open_objects
from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import read_key
from sandbox.ports import Objects
from workflows.cli.output import Format, Output, emit_one, say
from workflows.cli.setup import Home, read_settings

Place = Annotated[
    str,
    typer.Argument(
        help="file:///PATH or s3://BUCKET/PREFIX; endpoint and keys of S3 come from "
        "SANDBOX_S3_ENDPOINT, SANDBOX_S3_REGION, SANDBOX_S3_ACCESS_KEY and "
        "SANDBOX_S3_SECRET_KEY."
    ),
]


def push(
    trial: Annotated[str, typer.Argument(help="Name of the trial.")],
    url: Place,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Send the bundle of a trial to a store; repeat it if it was interrupted."""
    settings = read_settings(home)
    bundle = settings.home / "bundles" / trial
    if not bundle.is_dir():
        raise EvidenceError(
            f"trial {trial} has no bundle in {bundle.parent}; write it with "
            f"`sandbox evidence bundle {trial}`"
        )
    objects = open_objects(url, settings)
    done = push_bundle(objects, bundle, tell=lambda name: say(f"push: {name}"))
    _tell(done, f"{url.rstrip('/')}/{done.place}", output)


def pull(  # noqa: PLR0913 - one parameter per option of the command
    url: Place,
    directory: Annotated[Path, typer.Argument(help="Where the bundle appears.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key you trust; else the bundle's own.")
    ] = None,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Fetch a bundle from a store; it appears once it is whole and verifies."""
    trusted = read_key(key) if key else None
    objects = open_objects(url, read_settings(home))
    done = pull_bundle(
        objects,
        _only_bundle(objects, url),
        directory.absolute(),
        key=trusted,
        tell=lambda name: say(f"pull: {name}"),
    )
    _tell(done, str(directory), output)


def _only_bundle(objects: Objects, url: str) -> str:
    """Return the place of the bundle below a URL, which must be one.

    Raises:
        EvidenceError: There is none, or several to choose from.
    """
    if objects.size(SIGNATURE) is not None:
        return ""
    found = find_bundles(objects)
    if len(found) == 1:
        return found[0]
    if not found:
        raise EvidenceError(
            f"there is no whole bundle at {url}; name the place that "
            "`sandbox evidence push` printed, or push again if it was interrupted"
        )
    choices = "\n".join(f"  {url.rstrip('/')}/{place}" for place in found)
    raise EvidenceError(
        f"there are {len(found)} bundles at {url}; name one:\n{choices}"
    )


def _tell(done: Transfer, where: str, output: Format) -> None:
    result = {
        "place": where,
        "moved": done.moved,
        "kept": done.kept,
        "size": done.size,
    }
    emit_one(result, output, name="place")
