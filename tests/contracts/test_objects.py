"""One suite for every store of objects: memory, a folder, a real S3 server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from sandbox.adapters.objects import LocalObjects
from sandbox.adapters.objects_place import open_objects
from sandbox.errors import EvidenceError
from sandbox.model.record import digest_of
from sandbox.ports import Objects
from sandbox.settings import Settings
from sandbox.testing.objects import FakeObjects


class Subject:
    """A store, and the hand of someone who changes what lies in it."""

    def __init__(self, objects: Objects, change: Callable[[str, bytes], None]) -> None:
        self.objects = objects
        self.change = change


def _fake() -> Subject:
    objects = FakeObjects()
    return Subject(objects, objects._blobs.__setitem__)


def _folder(objects: Objects, root: Path) -> Subject:
    return Subject(objects, lambda name, data: _write(root / name, data))


def _write(path: Path, data: bytes) -> None:
    assert path.is_file()
    path.write_bytes(data)


@pytest.fixture(name="subject", params=["fake", "local", "s3"])
def _subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    if request.param == "fake":
        return _fake()
    if request.param == "local":
        return _folder(LocalObjects(tmp_path / "objects"), tmp_path / "objects")
    server = request.getfixturevalue("s3_server")
    bucket = request.getfixturevalue("make_bucket")()
    objects = open_objects(f"s3://{bucket}/some/prefix", server.settings(tmp_path))
    return _folder(objects, server.buckets / bucket / "some" / "prefix")


@pytest.fixture(name="objects")
def _objects(subject: Subject) -> Objects:
    return subject.objects


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
    for other in (b"2", b"", b"12"):
        with pytest.raises(EvidenceError, match="other content"):
            objects.put("a", other)
    assert objects.get("a") == b"1"


def test_one_of_many_writers_wins(objects: Objects) -> None:
    """Of writers at the same instant one is told yes, and its content is what stays."""
    said: list[bytes] = []
    together = threading.Barrier(6)

    def write(content: bytes) -> None:
        together.wait()
        try:
            objects.put("raced", content)
            said.append(content)
        except EvidenceError as error:
            assert "other content" in error.diagnosis

    writers = [
        threading.Thread(target=write, args=(bytes([number]) * 200_000,))
        for number in range(6)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert said == [objects.get("raced")]


def test_names_are_sorted_and_filtered(objects: Objects) -> None:
    """A prefix is a prefix of the whole name, wherever it ends."""
    assert list(objects.names()) == []
    for name in ("b/2", "a", "b/1", "bc", "b/1x/3"):
        objects.put(name, b"x")
    assert list(objects.names()) == ["a", "b/1", "b/1x/3", "b/2", "bc"]
    assert list(objects.names("b/")) == ["b/1", "b/1x/3", "b/2"]
    assert list(objects.names("b")) == ["b/1", "b/1x/3", "b/2", "bc"]
    assert list(objects.names("b/1")) == ["b/1", "b/1x/3"]
    assert list(objects.names("c")) == []


def test_many_names_are_all_listed(objects: Objects) -> None:
    """A listing does not end where a page of the store's answer ends."""
    names = [f"many/{number:04d}" for number in range(1005)]
    for name in names:
        objects.put(name, b"")
    assert list(objects.names("many/")) == names


def test_what_is_not_there_is_said(objects: Objects) -> None:
    """Also where the name is that of a folder."""
    objects.put("a/b", b"x")
    for name in ("c", "a", "a/b/c"):
        assert objects.size(name) is None
        with pytest.raises(EvidenceError, match=f"no object {name}"):
            objects.get(name)
        with pytest.raises(EvidenceError, match=f"no object {name}"):
            objects.get_range(name, 0, 1)


def test_the_size_is_told(objects: Objects) -> None:
    """In bytes, without reading the object; nothing is not the same as empty."""
    objects.put("a", b"12345")
    objects.put("empty", b"")
    assert objects.size("a") == 5
    assert objects.size("empty") == 0


def test_a_range_is_read(objects: Objects) -> None:
    """From the first byte named up to, not including, the last."""
    objects.put("a", b"0123456789")
    assert objects.get_range("a", 0, 10) == b"0123456789"
    assert objects.get_range("a", 3, 5) == b"34"
    assert objects.get_range("a", 9, 10) == b"9"


@pytest.mark.parametrize(
    ("start", "end"), [(0, 11), (9, 12), (10, 11), (50, 60), (3, 3), (5, 3), (-1, 2)]
)
def test_a_range_is_whole_or_refused(objects: Objects, start: int, end: int) -> None:
    """Fewer bytes than were asked for are never given as if they were all."""
    objects.put("a", b"0123456789")
    with pytest.raises(EvidenceError, match="has not the bytes"):
        objects.get_range("a", start, end)


