"""The product's own image for this machine's node, without a registry or a builder.

It holds what runs the product here: the interpreter of this process with its standard
library, the shared libraries they load, the distributions that programs in the cluster
import, and the packages of this product. `Containerfile` is the same for registries.

Rules of this module:

* The same files give the same bytes: sorted, owned by root, with no instant of their
  own, and nothing in them is writable by anyone else.
* Two layers: interpreter and distributions change rarely and are kept in the cache, by
  their content; the product's own code is packed anew at every start.
* Of the kept layer everything is compiled beforehand (PEP 552, unchecked hashes), since
  a pod cannot write `__pycache__`. The API client's thousands of generated models are
  not: nothing here imports them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import re
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

import manifests
import sandbox
from sandbox.errors import LocalError
from sandbox.local.commands import attempt, run
from sandbox.local.layout import Layout

Files = dict[str, Path]
"""Path in the image, without the leading slash → file of this machine."""

DISTRIBUTIONS = ("isodate", "kubernetes", "pydantic", "pyyaml")
"""What programs in the cluster import; what these need comes with them."""
PYTHON_LAYER = "python.tar"
CODE_LAYER = "code.tar"

_NOT_NEEDED = frozenset({"aiohttp", "aiohttp-retry"})
_KEPT_LAYERS = 3
"""Homes with other versions may share the cache; the last used stay."""
_CODE = "opt/regulatory-sandbox"
_LIBRARIES = "usr/local/lib"
ENVIRONMENT = (
    f"LD_LIBRARY_PATH=/{_LIBRARIES}",
    f"PYTHONPATH=/{_CODE}",
    "PYTHONDONTWRITEBYTECODE=1",
    "PYTHONUNBUFFERED=1",
)
"""With these the image's interpreter finds its files."""
_LEFT_OUT_FOLDERS = frozenset(
    """__pycache__ site-packages dist-packages test tests idlelib tkinter turtledemo
    ensurepip lib2to3 pydoc_data""".split()
)
_LEFT_OUT_MODULES = re.compile(
    r"(_tkinter|_curses|_curses_panel|_dbm|_gdbm|_sqlite3|nis|ossaudiodev|readline|turtle"
    r"|sitecustomize|usercustomize|_test\w*|_xxtest\w*|xxlimited\w*|xxsubtype)\."
)
_LEFT_OUT_PARTS = ("kubernetes/aio/", "kubernetes/docs/", "kubernetes/e2e_test/")
_NOT_COMPILED = ("kubernetes/client/models/", "kubernetes/client/api/")
_OWN_ROOMS_LEFT_OUT = frozenset({"local", "testing", "__pycache__"})
_LOADED = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$", re.M)
_COMPILER = Path(__file__).with_name("own_image_compiler.py")


def own_layers(layout: Layout) -> dict[str, Path]:
    """Return the layers of the product's own image, by name.

    Args:
        layout: Where the cache and the files of the node lie.

    Raises:
        LocalError: This interpreter or a distribution cannot be packed.
    """
    code = layout.node / CODE_LAYER
    with code.open("wb") as file:
        write_layer(file, _own_code())
    return {PYTHON_LAYER: _kept(layout.cache / "python"), CODE_LAYER: code}


def write_layer(
    file: IO[bytes], files: Files, added: Mapping[str, bytes] | None = None
) -> None:
    """Write files as one layer of an image, the same bytes for the same files.

    Args:
        file: Written to.
        files: Where each lies.
        added: Path in the image → content, for what lies nowhere on this machine.
    """
    contents = {**dict.fromkeys(files), **(added or {})}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in _folders(contents):
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o755))
        for name in sorted(contents):
            data = contents[name]
            _add_file(tar, name, files[name].read_bytes() if data is None else data)


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    is_program = data[:4] == b"\x7fELF"
    entry = _entry(name, tarfile.REGTYPE, 0o755 if is_program else 0o644)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _folders(names: Iterable[str]) -> list[str]:
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return sorted(folders - {"."})


def _kept(cache: Path) -> Path:
    """Return the layer of interpreter and distributions; packed if it is not there."""
    files = python_files()
    layer = cache / f"{_content_key(files)}.tar"
    if layer.exists():
        layer.touch()
        return layer
    cache.mkdir(parents=True, exist_ok=True)
    modules = compiled(files)
    with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as part:
        write_layer(part.file, files, modules)
    Path(part.name).replace(layer)
    _forget_old(cache)
    return layer


