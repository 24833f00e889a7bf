"""Bundles in stores: whole there and back, whatever happens on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner, Result

from sandbox.adapters.objects_bundle import find_bundles, pull_bundle, push_bundle
from sandbox.adapters.objects_place import open_objects
from sandbox.errors import EvidenceError, SandboxError
from sandbox.evidence.bundle import write_bundle
from sandbox.model.log import LogEntry
from sandbox.ports import Objects
from sandbox.settings import Settings
from sandbox.testing.trial import RecordedTrial
from workflows.cli.evidence import application
from workflows.worker import open_ledger

SEGMENTS = 6
AT = datetime(2026, 1, 1, tzinfo=UTC)

# Pushes a bundle and dies, as by kill -9, when it is told of the file of that number.
DYING = """
import os, signal, sys
from pathlib import Path
from sandbox.adapters.objects_bundle import push_bundle
from sandbox.adapters.objects_place import open_objects
from sandbox.settings import Settings

url, directory, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
told = []

def tell(name):
    told.append(name)
    if len(told) == last:
        os.kill(os.getpid(), signal.SIGKILL)

push_bundle(open_objects(url, Settings()), directory, tell=tell)
"""


class Place(NamedTuple):
    """A store, how to reach it, and the folder in which its objects are files."""

    url: str
    settings: Settings
    folder: Path

    @property
    def objects(self) -> Objects:
        return open_objects(self.url, self.settings)

    @property
    def environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            "SANDBOX_HOME": str(settings.home),
            "SANDBOX_S3_ENDPOINT": settings.s3_endpoint,
            "SANDBOX_S3_ACCESS_KEY": settings.s3_access_key.get_secret_value(),
            "SANDBOX_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        }

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return inode and content of every stored file, by name."""
        found = (item for item in self.folder.rglob("*") if item.is_file())
        return {
            item.relative_to(self.folder).as_posix(): (
                item.stat().st_ino,
                item.read_bytes(),
            )
            for item in found
        }


