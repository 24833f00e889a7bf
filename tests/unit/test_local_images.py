import hashlib
import json
import tarfile

import pytest

from sandbox.errors import LocalError
from sandbox.local import images


@pytest.fixture(name="binaries")
def _binaries(tmp_path):
    found = {}
    for name in ("agnhost", "coredns", "hotrod", "python.tar", "code.tar"):
        found[name] = tmp_path / "bin" / name
        found[name].parent.mkdir(exist_ok=True)
        found[name].write_bytes(name.encode() * 100)
    return found


def _read(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_the_same_binaries_give_the_same_bytes(binaries, tmp_path):
    """An image does not know when or where it was made."""
    first = images.write_archive(tmp_path / "a.tar", binaries)
    second = images.write_archive(tmp_path / "b.tar", binaries)
    assert first == second
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_another_binary_is_another_image(binaries, tmp_path):
    """One changed byte of a program changes its digest, and only its own."""
    first = images.write_archive(tmp_path / "a.tar", binaries)
    binaries["hotrod"].write_bytes(b"other")
    second = images.write_archive(tmp_path / "b.tar", binaries)
    assert {name for name in first if first[name] != second[name]} == {"hotrod"}


def test_every_blob_is_named_by_its_content(binaries, tmp_path):
    """Every blob's name is the SHA-256 of its bytes (image-spec v1.1)."""
    images.write_archive(tmp_path / "a.tar", binaries)
    blobs = {n: d for n, d in _read(tmp_path / "a.tar").items() if "blobs/" in n}
    assert blobs
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_each_image_has_a_tag_and_a_pinned_name(binaries, tmp_path):
    """The index lists `localhost/NAME:1` and `localhost/NAME@DIGEST`."""
    digests = images.write_archive(tmp_path / "a.tar", binaries)
    index = json.loads(_read(tmp_path / "a.tar")["index.json"])
    listed = {
        entry["annotations"]["io.containerd.image.name"]: entry["digest"]
        for entry in index["manifests"]
    }
    for name, digest in digests.items():
        assert listed[f"localhost/{name}:1"] == digest
        assert listed[images.reference(name, digest)] == digest


def test_images_run_as_nobody(binaries, tmp_path):
    """The configuration of every image names a numeric user that is not root."""
    digests = images.write_archive(tmp_path / "a.tar", binaries)
    files = _read(tmp_path / "a.tar")
    for name, digest in digests.items():
        manifest = json.loads(files["blobs/sha256/" + digest.removeprefix("sha256:")])
        blob = manifest["config"]["digest"].removeprefix("sha256:")
        config = json.loads(files[f"blobs/sha256/{blob}"])["config"]
        assert config["User"] == "65534:65534"
        assert config["Entrypoint"] == list(images.PLANS[name].entrypoint)
        assert tuple(config.get("Env", ())) == images.PLANS[name].environment


def test_packed_layers_are_taken_as_they_are(binaries, tmp_path):
    """The own image has two layers, lowest first, byte for byte as packed."""
    digests = images.write_archive(tmp_path / "a.tar", binaries)
    files = _read(tmp_path / "a.tar")
    digest = digests[images.OWN_IMAGE].removeprefix("sha256:")
    manifest = json.loads(files[f"blobs/sha256/{digest}"])
    blobs = [layer["digest"].replace(":", "/") for layer in manifest["layers"]]
    packed = [binaries[name].read_bytes() for name in ("python.tar", "code.tar")]
    assert [files[f"blobs/{blob}"] for blob in blobs] == packed


def test_an_image_lost_on_import_is_noticed(tmp_path):
    """An import that succeeds without the image is an error that names it."""
    ctr = tmp_path / "ctr"
    ctr.write_text("#!/bin/sh\nexit 0\n")
    ctr.chmod(0o755)
    digests = {"hotrod": "sha256:" + "a" * 64}
    with pytest.raises(LocalError, match="lost the images hotrod"):
        images.import_archive([str(ctr)], tmp_path / "a.tar", digests)
