"""One suite for every store of objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.adapters.objects import LocalObjects
from sandbox.errors import EvidenceError
from sandbox.ports import Objects
from sandbox.testing.objects import FakeObjects


@pytest.fixture(name="objects", params=["local", "fake"])
def _objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "local":
        return LocalObjects(tmp_path / "objects")
    return FakeObjects()


def test_what_is_put_is_got(objects: Objects) -> None:
    """Byte for byte, under names with parts."""
    objects.put("a/b-1.txt", b"\0\xff")
    objects.put("empty", b"")
    assert objects.get("a/b-1.txt") == b"\0\xff"
    assert objects.get("empty") == b""


def test_an_object_never_changes(objects: Objects) -> None:
    """The same content again is accepted; other content is refused."""
    objects.put("a", b"1")
    objects.put("a", b"1")
    with pytest.raises(EvidenceError, match="other content"):
        objects.put("a", b"2")
    assert objects.get("a") == b"1"


def test_names_are_sorted_and_filtered(objects: Objects) -> None:
    """A prefix is a prefix of the whole name."""
    assert list(objects.names()) == []
    for name in ("b/2", "a", "b/1", "bc"):
        objects.put(name, b"x")
    assert list(objects.names()) == ["a", "b/1", "b/2", "bc"]
    assert list(objects.names("b/")) == ["b/1", "b/2"]
    assert list(objects.names("c")) == []


def test_what_is_not_there_is_said(objects: Objects) -> None:
    """Also where the name is that of a folder."""
    objects.put("a/b", b"x")
    for name in ("c", "a", "a/b/c"):
        with pytest.raises(EvidenceError, match=f"no object {name}"):
            objects.get(name)


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", ".a", "a b"])
def test_a_name_cannot_escape(objects: Objects, name: str) -> None:
    """Names are plain parts joined by slashes."""
    with pytest.raises(EvidenceError, match="cannot name an object"):
        objects.put(name, b"x")
