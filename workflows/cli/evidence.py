"""`sandbox evidence`: the log, what was recorded, bundles, and whether they verify.

Only the verb that was asked for is loaded: whoever verifies a bundle waits for no
engine of questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

import typer

VERBS: Mapping[str, str] = {
    "verify": "verifying:verify",
    "log": "logbook:show_log",
    "bundle": "logbook:bundle",
    "search": "questions:search",
    "trace": "questions:trace",
    "sql": "questions:sql",
    "export": "exchange:export",
    "import": "exchange:import_",
    "disclose": "proving:disclose",
    "disclosed": "proving:disclosed",
    "tiles": "proving:tiles",
    "timestamp": "proving:timestamp",
    "witness": "witness:witness",
    "witness-key": "witness:witness_key",
    "cosigned": "witness:cosigned",
    "cosignature": "witness:cosignature",
    "key": "keys:show_key",
    "keys": "keys:list_keys",
    "rotate-key": "keys:rotate_key",
    "retention": "retention:retention",
    "expire": "retention:expire_segments",
    "hold": "retention:hold",
    "release": "retention:release",
    "unseal": "subjects:unseal",
    "subject-key": "subjects:app",
    "push": "archive:push",
    "pull": "archive:pull",
}
"""Verb → the module of this package and the function in it, in the order of `--help`.
What is no function is a noun of its own."""


def application(asked: Sequence[str] = ()) -> typer.Typer:
    """Return the noun with the verb that is asked for, or with every verb.

    Args:
        asked: What follows the noun on the command line.
    """
    app = typer.Typer(no_args_is_help=True)
    for name in [name for name in VERBS if name in asked[:1]] or VERBS:
        module, _, attribute = VERBS[name].partition(":")
        verb = getattr(import_module(f"workflows.cli.{module}"), attribute)
        if isinstance(verb, typer.Typer):
            app.add_typer(verb, name=name)
        else:
            app.command(name)(verb)
    return app