def _forget_old(cache: Path) -> None:
    # Another home may forget the same one at the same time.
    with suppress(FileNotFoundError):
        kept = sorted(cache.glob("*.tar"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-_KEPT_LAYERS]:
            old.unlink()


def _content_key(files: Files) -> str:
    key = hashlib.sha256(_COMPILER.read_bytes() + Path(__file__).read_bytes())
    for name in sorted(files):
        content = hashlib.sha256(files[name].read_bytes()).digest()
        key.update(name.encode() + b"\0" + content)
    return key.hexdigest()[:32]


def python_files() -> Files:
    """Return interpreter, standard library, distributions and their libraries.

    Raises:
        LocalError: A distribution or a library cannot be found.
    """
    files = {"usr/local/bin/python3": Path(sys.executable).resolve()}
    files.update(_standard_library())
    for name in sorted(_with_requirements(DISTRIBUTIONS)):
        files.update(_distribution(name))
    return {**files, **_libraries(files)}


def _standard_library() -> Iterator[tuple[str, Path]]:
    root = Path(sysconfig.get_path("stdlib"))
    try:
        place = PurePosixPath("usr/local") / root.relative_to(sys.base_prefix)
    except ValueError as error:
        raise LocalError(
            f"the standard library {root} is not under {sys.base_prefix}; use a Python "
            "with the usual layout (python.org, pyenv, uv, Debian)"
        ) from error
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _is_left_out_folder(name)]
        for name in names:
            path = Path(folder, name)
            is_wanted = path.suffix in (".py", ".so") and path.is_file()
            if is_wanted and not _LEFT_OUT_MODULES.match(name):
                yield str(place / path.relative_to(root)), path


def _is_left_out_folder(name: str) -> bool:
    return name in _LEFT_OUT_FOLDERS or name.startswith("config-")


def _with_requirements(names: Iterable[str]) -> set[str]:
    """Return distributions with all they need and is installed, by plain names."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found | _NOT_NEEDED:
            continue
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError as error:
            if name in DISTRIBUTIONS:
                raise LocalError(f"{name} is not installed; run scripts/install") from (
                    error
                )
            continue
        found.add(name)
        wanted = [text for text in needed if "extra ==" not in text]
        waiting += [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in wanted]
    return found


def _distribution(name: str) -> Iterator[tuple[str, Path]]:
    for file in importlib.metadata.files(name) or []:
        is_inside = ".." not in file.parts and "__pycache__" not in file.parts
        is_left_out = file.as_posix().startswith(_LEFT_OUT_PARTS)
        # What an installer notes down differs from one installation to the next.
        is_note = file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
        path = Path(str(file.locate()))
        if is_inside and not is_left_out and not is_note and path.is_file():
            yield f"{_CODE}/{file.as_posix()}", path


def _libraries(files: Files) -> Files:
    """Return the shared libraries that programs and modules load, and the loader."""
    programs = [
        str(path)
        for name, path in sorted(files.items())
        if name.endswith((".so", "bin/python3"))
    ]
    # A wheel that brings a library finds it by itself, at its own place.
    packed = {path.resolve() for path in files.values()}
    return {
        f"{_LIBRARIES}/{asked}" if asked else found.lstrip("/"): Path(found).resolve()
        for asked, found in _LOADED.findall(_dependencies(programs))
        if Path(found).resolve() not in packed
    }


def _dependencies(programs: Sequence[str]) -> str:
    said = attempt(["ldd", *programs])
    lines = said.stdout.splitlines()
    lacking = sorted({line.strip() for line in lines if "not found" in line})
    if lacking or not lines:
        raise LocalError(
            "the shared libraries of this Python cannot be found; install what lacks "
            f"(ldd is of libc-bin), then start again: {said.stderr}{'; '.join(lacking)}"
        )
    return said.stdout


def compiled(files: Files) -> dict[str, bytes]:
    """Return the compiled module of each source, by its path in the image.

    It happens in a process of its own: what this one has imported would show in the
    bytes.

    Raises:
        LocalError: A source cannot be compiled.
    """
    sources = {
        name: str(path)
        for name, path in files.items()
        if name.endswith(".py")
        and not name.removeprefix(f"{_CODE}/").startswith(_NOT_COMPILED)
    }
    with tempfile.TemporaryDirectory() as folder:
        orders = json.dumps({"to": folder, "sources": sources}, sort_keys=True)
        argv = ["env", "PYTHONHASHSEED=0", sys.executable, "-P", "-S", str(_COMPILER)]
        run(argv, stdin=orders, timeout_s=300.0)
        return {
            _cached(name): Path(folder, str(number)).read_bytes()
            for number, name in enumerate(sorted(sources))
            if Path(folder, str(number)).exists()
        }


def _cached(name: str) -> str:
    path = PurePosixPath(name)
    tag = sys.implementation.cache_tag
    return str(path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc")


def _own_code() -> Files:
    return {
        f"{_CODE}/{package}/{file.relative_to(root).as_posix()}": file
        for package, root in _own_packages()
        for file in sorted(root.rglob("*"))
        if file.is_file()
        and not set(file.relative_to(root).parts) & _OWN_ROOMS_LEFT_OUT
    }


def _own_packages() -> Iterator[tuple[str, Path]]:
    for package in (manifests, sandbox):
        yield package.__name__, Path(str(package.__file__)).parent