@pytest.fixture(name="place", params=["file", "s3"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    home = tmp_path / "home"
    if request.param == "file":
        store = tmp_path / "store"
        return Place(f"file://{store}", Settings(home=home), store)
    server = request.getfixturevalue("s3_server")
    bucket: Callable[[], str] = request.getfixturevalue("make_bucket")
    name = bucket()
    url = f"s3://{name}/evidence"
    return Place(url, server.settings(home), server.buckets / name / "evidence")


def write(directory: Path, *, segments: int = SEGMENTS) -> Path:
    """Write the bundle of a small trial."""
    trial = RecordedTrial()
    trial.move("submitted", "running", 1)
    for number in range(segments):
        trial.record(f"span-{number}")
        trial.seal()
    write_bundle(directory, trial_id=trial.trial_id, source=trial.source())
    return directory


@pytest.fixture(name="bundle")
def _bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "home" / "bundles" / "ride-1")


def contents(directory: Path) -> dict[str, bytes]:
    found = (item for item in directory.rglob("*") if item.is_file())
    return {item.relative_to(directory).as_posix(): item.read_bytes() for item in found}


def command(place: Place, *arguments: object) -> Result:
    """Run `sandbox evidence …`; what it raises is the result's exception."""
    return CliRunner(env=place.environment).invoke(
        application(), [str(a) for a in arguments]
    )


def test_a_bundle_goes_and_comes_back(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    """What is pulled is, byte for byte, what was pushed, and verifies by itself."""
    sent = push_bundle(place.objects, bundle)
    assert sent.moved == len(contents(bundle))
    assert sent.kept == 0
    fetched = pull_bundle(place.objects, sent.place, tmp_path / "back")
    assert fetched.moved == sent.moved
    assert fetched.size == sent.size == sum(map(len, contents(bundle).values()))
    assert contents(tmp_path / "back") == contents(bundle)
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.evidence", "verify", str(tmp_path / "back")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "VERIFIED" in done.stdout


def test_what_was_pushed_is_not_sent_again(place: Place, bundle: Path) -> None:
    """A second push moves nothing and changes no stored file."""
    first = push_bundle(place.objects, bundle)
    before = place.files()
    again = push_bundle(place.objects, bundle)
    assert (again.moved, again.kept) == (0, first.moved)
    assert again.place == first.place
    assert place.files() == before


@pytest.mark.parametrize("last", [1, 2, 9, 20])
def test_a_killed_push_is_completed(
    place: Place, bundle: Path, tmp_path: Path, last: int
) -> None:
    """After kill -9 the next push sends the rest: nothing is doubled or overwritten."""
    total = len(contents(bundle))
    assert total == 20
    died = subprocess.run(
        [sys.executable, "-c", DYING, place.url, str(bundle), str(last)],
        env={"PATH": "/usr/bin", **place.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -9, died.stderr
    before = place.files() if place.folder.exists() else {}
    assert len(before) == last - 1
    assert find_bundles(place.objects) == []
    rest = push_bundle(place.objects, bundle)
    assert (rest.moved, rest.kept) == (total - len(before), len(before))
    after = place.files()
    assert len(after) == total
    assert {name: after[name] for name in before} == before
    pull_bundle(place.objects, rest.place, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(bundle)


def test_versions_of_a_bundle_lie_side_by_side(place: Place, tmp_path: Path) -> None:
    """A newer bundle of the same trial replaces nothing; both can be pulled."""
    one = push_bundle(place.objects, write(tmp_path / "one", segments=1))
    two = push_bundle(place.objects, write(tmp_path / "two", segments=2))
    assert find_bundles(place.objects) == sorted([one.place, two.place])
    assert find_bundles(place.objects, "ride-1/") == sorted([one.place, two.place])
    pull_bundle(place.objects, one.place, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "one")


def test_other_content_is_an_error(place: Place, bundle: Path) -> None:
    """Where the store holds something else under a name, the push stops and says so."""
    done = push_bundle(place.objects, bundle)
    stored = place.folder / done.place / "entries.jsonl"
    stored.write_bytes(stored.read_bytes() + b"{}\n")
    before = place.files()
    with pytest.raises(EvidenceError, match=r"entries\.jsonl exists with other"):
        push_bundle(place.objects, bundle)
    assert place.files() == before


def test_what_the_store_changed_is_not_pulled(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    """One byte changed in the store: the file is named, and no bundle appears."""
    done = push_bundle(place.objects, bundle)
    stored = place.folder / done.place / "segments" / "000003.gz"
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    with pytest.raises(EvidenceError, match=r"000003\.gz was changed in its store"):
        pull_bundle(place.objects, done.place, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_interrupted_pull_goes_on(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    """What was fetched whole is kept; what was cut off is fetched again."""
    done = push_bundle(place.objects, bundle)
    seen: list[str] = []

    def stop(name: str) -> None:
        seen.append(name)
        if len(seen) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_bundle(place.objects, done.place, tmp_path / "back", tell=stop)
    assert not (tmp_path / "back").exists()
    (partial,) = tmp_path.glob(".back.*.partial")
    cut = partial / seen[0]
    cut.write_bytes(cut.read_bytes()[:-1])
    fetched = pull_bundle(place.objects, done.place, tmp_path / "back")
    assert fetched.kept == 7
    assert contents(tmp_path / "back") == contents(bundle)
    assert list(tmp_path.glob(".back.*")) == []


def test_a_pull_does_not_overwrite(place: Place, bundle: Path, tmp_path: Path) -> None:
    """The same bundle there is success, and is mended; anything else is an error."""
    done = push_bundle(place.objects, bundle)
    back = tmp_path / "back"
    pull_bundle(place.objects, done.place, back)
    (back / "segments" / "000001.gz").write_bytes(b"")
    mended = pull_bundle(place.objects, done.place, back)
    assert mended.moved == 1
    assert contents(back) == contents(bundle)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("mine")
    with pytest.raises(EvidenceError, match="is not overwritten"):
        pull_bundle(place.objects, done.place, tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"letter": b"mine"}


def test_a_broken_bundle_is_not_pushed(place: Place, bundle: Path) -> None:
    """A bundle that does not verify never reaches a store."""
    (bundle / "segments" / "000002.gz").unlink()
    with pytest.raises(EvidenceError, match="does not verify"):
        push_bundle(place.objects, bundle)
    assert find_bundles(place.objects) == []


def test_the_commands(place: Place, bundle: Path, tmp_path: Path) -> None:
    """`push` prints the place that `pull` takes; no credential is ever printed."""
    pushed = command(place, "push", "ride-1", place.url, "-o", "name")
    assert pushed.exit_code == 0, pushed.output
    printed = pushed.stdout.strip()
    assert printed.startswith(f"{place.url}/ride-1/")
    for url, name in ((printed, "exact"), (place.url, "only")):
        pulled = command(place, "pull", url, tmp_path / name, "-o", "json")
        assert pulled.exit_code == 0, pulled.output
        assert contents(tmp_path / name) == contents(bundle)
    secret = place.environment["SANDBOX_S3_SECRET_KEY"]
    assert not secret or secret not in pushed.output + pulled.output


def test_the_commands_say_what_to_do(place: Place, tmp_path: Path) -> None:
    """No bundle to push, none to pull, several to choose from: each with the remedy."""

    def refused(*arguments: object) -> str:
        result = command(place, *arguments)
        assert isinstance(result.exception, SandboxError), result.output
        return result.exception.diagnosis

    said = refused("push", "ride-1", place.url)
    assert "`sandbox evidence bundle ride-1`" in said
    assert "no whole bundle" in refused("pull", place.url, tmp_path / "back")
    one = push_bundle(place.objects, write(tmp_path / "one", segments=1))
    two = push_bundle(place.objects, write(tmp_path / "two", segments=2))
    said = refused("pull", place.url, tmp_path / "back")
    assert f"{place.url}/{one.place}" in said
    assert f"{place.url}/{two.place}" in said


def grown_log(home: Path, last: int) -> None:
    """Append to the log of an installation up to so many entries."""
    log = open_ledger(Settings(home=home))[0].log
    for number in range(len(log.leaf_hashes()), last):
        entry = {"kind": "decision", "entry_id": f"e-{number}", "trial_id": "ride-1"}
        log.append(LogEntry.model_validate({**entry, "recorded_at": AT}))


def test_the_log_grows_in_a_store(place: Place) -> None:
    """Tiles are sent as the log grows; none is replaced, every checkpoint stays."""
    home = place.settings.home
    grown_log(home, 255)
    assert command(place, "tiles", place.url, "--home", home).exit_code == 0
    first = place.files()
    grown_log(home, 300)
    assert command(place, "tiles", place.url, "--home", home).exit_code == 0
    second = place.files()
    assert second.keys() > first.keys()
    assert {name: second[name] for name in first} == first
    leaves = open_ledger(place.settings)[0].log.leaf_hashes()
    assert second["tile/0/000"][1] == b"".join(leaves[:256])
    assert second["tile/0/001.p/44"][1] == b"".join(leaves[256:])
    assert {name for name in second if name.startswith("checkpoints/")} == {
        "checkpoints/255",
        "checkpoints/300",
    }
