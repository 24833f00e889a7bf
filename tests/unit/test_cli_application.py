"""`sandbox application check`: what is wrong with the files is said before a cluster is
asked.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sandbox.errors import InputError, LocalError
from workflows.cli.application import app

PAPERS = Path(__file__).parents[2] / "experiments" / "ride_dispatch"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(name="papers")
def _papers(tmp_path: Path) -> Path:
    """The application of the experiment with its manifests, to be spoiled."""
    folder = tmp_path / "papers"
    shutil.copytree(PAPERS, folder, ignore=shutil.ignore_patterns("results", "*.py"))
    file = folder / "application.yaml"
    file.write_text(file.read_text().replace("${image.hotrod}", DIGEST))
    return folder


def check(papers: Path) -> None:
    """Run the verb in a home without servers; errors of the product are raised."""
    home = str(papers.parent / "home")
    words = ["check", str(papers / "application.yaml"), "--home", home]
    result = CliRunner().invoke(app, words)
    assert result.exception is not None
    raise result.exception


def test_every_wrong_file_is_named_at_once(papers: Path) -> None:
    """What is no YAML and what is no object is said together, each with its file."""
    (papers / "system" / "broken.yaml").write_text("a: [1\n")
    (papers / "system" / "list.yaml").write_text("- a\n")
    with pytest.raises(InputError) as caught:
        check(papers)
    said = [item.sentence() for item in caught.value.defects]
    assert len(said) == 2
    assert "broken.yaml" in said[0] and "is not YAML" in said[0]
    assert "list.yaml" in said[1] and "something else" in said[1]


def test_a_folder_without_manifests_is_named(papers: Path) -> None:
    """An application whose manifests are not there says where they were looked for."""
    shutil.rmtree(papers / "system")
    with pytest.raises(InputError, match="system.*no YAML file"):
        check(papers)


def test_an_image_that_nobody_holds_is_a_mistake_of_the_application(
    papers: Path,
) -> None:
    """A placeholder that no image fills is no digest, and is told with its place."""
    file = papers / "application.yaml"
    file.write_text(file.read_text().replace(DIGEST, "${image.nobody}"))
    with pytest.raises(InputError, match="application.yaml.*hotrod"):
        check(papers)


def test_without_a_cluster_it_says_how_to_get_one(papers: Path) -> None:
    """Sound files and no node: the way to one is told."""
    with pytest.raises(LocalError, match="sandbox local up"):
        check(papers)
