"""What is installed: five packages under their own names, with all their data."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import sandbox

ROOT = Path(__file__).parents[2]
PACKAGES = ("sandbox", "workflows", "manifests", "experiments", "loadtests")
DISTRIBUTION = "regulatory-sandbox"
ROOMS = (
    "procedure",
    "rules",
    "environment",
    "conformity",
    "examination",
    "recorder",
    "monitor",
    "query",
    "findings",
    "revision",
    "report",
)
# Made by running programs, or kept out of the repository: no part of the wheel.
NOT_SHIPPED = ("__pycache__", ".mypy_cache", ".ruff_cache")


@pytest.fixture(name="project", scope="session")
def _project() -> dict[str, object]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = data["project"]
    assert isinstance(project, dict)
    return project


@pytest.fixture(name="wheel", scope="session")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel and return the names of its files."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (file,) = target.iterdir()
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def shipped(package: str) -> set[str]:
    """Return every file of a package in the tree, as the wheel should name it."""
    return {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / package).rglob("*")
        if file.is_file() and not set(file.parts) & set(NOT_SHIPPED)
    }


def test_wheel_packages(wheel: set[str]) -> None:
    """The wheel holds exactly the five packages and its own metadata."""
    tops = {name.split("/")[0] for name in wheel}
    metadata = {top for top in tops if top.endswith(".dist-info")}
    assert tops - metadata == set(PACKAGES)
    assert len(metadata) == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_files(wheel: set[str], package: str) -> None:
    """Every file of a package in the tree is in the wheel."""
    assert shipped(package) - wheel == set()


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [
        ("manifests/trial", ".yaml"),
        ("manifests/doctor", ".yaml"),
        ("manifests/platform", ".yaml"),
        ("manifests/apiserver", ".yaml"),
        ("manifests/local", ".yaml"),
        ("sandbox/adapters/migrations/versions", ".py"),
        ("sandbox/report/templates", ""),
        ("experiments/ride_dispatch", ".yaml"),
    ],
)
def test_wheel_data(wheel: set[str], folder: str, suffix: str) -> None:
    """The wheel carries the data the product reads at run time."""
    assert [name for name in wheel if name.startswith(folder) and name.endswith(suffix)]


@pytest.mark.parametrize("package", PACKAGES)
def test_name_is_ours(package: str) -> None:
    """Each package is imported from here; no other distribution claims its name."""
    module = importlib.import_module(package)
    assert module.__file__ == str(ROOT / package / "__init__.py")
    claimants = importlib.metadata.packages_distributions().get(package, [])
    assert set(claimants) <= {DISTRIBUTION}


def test_entry_points(project: dict[str, object]) -> None:
    """Every command and experiment the distribution declares can be loaded."""
    points = importlib.metadata.distribution(DISTRIBUTION).entry_points
    assert {point.name for point in points} >= {"sandbox", "ride-dispatch"}
    for point in points:
        assert point.load() is not None
    declared = project["scripts"]
    assert isinstance(declared, dict)
    assert set(declared) <= {point.name for point in points}


def is_public(name: str, value: object) -> bool:
    """Return whether a name of a module counts as public."""
    own = not isinstance(value, ModuleType) and name != "annotations"
    return own and not name.startswith("_")


def order(name: str) -> tuple[int, str]:
    """Return the sorting key of a name: constants, then classes, then functions."""
    rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return rank, name


@pytest.mark.parametrize("room", ROOMS)
def test_room_names(room: str) -> None:
    """A room exports exactly its public names, in order."""
    module = importlib.import_module(f"sandbox.{room}")
    public = {name for name, value in vars(module).items() if is_public(name, value)}
    assert module.__all__ == sorted(public, key=order)
    assert inspect.getdoc(module)


def test_verifier_imports_nothing_else() -> None:
    """The evidence package and the one above it import nothing by themselves."""
    code = (
        "import sys; before = set(sys.modules); import sandbox.evidence; "
        "print(*sorted(set(sys.modules) - before))"
    )
    out = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert out.split() == ["sandbox", "sandbox.evidence"]


def test_a_verb_loads_no_other() -> None:
    """Whoever verifies a bundle does not wait for engines of questions, or charts."""
    code = (
        "import sys; from workflows.cli import command_for; "
        "command_for(['evidence', 'verify']); "
        "print(*{'altair', 'duckdb', 'pyarrow', 'temporalio'} & set(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert out.split() == []


def test_version(project: dict[str, object]) -> None:
    """Project file, package and the newest entry of the changelog agree."""
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    newest = next(line for line in lines if line.startswith("## "))
    assert project["version"] == sandbox.__version__ == newest.split()[1]