def test_a_changed_object_is_not_given(subject: Subject) -> None:
    """What someone changed in the store does not pass the digest known beforehand."""
    subject.objects.put("a", b"evidence")
    digest = digest_of(b"evidence")
    assert subject.objects.get("a", digest=digest) == b"evidence"
    subject.change("a", b"Evidence")
    assert subject.objects.get("a") == b"Evidence"
    with pytest.raises(EvidenceError, match="was changed in its store"):
        subject.objects.get("a", digest=digest)


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/../b", "a//b", ".a", "a b", "a\n"]
)
def test_a_name_cannot_escape(objects: Objects, name: str) -> None:
    """Names are plain parts joined by slashes."""
    for ask in (
        lambda: objects.put(name, b"x"),
        lambda: objects.get(name),
        lambda: objects.size(name),
        lambda: objects.get_range(name, 0, 1),
    ):
        with pytest.raises(EvidenceError, match="cannot name an object"):
            ask()


def test_a_place_on_this_machine(tmp_path: Path) -> None:
    """A file URL is a folder; what is in it is found by the next who opens it."""
    settings = Settings(home=tmp_path)
    open_objects(f"file://{tmp_path}/a%20b", settings).put("x", b"1")
    assert (tmp_path / "a b" / "x").read_bytes() == b"1"
    assert open_objects(f"file://{tmp_path}/a%20b", settings).get("x") == b"1"


@pytest.mark.parametrize(
    "url",
    ["", "evidence", "/tmp/x", "file://host/x", "file:///", "s3://", "gs://b", "s3:b"],
)
def test_what_is_no_place_is_said(tmp_path: Path, url: str) -> None:
    """Nothing is guessed; the message says what can be written."""
    with pytest.raises(EvidenceError, match="s3://BUCKET/PREFIX"):
        open_objects(url, Settings(home=tmp_path))


def test_credentials_do_not_belong_into_a_url(tmp_path: Path) -> None:
    """They are refused there, and not repeated."""
    with pytest.raises(EvidenceError, match="SANDBOX_S3_SECRET_KEY") as raised:
        open_objects("s3://AKIA1:hush-hush@bucket/x", Settings(home=tmp_path))
    assert "hush" not in raised.value.diagnosis
    assert "AKIA1" not in raised.value.diagnosis


@pytest.mark.parametrize(
    "change",
    [
        {"s3_endpoint": "http://192.0.2.1:9000"},
        {"s3_endpoint": "http://store.example"},
        {"s3_endpoint": "store.example"},
        {"s3_access_key": SecretStr("only-this")},
        {"s3_secret_key": SecretStr("only-this")},
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    """No plain HTTP to another machine, no half of a key."""
    settings = Settings(home=tmp_path).model_copy(update=change)
    with pytest.raises(EvidenceError, match="SANDBOX_S3_") as raised:
        open_objects("s3://bucket/x", settings)
    assert "only-this" not in raised.value.diagnosis


def test_a_wrong_key_is_said_and_not_shown(s3_server, make_bucket, tmp_path) -> None:
    """The message names the variables to set; neither half of the key is in it."""
    settings = s3_server.settings(tmp_path)
    wrong = settings.model_copy(update={"s3_secret_key": SecretStr("wrong-secret-1")})
    objects = open_objects(f"s3://{make_bucket()}/p", wrong)
    for ask in (
        lambda: objects.put("a", b"1"),
        lambda: objects.get("a"),
        lambda: objects.names(),
    ):
        with pytest.raises(EvidenceError, match="SANDBOX_S3_SECRET_KEY") as raised:
            ask()
        shown = str(raised.value) + repr(raised.value) + repr(wrong)
        assert "wrong-secret-1" not in shown
        assert settings.s3_access_key.get_secret_value() not in shown
        assert raised.value.retryable is False


def test_a_missing_bucket_is_said(s3_server, tmp_path) -> None:
    """A bucket is not made by itself."""
    objects = open_objects("s3://no-such-bucket/p", s3_server.settings(tmp_path))
    for ask in (lambda: objects.put("a", b"1"), lambda: objects.names()):
        with pytest.raises(EvidenceError, match="no bucket"):
            ask()


def test_a_store_that_does_not_answer_may_be_asked_again(s3_server, tmp_path) -> None:
    """The error is one that may pass by itself."""
    settings = s3_server.settings(tmp_path)
    nowhere = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    with pytest.raises(EvidenceError, match="does not answer") as raised:
        open_objects("s3://bucket/p", nowhere).get("a")
    assert raised.value.retryable is True
