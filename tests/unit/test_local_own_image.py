import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from sandbox.environment.attempts import report_in
from sandbox.environment.probe import neighbour, trial_pod
from sandbox.errors import LocalError
from sandbox.local import own_image
from sandbox.local.images import OWN_IMAGE, PLANS
from sandbox.local.layout import Layout
from sandbox.testing.environment import environment_spec

ROOT = Path(__file__).parents[2]
PROGRAM = "sandbox.incluster.expiry"


@pytest.fixture(name="layout", scope="module")
def _layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home"))
    layout.node.mkdir()
    return layout


@pytest.fixture(name="layers", scope="module")
def _layers(layout):
    return own_image.own_layers(layout)


@pytest.fixture(name="unpacked", scope="module")
def _unpacked(layers, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    for name in PLANS[OWN_IMAGE].layers:
        with tarfile.open(layers[name]) as tar:
            tar.extractall(root, filter="tar")
    return root


def entries(layers):
    for path in layers.values():
        with tarfile.open(path) as tar:
            yield from tar


def test_the_same_files_give_the_same_layer(tmp_path):
    """A layer does not know when, where or in which order it was packed."""
    (tmp_path / "a.py").write_text("A = 1\n")
    (tmp_path / "b.py").write_text("def b():\n    return {'x': (1, 2)}\n")
    files = {"opt/b.py": tmp_path / "b.py", "opt/sub/a.py": tmp_path / "a.py"}
    first, second = io.BytesIO(), io.BytesIO()
    own_image.write_layer(first, files, own_image.compiled(files))
    backwards = dict(reversed(files.items()))
    own_image.write_layer(second, backwards, own_image.compiled(backwards))
    assert first.getvalue() == second.getvalue()
    (tmp_path / "a.py").write_text("A = 2\n")
    third = io.BytesIO()
    own_image.write_layer(third, files, own_image.compiled(files))
    assert third.getvalue() != first.getvalue()


def test_packed_once(layout, layers, monkeypatch):
    """The interpreter's layer is kept by its content; a second start packs nothing."""
    kept = layers[own_image.PYTHON_LAYER]
    monkeypatch.setattr(own_image, "compiled", None)
    assert own_image.own_layers(layout)[own_image.PYTHON_LAYER] == kept


def test_few_layers_are_kept(tmp_path, monkeypatch):
    """A new layer replaces the least used of more than three; no part file stays."""
    source = tmp_path / "a.py"
    monkeypatch.setattr(own_image, "python_files", lambda: {"opt/a.py": source})
    layout = Layout(tmp_path / "home")
    layout.node.mkdir(parents=True)
    packed = []
    for number in range(5):
        source.write_text(f"A = {number}\n")
        packed.append(own_image.own_layers(layout)[own_image.PYTHON_LAYER])
        os.utime(packed[-1], (number, number))
    assert set((layout.cache / "python").iterdir()) == set(packed[2:])


def test_nobody_else_may_write(layers):
    """Everything belongs to root; nothing is writable by others or setuid."""
    found = list(entries(layers))
    assert len(found) > 1000
    assert {(entry.uid, entry.gid, entry.mtime) for entry in found} == {(0, 0, 0)}
    assert {oct(entry.mode) for entry in found} == {"0o755", "0o644"}
    assert {entry.type for entry in found} <= {tarfile.REGTYPE, tarfile.DIRTYPE}


def test_small_enough(layers):
    """The whole image stays below 150 MB."""
    assert sum(path.stat().st_size for path in layers.values()) < 150e6


def test_runs_from_its_own_files(unpacked):
    """The packed interpreter runs the program with packed files alone."""
    environment = dict(item.split("=", 1) for item in own_image.ENVIRONMENT)
    moved = {
        name: f"{unpacked}{value}" if value.startswith("/") else value
        for name, value in environment.items()
    }
    python = unpacked / "usr" / "local" / "bin" / "python3"
    code = (
        f"import json, sys, {PROGRAM}; print(json.dumps("
        "[m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
    )
    out = subprocess.check_output([python, "-c", code], env=moved, cwd="/", text=True)
    files = json.loads(out)
    assert [file for file in files if not file.startswith(str(unpacked))] == []
    assert len(files) > 300


def test_the_proof_runs_from_the_image(unpacked):
    """What the pods of a proof start is in the image, under the very names that they
    give, and starts with its files alone; so does what the Containerfile builds.
    """
    spec = environment_spec()
    (probe,) = trial_pod(spec, [])["spec"]["containers"]
    (beside,) = neighbour(spec)["spec"]["template"]["spec"]["containers"]
    text = (ROOT / "Containerfile").read_text()
    for container in (probe, beside):
        interpreter, *options, program = container["command"]
        assert interpreter == PLANS[OWN_IMAGE].entrypoint[0]
        assert options == ["-I", "-S"]
        assert f"{unpacked}{program}" in {str(path) for path in unpacked.rglob("*.py")}
        root, _, _ = program.partition("/sandbox/")
        assert f"COPY sandbox {root}/sandbox" in text
    argv = [
        f"{unpacked}{part}" if part[0] == "/" else part for part in probe["command"]
    ]
    found = {"LD_LIBRARY_PATH": f"{unpacked}/usr/local/lib"}
    out = subprocess.check_output([*argv, *probe["args"]], env=found, text=True)
    assert report_in(out) is not None


def test_leaves_out_what_no_pod_needs(layers):
    """No tests, no servers of this machine, no fakes, no source of an installation."""
    names = {entry.name for entry in entries(layers)}
    code = "opt/regulatory-sandbox"
    assert f"{code}/sandbox/incluster/expiry.py" in names
    assert f"{code}/manifests/platform/69-cronjob-expiry.yaml" in names
    for folder in ("sandbox/local", "sandbox/testing", "manifests/local", "temporalio"):
        assert f"{code}/{folder}" not in names
    assert not [name for name in names if "/test/" in name or "idlelib" in name]


def test_a_missing_distribution_is_named(monkeypatch):
    """What is not installed cannot be packed, and the message says what to run."""
    monkeypatch.setattr(own_image, "DISTRIBUTIONS", ("no-such-thing",))
    with pytest.raises(LocalError, match=r"no-such-thing.*scripts/install"):
        own_image.python_files()


def test_containerfile_agrees():
    """NOT BUILT HERE (no container engine): the Containerfile names the same entry
    point, user, variables and distributions as the local node's image.
    """
    text = (ROOT / "Containerfile").read_text()
    joined = text.replace("\\\n", " ")
    last = joined.split("\nFROM ")[-1].splitlines()
    said = dict(line.split(" ", 1) for line in last if line and " " in line)
    assert json.loads(said["ENTRYPOINT"]) == list(PLANS[OWN_IMAGE].entrypoint)
    assert said["USER"] == "65534:65534"
    variables = {line[4:] for line in last if line.startswith("ENV ")}
    local = {v for v in own_image.ENVIRONMENT if not v.startswith("LD_LIBRARY_PATH")}
    assert variables == local
    (installed,) = [line for line in joined.splitlines() if "uv pip install" in line]
    names = installed.split("--constraints locked.txt")[1].split()
    assert tuple(names) == own_image.DISTRIBUTIONS


def test_containerfile_pins_its_bases():
    """No base image has a default: each is named, by digest, by whoever builds."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("ARG ")] == ["ARG BASE", "ARG UV"]
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert bases == {"${BASE}", "${UV}"}
