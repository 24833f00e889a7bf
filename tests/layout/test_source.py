"""How the source is written: sizes, names, places."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from sandbox.procedure import Act

ROOT = Path(__file__).parents[2]
PACKAGES = ("sandbox", "workflows", "manifests", "experiments", "loadtests")
MODULES = sorted(
    file for package in PACKAGES for file in (ROOT / package).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MODULE_LINES = 500
FUNCTION_LINES = 40
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(file: Path) -> str:
    """Return the path from the root, for messages and test ids."""
    return file.relative_to(ROOT).as_posix()


def tree_of(file: Path) -> ast.Module:
    """Return the parsed source of a file."""
    return ast.parse(file.read_text(), filename=str(file))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function of a tree, methods and nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def length(node: Function) -> int:
    """Return the lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return lines
    docstring = node.body[0]
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_there_is_source() -> None:
    """The modules these claims are about are found."""
    assert len(MODULES) > 50
    assert {file.relative_to(ROOT).parts[0] for file in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_module(file: Path) -> None:
    """A module stays short, and so does each of its functions; imports are on top."""
    tree = tree_of(file)
    lines = len(file.read_text().splitlines())
    assert lines <= MODULE_LINES
    long = {node.name: length(node) for node in functions(tree)}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}
    assert [
        f"{node.name}:{inner.lineno}"
        for node in functions(tree)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ] == []


def test_telling_names() -> None:
    """No module has a name that says nothing about what is inside."""
    assert [name_of(file) for file in MODULES if file.stem in EMPTY_NAMES] == []


def test_words_not_used_as_classes() -> None:
    """No class has a name the glossary reserves for something else."""
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    rows = [line for line in glossary.splitlines() if line.startswith("| **")]
    never = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[4])}
    assert {"Sandbox", "Tenant", "Exemption"} <= never
    used = {
        node.name: name_of(file)
        for file in MODULES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: file for name, file in used.items() if name in never} == {}


def test_glossary_words_exist() -> None:
    """Every identifier the glossary defines is a class, type or package here."""
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    rows = [line for line in glossary.splitlines() if line.startswith("| **")]
    assert len(rows) > 20
    defined = {
        word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[2])
    }
    source = "\n".join(file.read_text() for file in MODULES)
    missing = {
        word
        for word in defined
        if not re.search(rf"^(class {word}\b|{word}\b.* = |def {word}\b)", source, re.M)
        and not (ROOT / word).is_dir()
    }
    assert missing == set()


def test_glossary_verbs_exist() -> None:
    """Every verb the glossary lists is an act, or begins the name of a function."""
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    found = re.search(r"^Verbs, [^:]*: ([^.]+)\.", glossary, re.M)
    assert found is not None
    verbs = re.split(r",\s+", found[1])
    begins = {
        node.name.lstrip("_").split("_")[0]
        for file in MODULES
        for node in functions(tree_of(file))
    }
    acts = set(get_args(Act))
    assert len(verbs) > 20
    assert set(verbs) - begins - acts == set()


def test_suites() -> None:
    """No folder of tests has a package's name, and none is a package itself."""
    folders = {file.name for file in (ROOT / "tests").iterdir() if file.is_dir()}
    assert folders & set(PACKAGES) == set()
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("file", TESTS, ids=name_of)
def test_claims(file: Path) -> None:
    """Every test says in its docstring what it claims."""
    silent = [
        node.name
        for node in functions(tree_of(file))
        if node.name.startswith("test_") and ast.get_docstring(node) is None
    ]
    assert silent == []


def test_every_port_has_a_contract() -> None:
    """Every port has one suite that its fake and its adapter both pass."""
    ports = [
        node.name.lower()
        for file in sorted((ROOT / "sandbox" / "ports").glob("*.py"))
        for node in tree_of(file).body
        if isinstance(node, ast.ClassDef)
        and "Protocol" in {getattr(base, "id", "") for base in node.bases}
    ]
    assert len(ports) >= 8
    contracts = ROOT / "tests" / "contracts"
    assert [
        port for port in ports if not (contracts / f"test_{port}.py").exists()
    ] == []


TABLED = [
    file
    for file in MODULES
    if re.search(r"^\| (module|file) \|", ast.get_docstring(tree_of(file)) or "", re.M)
]


@pytest.mark.parametrize("file", TABLED, ids=name_of)
def test_a_table_of_modules_is_complete(file: Path) -> None:
    """Where a package lists its modules, it names each, and none that is not there."""
    rows = re.findall(r"^\| (`[^|]*) \|", ast.get_docstring(tree_of(file)) or "", re.M)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    modules = {item.stem for item in file.parent.glob("[a-z]*.py")}
    assert modules - set(named) == set()
    assert {name for name in named if not list(file.parent.glob(f"{name}*"))} == set()
    assert len(named) == len(set(named))
