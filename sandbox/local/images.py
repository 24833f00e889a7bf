"""Container images of this machine's node, written without a registry or a builder.

Rules of this module:

* An image is an OCI image layout (image-spec v1.1) with uncompressed layers; the same
  files give the same bytes and so the same digest.
* Each image has two names: `localhost/NAME:1`, and `localhost/NAME@DIGEST`, by which
  trials pin it.
* Images run as the user nobody and hold nothing but their program.
* An image of a static binary is one layer of one file; the product's own image has the
  layers that `sandbox.local.own_image` packs.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.errors import LocalError
from sandbox.local.commands import run
from sandbox.local.own_image import CODE_LAYER, ENVIRONMENT, PYTHON_LAYER

_NOBODY = "65534:65534"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImagePlan(NamedTuple):
    """One image to make: what it holds and how it starts."""

    layers: tuple[str, ...]
    """What lies in it, lowest first: programs, each as `/NAME`, and packed layers."""
    entrypoint: tuple[str, ...]
    environment: tuple[str, ...] = ()
    """Variables, as `NAME=VALUE`."""


OWN_IMAGE = "regulatory-sandbox"
PLANS: Mapping[str, ImagePlan] = {
    "agnhost": ImagePlan(("agnhost",), ("/agnhost",)),
    "pause": ImagePlan(("agnhost",), ("/agnhost", "pause")),
    "coredns": ImagePlan(("coredns",), ("/coredns",)),
    "hotrod": ImagePlan(("hotrod",), ("/hotrod",)),
    OWN_IMAGE: ImagePlan(
        (PYTHON_LAYER, CODE_LAYER), ("/usr/local/bin/python3", "-m"), ENVIRONMENT
    ),
}
"""Every image of this machine's node, by name."""


class _Archive(NamedTuple):
    tar: tarfile.TarFile
    blobs: set[str]


def reference(name: str, digest: str) -> str:
    """Return the name by which a pod pins an image to its content."""
    return f"localhost/{name}@{digest}"


def write_archive(
    path: Path, files: Mapping[str, Path], plans: Mapping[str, ImagePlan] = PLANS
) -> dict[str, str]:
    """Write one image archive that holds every planned image.

    Args:
        path: The archive; replaced.
        files: Where each program and each packed layer (`NAME.tar`) lies.
        plans: What each image holds.

    Returns:
        Manifest digest (`sha256:…`) of each image, by name.
    """
    names = {name for plan in plans.values() for name in plan.layers}
    digests: dict[str, str] = {}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        archive = _Archive(tar, set())
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        layers = {name: _add_layer(archive, files[name]) for name in sorted(names)}
        entries = []
        for name, plan in plans.items():
            held = [layers[layer] for layer in plan.layers]
            manifest = _add_manifest(archive, plan, held)
            digests[name] = manifest["digest"]
            entries += _named(manifest, name)
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}
        _add(archive, "index.json", _json(index))
    return digests


def _named(manifest: dict[str, Any], name: str) -> list[dict[str, Any]]:
    names = (f"localhost/{name}:1", reference(name, manifest["digest"]))
    return [
        {**manifest, "annotations": {"io.containerd.image.name": full}}
        for full in names
    ]


def _add_manifest(
    archive: _Archive, plan: ImagePlan, layers: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    start: dict[str, Any] = {"Entrypoint": list(plan.entrypoint), "User": _NOBODY}
    if plan.environment:
        start["Env"] = list(plan.environment)
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": start,
        "rootfs": {"type": "layers", "diff_ids": [item["digest"] for item in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _add_blob(archive, _CONFIG, _json(config)),
        "layers": list(layers),
    }
    return _add_blob(archive, _MANIFEST, _json(manifest))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _add_blob(archive: _Archive, media_type: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    if digest not in archive.blobs:
        archive.blobs.add(digest)
        _add(archive, f"blobs/sha256/{digest}", data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _add_layer(archive: _Archive, program: Path) -> dict[str, Any]:
    if program.suffix == ".tar":
        return _add_blob(archive, _LAYER, program.read_bytes())
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(program.name)
        entry.size = program.stat().st_size
        entry.mode = 0o755
        with program.open("rb") as file:
            tar.addfile(entry, file)
    return _add_blob(archive, _LAYER, layer.getvalue())


def _add(archive: _Archive, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.tar.addfile(entry, io.BytesIO(data))


def import_archive(ctr: Sequence[str], path: Path, digests: Mapping[str, str]) -> None:
    """Import the archive and check that containerd has every image by its digest.

    Args:
        ctr: The `ctr` command with its socket, namespace and any prefix.
        path: The archive.
        digests: What `write_archive` returned.

    Raises:
        LocalError: The import failed, or an image is missing afterwards.
    """
    run([*ctr, "images", "import", "--local", str(path)], timeout_s=120.0)
    held = set(run([*ctr, "images", "list", "--quiet"]).split())
    missing = [n for n, digest in digests.items() if reference(n, digest) not in held]
    if missing:
        raise LocalError(
            f"containerd lost the images {', '.join(missing)} on import; "
            f"remove {path} and start again"
        )
