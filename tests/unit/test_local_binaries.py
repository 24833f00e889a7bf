import fcntl
import os
import threading
from pathlib import Path

import pytest

from sandbox.errors import LocalError
from sandbox.local import binaries, toolchain
from sandbox.local.layout import Layout, layout_of
from sandbox.local.toolchain import Toolchain
from sandbox.settings import Settings

_GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit 0; fi
echo "compiling in $(pwd) with $CGO_ENABLED $GOTOOLCHAIN"
{body}
"""
_BUILDS = """while [ "$1" != -o ]; do shift; done
cp go.sum "$2.sum" && printf '#!/bin/sh\\n' > "$2" && chmod +x "$2"
"""


@pytest.fixture(name="settings")
def _settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture(name="go")
def _go(tmp_path, monkeypatch):
    """Puts a stand-in Go on PATH that does what its body says."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def put(body, version="9.9.9"):
        program = folder / "go"
        program.write_text(_GO.format(version=version, body=body))
        program.chmod(0o755)
        return program

    return put


def _place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def _silent(stage, what):
    pass


def test_every_binary_comes_from_a_pinned_module():
    """Each module has go.mod and go.sum, and go.sum has the package's module."""
    for source in binaries.sources().values():
        assert len(binaries.module_digest(source.module)) == 64
        sums = binaries.local_file(f"modules/{source.module}/go.sum").read_text()
        listed = {line.split()[0] for line in sums.splitlines()}
        assert any(source.package.startswith(module) for module in listed), source


def test_node_and_temporal_share_out_all_binaries():
    """Every binary belongs to the node or to Temporal, none to both."""
    node, temporal = set(binaries.node_binaries()), set(binaries.temporal_binaries())
    assert node | temporal == set(binaries.sources())
    assert node & temporal == set()
    assert temporal == {"temporal-server"}


def test_the_configured_directory_comes_before_the_cache(settings, tmp_path):
    """A ready binary of the configured directory wins over a built one."""
    cached = _place(
        binaries.cached_path(layout_of(settings), binaries.sources()["etcd"])
    )
    assert binaries.find_binary(settings, "etcd") == cached
    ready = _place(tmp_path / "ready" / "etcd")
    configured = settings.model_copy(update={"servers": tmp_path / "ready"})
    assert binaries.find_binary(configured, "etcd") == ready
    assert binaries.find_binary(configured, "ctr") is None


def test_a_file_that_cannot_be_executed_is_not_a_binary(settings, tmp_path):
    """A file without the executable bit is passed over."""
    _place(tmp_path / "ready" / "etcd").chmod(0o644)
    configured = settings.model_copy(update={"servers": tmp_path / "ready"})
    assert binaries.find_binary(configured, "etcd") is None


def test_what_is_ready_is_not_built(settings, tmp_path, go):
    """With every binary ready no Go is asked for anything."""
    go("exit 1", version="1.0")
    ready = _place(tmp_path / "ready" / "etcd")
    configured = settings.model_copy(update={"servers": tmp_path / "ready"})
    found = binaries.resolve_binaries(configured, ["etcd"], progress=_silent)
    assert found == {"etcd": ready}


def test_what_is_missing_is_built_into_the_cache(settings, go):
    """A module is built whole, with progress, and found in the cache afterwards."""
    go(_BUILDS)
    told = []
    found = binaries.resolve_binaries(
        settings, ["etcd"], progress=lambda stage, what: told.append((stage, what))
    )
    layout = layout_of(settings)
    folder = found["etcd"].parent
    assert folder.parent == layout.cache
    assert os.access(folder / "kube-network-policies", os.X_OK)
    assert [stage for stage, _ in told] == ["build"] * 3
    assert "etcd (1 of 2)" in told[0][1]
    assert not list(layout.cache.glob("building-*"))
    go("exit 1")
    again = binaries.resolve_binaries(settings, ["etcd"], progress=_silent)
    assert again == found


def test_a_failed_build_says_which_and_why(settings, go):
    """The diagnosis names binary and module and holds the compiler's last words."""
    go("echo 'checksum mismatch' >&2; exit 1")
    with pytest.raises(LocalError) as caught:
        binaries.resolve_binaries(settings, ["ctr"], progress=_silent)
    assert "containerd cannot be built" in caught.value.diagnosis
    assert "checksum mismatch" in caught.value.diagnosis
    assert binaries.find_binary(settings, "ctr") is None


def test_one_process_builds_at_a_time(settings, go):
    """While another holds the lock, nothing is built and the person is told."""
    go(_BUILDS)
    cache = layout_of(settings).cache
    cache.mkdir()
    told = []
    waiting = threading.Event()

    def progress(stage, what):
        told.append(what)
        waiting.set()

    with (cache / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(
            target=binaries.resolve_binaries,
            args=(settings, ["etcd"]),
            kwargs={"progress": progress},
        )
        thread.start()
        assert waiting.wait(10)
        assert told == ["another process is building; waiting for it"]
        assert binaries.find_binary(settings, "etcd") is None
    thread.join(20)
    assert binaries.find_binary(settings, "etcd") is not None


def test_builds_check_sums_and_need_no_c_compiler(tmp_path):
    """The command refuses changed modules, other toolchains and cgo."""
    command = binaries.build_command(
        Layout(tmp_path),
        Toolchain(Path("/go"), (1, 27), is_wheel=True),
        tmp_path / "work",
        binaries.sources()["kubelet"],
    )
    assert {"CGO_ENABLED=0", "GOTOOLCHAIN=local", "-mod=readonly"} <= set(command)
    assert f"GOPATH={tmp_path / 'go'}" in command
    version = binaries.pinned_version("kubernetes", "k8s.io/kubernetes")
    flags = next(word for word in command if word.startswith("-ldflags="))
    assert f"-X=k8s.io/component-base/version.gitVersion={version}" in flags


def test_an_old_go_is_refused_with_what_was_seen(go, monkeypatch):
    """Without a suitable Go the diagnosis names what was found and what to install."""
    program = go("exit 1", version="1.4.2")
    monkeypatch.setattr(toolchain, "_wheel_go", lambda: None)
    with pytest.raises(LocalError) as caught:
        toolchain.find_toolchain((1, 26, 8))
    assert f"{program} is 1.4.2" in caught.value.diagnosis
    assert "--extra local" in caught.value.diagnosis


def test_the_wheel_serves_where_path_has_no_suitable_go(go):
    """An old Go on PATH is passed over for the wheel's."""
    go("exit 1", version="1.4.2")
    found = toolchain.find_toolchain((1, 26, 8))
    assert found.is_wheel
    assert found.version >= (1, 26, 8)


def test_versions_compare_as_numbers():
    """1.26.10 is newer than 1.26.8, whatever their texts say."""
    assert toolchain._version("1.26.10") > toolchain._version("1.26.8")
    assert toolchain.needed_version("temporal") >= (1, 26)
