"""The documents of the experiment, read and checked like anybody's.

Only two things are filled in: the digest of the image as it was built on this machine,
and names that make a repeated run a case of its own.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from sandbox.model.application import Application
from sandbox.model.document import read_document
from sandbox.model.regime import Regime
from sandbox.model.rule import Rulebook
from sandbox.procedure import (
    CommentPapers,
    DecisionRequest,
    OpinionPapers,
    read_application,
)
from sandbox.rules import read_rulebook

_HERE = files(__package__)


class Papers(NamedTuple):
    """Everything people write in this experiment."""

    trial_id: str
    regime: Regime
    rulebook: Rulebook
    first: Application
    """The application that is returned."""
    application: Application
    system: list[dict[str, Any]]
    slow_system: list[dict[str, Any]]
    opinions: OpinionPapers
    decision: DecisionRequest
    comments: CommentPapers


def read_papers(run: int, *, images: dict[str, str]) -> Papers:
    """Read every document for the run of this number.

    Args:
        run: 1 for the first run in a state directory; later runs get other names.
        images: Image name → digest, as built here.

    Raises:
        InputError: A document is wrong; every problem is named.
    """
    suffix = "" if run == 1 else f"-{run}"
    regime = read_document(_text("regime.yaml"), Regime, file="regime.yaml")
    rulebook = read_rulebook(_text("rulebook.yaml"), file="rulebook.yaml")
    rulebook = rulebook.model_copy(update={"rulebook": rulebook.rulebook + suffix})
    names = {
        "${image.hotrod}": images["hotrod"],
        "application: ride-dispatch": f"application: ride-dispatch-{run}",
        "rulebook: passenger-transport": f"rulebook: {rulebook.rulebook}",
    }
    first = read_document(
        _filled("application.first.yaml", names),
        Application,
        file="application.first.yaml",
    )
    application = read_application(
        _filled("application.yaml", names),
        regime=regime,
        rulebook=rulebook,
        file="application.yaml",
    )
    system = _manifests("system")
    return Papers(
        trial_id=application.application,
        regime=regime,
        rulebook=rulebook,
        first=first,
        application=application,
        system=system,
        slow_system=_replaced(system, _manifests("system-slow")),
        opinions=_read("opinions.yaml", OpinionPapers),
        decision=_read("decision.yaml", DecisionRequest),
        comments=_read("comments.yaml", CommentPapers),
    )


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _filled(name: str, values: dict[str, str]) -> str:
    text = _text(name)
    for token, value in values.items():
        text = text.replace(token, value)
    return text


def _read(name: str, model: Any) -> Any:
    return read_document(_text(name), model, file=name)


def _manifests(folder: str) -> list[dict[str, Any]]:
    paths = sorted(
        (item for item in (_HERE / folder).iterdir() if item.name.endswith(".yaml")),
        key=lambda item: item.name,
    )
    return [
        document for path in paths for document in yaml.safe_load_all(path.read_text())
    ]


def _replaced(
    system: list[dict[str, Any]], changed: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    newer = {_name(item): item for item in changed}
    return [newer.get(_name(item), item) for item in system]


def _name(item: dict[str, Any]) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
