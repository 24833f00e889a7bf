"""Configuration files of the servers, from the package's data.

Rules of this module:

* `${name}` is filled after parsing, scalar by scalar: no value can change the shape of
  a document. A scalar that is exactly `${name}` takes the value with its type.
* A name without a value is a mistake in the product and fails at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from typing import Any

import yaml

Values = Mapping[str, str | int]
"""What stands for each `${name}`."""


def local_file(path: str) -> Traversable:
    """Return a file or folder of `manifests/local`."""
    return files("manifests").joinpath("local", *path.split("/"))


def load(path: str) -> Any:
    """Return the content of a YAML file of `manifests/local`."""
    return yaml.safe_load(local_file(path).read_text())


def fill(data: Any, values: Values) -> Any:
    """Return `data` with every `${name}` in its scalars replaced."""
    if isinstance(data, dict):
        return {key: fill(value, values) for key, value in data.items()}
    if isinstance(data, list):
        return [fill(value, values) for value in data]
    return _fill_scalar(data, values) if isinstance(data, str) else data


def _fill_scalar(text: str, values: Values) -> str | int:
    if text.startswith("${") and text.endswith("}") and text[2:-1] in values:
        return values[text[2:-1]]
    return Template(text).substitute(values)


def render_yaml(path: str, values: Values) -> str:
    """Return a YAML document of `manifests/local`, filled."""
    return yaml.safe_dump(fill(load(path), values), sort_keys=False)


def render_json(path: str, values: Values) -> str:
    """Return a JSON document of `manifests/local`, filled."""
    return json.dumps(fill(json.loads(local_file(path).read_text()), values), indent=2)


def render_toml(path: str, values: Values) -> str:
    """Return a TOML document of `manifests/local`, filled.

    Values land inside quoted strings and are escaped for them, or are bare words.
    """
    escaped = {name: json.dumps(str(value))[1:-1] for name, value in values.items()}
    return Template(local_file(path).read_text()).substitute(escaped)


def render_objects(path: str, values: Values) -> list[dict[str, Any]]:
    """Return the Kubernetes objects of a file with several YAML documents, filled."""
    documents = yaml.safe_load_all(local_file(path).read_text())
    return [fill(document, values) for document in documents]
